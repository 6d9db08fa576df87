import type { Split } from "../task/task-spec.ts";

/** Splits in one row of table `splits`. */
export const rowSplits = 1_000;

/**
 * What the tasks of a phase read. Each split is kept as a text: a job may have 100,000 of them, and each is
 * looked at once, when its task begins.
 */
export class SplitList {
  readonly #texts: string[] = [];
  /** By task: the hosts near its input, where there are some. */
  readonly #hosts = new Map<number, readonly string[]>();

  /** Of rows as `rows` gives them, in order. */
  static fromRows(rows: Iterable<string>): SplitList {
    const list = new SplitList();
    for (const row of rows) for (const text of row.split("\n")) list.#texts.push(text);
    return list;
  }

  get length(): number {
    return this.#texts.length;
  }

  push(split: Split): void {
    if (split.hosts !== undefined) this.#hosts.set(this.#texts.length, split.hosts);
    this.#texts.push(JSON.stringify(split));
  }

  /** Behind those that are there. */
  append(others: SplitList): void {
    const before = this.#texts.length;
    for (const text of others.#texts) this.#texts.push(text);
    for (const [task, hosts] of others.#hosts) this.#hosts.set(before + task, hosts);
  }

  /** The split of a task, numbered as the task. REQUIRES: there is one. */
  at(task: number): Split {
    return { ...(JSON.parse(this.#texts[task]!) as Split), index: task };
  }

  /** Hosts near the task's input. Not known of a list that was read back. */
  hostsOf(task: number): readonly string[] | undefined {
    return this.#hosts.get(task);
  }

  /** All of these. */
  hosts(): Set<string> {
    return new Set([...this.#hosts.values()].flat());
  }

  first(count: number): Split[] {
    return this.#texts.slice(0, count).map((_, task) => this.at(task));
  }

  /** Texts of rows of the database. */
  *rows(): Generator<string> {
    for (let from = 0; from < this.#texts.length; from += rowSplits)
      yield this.#texts.slice(from, from + rowSplits).join("\n");
  }
}
