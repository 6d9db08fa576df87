import type { TaskAnswer } from "../protocol/task-messages.ts";
import { laterAnswer } from "../protocol/worker-protocol.ts";
import type { Asker } from "../protocol/worker-protocol.ts";

interface Waiter {
  readonly asker: Asker;
  readonly deadlineMs: number;
  resolve(answer: TaskAnswer): void;
}

/** The questions for work that are open, one per slot of an agent. */
export class TaskPolls {
  readonly #waiting = new Map<string, Waiter>();

  /**
   * Resolves with the answer, or with "later" at the deadline. A second question of the slot ends the first.
   */
  wait(asker: Asker, deadlineMs: number, signal: AbortSignal): Promise<TaskAnswer> {
    const key = slotKey(asker.agent, asker.slot);
    this.#waiting.get(key)?.resolve(laterAnswer());
    return new Promise((resolve) => {
      const end = (answer: TaskAnswer): void => {
        signal.removeEventListener("abort", abort);
        if (this.#waiting.get(key) === waiter) this.#waiting.delete(key);
        resolve(answer);
      };
      const abort = (): void => end(laterAnswer());
      const waiter: Waiter = { asker, deadlineMs, resolve: end };
      if (signal.aborted) return resolve(laterAnswer());
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.set(key, waiter);
    });
  }

  /** Answers the question if it is still open; else the slot asks again under the same number. */
  answer(
    to: { readonly node: string; readonly incarnation: number; readonly slot: number; readonly ask: number },
    answer: () => TaskAnswer,
  ): void {
    const waiter = this.#waiting.get(slotKey(to.node, to.slot));
    if (waiter === undefined || waiter.asker.incarnation !== to.incarnation || waiter.asker.ask !== to.ask)
      return;
    waiter.resolve(answer());
  }

  tick(nowMs: number): void {
    for (const waiter of this.#waiting.values())
      if (nowMs >= waiter.deadlineMs) waiter.resolve(laterAnswer());
  }

  /** That life of the agent is over. */
  drop(agent: string, incarnation: number): void {
    for (const waiter of this.#waiting.values()) {
      const { asker } = waiter;
      if (asker.agent === agent && asker.incarnation <= incarnation) waiter.resolve(laterAnswer());
    }
  }

  close(): void {
    for (const waiter of this.#waiting.values()) waiter.resolve(laterAnswer());
  }
}

function slotKey(agent: string, slot: number): string {
  return `${agent} ${slot}`;
}
