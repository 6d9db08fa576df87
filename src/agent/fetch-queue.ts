/** Task numbers to be fetched, first come first served; some come back to the front. */
export class TaskQueue {
  #tasks: number[] = [];
  #head = 0;

  get length(): number {
    return this.#tasks.length - this.#head;
  }

  push(task: number): void {
    this.#tasks.push(task);
  }

  /** The next one; undefined when there is none. */
  shift(): number | undefined {
    const task = this.#tasks[this.#head];
    if (task === undefined) return undefined;
    this.#head++;
    if (this.#head > 1_000 && this.#head * 2 > this.#tasks.length) {
      this.#tasks = this.#tasks.slice(this.#head);
      this.#head = 0;
    }
    return task;
  }

  /** Puts tasks before all others, in their order. */
  unshift(tasks: readonly number[]): void {
    this.#tasks = [...tasks, ...this.#tasks.slice(this.#head)];
    this.#head = 0;
  }

  clear(): void {
    this.#tasks = [];
    this.#head = 0;
  }
}
