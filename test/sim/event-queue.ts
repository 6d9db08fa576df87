import { BinaryHeap } from "#src/scheduler/heap.js";

interface Entry {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

/** The fake clock: things happen in order of their time, and of being planned when times are equal. */
export class EventQueue {
  nowMs = 0;
  #sequence = 0;
  readonly #heap = new BinaryHeap<Entry>(
    (a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence),
  );

  after(delayMs: number, run: () => void): void {
    this.#heap.push({ atMs: this.nowMs + delayMs, sequence: this.#sequence++, run });
  }

  /** Runs the next thing; false when there is none. */
  advance(): boolean {
    const next = this.#heap.pop();
    if (next === undefined) return false;
    this.nowMs = next.atMs;
    next.run();
    return true;
  }
}
