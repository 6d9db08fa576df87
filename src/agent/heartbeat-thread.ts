import { Worker as Thread } from "node:worker_threads";
import { describeThrown } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import type { ClientTls } from "../client/http.ts";
import type { Heartbeat, HeartbeatAnswer } from "../protocol/agent-messages.ts";
import type { AgentLog } from "./agent-options.ts";
import { checkHeartbeatAnswer } from "./checked-api.ts";

/* What the agent's main thread and its heartbeat thread tell each other. */

/** What the thread is started with. */
export interface HeartbeatSetup {
  readonly url: string;
  readonly token: string | null;
  readonly tls: ClientTls | null;
  readonly agent: string;
}

/** To the heartbeat thread. */
export interface HeartbeatState {
  /** What is to be sent; null: nothing, the agent is not registered. */
  readonly heartbeat: Heartbeat | null;
  readonly everyMs: number;
  /** When nothing has come from the main thread for so long, it hangs: then nothing is sent any more, ms. */
  readonly silentMsMax: number;
  /** Send it now, not when the next is due. */
  readonly now: boolean;
}

/** From the heartbeat thread. */
export type HeartbeatNews =
  | {
      readonly kind: "answer";
      readonly incarnation: number;
      /** What the heartbeat said of it. */
      readonly draining: boolean;
      readonly answer: HeartbeatAnswer;
    }
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      readonly incarnation: number;
    };

const restartMs = 500;

/** The main thread's half of heartbeat-entry.ts. */
export class HeartbeatThread {
  readonly #data: HeartbeatSetup;
  readonly #log: AgentLog;
  readonly #hear: (news: HeartbeatNews) => void;
  #thread: Thread;
  #ended = false;
  #last: HeartbeatState | null = null;

  constructor(data: HeartbeatSetup, log: AgentLog, hear: (news: HeartbeatNews) => void) {
    this.#data = data;
    this.#log = log;
    this.#hear = hear;
    this.#thread = this.#start();
  }

  /** What heartbeats say from now on. To be called at least as often as `silentMsMax` tells. */
  tell(state: HeartbeatState): void {
    this.#last = { ...state, now: false };
    this.#thread.postMessage(state);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#thread.terminate();
  }

  /** An answer that is not of the form is none. */
  #sound(news: HeartbeatNews): HeartbeatNews {
    if (news.kind === "failed") return news;
    try {
      return { ...news, answer: checkHeartbeatAnswer("a heartbeat", news.answer) };
    } catch (error) {
      const message = describeThrown(error);
      this.#log("warn", message);
      return { kind: "failed", code: "MESSAGE_INVALID", message, incarnation: news.incarnation };
    }
  }

  #startAgain(): void {
    if (this.#ended) return;
    this.#thread = this.#start();
    if (this.#last !== null) this.#thread.postMessage(this.#last);
  }

  #start(): Thread {
    const thread = new Thread(new URL("agent/heartbeat-entry.js", builtUrl), {
      workerData: this.#data,
      // Options of this process may be for its own main file, and an inspector is nobody else's.
      execArgv: [],
    });
    thread.on("message", (news: HeartbeatNews) => this.#hear(this.#sound(news)));
    thread.on("error", (error) => this.#log("error", `the heartbeat thread failed: ${error.message}`));
    thread.on("exit", () => {
      if (!this.#ended) setTimeout(() => this.#startAgain(), restartMs).unref();
    });
    return thread;
  }
}
