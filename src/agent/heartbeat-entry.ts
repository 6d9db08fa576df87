import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../base/clock.ts";
import { describeThrown, isSheafError } from "../base/errors.ts";
import { ApiClient } from "../client/api-client.ts";
import type { HeartbeatSetup, HeartbeatNews, HeartbeatState } from "./heartbeat-thread.ts";

/*
 * Sends heartbeats from a thread of its own, over a connection of its own, so that no work of the main thread
 * delays them. A heartbeat says what the main thread said last; when that says nothing any more, it hangs,
 * and the lease has to end.
 */

/** One that is not answered in this time is given up for the next. */
const answerMsMax = 5_000;

const { url, token, tls, agent } = workerData as HeartbeatSetup;
const port = parentPort!;
const api = new ApiClient({ url, token, ...(tls === null ? {} : { tls }) });
let state: HeartbeatState = { heartbeat: null, everyMs: 1_000, silentMsMax: 0, now: false };
let heardMs = 0;
let dueMs = 0;
let sending = false;
let timer: NodeJS.Timeout | undefined;

port.on("message", (message: HeartbeatState) => {
  state = message;
  heardMs = systemClock.nowMs();
  if (message.now) dueMs = 0;
  beat();
});

/** Sends one when it is due, else sees to it that this happens. */
function beat(): void {
  clearTimeout(timer);
  const nowMs = systemClock.nowMs();
  const { heartbeat, everyMs, silentMsMax } = state;
  if (heartbeat === null || sending || nowMs - heardMs > silentMsMax) return;
  if (nowMs < dueMs) {
    timer = setTimeout(beat, dueMs - nowMs);
    return;
  }
  dueMs = nowMs + everyMs;
  sending = true;
  const { incarnation, draining } = heartbeat;
  const timeoutMs = Math.max(answerMsMax, 2 * everyMs);
  api.heartbeat(agent, heartbeat, { retryMs: 0, timeoutMs }).then(
    (answer) => tell({ kind: "answer", incarnation, draining, answer }),
    (error: unknown) => {
      const code = isSheafError(error) ? error.code : "INTERNAL";
      tell({ kind: "failed", incarnation, code, message: describeThrown(error) });
    },
  );
}

function tell(news: HeartbeatNews): void {
  sending = false;
  port.postMessage(news);
  beat();
}
