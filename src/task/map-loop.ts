import { SheafError } from "../base/errors.ts";
import type { RecordBatch } from "../job/reader.ts";
import type { BadRecords } from "./bad-records.ts";
import type { AttemptContext } from "./context.ts";
import type { MapEmitter } from "./emitter.ts";
import type { RecordSampler } from "./sampling.ts";
import type { Scene } from "./scene.ts";

export type MapFunction = (record: unknown, emit: unknown, context: AttemptContext) => unknown;

/**
 * Calls the user's map for the records of a batch. The plain loop makes no promise and catches nothing per
 * record; the careful one, for --sample and --max-bad, does.
 */
export class MapLoop {
  readonly #map: MapFunction;
  readonly #emitter: MapEmitter;
  readonly #context: AttemptContext;
  readonly #scene: Scene;
  readonly #sampler: RecordSampler | undefined;
  readonly #bad: BadRecords | undefined;
  #waiting: Promise<unknown> | undefined;
  /** Records given to map so far. */
  records = 0;

  constructor(
    map: MapFunction,
    emitter: MapEmitter,
    context: AttemptContext,
    scene: Scene,
    options: { readonly sampler: RecordSampler | undefined; readonly bad: BadRecords | undefined },
  ) {
    this.#map = map;
    this.#emitter = emitter;
    this.#context = context;
    this.#scene = scene;
    this.#sampler = options.sampler;
    this.#bad = options.bad;
  }

  /** Maps a batch. Throws what a record threw, the scene telling which, unless bad records are kept. */
  async run(batch: RecordBatch<unknown>): Promise<void> {
    const context = this.#context;
    context.offsets = batch.offsets;
    this.#scene.phase = "read";
    for (const bad of batch.bad) this.#undecodable(bad.offset, bad.error, bad.raw);
    this.#scene.phase = "map";
    if (this.#sampler !== undefined || this.#bad !== undefined) return this.#careful(batch);
    const { records } = batch;
    try {
      for (let at = 0; at < records.length;) {
        at = this.#plain(records, at);
        if (this.#waiting === undefined) continue;
        const result = await this.#waiting;
        this.#waiting = undefined;
        // A batch of records that are waited for can take longer than the watchdog's patience.
        context.progress();
        if (result !== undefined) this.#takeNow(result);
      }
    } catch (error) {
      this.#scene.offset = batch.offsets[context.current] ?? null;
      this.#scene.record = records[context.current];
      throw error;
    }
    this.records += records.length;
  }

  /** Maps records from `at` on until one has to be waited for; returns the first not mapped. */
  #plain(records: readonly unknown[], at: number): number {
    const context = this.#context;
    const map = this.#map;
    const { emit } = this.#emitter;
    for (let i = at; i < records.length; i++) {
      context.current = i;
      const result = map(records[i], emit, context);
      if (result === undefined) continue;
      this.#waiting = this.#take(result);
      if (this.#waiting !== undefined) return i + 1;
    }
    return records.length;
  }

  async #careful(batch: RecordBatch<unknown>): Promise<void> {
    const { records, offsets } = batch;
    const emitter = this.#emitter;
    for (let i = 0; i < records.length; i++) {
      const offset = offsets[i]!;
      if (this.#sampler?.keeps(offset) === false) continue;
      this.#context.current = i;
      this.#scene.offset = offset;
      this.#scene.record = records[i];
      this.records++;
      if (this.#bad === undefined) {
        await this.#one(records[i], emitter.emit);
        continue;
      }
      try {
        emitter.hold();
        this.#context.hold();
        await this.#one(records[i], emitter.held);
      } catch (error) {
        // What the record emitted and counted before it failed is dropped: all of it goes in or nothing.
        emitter.drop();
        this.#context.drop();
        this.#bad.add(this.#scene.path, offset, error, records[i], "map");
        continue;
      }
      emitter.release();
      this.#context.release();
    }
  }

  async #one(record: unknown, emit: unknown): Promise<void> {
    const result = this.#map(record, emit, this.#context);
    if (result === undefined) return;
    const pending = this.#take(result, emit);
    if (pending === undefined) return;
    const settled = await pending;
    this.#context.progress();
    if (settled !== undefined) this.#takeNow(settled, emit);
  }

  /** Emits the pairs that map returned; a promise when they are still to come. */
  #take(result: unknown, emit: unknown = this.#emitter.emit): Promise<unknown> | undefined {
    if (typeof result === "object" && result !== null) {
      if ("then" in result && typeof result.then === "function") return result as unknown as Promise<unknown>;
      if (Symbol.asyncIterator in result) return this.#takeAsync(result as AsyncIterable<unknown>, emit);
    }
    this.#takeNow(result, emit);
    return undefined;
  }

  #takeNow(result: unknown, emit: unknown = this.#emitter.emit): void {
    if (typeof result !== "object" || result === null || !(Symbol.iterator in result)) throw notPairs(result);
    for (const pair of result as Iterable<unknown>) this.#pair(pair, emit);
  }

  async #takeAsync(pairs: AsyncIterable<unknown>, emit: unknown): Promise<undefined> {
    for await (const pair of pairs) this.#pair(pair, emit);
  }

  #pair(pair: unknown, emit: unknown): void {
    if (!Array.isArray(pair) || typeof emit !== "function") throw notPairs(pair);
    (emit as (key: unknown, value: unknown) => void)(pair[0], pair[1]);
  }

  #undecodable(offset: number, error: Error, raw: Uint8Array): void {
    if (this.#sampler?.keeps(offset) === false) return;
    this.#scene.offset = offset;
    this.#scene.record = raw;
    if (this.#bad === undefined) throw error;
    this.#bad.add(this.#scene.path, offset, error, raw, "read");
    this.records++;
  }
}

function notPairs(result: unknown): SheafError {
  const what = Array.isArray(result) ? "an array" : `a ${result === null ? "null" : typeof result}`;
  return new SheafError("USER_CODE", `map returned ${what} where [key, value] pairs were expected`, {
    hint: "Call emit(key, value) and return nothing, or return or yield [key, value] pairs (not with collections).",
  });
}
