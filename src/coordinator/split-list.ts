import type { Split } from "../task/split.ts";

/** Splits in one row of table `splits`. FROZEN within a format of the state. */
export const rowSplits = 1_000;

/** Rows that are kept taken apart: those that tasks are begun of. */
const openRowsMax = 4;

/**
 * What the tasks of a phase read. A job may have 100,000 splits, and each is looked at once, when its task
 * begins: they are kept as the bytes of the rows that they are written in.
 */
export class SplitList {
  readonly #rows: Buffer[] = [];
  /** Texts that do not fill a row yet. */
  #tail: string[] = [];
  /** By number of the row; the one that was used last comes last. */
  readonly #open = new Map<number, readonly string[]>();
  /** By task: the hosts near its input, where there are some. */
  readonly #hosts = new Map<number, readonly string[]>();

  /** Of rows as `rows` gives them, in order. */
  static fromRows(rows: Iterable<string>): SplitList {
    const list = new SplitList();
    for (const row of rows) for (const text of row.split("\n")) list.#push(text);
    return list;
  }

  get length(): number {
    return this.#rows.length * rowSplits + this.#tail.length;
  }

  push(split: Split): void {
    if (split.hosts !== undefined) this.#hosts.set(this.length, split.hosts);
    this.#push(JSON.stringify(split));
  }

  /** Behind those that are there. */
  append(others: SplitList): void {
    const before = this.length;
    for (const row of others.rows()) for (const text of row.split("\n")) this.#push(text);
    for (const [task, hosts] of others.#hosts) this.#hosts.set(before + task, hosts);
  }

  /** Those that are of one of several inputs. */
  ofInput(input: number): SplitList {
    const list = new SplitList();
    for (let task = 0; task < this.length; task++) {
      const split = this.at(task);
      if (split.input === input) list.push(split);
    }
    return list;
  }

  /** The split of a task, numbered as the task. REQUIRES: there is one. */
  at(task: number): Split {
    const text = this.#linesOf(Math.floor(task / rowSplits))[task % rowSplits]!;
    return { ...(JSON.parse(text) as Split), index: task };
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
    return Array.from({ length: Math.min(count, this.length) }, (_, task) => this.at(task));
  }

  /** Texts of rows of the database. */
  *rows(): Generator<string> {
    for (const row of this.#rows) yield row.toString("utf8");
    if (this.#tail.length > 0) yield this.#tail.join("\n");
  }

  #push(text: string): void {
    this.#tail.push(text);
    if (this.#tail.length < rowSplits) return;
    this.#rows.push(Buffer.from(this.#tail.join("\n")));
    this.#tail = [];
  }

  #linesOf(row: number): readonly string[] {
    const bytes = this.#rows[row];
    if (bytes === undefined) return this.#tail;
    const lines = this.#open.get(row) ?? bytes.toString("utf8").split("\n");
    this.#open.delete(row);
    this.#open.set(row, lines);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= openRowsMax) break;
      this.#open.delete(oldest);
    }
    return lines;
  }
}
