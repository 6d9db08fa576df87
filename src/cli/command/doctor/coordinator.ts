import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { packageVersion } from "../../../base/package-places.ts";
import type { ApiClient } from "../../../client/api-client.ts";
import { loadTls } from "../../../security/tls.ts";
import { type ConnectFlags, credentialsOf, withCluster } from "../../connection.ts";
import type { World } from "../../world.ts";
import { type Finding, fail, failedCheck, ok, warn } from "./checks.ts";

const answerMs = 10_000;
/** The header says whole seconds. */
const skewMsMost = 5_000;

/** Whether a coordinator answers, lets us in, and has agents; and whether its clock is ours. */
export async function checkCoordinator(flags: ConnectFlags, url: string, world: World): Promise<Finding[]> {
  const found = await withCluster(flags, world, lookAt).catch((error: unknown) => [
    failedCheck("coordinator", error),
  ]);
  // What cannot be reached is told above.
  const clock = await checkClock(flags, url, world).catch(() => null);
  return clock === null ? found : [...found, clock];
}

async function lookAt(api: ApiClient): Promise<Finding[]> {
  const { version, agents, slots, roots } = await api.cluster({ retryMs: 0, timeoutMs: answerMs });
  const own = packageVersion();
  const same = version === own;
  const at = `${api.url} answers and takes the token, sheaf ${version}`;
  return [
    same
      ? ok("coordinator", at)
      : warn("coordinator", at, `This is sheaf ${own}: install the same version on both.`),
    agents > 0
      ? ok("agents", `${agents} with ${slots} slots`)
      : fail("agents", "none has joined", `Start one: sheaf agent --join ${api.url}.`),
    roots.length > 0
      ? ok("roots", roots.join(", "))
      : warn(
          "roots",
          "none",
          "Jobs can read no files by path: start coordinator and agents with --root DIR.",
        ),
  ];
}

async function checkClock(flags: ConnectFlags, url: string, world: World): Promise<Finding> {
  const { tls } = await credentialsOf(flags, world);
  const sentMs = world.clock.wallMs();
  const date = await dateOf(url, tls === undefined ? {} : loadTls(tls, sentMs).client);
  const nowMs = world.clock.wallMs();
  if (date === null) return warn("clock", "the coordinator tells no time", "Is there a proxy between?");
  const skewMs = date - (sentMs + nowMs) / 2;
  const text = `${Math.abs(Math.round(skewMs / 1000))} s ${skewMs < 0 ? "behind" : "ahead of"} this machine's`;
  if (Math.abs(skewMs) <= skewMsMost + (nowMs - sentMs) / 2)
    return ok("clock", "the coordinator's is this machine's");
  return warn(
    "clock",
    `the coordinator's is ${text}`,
    "Synchronize both (NTP): certificates and signed URLs have times.",
  );
}

/** Of the answer to a question that needs no token, ms since the epoch; null where it has none. */
function dateOf(url: string, tls: object): Promise<number | null> {
  const at = new URL("health", url.endsWith("/") ? url : `${url}/`);
  return new Promise((resolve, reject) => {
    const request = at.protocol === "https:" ? tlsRequest : plainRequest;
    const asked = request(at, { ...tls, timeout: answerMs, agent: false }, (answer) => {
      answer.resume();
      const ms = Date.parse(answer.headers.date ?? "");
      resolve(Number.isNaN(ms) ? null : ms);
    });
    asked.once("timeout", () => asked.destroy(new Error(`${at.href} does not answer`)));
    asked.once("error", reject);
    asked.end();
  });
}
