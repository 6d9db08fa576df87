import { SheafError } from "../base/errors.ts";
import { Pace } from "../base/pace.ts";
import type { Job } from "../job/job-plan.ts";
import { isPlainObject } from "../job/plain-data.ts";
import type { RecordBatch } from "../job/reader.ts";
import type { BadRecords } from "./bad-records.ts";
import type { AttemptContext } from "./context.ts";
import type { MapEmitter } from "./emitter.ts";
import type { RecordUnits } from "./record-units.ts";
import type { RecordChoice } from "./sampling.ts";
import type { Scene } from "./scene.ts";

export type MapFunction = (record: unknown, emit: unknown, context: AttemptContext) => unknown;

/** What a job without a map does: each record is a key; where nothing is grouped, objects are values. */
export function identityMap(job: Job): MapFunction {
  const takesObjects = job.collections.every(({ mapOnly }) => mapOnly);
  return (record, emit) => {
    const pair = emit as (key: unknown, value?: unknown) => void;
    if (takesObjects && isPlainObject(record)) pair(null, record);
    else pair(record);
  };
}

/** Between two records the loop lets others have their turn this often, if records are slow. */
const STRETCH_MS = 20;

/**
 * Calls the user's map for the records of a batch. The plain loop makes no promise and catches nothing per
 * record; the careful one, for --sample and --max-bad, does.
 */
export class MapLoop {
  readonly #map: MapFunction;
  readonly #emitter: MapEmitter;
  readonly #context: AttemptContext;
  readonly #scene: Scene;
  readonly #sampler: RecordChoice | undefined;
  readonly #units: RecordUnits | undefined;
  readonly #bad: BadRecords | undefined;
  readonly #pause: (done: number) => Promise<boolean>;
  readonly #pace = new Pace(STRETCH_MS);
  #waiting: Promise<unknown> | undefined;
  /** Records given to map so far. */
  records = 0;

  constructor(
    map: MapFunction,
    emitter: MapEmitter,
    context: AttemptContext,
    scene: Scene,
    options: {
      readonly sampler: RecordChoice | undefined;
      /** With a sampler only: what is told where records begin and end. */
      readonly units: RecordUnits | undefined;
      readonly bad: BadRecords | undefined;
      /** Called now and then when so many records of the batch are done; true: leave the rest of it. */
      readonly pause: (done: number) => Promise<boolean>;
    },
  ) {
    this.#map = map;
    this.#emitter = emitter;
    this.#context = context;
    this.#scene = scene;
    this.#sampler = options.sampler;
    this.#units = options.units;
    this.#bad = options.bad;
    this.#pause = options.pause;
  }

  /**
   * Maps a batch; returns how many of its records it has come to, fewer than there are when a pause said so.
   * Throws what a record threw, the scene telling which, unless bad records are kept.
   */
  async run(batch: RecordBatch<unknown>): Promise<number> {
    const context = this.#context;
    context.offsets = batch.offsets;
    this.#scene.phase = "read";
    for (const bad of batch.bad) this.#undecodable(bad.offset, bad.error, bad.raw);
    this.#scene.phase = "map";
    if (this.#sampler !== undefined || this.#bad !== undefined) return this.#careful(batch);
    const { records } = batch;
    const before = this.records;
    const pace = this.#pace;
    pace.countAnew();
    try {
      for (let at = 0; at < records.length;) {
        at = this.#plain(records, at);
        if (this.#waiting !== undefined) {
          const result = await this.#waiting;
          this.#waiting = undefined;
          // A batch of records that are waited for can take longer than the watchdog's patience.
          context.progress();
          if (result !== undefined) this.#takeNow(result);
        }
        if (at === records.length || !pace.isOver(at)) continue;
        this.records = before + at;
        if (await this.#pause(at)) return at;
        pace.begin(at);
      }
    } catch (error) {
      this.#scene.offset = batch.offsets[context.current] ?? null;
      this.#scene.record = records[context.current];
      throw error;
    }
    this.records = before + records.length;
    return records.length;
  }

  /** Maps records from `at` on until one is to be waited for, or time is up; returns the first not mapped. */
  #plain(records: readonly unknown[], at: number): number {
    const context = this.#context;
    const pace = this.#pace;
    const map = this.#map;
    const { emit } = this.#emitter;
    for (let i = at; i < records.length; i++) {
      context.current = i;
      const result = map(records[i], emit, context);
      if (result !== undefined) {
        this.#waiting = this.#take(result);
        if (this.#waiting !== undefined) return i + 1;
      }
      if (i + 1 === pace.next && pace.isOver(i + 1)) return i + 1;
    }
    return records.length;
  }

  async #careful(batch: RecordBatch<unknown>): Promise<number> {
    const { records, offsets } = batch;
    const emitter = this.#emitter;
    const pace = this.#pace;
    pace.countAnew();
    for (let i = 0; i < records.length; i++) {
      if (i >= pace.next && pace.isOver(i)) {
        if (await this.#pause(i)) return i;
        pace.begin(i);
      }
      const offset = offsets[i]!;
      if (this.#sampler?.keeps(offset) === false) continue;
      this.#context.current = i;
      this.#scene.offset = offset;
      this.#scene.record = records[i];
      this.records++;
      this.#units?.begin();
      if (this.#bad === undefined) {
        await this.#one(records[i], emitter.emit);
        this.#units?.end();
        continue;
      }
      try {
        emitter.hold();
        this.#context.hold();
        await this.#one(records[i], emitter.held);
      } catch (error) {
        // What the record emitted and counted before it failed is dropped: all of it goes in or nothing.
        emitter.drop();
        this.#units?.drop();
        this.#context.drop();
        this.#bad.add(this.#scene.path, offset, error, records[i], "map");
        continue;
      }
      emitter.release();
      this.#units?.end();
      this.#context.release();
    }
    return records.length;
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
