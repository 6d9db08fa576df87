import { Worker as Thread } from "node:worker_threads";
import type { AgentLog } from "./agent-world.ts";
import type { HeartData, HeartNews, HeartState } from "./heart-messages.ts";

const restartMs = 500;

/** The main thread's half of heart-entry.ts. */
export class Heart {
  readonly #data: HeartData;
  readonly #log: AgentLog;
  readonly #hear: (news: HeartNews) => void;
  #thread: Thread;
  #ended = false;
  #last: HeartState | null = null;

  constructor(data: HeartData, log: AgentLog, hear: (news: HeartNews) => void) {
    this.#data = data;
    this.#log = log;
    this.#hear = hear;
    this.#thread = this.#start();
  }

  /** What heartbeats say from now on. To be called at least as often as `silentMsMax` tells. */
  tell(state: HeartState): void {
    this.#last = { ...state, now: false };
    this.#thread.postMessage(state);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#thread.terminate();
  }

  #startAgain(): void {
    if (this.#ended) return;
    this.#thread = this.#start();
    if (this.#last !== null) this.#thread.postMessage(this.#last);
  }

  #start(): Thread {
    const thread = new Thread(new URL("./heart-entry.js", import.meta.url), {
      workerData: this.#data,
      // Options of this process may be for its own main file, and an inspector is nobody else's.
      execArgv: [],
    });
    thread.on("message", (news: HeartNews) => this.#hear(news));
    thread.on("error", (error) => this.#log("error", `the heartbeat thread failed: ${error.message}`));
    thread.on("exit", () => {
      if (!this.#ended) setTimeout(() => this.#startAgain(), restartMs).unref();
    });
    return thread;
  }
}
