import { Heap } from "./heap.ts";

/**
 * The median of numbers that arrive one by one: a heap of the lower half, one of the upper. Adding is O(log
 * n).
 */
export class RunningMedian {
  readonly #lower = new Heap<number>((a, b) => a > b);
  readonly #upper = new Heap<number>((a, b) => a < b);

  get count(): number {
    return this.#lower.size + this.#upper.size;
  }

  /** The lower of the two middle ones when their number is even; undefined when there are none. */
  get median(): number | undefined {
    return this.#lower.peek();
  }

  add(value: number): void {
    const median = this.#lower.peek();
    if (median === undefined || value <= median) this.#lower.push(value);
    else this.#upper.push(value);
    if (this.#lower.size > this.#upper.size + 1) this.#upper.push(this.#lower.pop()!);
    else if (this.#upper.size > this.#lower.size) this.#lower.push(this.#upper.pop()!);
  }
}
