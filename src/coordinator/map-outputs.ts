import type { MapOutputs } from "../protocol/task-messages.ts";

/** One entry of the list: where a map's output lies, or (agent null) that it is gone. */
export interface OutputEntry {
  readonly task: number;
  readonly attempt: number;
  readonly agent: string | null;
  readonly incarnation: number;
  /** Shuffle server of that life of the agent; null: the map emitted nothing, or its output is gone. */
  readonly address: string | null;
  readonly bytes: number;
}

/** Entries in one answer at most. */
const pageEntries = 2_000;

/**
 * Of one job: a list that only grows, so that agents ask for what is new. Every agent reads all of it, so it
 * is kept as it is sent, and sent in pages.
 */
export class OutputList {
  /** Each as JSON. */
  readonly #texts: string[] = [];
  /** By map task: the attempt its last entry offers; null when that is gone. */
  readonly #last = new Map<number, number | null>();
  /** Answers that will not change any more, by number of the page. */
  readonly #pages = new Map<number, Buffer>();

  get version(): number {
    return this.#texts.length;
  }

  add(entry: OutputEntry): void {
    this.#texts.push(JSON.stringify(entry));
    this.#last.set(entry.task, entry.agent === null ? null : entry.attempt);
  }

  /** Whether reduces are told to read this attempt's output. */
  has(task: number, attempt: number): boolean {
    return this.#last.get(task) === attempt;
  }

  /**
   * Entries from number `after` on, to the end of the list or of a page: `version` is where the next ones
   * begin.
   */
  after(after: number): MapOutputs {
    return JSON.parse(this.page(after).toString("utf8")) as MapOutputs;
  }

  /** The same as it is sent. */
  page(after: number): Buffer {
    const number = Math.floor(after / pageEntries);
    const end = Math.min((number + 1) * pageEntries, this.#texts.length);
    const isFinal = after === number * pageEntries && end === after + pageEntries;
    const known = isFinal ? this.#pages.get(number) : undefined;
    if (known !== undefined) return known;
    const version = after < end ? end : this.#texts.length;
    const text = `{"version":${version},"entries":[${this.#texts.slice(after, end).join(",")}]}`;
    const page = Buffer.from(text);
    if (isFinal) this.#pages.set(number, page);
    return page;
  }
}
