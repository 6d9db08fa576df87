import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { Pace } from "../base/pace.ts";
import type { BatchReader } from "../format/read-split.ts";
import { SOURCE_BATCH_RECORDS } from "../format/read-split.ts";
import { type ExecPlan, execOf } from "../job/exec.ts";
import { isSource } from "../job/reader.ts";
import type { RecordBatch } from "../job/reader.ts";
import type { Collector } from "../shuffle/collector.ts";
import { HotKeys } from "../shuffle/hot-keys.ts";
import { RunWriter } from "../shuffle/run-writer.ts";
import { BadRecords } from "./bad-records.ts";
import { createCollectors } from "./collectors.ts";
import type { EmitTarget } from "./emitter.ts";
import { MapEmitter } from "./emitter.ts";
import { combineRuns } from "./exec-combine.ts";
import { ExecMap, mapReader } from "./exec-map.ts";
import { KeptRecords } from "./kept-records.ts";
import type { MapFunction } from "./map-loop.ts";
import { identityMap, MapLoop } from "./map-loop.ts";
import { MapOnlyOutput } from "./map-output.ts";
import { grepPlan, NativeGrep } from "./native-grep.ts";
import { nativePlan, NativeMap } from "./native-map.ts";
import { openPiece } from "./open-piece.ts";
import { RecordUnits } from "./record-units.ts";
import { placesAfter, placesInPiece } from "./rest-places.ts";
import { type RecordChoice, choiceOf, sourceOf } from "./sampling.ts";
import { SplitProgress } from "./split-progress.ts";
import type { SplitPiece, SplitPlace } from "./split.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { MapTaskSpec, TaskSuccess } from "./task-spec.ts";
import { TaskStates } from "./told-states.ts";

/** A source that waits for nothing lets what has come for this thread be heard this often. */
const SOURCE_TURN_MS = 50;

/**
 * Runs one map attempt: reads the split, maps its records, leaves one run file. Throws; the scene tells
 * where.
 */
export async function runMap(
  setting: TaskSetting<MapTaskSpec>,
): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
  const { job, settings, spec, memory } = setting;
  const attempt = new MapAttempt(setting);
  try {
    await attempt.begin();
    const plan = attempt.kept === undefined ? nativePlan(job, settings) : undefined;
    if (await attempt.grepNatively()) {
      // Nothing is left to map.
    } else if (plan !== undefined) {
      const native = new NativeMap(plan, memory, attempt.collectors[0]!);
      for (const piece of spec.split.pieces) if (await attempt.mapNatively(native, piece)) break;
    } else {
      for (const piece of spec.split.pieces) if (await attempt.mapPiece(piece)) break;
      await attempt.program?.finish();
    }
    return await attempt.finish();
  } catch (error) {
    attempt.abandon();
    throw error;
  }
}

class MapAttempt {
  readonly collectors: readonly (Collector | undefined)[];
  readonly kept: KeptRecords | undefined;
  /** Where map is one. */
  readonly program: ExecMap | undefined;
  readonly #setting: TaskSetting<MapTaskSpec>;
  readonly #outputs: readonly (MapOnlyOutput | undefined)[];
  readonly #emitter: MapEmitter;
  readonly #bad: BadRecords | undefined;
  readonly #sampler: RecordChoice | undefined;
  readonly #units: RecordUnits | undefined;
  readonly #loop: MapLoop;
  readonly #progress: SplitProgress;
  readonly #path: string;
  readonly #combine: ExecPlan | undefined;
  readonly #hot: HotKeys;
  readonly #states: TaskStates | undefined;
  readonly #turns = new Pace(SOURCE_TURN_MS);
  /** Records that a source has made. */
  #made = 0;
  #writer: RunWriter | undefined;
  #nativeRecords = 0;
  /** Of the batch in hand. */
  #batch: RecordBatch<unknown> | null = null;
  #batchBytes = 0;
  /** Into so many parts the rest is wanted; where it was cut. */
  #wanted = 0;
  #rest: readonly SplitPlace[] = [];

  constructor(setting: TaskSetting<MapTaskSpec>) {
    this.#setting = setting;
    const { job, settings, spec, memory, context, scene } = setting;
    this.#sampler = choiceOf(settings, spec.split.input ?? 0);
    this.#progress = new SplitProgress(setting, this.#sampler === undefined);
    const outputs = spec.outputDirectory ?? spec.directory;
    if (settings.materialize === true)
      this.kept = new KeptRecords(job.collections.length, spec.index, outputs, settings);
    this.#path = join(spec.directory, "map.run");
    this.#combine = execOf(job.collections[0]?.combine);
    const identity = { jobId: settings.jobId, task: spec.index, attempt: spec.attempt };
    const path = this.#combine === undefined ? this.#path : join(spec.directory, "emitted.run");
    const writer = (): RunWriter => (this.#writer ??= new RunWriter(path, identity));
    this.#hot = new HotKeys(
      memory,
      job.collections.map(({ groupBy }) => groupBy),
    );
    const { live } = settings;
    const { told: tell } = setting.services;
    this.#states =
      live === undefined || tell === undefined
        ? undefined
        : new TaskStates(job.collections, () => this.collectors, {
            live,
            memory,
            tell,
            nowMs: () => setting.clock.nowMs(),
          });
    const spilling = (one: number): void => this.#states?.spilling(one);
    // What is combined later is looked at then.
    const hot = this.#combine === undefined ? this.#hot : new HotKeys(memory, [undefined]);
    this.collectors = createCollectors(job.collections, settings, memory, writer, hot, spilling);
    this.#outputs = job.collections.map((plan, i) =>
      plan.mapOnly ? new MapOnlyOutput(plan, i, spec.index, outputs, settings) : undefined,
    );
    this.#units = settings.estimate === true ? new RecordUnits() : undefined;
    const places = this.collectors.map((one, i) => one ?? this.#outputs[i]!);
    const targets = job.collections.map((plan, i): EmitTarget => {
      return this.#units?.target(plan, places[i]!) ?? places[i]!;
    });
    this.#emitter = new MapEmitter(job.collections, job.named, targets);
    this.#bad = settings.keepBad ? new BadRecords(outputs, job.inputName) : undefined;
    const pause = (done: number): Promise<boolean> => this.#pause(done);
    const options = { sampler: this.#sampler, units: this.#units, bad: this.#bad, pause };
    const exec = execOf(job.map);
    if (exec !== undefined) this.program = new ExecMap(exec, setting, () => mapReader(exec, setting, places));
    const map = this.program?.map ?? (job.map as MapFunction | undefined) ?? identityMap(job);
    this.#loop = new MapLoop(this.kept?.before(map) ?? map, this.#emitter, context, scene, options);
  }

  async begin(): Promise<void> {
    const { job, context, scene } = this.#setting;
    for (const output of this.#outputs) await output?.output.open();
    await this.kept?.open();
    scene.phase = "setup";
    if (job.setup !== undefined) context.state = await job.setup(context);
  }

  /** Returns whether what is left of the split is handed over. */
  async mapPiece(piece: SplitPiece): Promise<boolean> {
    const { context, scene, services } = this.#setting;
    await this.program?.enter(piece);
    if (this.program?.readsBytes === true && this.kept === undefined)
      return this.mapNatively(this.program, piece);
    const reader = await this.#open(piece);
    this.#progress.reader = reader;
    const name = piece.kind === "file" ? piece.name : "";
    context.path = name;
    scene.path = piece.kind === "file" ? name : null;
    this.#sampler?.enter(sourceOf(piece, this.#setting.settings));
    try {
      let bytesBefore = 0;
      for (;;) {
        scene.phase = "read";
        const batch = await reader.next();
        if (batch === null) break;
        this.#batch = batch;
        this.#batchBytes = reader.bytesRead - bytesBefore;
        const done = await this.#loop.run(batch);
        scene.record = undefined;
        scene.offset = null;
        if (piece.kind === "generate") {
          this.#made += done;
          if (done < batch.records.length) break;
          if (this.#turns.isOver(1)) await this.#takeTurn();
        }
        if (this.program?.takesInput === false) break;
        if (this.#rest.length > 0) {
          this.#moved(this.#bytesOf(done));
          return true;
        }
        this.#moved(done < batch.records.length ? this.#bytesOf(done) : this.#batchBytes);
        if (this.#progress.leavesOff()) return true;
        bytesBefore = reader.bytesRead;
        await this.#roll(piece);
        services.signal.throwIfAborted();
      }
      const { split } = this.#setting.spec;
      if (this.#wanted > 0) this.#rest = placesAfter(split, this.#progress.piece, this.#wanted);
      this.#progress.leave(piece, this.#records);
      return this.#rest.length > 0;
    } finally {
      await reader.close();
    }
  }

  /**
   * Between two records, when time has passed since the last one: tells how far it is, and lets what has
   * come for this thread meanwhile be heard.
   */
  async #pause(done: number): Promise<boolean> {
    const { services, spec, job } = this.#setting;
    this.#progress.tell(this.#bytesOf(done), this.#records, this.#writer?.length ?? 0);
    this.#states?.moved(this.#records, this.#made + done);
    const wanted = await this.#takeTurn();
    if (this.#progress.leavesOff()) return true;
    if (isSource(job.input)) return services.isStopped?.() === true;
    if (wanted === 0 || !this.#mayHandOver()) return false;
    this.#wanted = wanted;
    const { offsets, bad } = this.#batch!;
    // Bad ones of the batch are set aside already, also those behind.
    if (bad.length > 0) return false;
    const at = {
      piece: this.#progress.piece,
      offsets: offsets.slice(done),
      next: this.#progress.reader!.position,
    };
    this.#rest = (await placesInPiece(job.input, spec.split, at, wanted)) ?? [];
    return this.#rest.length > 0;
  }

  /** Files end where it is the same in every attempt: not where the time has cut a batch of a source. */
  async #roll({ kind }: SplitPiece): Promise<void> {
    if (kind === "generate" && this.#made % SOURCE_BATCH_RECORDS !== 0) return;
    // What a program has written ends files as it comes: meanwhile it is at that, perhaps.
    if (this.program === undefined) {
      for (const output of this.#outputs) if (output?.output.full) await output.output.roll();
    }
    await this.kept?.roll();
  }

  /** Lets what has come for this thread be heard; resolves to how many would take over the rest. */
  async #takeTurn(): Promise<number> {
    const { services } = this.#setting;
    const wanted = (await services.turn?.()) ?? 0;
    services.signal.throwIfAborted();
    this.#turns.begin(0);
    return wanted;
  }

  /** Records that are mapped. */
  get #records(): number {
    return this.#loop.records + this.#nativeRecords;
  }

  /** What depends on where the split ends stays whole; so do map-only parts, one of which is one task's. */
  #mayHandOver(): boolean {
    if (this.kept !== undefined || this.program !== undefined) return false;
    return !this.#setting.context.hasDrawn && this.#outputs.every((one) => one === undefined);
  }

  /** Bytes of the batch in hand before its record of that index. */
  #bytesOf(done: number): number {
    const { offsets } = this.#batch!;
    const first = offsets[0] ?? 0;
    return Math.min(this.#batchBytes, Math.max(0, (offsets[done] ?? first) - first));
  }

  /** As mapPiece: true where the rest is left. */
  async mapNatively(native: NativeMap | ExecMap, piece: SplitPiece): Promise<boolean> {
    const { job, scene, services } = this.#setting;
    if (piece.kind !== "file" || isSource(job.input))
      throw new SheafError("INTERNAL", "native scan of a source");
    scene.path = piece.name;
    scene.phase = "read";
    const moved = (bytes: number, records: number, taken: number): boolean => {
      this.#nativeRecords += records;
      this.#moved(bytes);
      return !this.#progress.leavesOffIn(piece, taken);
    };
    await native.run(job.input, piece, services.signal, moved);
    this.#progress.leave(piece, this.#records);
    return this.#progress.leftAt !== null;
  }

  /** Searches all pieces in their bytes, where the job is such a search; false when it is not. */
  async grepNatively(): Promise<boolean> {
    const { job, settings, spec, scene, services } = this.#setting;
    const target = this.#outputs[0];
    const needle = grepPlan(job, settings, target?.output);
    if (needle === undefined || target === undefined || isSource(job.input) || this.kept !== undefined)
      return false;
    const grep = new NativeGrep(needle, target.output);
    for (const piece of spec.split.pieces) {
      if (piece.kind !== "file") throw new SheafError("INTERNAL", "native search of a source");
      scene.path = piece.name;
      scene.phase = "read";
      await grep.run(job.input, piece, services.signal, (bytes, lines, taken) => {
        this.#nativeRecords += lines;
        this.#moved(bytes);
        return !this.#progress.leavesOffIn(piece, taken);
      });
      this.#progress.leave(piece, this.#records);
      if (this.#progress.leftAt !== null) break;
    }
    target.emitted += grep.matches;
    return true;
  }

  #open(piece: SplitPiece): Promise<BatchReader<unknown>> {
    const { settings, services, context } = this.#setting;
    const { isStopped } = services;
    const askedPath = (): void => void context.path;
    return openPiece(this.#setting, piece, { keepBad: settings.keepBad, isStopped, askedPath });
  }

  /** A batch is done, or a chunk. */
  #moved(bytes: number): void {
    this.#progress.moved(bytes, this.#records, this.#writer?.length ?? 0);
    this.#states?.moved(this.#records, this.#made);
  }

  async finish(): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
    const { job, spec, settings, context, scene, stats } = this.#setting;
    const { leftAt, emptyFiles } = this.#progress;
    scene.phase = "teardown";
    scene.path = null;
    scene.record = undefined;
    scene.offset = null;
    context.path = "";
    context.offsets = [];
    if (job.teardown !== undefined) await job.teardown(context, this.#emitter.emit);
    this.#emitter.close();
    scene.phase = "spill";
    this.#states?.finish(this.#records, this.#made);
    const pairs = settings.partitions.map(() => 0);
    const partitionBytes = settings.partitions.map((count) => Array.from({ length: count }, () => 0));
    for (const collector of this.collectors) {
      collector?.finish();
      stats.emitted += collector?.emitted ?? 0;
      stats.spills += collector?.runs ?? 0;
    }
    if (this.#writer !== undefined && this.#combine !== undefined) {
      scene.phase = "combine";
      this.#writer = await combineRuns(this.#setting, this.#combine, this.#writer, this.#path, this.#hot);
    }
    const writer = this.#writer;
    if (writer !== undefined) {
      writer.finish();
      stats.shuffleBytes = writer.length;
      for (const segment of writer.segments) {
        partitionBytes[segment.collection]![segment.partition]! += segment.length;
        pairs[segment.collection]! += segment.records;
      }
    }
    scene.phase = "write";
    const parts = [];
    for (const output of this.#outputs) {
      if (output === undefined) continue;
      stats.emitted += output.emitted;
      for (const part of await output.output.finish()) {
        parts.push(part);
        stats.bytesOut += part.kind === "output" ? part.bytes : 0;
      }
      stats.recordsOut += output.output.records;
    }
    parts.push(...((await this.kept?.finish()) ?? []));
    this.#bad?.close();
    stats.recordsIn = this.#records;
    stats.badRecords = this.#bad?.count ?? 0;
    return {
      output: { task: spec.index, attempt: spec.attempt, path: writer === undefined ? null : this.#path },
      parts,
      keys: [],
      partitionBytes,
      pairs,
      hotKeys: this.#hot.told,
      badPath: this.#bad?.path ?? null,
      ...(emptyFiles !== undefined && { emptyFiles }),
      ...(this.#rest.length > 0 && { rest: this.#rest }),
      ...(isSource(job.input) && { made: this.#made }),
      ...(settings.probe !== undefined && {
        taken: { bytes: leftAt ?? spec.split.bytes, isWhole: leftAt === null },
      }),
    };
  }

  abandon(): void {
    this.program?.kill();
    this.#emitter.close();
    this.#writer?.abandon();
    this.#bad?.close();
    for (const output of this.#outputs) output?.output.discard();
    this.kept?.discard();
  }
}
