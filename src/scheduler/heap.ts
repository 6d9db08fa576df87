/** A binary heap: the item that comes before all others is first. Push and pop are O(log n). */
export class BinaryHeap<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** All of them, the first one first, the others in no order. */
  get items(): readonly T[] {
    return this.#items;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent]!;
      if (!this.#before(item, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  pop(): T | undefined {
    const items = this.#items;
    const top = items[0];
    const moved = items.pop();
    if (items.length === 0 || moved === undefined) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1]!, items[child]!)) child++;
      if (!this.#before(items[child]!, moved)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = moved;
    return top;
  }
}

/**
 * The median of numbers that arrive one by one: a heap of the lower half, one of the upper. Adding is O(log
 * n).
 */
export class RunningMedian {
  readonly #lower = new BinaryHeap<number>((a, b) => a > b);
  readonly #upper = new BinaryHeap<number>((a, b) => a < b);

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
