import type { GatePolicy, RequestFacts } from "#src/security/gate.js";
import { hostList } from "#src/security/host-list.js";
import { digestToken, makeToken } from "#src/security/token.js";

export const tokens = { client: makeToken("client"), agent: makeToken("agent") };
export const jobKeys: Readonly<Record<string, string>> = { a: makeToken("job"), b: makeToken("job") };
export const nowMs = 1_000_000;

/** A server of this machine, with a token for each role and two jobs, at one moment. */
export const policy: GatePolicy = {
  tokens: [
    { role: "client", digest: digestToken(tokens.client) },
    { role: "agent", digest: digestToken(tokens.agent) },
  ],
  open: false,
  hosts: hostList({ bound: "127.0.0.1" }),
  jobKey: (job) => (Object.hasOwn(jobKeys, job) ? jobKeys[job]! : null),
  clock: { nowMs: () => 0, wallMs: () => nowMs },
};

export const openPolicy: GatePolicy = { ...policy, open: true, tokens: [] };

/** A request a client's program sends, changed as told. */
export function facts(change: Partial<RequestFacts> = {}): RequestFacts {
  return {
    method: "GET",
    target: "/jobs",
    host: ["127.0.0.1:7077"],
    authorization: [`Bearer ${tokens.client}`],
    origin: [],
    fetchSite: [],
    contentType: [],
    hasBody: false,
    access: { may: ["client"] },
    job: null,
    ...change,
  };
}
