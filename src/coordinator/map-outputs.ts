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

/** Of one job: a list that only grows, so that agents ask for what is new. */
export class OutputList {
  readonly #entries: OutputEntry[] = [];
  /** By map task: its last entry. */
  readonly #last = new Map<number, OutputEntry>();

  get version(): number {
    return this.#entries.length;
  }

  add(entry: OutputEntry): void {
    this.#entries.push(entry);
    this.#last.set(entry.task, entry);
  }

  /** Whether reduces are told to read this attempt's output. */
  has(task: number, attempt: number): boolean {
    const last = this.#last.get(task);
    return last !== undefined && last.attempt === attempt && last.agent !== null;
  }

  after(after: number): MapOutputs {
    return { version: this.version, entries: this.#entries.slice(after) };
  }
}
