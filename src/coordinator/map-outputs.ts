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
 * is kept as it is sent, in pages.
 */
export class OutputList {
  /** Answers that are full. */
  readonly #pages: Buffer[] = [];
  /** Entries behind them, each as JSON. */
  #tail: string[] = [];
  /** By map task: the attempt its last entry offers; 0 when that is gone. */
  readonly #last: number[] = [];

  get version(): number {
    return this.#pages.length * pageEntries + this.#tail.length;
  }

  add(entry: OutputEntry): void {
    this.#tail.push(JSON.stringify(entry));
    this.#last[entry.task] = entry.agent === null ? 0 : entry.attempt;
    if (this.#tail.length < pageEntries) return;
    this.#pages.push(pageOf(this.version, this.#tail));
    this.#tail = [];
  }

  /** Whether reduces are told to read this attempt's output. */
  has(task: number, attempt: number): boolean {
    return this.#last[task] === attempt;
  }

  /**
   * Entries from number `after` on, to the end of the list or of a page, as they are sent: MapOutputs as
   * JSON; its `version` is where the next ones begin.
   */
  page(after: number): Buffer {
    if (after >= this.version) return pageOf(this.version, []);
    const begin = Math.floor(after / pageEntries) * pageEntries;
    const page = this.#pages[begin / pageEntries];
    if (page === undefined) return pageOf(this.version, this.#tail.slice(after - begin));
    if (after === begin) return page;
    const { version, entries } = JSON.parse(page.toString("utf8")) as MapOutputs;
    return Buffer.from(JSON.stringify({ version, entries: entries.slice(after - begin) }));
  }
}

function pageOf(version: number, texts: readonly string[]): Buffer {
  return Buffer.from(`{"version":${version},"entries":[${texts.join(",")}]}`);
}
