import type { ReduceFetch } from "./fetch-reduce.ts";
import type { PartialSlice, SliceStream } from "./fetch-stream.ts";
import type { PackFile } from "./pack-file.ts";
import type { MapAttempt } from "./slice-protocol.ts";
import { MAPS_PER_REQUEST_MAX } from "./slice-protocol.ts";

/** Before anything has come, a request asks for so many slices. */
const FIRST_SLICES = 16;

/** What one reduce needs of one agent: one request at a time, for all that has come together meanwhile. */
export class FetchLane {
  readonly reduce: ReduceFetch;
  /** Index of the peer in the mirror. */
  readonly peer: number;
  readonly address: string;
  readonly queue = new TaskQueue();
  stream: SliceStream | null = null;
  /** A stream is being begun, runs or is being ended. */
  busy = false;
  /** Ends a pause after a failure. */
  pause: ReturnType<typeof setTimeout> | null = null;
  /** Tries in a row that brought nothing. */
  tries = 0;
  /** Where its slices go, and the number of that. */
  pack: { readonly file: PackFile; readonly number: number } | null = null;
  partial: PartialSlice | null = null;
  /** Tasks whose slice came damaged once. */
  readonly suspects = new Set<number>();
  #slices = 0;
  #bytes = 0;

  constructor(reduce: ReduceFetch, peer: number, address: string) {
    this.reduce = reduce;
    this.peer = peer;
    this.address = address;
  }

  /** It may be given a stream. */
  get ready(): boolean {
    return !this.busy && this.pause === null && this.queue.length > 0 && this.reduce.fetches;
  }

  /** A slice of that size has come. */
  measured(bytes: number): void {
    this.#slices++;
    this.#bytes += bytes;
  }

  /** Takes what the next request asks for: about `batchBytes`. */
  take(batchBytes: number): MapAttempt[] {
    const guess = this.#slices === 0 ? FIRST_SLICES : (batchBytes * this.#slices) / this.#bytes;
    const most = Math.max(1, Math.min(Math.floor(guess), MAPS_PER_REQUEST_MAX));
    const maps: MapAttempt[] = [];
    const taken = new Set<number>();
    while (maps.length < most) {
      const task = this.queue.shift();
      if (task === undefined) break;
      const attempt = taken.has(task) ? null : this.reduce.wantedFrom(task, this.peer);
      if (attempt === null) continue;
      taken.add(task);
      maps.push({ task, attempt });
    }
    const [first] = maps;
    const { map } = this.partial ?? {};
    if (map?.task !== first?.task || map?.attempt !== first?.attempt) this.partial = null;
    return maps;
  }

  /** Asks for these again, before others. */
  putBack(maps: readonly MapAttempt[]): void {
    if (maps.length > 0) this.queue.unshift(maps.map(({ task }) => task));
  }

  /** Forgets what went wrong. */
  reset(): void {
    this.tries = 0;
    this.suspects.clear();
    if (this.pause !== null) clearTimeout(this.pause);
    this.pause = null;
  }
}

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
