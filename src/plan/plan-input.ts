import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { hashText } from "../base/random.ts";
import { KiB } from "../base/size.ts";
import { findCompression } from "../format/find-compression.ts";
import { type Input, isSource, type Reader, type Source } from "../job/reader.ts";
import { type InputFile, listInput } from "../storage/list-input.ts";
import type { HeldRange } from "../storage/store.ts";
import type { Split } from "../task/split.ts";
import type { PlannedPiece } from "./near-hosts.ts";
import { nearHosts } from "./near-hosts.ts";
import { recordStarts } from "./record-starts.ts";
import { settleGrowing } from "./settle-growing.ts";
import { evenSizes, type SplitBounds, type SplitSizes, taperedSizes } from "./split-sizes.ts";

export interface PlanInputOptions {
  /**
   * Bytes of input per map task; small files are packed up to it, files larger than it are split. Output
   * never depends on it. Default: less and less towards the end of the input, within `bounds`.
   */
  readonly splitBytes?: number;
  /** Default: as for tasks that run in workers, 64 to 4 MiB. */
  readonly bounds?: SplitBounds;
  /** Map tasks wanted instead: one more or less where files do not come out even. */
  readonly mappers?: number;
  readonly workers: number;
  /**
   * Small files go to so many tasks, where there are as many, however few bytes they have: what takes long
   * may be the work on each. Ignored with `splitBytes` or `mappers`. Default 1.
   */
  readonly spread?: number;
  /** Records that each task of a source makes: those of another run. Default: as many as it says. */
  readonly made?: readonly number[] | undefined;
  /** Base of relative paths. Default: the current directory. */
  readonly cwd?: string;
  /**
   * Takes over what can be read only once (see isStream), and gives the regular file it now is. Default: such
   * files are refused.
   */
  readonly spool?: (file: InputFile) => Promise<InputFile>;
  /** Whether files may be appended to while the job runs, see settleGrowing. Default false. */
  readonly growing?: boolean;
  /** Called before each file that is looked into; what it throws ends the planning. */
  readonly step?: (() => void) | undefined;
  /** What of the inputs is to be mapped, and what an earlier run has kept. Default: all is to be mapped. */
  readonly arrange?: (inputs: readonly InputFiles[]) => Promise<readonly Arranged[]>;
}

/** The files of an input, in order and without gaps, as stretches that one task or several read. */
export type Arranged = readonly Stretch[];

export type Stretch =
  /** To be mapped: from byte `from` of the file to below `to`. */
  | { readonly kind: "new"; readonly file: PlannedPiece; readonly from: number; readonly to: number }
  /** What one map task of an earlier run has read, as that run has numbered it. */
  | { readonly kind: "kept"; readonly pieces: readonly PlannedPiece[]; readonly unit: number };

/** A reader, or a source, and what it reads. */
export interface InputPaths {
  readonly input: Input<unknown>;
  /** A path may also be a file that was listed before (standard input spooled to a file, named "-"). */
  readonly paths: readonly (string | InputFile)[];
}

/** The files of an input that hold data, each as one whole piece, in order. */
export interface InputFiles {
  readonly input: Input<unknown>;
  readonly files: readonly PlannedPiece[];
}

/** What the map tasks of a job read. */
export interface InputPlan {
  /** One per map task, numbered from 0, contiguous in the order of the files. Empty when there is no data. */
  readonly splits: readonly Split[];
  readonly inputs: readonly InputFiles[];
  /** Bytes of all files as they lie on disk; 0 for generated input. */
  readonly totalBytes: number;
  /** By index of a split, what an earlier run has kept of it: its number there. */
  readonly kept: ReadonlyMap<number, number>;
  /** Number of splits. */
  readonly tasks: number;
  /** What the user should know of it. */
  readonly warnings: readonly string[];
}

/**
 * What opening a file costs, in bytes read meanwhile: keeps a task from getting a million empty-ish files.
 */
const FILE_COST_BYTES = 64 * KiB;
const SPLITS_MAX = 1_000_000;

/**
 * Cuts the inputs of a job into the splits of map tasks: one after the other, the files of each in the order
 * of listInput. No split holds pieces of two inputs. Generated input is the only one of its job.
 * @throws SheafError INPUT_MISSING, INPUT_UNREADABLE, INPUT_CORRUPT (a ".gz" that is not gzip), USAGE
 */
export async function planInput(
  inputs: readonly InputPaths[],
  options: PlanInputOptions,
): Promise<InputPlan> {
  const held = new Map<string, readonly HeldRange[]>();
  const listed: ReadFiles[] = [];
  for (const { input, paths } of inputs) {
    if (isSource(input)) return planSource(input, options.made);
    listed.push(await lookInto(input, await listFiles(paths, options), options, held));
  }
  const totalBytes = listed.flatMap(({ files }) => files).reduce((sum, file) => sum + file.fileBytes, 0);
  const arranged = (await options.arrange?.(listed)) ?? listed.map(({ files }) => files.map(asNew));
  const newBytes = arranged.flat().reduce((sum, one) => sum + newBytesOf(one), 0);
  const wanted = options.mappers === undefined ? undefined : Math.ceil(newBytes / options.mappers);
  const splitBytes = options.splitBytes ?? (wanted === undefined ? undefined : Math.max(1, wanted));
  checkCount(listed, splitBytes);
  const sizes =
    splitBytes === undefined
      ? taperedSizes(newBytes, options.workers, options.bounds)
      : evenSizes(splitBytes);
  const count = listed.reduce((sum, one) => sum + one.files.length, 0);
  const newFiles = arranged.reduce((sum, some) => sum + some.filter(({ kind }) => kind === "new").length, 0);
  const apart =
    options.arrange === undefined
      ? Math.ceil(count / (options.spread ?? 1))
      : Math.ceil(newFiles / limits.keptApartMax);
  const piecesMax = splitBytes === undefined ? apart : Number.POSITIVE_INFINITY;
  const packer = new Packer(sizes, options.mappers === undefined ? FILE_COST_BYTES : 0, piecesMax, held);
  let before = 0;
  for (const [index, { input }] of listed.entries()) {
    if (listed.length > 1) packer.begin(index);
    for (const stretch of arranged[index]!) {
      options.step?.();
      if (stretch.kind === "kept") {
        packer.addKept(stretch.pieces, stretch.unit);
        continue;
      }
      const { file, from, to } = stretch;
      const bytes = to - from;
      const isWhole = from === 0 && to === file.fileBytes;
      // Of a great many files most are small: nothing is awaited for them.
      if (!isSplittable(input, file) || (isWhole && bytes <= sizes.limit(before))) packer.add(file);
      else {
        const starts = bytes <= sizes.limit(before) ? [0] : sizes.starts(bytes, before);
        const pieces = await cut(stretch, input, starts, options.step);
        for (const piece of pieces) packer.add(piece);
      }
      before += bytes;
    }
  }
  const splits = packer.finish();
  const unfinished = listed.reduce((sum, one) => sum + one.unfinished, 0);
  const warnings = unfinished === 0 ? [] : [unfinishedText(unfinished)];
  const { kept } = packer;
  return { splits, inputs: listed, totalBytes, kept, tasks: splits.length, warnings };
}

function asNew(file: PlannedPiece): Stretch {
  return { kind: "new", file, from: 0, to: file.fileBytes };
}

function newBytesOf(stretch: Stretch): number {
  return stretch.kind === "new" ? stretch.to - stretch.from : 0;
}

interface ReadFiles extends InputFiles {
  readonly input: Reader<unknown>;
  /** Files of which bytes are left for a later run. */
  readonly unfinished: number;
}

/** @param held what storages know of the files is put into it */
async function lookInto(
  input: Reader<unknown>,
  listed: readonly InputFile[],
  { growing, step }: PlanInputOptions,
  held: Map<string, readonly HeldRange[]>,
): Promise<ReadFiles> {
  const files: PlannedPiece[] = [];
  let unfinished = 0;
  const known = await lookIntoStored(input, listed, step);
  for (const file of listed) {
    step?.();
    // A file in a store is read as the version that it is now.
    const mayGrow = growing === true && file.version === undefined;
    const looked = mayGrow ? { ...file, growing: 0 } : file;
    const whole = wholeFile(file, known.get(file) ?? (await findCompression(looked, input)));
    const settled =
      mayGrow && whole.compression === "none" && file.bytes > 0
        ? await settleGrowing(whole, input.framing, step)
        : null;
    if (settled !== null && settled.fileBytes < file.bytes) unfinished++;
    if ((settled ?? whole).fileBytes > 0) files.push(settled ?? whole);
    if (file.held !== undefined) held.set(file.path, file.held);
  }
  return { input, files, unfinished };
}

/** Files of stores that are looked into at once: each answer takes its time to come. */
const LOOKS_AT_ONCE = 32;

async function lookIntoStored(
  input: Reader<unknown>,
  listed: readonly InputFile[],
  step: (() => void) | undefined,
): Promise<Map<InputFile, PlannedPiece["compression"]>> {
  const stored = listed.filter(({ version }) => version !== undefined);
  const known = new Map<InputFile, PlannedPiece["compression"]>();
  for (let at = 0; at < stored.length; at += LOOKS_AT_ONCE) {
    step?.();
    const some = stored.slice(at, at + LOOKS_AT_ONCE);
    const found = await Promise.all(some.map((file) => findCompression(file, input)));
    for (const [i, file] of some.entries()) known.set(file, found[i]!);
  }
  return known;
}

async function listFiles(
  paths: readonly (string | InputFile)[],
  { cwd, step, spool }: PlanInputOptions,
): Promise<InputFile[]> {
  const given = paths.filter((path) => typeof path === "string");
  const listed = await listInput(given, {
    ...(cwd === undefined ? {} : { cwd }),
    step,
    streams: spool !== undefined,
  });
  // Each once, as those that are listed.
  const before = new Set(paths.filter((path) => typeof path !== "string"));
  const files = [...before, ...listed];
  if (spool === undefined) return files;
  const spooled: InputFile[] = [];
  for (const file of files) spooled.push(file.isStream === true ? await spool(file) : file);
  return spooled;
}

function checkCount(listed: readonly ReadFiles[], splitBytes: number | undefined): void {
  if (splitBytes === undefined) return;
  const tasksOf = ({ input, files }: ReadFiles): number =>
    files.reduce(
      (sum, file) => sum + (isSplittable(input, file) ? Math.ceil(file.fileBytes / splitBytes) : 1),
      0,
    );
  if (listed.reduce((sum, one) => sum + tasksOf(one), 0) <= SPLITS_MAX) return;
  throw new SheafError("USAGE", `a split size of ${splitBytes} makes more than ${SPLITS_MAX} tasks`, {
    hint: "Give a larger --split-size.",
  });
}

function unfinishedText(files: number): string {
  const which = files === 1 ? "a file has" : `${files} files have`;
  return `${which} bytes behind the last whole record, which --growing leaves for a later run`;
}

/** @param made records of each task, where they are to be as many as another time */
function planSource(source: Source<unknown>, made: readonly number[] | undefined): InputPlan {
  const { tasks, count } = source;
  if (made !== undefined && made.length !== tasks) {
    throw new SheafError(
      "USAGE",
      `made: ${made.length} numbers were given, and the source has ${tasks} tasks`,
      {
        hint: "Give the `made.tasks` of a result of this job.",
      },
    );
  }
  const share = (index: number): number | undefined => {
    if (made !== undefined || count === undefined) return made?.[index];
    return Math.floor(count / tasks) + (index < count % tasks ? 1 : 0);
  };
  const splits = Array.from({ length: tasks }, (_, index): Split => {
    const records = share(index);
    const piece = { kind: "generate", index, tasks, ...(records !== undefined && { records }) } as const;
    return { index, pieces: [piece], bytes: 0 };
  });
  return {
    splits,
    inputs: [{ input: source, files: [] }],
    totalBytes: 0,
    kept: new Map(),
    tasks,
    warnings: [],
  };
}

function wholeFile(file: InputFile, compression: PlannedPiece["compression"]): PlannedPiece {
  const { path, name, bytes, mtimeMs, version, exact } = file;
  const place = hashText(file.place ?? name);
  const stored = version === undefined ? {} : { version, ...(exact === true && { exact }) };
  const size = { start: 0, end: bytes, fileBytes: bytes };
  return { kind: "file", path, name, ...size, mtimeMs, ...stored, place, compression };
}

/** Whether a map task can begin in the middle of the file. */
export function isSplittable(
  reader: { readonly encoding?: unknown; readonly framing: Reader<unknown>["framing"] },
  file: Pick<PlannedPiece, "compression">,
): boolean {
  return file.compression === "none" && reader.encoding === undefined && reader.framing.kind !== "stream";
}

/** @param shares where the pieces begin, counted from the stretch's begin */
async function cut(
  { file, from, to }: Extract<Stretch, { kind: "new" }>,
  { framing, recordBytesMax }: Reader<unknown>,
  shares: readonly number[],
  step: (() => void) | undefined,
): Promise<PlannedPiece[]> {
  const starts = shares.map((start) => from + start);
  if (starts.length === 1 && from === 0 && to === file.fileBytes) return [file];
  const records =
    framing.kind === "quoted" ? await recordStarts(file, framing, starts, { recordBytesMax, step }) : null;
  return starts.map((start, i) => ({
    ...file,
    start,
    end: starts[i + 1] ?? to,
    ...(records !== null && { recordStart: records[i]! }),
  }));
}

/** Puts pieces into splits in order: a split is closed when the next piece would make it too large. */
class Packer {
  readonly kept = new Map<number, number>();
  readonly #splits: Split[] = [];
  readonly #sizes: SplitSizes;
  readonly #fileCostBytes: number;
  readonly #piecesMax: number;
  readonly #held: ReadonlyMap<string, readonly HeldRange[]>;
  /** Which of several inputs the pieces are of. */
  #input: number | undefined;
  #pieces: PlannedPiece[] = [];
  /** Bytes in the splits that are closed. */
  #before = 0;
  #bytes = 0;
  #cost = 0;

  constructor(
    sizes: SplitSizes,
    fileCostBytes: number,
    piecesMax: number,
    held: ReadonlyMap<string, readonly HeldRange[]>,
  ) {
    this.#sizes = sizes;
    this.#fileCostBytes = fileCostBytes;
    this.#piecesMax = piecesMax;
    this.#held = held;
  }

  /** What is added from now on is of another input. */
  begin(input: number): void {
    if (this.#pieces.length > 0) this.#close();
    this.#input = input;
  }

  add(piece: PlannedPiece): void {
    const bytes = piece.end - piece.start;
    const full =
      this.#cost + bytes > this.#sizes.limit(this.#before) || this.#pieces.length >= this.#piecesMax;
    if (full && this.#pieces.length > 0) this.#close();
    this.#pieces.push(piece);
    this.#bytes += bytes;
    this.#cost += bytes + this.#fileCostBytes;
  }

  /** A split of its own, which an earlier run has kept. */
  addKept(pieces: readonly PlannedPiece[], unit: number): void {
    if (this.#pieces.length > 0) this.#close();
    this.kept.set(this.#splits.length, unit);
    this.#pieces = [...pieces];
    this.#bytes = pieces.reduce((sum, { start, end }) => sum + end - start, 0);
    this.#close(0);
  }

  finish(): readonly Split[] {
    if (this.#pieces.length > 0) this.#close();
    return this.#splits;
  }

  /** @param mapped bytes that count for the sizes of what follows */
  #close(mapped = this.#bytes): void {
    const hosts = nearHosts(this.#pieces, this.#held);
    this.#splits.push({
      index: this.#splits.length,
      pieces: this.#pieces,
      bytes: this.#bytes,
      ...(this.#input === undefined ? {} : { input: this.#input }),
      ...(hosts.length === 0 ? {} : { hosts }),
    });
    this.#pieces = [];
    this.#before += mapped;
    this.#bytes = 0;
    this.#cost = 0;
  }
}
