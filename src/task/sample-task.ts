import { Pace } from "../base/pace.ts";
import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { type ExecPlan, execOf } from "../job/exec.ts";
import type { Key } from "../job/key.ts";
import { isSource, type Source } from "../job/reader.ts";
import type { BadRecords } from "./bad-records.ts";
import { MapEmitter } from "./emitter.ts";
import type { EmitTarget } from "./emitter.ts";
import { ExecMap, isReadAsText, readerOfAll } from "./exec-map.ts";
import { keyReader, type KeyTarget } from "./exec-pairs.ts";
import type { PairReader } from "./exec-pieces.ts";
import type { MapFunction } from "./map-loop.ts";
import { identityMap, MapLoop } from "./map-loop.ts";
import { openPiece } from "./open-piece.ts";
import type { SplitPiece } from "./split.ts";
import type { TaskSetting } from "./task-setting.ts";
import { PROGRESS_CELLS } from "./task-spec.ts";
import type { SampleTaskSpec, TaskSuccess } from "./task-spec.ts";

/** Keys kept of one collection: more are thinned out evenly. */
const KEYS_MAX = 65_536;
/** Pieces that cannot be read from their middle are given up after so many records. */
const RECORDS_MAX = 200_000;

/** Keeps every n-th key; when there are too many, every second of them, and n doubles. Deterministic. */
class KeySample implements EmitTarget, KeyTarget {
  keys: string[] = [];
  #step = 1;
  #seen = 0;

  emit(key: Key): void {
    if (!this.#isNext()) return;
    const bytes = Buffer.allocUnsafe(keySizeMax(key));
    this.#keep(bytes.subarray(0, encodeKey(bytes, 0, key)));
  }

  encoded(key: Buffer): void {
    if (this.#isNext()) this.#keep(key);
  }

  #isNext(): boolean {
    return this.#seen++ % this.#step === 0;
  }

  #keep(key: Buffer): void {
    this.keys.push(key.toString("base64"));
    if (this.keys.length < KEYS_MAX) return;
    this.keys = this.keys.filter((_, i) => i % 2 === 0);
    this.#step *= 2;
  }

  check(key: Key): void {
    encodeKey(Buffer.allocUnsafe(keySizeMax(key)), 0, key);
  }
}

/**
 * Runs map over short stretches of the input and keeps only keys: what a total order needs to choose its
 * bounds. Records that fail are left to the map tasks, which say so properly.
 */
export async function runSample(
  setting: TaskSetting<SampleTaskSpec>,
): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
  const { job, spec, context, scene } = setting;
  const samples = job.collections.map(() => new KeySample());
  const emitter = new MapEmitter(job.collections, job.named, samples);
  const { stats } = setting;
  const { probe } = setting.settings;
  const startedMs = setting.clock.nowMs();
  const isOver = (): boolean => probe !== undefined && setting.clock.nowMs() - startedMs >= probe.ms;
  const forgiving = { add: () => void stats.badRecords++ } as unknown as BadRecords;
  const exec = execOf(job.map);
  const program = exec && new ExecMap(exec, setting, () => keysReader(exec, setting, samples));
  const map = program?.map ?? (job.map as MapFunction | undefined) ?? identityMap(job);
  const loop = new MapLoop(map, emitter, context, scene, {
    sampler: undefined,
    units: undefined,
    bad: forgiving,
    pause: async () => {
      context.progress();
      await setting.services.turn?.();
      setting.services.signal.throwIfAborted();
      return isOver();
    },
  });
  scene.phase = "setup";
  if (job.setup !== undefined) context.state = await job.setup(context);
  try {
    for (const piece of spec.split.pieces) {
      await program?.enter(piece);
      context.path = piece.kind === "file" ? piece.name : "";
      scene.path = context.path;
      await samplePiece(setting, piece, loop, () => isOver() || program?.takesInput === false);
      if (loop.records > RECORDS_MAX) break;
    }
    await program?.finish();
  } catch (error) {
    program?.kill();
    // A program that fails is left to the map tasks as records are.
    if (program === undefined || setting.services.signal.aborted) throw error;
  }
  stats.recordsIn = loop.records;
  emitter.close();
  context.counters.clear();
  return {
    output: null,
    parts: [],
    keys: samples.map((sample) => sample.keys),
    partitionBytes: [],
    pairs: [],
    hotKeys: [],
    badPath: null,
  };
}

function keysReader(
  plan: ExecPlan,
  { job, settings, memory }: TaskSetting<SampleTaskSpec>,
  samples: readonly KeySample[],
): PairReader {
  return readerOfAll(plan, job, (collection, at) =>
    keyReader(plan, samples[at]!, memory, isReadAsText(collection, settings.collect)),
  );
}

/** Of a source that ends by time, or by a condition, what it makes in so long is enough to know its keys. */
const OPEN_SOURCE_MS = 1_000;

function isOpen({ forMs, until }: Source<unknown>): boolean {
  return forMs !== undefined || until !== undefined;
}

async function samplePiece(
  setting: TaskSetting<SampleTaskSpec>,
  piece: SplitPiece,
  loop: MapLoop,
  isOver: () => boolean,
): Promise<void> {
  const { job, services } = setting;
  const { input } = job;
  const pace = new Pace(OPEN_SOURCE_MS);
  if ((piece.kind === "generate") !== isSource(input)) return;
  const isStopped = isSource(input) && isOpen(input) ? () => pace.isOver(1) : undefined;
  const reader = await openPiece(setting, piece, { keepBad: true, isStopped });
  const before = loop.records;
  try {
    for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
      await loop.run(batch);
      services.progress[PROGRESS_CELLS.beat]! += 1;
      if (loop.records - before > RECORDS_MAX || isOver()) break;
    }
    setting.stats.bytesIn += reader.bytesRead;
  } finally {
    await reader.close();
  }
}
