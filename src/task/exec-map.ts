import { isUtf8 } from "node:buffer";
import { limits, settings as settingLimits } from "../base/limits.ts";
import type { RunningProgram } from "../exec/program.ts";
import type { FilePiece } from "../format/chunk.ts";
import { openChunks } from "../format/chunks.ts";
import { type ExecPlan, execOf } from "../job/exec.ts";
import type { CollectionPlan, Job } from "../job/job-plan.ts";
import { isSource, type Reader } from "../job/reader.ts";
import type { Collector } from "../shuffle/collector.ts";
import { NamedPairs } from "./exec-named.ts";
import { pairReader } from "./exec-pairs.ts";
import type { PairReader } from "./exec-pieces.ts";
import { TaskPrograms } from "./exec-program.ts";
import { ExecFeed, plainLines } from "./exec-records.ts";
import { MapOnlyOutput } from "./map-output.ts";
import { invalidLine } from "./native-grep.ts";
import { RawLines } from "./raw-lines.ts";
import type { SplitPiece } from "./split.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { MapTaskSpec, SampleTaskSpec } from "./task-spec.ts";

/**
 * Whether JavaScript reads the pairs that a program has written, rather than another program or text().
 * @param collects results are also given out as values
 */
export function isReadAsText(
  { reduce, combine, partition, aggregator, output, mapOnly }: CollectionPlan,
  collects: boolean,
): boolean {
  if (aggregator !== undefined || mapOnly) return true;
  if (combine !== undefined && execOf(combine) === undefined) return true;
  if (partition !== undefined && !("fields" in partition)) return true;
  if (reduce !== undefined) return execOf(reduce)?.inputProtocol !== "lines";
  return collects || (output !== undefined && output.nativeOutput !== "text");
}

/** The program whose lines all pairs of the job are; undefined where others are among them. */
export function lineProgramOf(job: Job, plan: CollectionPlan): ExecPlan | undefined {
  const maps = job.inputs.length > 0 ? job.inputs.map(({ map }) => map) : [job.map];
  const makers = plan.combine === undefined ? maps : [...maps, plan.combine];
  const areTexts = makers.every((maker) => {
    const program = execOf(maker);
    return program?.protocol === "lines" && program.values === "text";
  });
  return areTexts ? execOf(maps[0]) : undefined;
}

/**
 * Takes what a map's program writes to collectors, and to the outputs of collections without a shuffle.
 * @param targets one for each collection of the job
 */
export function mapReader(
  plan: ExecPlan,
  { job, settings, memory }: TaskSetting<MapTaskSpec>,
  targets: readonly (Collector | MapOnlyOutput)[],
): PairReader {
  return readerOfAll(plan, job, (collection, at) => {
    const target = targets[at]!;
    if (plan.protocol !== "lines" || !(target instanceof MapOnlyOutput) || target.output.native !== "text")
      return pairReader(plan, target, memory, isReadAsText(collection, settings.collect));
    const raw = new RawLines(plan, target.output);
    return {
      take: (chunk) => raw.take(chunk),
      async end() {
        await raw.end();
        target.emitted += raw.lines;
      },
    };
  });
}

/** One for each collection, behind one that looks which a pair is for; alone in a job without any. */
export function readerOfAll(
  plan: ExecPlan,
  { collections, named }: Job,
  readerOf: (collection: CollectionPlan, index: number) => PairReader,
): PairReader {
  if (!named) return readerOf(collections[0]!, 0);
  return new NamedPairs(plan, new Map(collections.map((one, at) => [one.name, readerOf(one, at)])));
}

/** A map that is a program: what it is given, and what becomes of what it writes. */
export class ExecMap {
  readonly plan: ExecPlan;
  readonly #setting: TaskSetting<MapTaskSpec | SampleTaskSpec>;
  readonly #programs: TaskPrograms;
  readonly #feed: ExecFeed;
  /** Its records have their offsets for keys. */
  readonly #isKeyed: boolean;
  readonly #newReader: () => PairReader;
  #program: RunningProgram | undefined;
  #reader: PairReader | undefined;
  /** The file that the program in hand was told. */
  #path: string | undefined;

  /** @param newReader makes what takes all that one program writes */
  constructor(
    plan: ExecPlan,
    setting: TaskSetting<MapTaskSpec | SampleTaskSpec>,
    newReader: () => PairReader,
  ) {
    this.plan = plan;
    this.#setting = setting;
    this.#programs = new TaskPrograms(setting);
    this.#feed = new ExecFeed(plan);
    this.#isKeyed = plan.inputProtocol === "rawbytes" || plan.inputProtocol === "typedbytes";
    this.#newReader = newReader;
  }

  /** As MapFunction: a promise only now and then. */
  readonly map = (record: unknown): Promise<void> | undefined => {
    this.#feed.record(record, this.#isKeyed ? this.#setting.context.offset : 0);
    return this.#feed.full ? this.#feed.send(this.#program!) : undefined;
  };

  /** A piece is about to be read: by a program of its own, unless one is for all. */
  async enter(piece: SplitPiece): Promise<void> {
    if (this.#program !== undefined && !this.plan.perFile) return;
    const { spec } = this.#setting;
    const path = piece.kind === "file" ? piece.path : undefined;
    // All that is sampled of a file is for one.
    if (this.#program !== undefined && spec.kind === "sample" && path === this.#path) return;
    await this.finish();
    this.#path = path;
    const { pieces } = spec.split;
    const isKnown = piece.kind === "file" && (this.plan.perFile || pieces.length === 1);
    this.#setting.scene.path = piece.kind === "file" ? piece.name : null;
    this.#setting.scene.offset = piece.kind === "file" ? piece.start : null;
    // What the map makes may depend on the name of the file.
    if (isKnown) void this.#setting.context.path;
    const input =
      isKnown && piece.kind === "file"
        ? {
            file: piece.name === "-" ? "-" : piece.path,
            start: piece.start,
            length: piece.end - piece.start,
          }
        : null;
    const reader = this.#newReader();
    this.#reader = reader;
    this.#program = await this.#programs.start(this.plan, input, (chunk) => reader.take(chunk));
  }

  /** False: the rest of the piece need not be read. */
  get takesInput(): boolean {
    return this.#program?.takesInput === true;
  }

  /**
   * Whether the bytes of the job's input are what the program is to read, so that no record is made of them.
   */
  get readsBytes(): boolean {
    const { job, settings } = this.#setting;
    if (isSource(job.input) || this.plan.inputProtocol !== "lines") return false;
    if (settings.sample < 1 || settings.keepBad || settings.only !== undefined) return false;
    const scan = job.input.native?.kind;
    return scan === "lines" || scan === "byteLines";
  }

  /** Hands a piece to the program, chunk by chunk; `moved` as NativeMap.run has it. */
  async run(
    reader: Reader<unknown>,
    piece: FilePiece,
    signal: AbortSignal,
    moved: (bytes: number, records: number, taken: number) => boolean,
  ): Promise<void> {
    const { scene } = this.#setting;
    const isText = reader.native?.kind === "lines";
    const chunks = await openChunks(piece, reader.framing, {
      chunkBytes: limits.readChunkBytes,
      recordBytesMax: reader.recordBytesMax ?? settingLimits.recordBytes.default,
      content: reader.content,
      signal,
    });
    try {
      scene.phase = "map";
      scene.offset = piece.start;
      for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) {
        const { bytes } = chunk;
        if (isText && !isUtf8(bytes)) throw invalidLine(piece, bytes, chunk.offset);
        scene.offset = chunk.offset;
        const lines = plainLines(bytes);
        await this.#program!.write(lines);
        scene.offset = chunk.offset + bytes.length;
        if (!moved(bytes.length, countLines(lines), chunks.taken) || !this.takesInput) break;
      }
    } finally {
      await chunks.close();
    }
  }

  /** The program that runs has been given all: waits for what it makes of it. */
  async finish(): Promise<void> {
    if (this.#program === undefined) return;
    await this.#feed.send(this.#program);
    await this.#programs.finish();
    await this.#reader?.end();
    this.#program = undefined;
    this.#reader = undefined;
  }

  kill(): void {
    this.#programs.kill();
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++;
  return lines;
}
