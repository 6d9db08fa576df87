import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Submission } from "#src/protocol/submission.js";
import { startSheaf, tempDir } from "../cli/support.js";
import type { RunningSheaf } from "../cli/support.js";
import { ask } from "./http-support.js";
import type { RawAnswer, RawRequest } from "./http-support.js";

/** A coordinator as `sheaf coordinator` starts it, in a process of its own. */
export interface CoordinatorProcess {
  readonly sheaf: RunningSheaf;
  readonly port: number;
  readonly state: string;
  readonly client: string;
  readonly agent: string;
  /** All it has written so far. */
  said(): string;
  /** Lines of its log, parsed. */
  logged(): readonly Readonly<Record<string, unknown>>[];
  ask(request: RawRequest): Promise<RawAnswer>;
  /** Sends JSON, as a client unless a token is given. */
  send(method: string, target: string, body: unknown, more?: Partial<RawRequest>): Promise<RawAnswer>;
  /** Uploads a bundle and submits a job with it. */
  submit(change?: Partial<Submission>, more?: Partial<RawRequest>): Promise<RawAnswer>;
}

export const json = { "Content-Type": "application/json" };
export const octets = { "Content-Type": "application/octet-stream" };

/** Starts it on a free port of loopback with a state directory of its own; ended with the test. */
export async function startCoordinator(
  t: TestContext,
  args: readonly string[] = [],
): Promise<CoordinatorProcess> {
  const state = join(tempDir(t), "state");
  const sheaf = startSheaf(["coordinator", "--port", "0", "--state", state, ...args]);
  let output = "";
  let log = "";
  sheaf.child.stdout!.on("data", (text: string) => (output += text));
  sheaf.child.stderr!.on("data", (text: string) => (log += text));
  t.after(async () => {
    sheaf.child.kill("SIGKILL");
    await sheaf.done.catch(() => undefined);
  });
  await sheaf.until("listens on");
  const port = Number(/listens on https?:\/\/[^\s;]*:(\d+)/.exec(output)![1]);
  const token = (kind: string): string => {
    try {
      return readFileSync(join(state, `${kind}.token`), "utf8").trim();
    } catch {
      return "";
    }
  };
  const [client, agent] = [token("client"), token("agent")];
  const made: CoordinatorProcess = {
    sheaf,
    port,
    state,
    client,
    agent,
    said: () => output + log,
    logged: () =>
      log
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
    ask: (request) => ask(port, request),
    send: (method, target, body, more) => {
      const headers = { ...json, ...more?.headers };
      return ask(port, { method, target, token: client, body: JSON.stringify(body), ...more, headers });
    },
    submit: async (change, more) => {
      const request = { method: "PUT", target: `/blobs/${bundleHash}`, token: client, headers: octets };
      await ask(port, { ...request, body: bundle });
      const key = `key-${Math.random().toString(36).slice(2).padEnd(8, "0")}`;
      const headers = { "idempotency-key": key, ...more?.headers };
      return made.send("POST", "/jobs", { ...submission, ...change }, { ...more, headers });
    },
  };
  return made;
}

const bundle = "export default {};\n";
const bundleHash = createHash("sha256").update(bundle).digest("hex");

/** A job that needs no input. Nothing here runs it. */
export const submission: Submission = {
  protocol: 1,
  name: "words",
  submitter: "somebody",
  host: "desk",
  group: null,
  project: null,
  file: "words.ts",
  code: bundleHash.slice(0, 16),
  bundle: bundleHash,
  sourceMap: null,
  aux: [],
  outline: {
    name: null,
    input: { kind: "generate", tasks: 2 },
    collections: [{ name: "", partitions: 2, order: "hash", mapOnly: false }],
    params: {},
    hasExpect: false,
    aux: [],
    seed: 1,
  },
  inputs: [],
  options: {
    partitions: [2],
    splitBytes: null,
    memoryBytes: 8 << 20,
    heapBytes: null,
    sample: 1,
    params: {},
    badBudget: null,
    attempts: 4,
    failedTasksShare: 0,
    noProgressMs: 60_000,
    partBytes: 64 << 20,
    cores: null,
    priority: 0,
    speculation: false,
    queueTimeoutMs: null,
    mappers: null,
  },
  output: { kind: "collect", write: true, collect: false },
  attached: false,
  faults: [],
};

export function jobOf(answer: RawAnswer): string {
  return (JSON.parse(answer.body) as { readonly job: string }).job;
}
