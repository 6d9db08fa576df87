import { SheafError } from "../base/errors.ts";
import { ValueDecoder, ValueEncoder } from "../codec/value-codec.ts";
import type { Aggregator } from "../job/aggregator.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Collector, HeldStates } from "../shuffle/collector.ts";
import { slotCount } from "../shuffle/table-collector.ts";
import type { LiveSettings } from "./task-spec.ts";

/*
 * Aggregate states on their way to those who look on while a job runs. They are told as bytes: whoever passes
 * them on does not look into them, and they are never kept.
 *
 *   states = entry*                  entry = u32 length, a value of the value codec:
 *   [collection, key bytes, weight, packed state], or [collection] where keys of it were left out
 */

const LENGTH_BYTES = 4;
const PADDING = Buffer.alloc(64);

/** One state of one key. */
export interface ToldState {
  readonly collection: number;
  /** As encodeKey gives it. */
  readonly key: Uint8Array;
  readonly weight: number;
  readonly packed: unknown;
}

/** Whether states of the collection can be told: it has an aggregator, and map tasks merge with it. */
export function tellsStates({ aggregator, groupBy }: CollectionPlan): boolean {
  if (aggregator === undefined || groupBy !== undefined) return false;
  const { numeric } = aggregator;
  if (numeric === undefined) return true;
  const empty = aggregator.empty();
  return empty instanceof Float64Array && empty.length === slotCount(numeric.ops);
}

/** Writes states, those first that are given first, until `bytesMax` is full. */
export class StatesWriter {
  readonly #bytesMax: number;
  readonly #encoder = new ValueEncoder();
  readonly #chunks: Buffer[] = [];
  #length = 0;
  readonly #cut = new Set<number>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add({ collection, key, weight, packed }: ToldState): void {
    if (!this.#put([collection, key, weight, packed])) this.#cut.add(collection);
  }

  /** Keys of the collection are left out. */
  cut(collection: number): void {
    this.#cut.add(collection);
  }

  finish(): Uint8Array {
    for (const collection of this.#cut) this.#put([collection], 0);
    return Buffer.concat(this.#chunks);
  }

  #put(entry: readonly unknown[], bytesMax: number = this.#bytesMax): boolean {
    const encoder = this.#encoder;
    encoder.encode(entry);
    const { length } = encoder;
    const size = LENGTH_BYTES + length;
    if (bytesMax > 0 && this.#length + size > bytesMax) return false;
    const chunk = Buffer.allocUnsafe(size);
    chunk.writeUInt32LE(length);
    encoder.bytes.copy(chunk, LENGTH_BYTES, 0, length);
    this.#chunks.push(chunk);
    this.#length += size;
    return true;
  }
}

/**
 * The states in such bytes; `cut` is told of collections of which keys were left out.
 * @throws SheafError MESSAGE_INVALID, or whatever the codec throws, for bytes that are none
 */
export function* readStates(states: Uint8Array, cut: (collection: number) => void): Generator<ToldState> {
  const bytes = Buffer.from(states.buffer, states.byteOffset, states.byteLength);
  const decoder = new ValueDecoder();
  for (let at = 0; at < bytes.length;) {
    const length = bytes.length - at < LENGTH_BYTES ? Number.NaN : bytes.readUInt32LE(at);
    const from = at + LENGTH_BYTES;
    at = from + length;
    if (!(at <= bytes.length)) throw notStates();
    // Whatever the bytes are, reading them ends in the zeros behind them.
    const entry = Buffer.concat([bytes.subarray(from, at), PADDING]);
    const decoded = decoder.decodeAt(entry, 0, length);
    if (decoder.at !== length || !isEntry(decoded)) throw notStates();
    const [collection, key, weight, packed] = decoded;
    if (key === undefined) cut(collection);
    else yield { collection, key, weight: weight!, packed };
  }
}

type Entry = readonly [collection: number, key?: Uint8Array, weight?: number, packed?: unknown];

function isEntry(value: unknown): value is Entry {
  if (!Array.isArray(value) || !Number.isInteger(value[0])) return false;
  return value.length === 1 || (value[1] instanceof Uint8Array && typeof value[2] === "number");
}

function notStates(): SheafError {
  return new SheafError("MESSAGE_INVALID", "what a map task has told of its aggregates is none of that", {
    hint: "User code must not write to channels and descriptors that it has not opened itself.",
  });
}

/** States by key, of which those are kept that lead: the ones of most weight, the earlier of equal ones. */
export class LeadingStates {
  readonly #aggregator: Aggregator<unknown, unknown>;
  readonly #keysMax: number;
  readonly #states = new Map<string, { weight: number; state: unknown }>();
  /** Keys were left out. */
  isCut = false;

  constructor(aggregator: Aggregator<unknown, unknown>, keysMax: number) {
    this.#aggregator = aggregator;
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#states.size;
  }

  /** What is merged comes after what was merged before. */
  merge(key: Uint8Array, weight: number, packed: unknown): void {
    const { buffer, byteOffset, byteLength } = key;
    const name = Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
    const state = this.#aggregator.unpack(packed);
    const known = this.#states.get(name);
    if (known === undefined) this.#states.set(name, { weight, state });
    else {
      known.state = this.#aggregator.merge(known.state, state);
      known.weight += weight;
    }
    if (this.#states.size >= this.#keysMax * 2) this.#cutTo(this.#keysMax);
  }

  /** The ones that lead, in this order, as bytes of their keys and states. */
  *leading(): Generator<{ readonly key: Buffer; readonly weight: number; readonly state: unknown }> {
    this.#cutTo(this.#keysMax);
    for (const [name, { weight, state }] of sorted(this.#states))
      yield { key: Buffer.from(name, "latin1"), weight, state };
  }

  #cutTo(keysMax: number): void {
    if (this.#states.size <= keysMax) return;
    this.isCut = true;
    for (const [name] of sorted(this.#states).slice(keysMax)) this.#states.delete(name);
  }
}

/** Stable: a map keeps the order in which its keys came. */
function sorted<T extends { readonly weight: number }>(states: ReadonlyMap<string, T>): [string, T][] {
  return [...states].sort(([, a], [, b]) => b.weight - a.weight);
}

/** A look at what is told takes at most one part in so many of a task's time. */
const TIME_SHARE = 50;

/**
 * Tells what one map attempt has aggregated: now and then while it runs, and at its end. What it tells is all
 * of it, each time: what was written to disk meanwhile is kept here, as far as it leads.
 */
export class TaskStates {
  readonly #live: LiveSettings;
  readonly #tell: (states: Uint8Array, records: number, made: number) => void;
  readonly #nowMs: () => number;
  readonly #memory: { readonly bytes: Buffer };
  readonly #collections: readonly {
    readonly collection: number;
    readonly aggregator: Aggregator<unknown, unknown>;
    readonly collector: () => HeldStates | undefined;
    /** What was written as runs. */
    written: LeadingStates | null;
  }[];
  #dueMs: number;
  #isOver = false;

  constructor(
    plans: readonly CollectionPlan[],
    collectors: () => readonly (Collector | undefined)[],
    options: {
      readonly live: LiveSettings;
      readonly memory: { readonly bytes: Buffer };
      readonly tell: (states: Uint8Array, records: number, made: number) => void;
      readonly nowMs: () => number;
    },
  ) {
    this.#live = options.live;
    this.#tell = options.tell;
    this.#nowMs = options.nowMs;
    this.#memory = options.memory;
    this.#dueMs = this.#nowMs() + this.#live.everyMs;
    this.#collections = plans.flatMap((plan, collection) =>
      this.#live.keysMax > 0 && tellsStates(plan)
        ? [
            {
              collection,
              aggregator: plan.aggregator!,
              collector: () => collectors()[collection]?.held,
              written: null,
            },
          ]
        : [],
    );
  }

  /** So many records are mapped whole, and so many were made: tells of them when it is time. */
  moved(records: number, made: number): void {
    const startedMs = this.#nowMs();
    if (startedMs < this.#dueMs) return;
    this.#tell(this.#all(), records, made);
    const endedMs = this.#nowMs();
    this.#dueMs = endedMs + Math.max(this.#live.everyMs, (endedMs - startedMs) * TIME_SHARE);
  }

  /** What is held of the collection is about to be written. */
  spilling(collection: number): void {
    if (this.#isOver) return;
    const one = this.#collections.find((each) => each.collection === collection);
    const held = one?.collector();
    if (one === undefined || held === undefined) return;
    one.written ??= new LeadingStates(one.aggregator, this.#live.keysMax);
    this.#leading(one.aggregator, held, one.written);
  }

  /** Tells of the whole task, before its last states are written. */
  finish(records: number, made: number): void {
    this.#tell(this.#all(), records, made);
    this.#isOver = true;
  }

  #all(): Uint8Array {
    const { keysMax, bytesMax } = this.#live;
    const writer = new StatesWriter(bytesMax);
    for (const { collection, aggregator, collector, written } of this.#collections) {
      const all = new LeadingStates(aggregator, keysMax);
      for (const { key, weight, state } of written?.leading() ?? [])
        all.merge(key, weight, aggregator.pack(state));
      all.isCut = written?.isCut === true;
      const held = collector();
      if (held !== undefined) this.#leading(aggregator, held, all);
      for (const { key, weight, state } of all.leading())
        writer.add({ collection, key, weight, packed: aggregator.pack(state) });
      if (all.isCut) writer.cut(collection);
    }
    return writer.finish();
  }

  /** Merges those held states that lead. */
  #leading(aggregator: Aggregator<unknown, unknown>, held: HeldStates, into: LeadingStates): void {
    const { keysMax } = this.#live;
    let found: { weight: number; place: number; keyAt: number; keyLength: number }[] = [];
    let least = -1;
    const cut = (): void => {
      if (found.length <= keysMax) return;
      into.isCut = true;
      found = found.sort((a, b) => b.weight - a.weight).slice(0, keysMax);
      least = found.at(-1)!.weight;
    };
    held.each((place, keyAt, keyLength) => {
      const weight = held.weight(place);
      if (weight <= least) return;
      found.push({ weight, place, keyAt, keyLength });
      if (found.length >= keysMax * 2) cut();
    });
    if (held.keys > keysMax) into.isCut = true;
    cut();
    const { bytes } = this.#memory;
    for (const { weight, place, keyAt, keyLength } of found) {
      const key = bytes.subarray(keyAt, keyAt + keyLength);
      into.merge(key, weight, aggregator.pack(held.state(place)));
    }
  }
}
