import { KiB } from "../base/size.ts";

/** Of a program that does several tasks. What something else has begun to write may stand before it. */
const END = /^(.*)sheaf:end:(\d+)$/s;
/** A line without an end is taken for one at this length. */
const LINE_BYTES_MAX = 64 * KiB;
const NEWLINE = 10;

/** What hears of a program's standard error. */
export interface ReportsTarget {
  /** "reporter:counter:GROUP,NAME,N" */
  count(name: string, by: number): void;
  /** "reporter:status:TEXT" */
  status(text: string): void;
  /** Any other line, without its end. */
  log(line: string): void;
  /** "sheaf:end:N", of a program that does several tasks: all that belongs to task N has come. */
  end?(task: number): void;
}

/** Reads a program's standard error line by line, as Hadoop Streaming does. */
export class Reports {
  readonly #prefix: string;
  readonly #target: ReportsTarget;
  #rest: Buffer = Buffer.alloc(0);
  /** The last line that was no report and not blank, cut; "" when there was none. */
  last = "";

  constructor(prefix: string, target: ReportsTarget) {
    this.#prefix = prefix;
    this.#target = target;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, at)) {
      this.#line(bytes.subarray(at, end));
      at = end + 1;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    if (this.#rest.length > LINE_BYTES_MAX) this.end();
  }

  /** What is left without a line end is a line. */
  end(): void {
    if (this.#rest.length > 0) this.#line(this.#rest);
    this.#rest = Buffer.alloc(0);
  }

  #line(bytes: Buffer): void {
    const line = bytes.toString("utf8").replace(/\r$/, "");
    const counter = `${this.#prefix}counter:`;
    const status = `${this.#prefix}status:`;
    const [, before, task] = (this.#target.end && END.exec(line)) ?? [];
    if (task !== undefined) {
      if (before !== "") this.#other(before!);
      this.#target.end!(Number(task));
    } else if (line.startsWith(counter)) this.#counter(line, line.slice(counter.length));
    else if (line.startsWith(status)) this.#target.status(line.slice(status.length));
    else this.#other(line);
  }

  #counter(line: string, text: string): void {
    const [group, name, by, ...more] = text.trim().split(",");
    const amount = Number(by);
    if (by === undefined || more.length > 0 || !/^\s*-?\d+\s*$/.test(by) || !Number.isSafeInteger(amount)) {
      this.#other(`${line} (no counter: GROUP,NAME,INTEGER is expected)`);
      return;
    }
    // The helper for Python has no groups, as ctx.count() has none.
    this.#target.count(group === "sheaf" ? name! : `${group}:${name}`, amount);
  }

  #other(line: string): void {
    if (line.trim() !== "") this.last = line.length > 300 ? `${line.slice(0, 300)}...` : line;
    this.#target.log(line);
  }
}
