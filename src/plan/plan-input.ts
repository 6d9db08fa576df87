import { SheafError } from "../base/errors.ts";
import { hashText } from "../base/random.ts";
import { KiB } from "../base/size.ts";
import { type Input, isSource, type Reader, type Source } from "../job/reader.ts";
import { type HeldRange, type InputFile, listInput } from "../storage/list-input.ts";
import type { Split } from "../task/task-spec.ts";
import { findCompression } from "./find-compression.ts";
import type { PlannedPiece } from "./near-hosts.ts";
import { nearHosts } from "./near-hosts.ts";
import { recordStarts } from "./record-starts.ts";
import { settleGrowing } from "./settle-growing.ts";
import { evenSizes, type SplitSizes, taperedSizes } from "./split-sizes.ts";

export interface PlanInputOptions {
  /**
   * Bytes of input per map task; small files are packed up to it, files larger than it are split. Output
   * never depends on it. Default: 64 MiB, and towards the end of the input less and less, down to 4 MiB.
   */
  readonly splitBytes?: number;
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
}

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
  const wanted = options.mappers === undefined ? undefined : Math.ceil(totalBytes / options.mappers);
  const splitBytes = options.splitBytes ?? (wanted === undefined ? undefined : Math.max(1, wanted));
  checkCount(listed, splitBytes);
  const sizes = splitBytes === undefined ? taperedSizes(totalBytes, options.workers) : evenSizes(splitBytes);
  const count = listed.reduce((sum, one) => sum + one.files.length, 0);
  const piecesMax =
    splitBytes === undefined ? Math.ceil(count / (options.spread ?? 1)) : Number.POSITIVE_INFINITY;
  const packer = new Packer(sizes, options.mappers === undefined ? FILE_COST_BYTES : 0, piecesMax, held);
  let before = 0;
  for (const [index, { input, files }] of listed.entries()) {
    if (listed.length > 1) packer.begin(index);
    for (const file of files) {
      options.step?.();
      if (!isSplittable(input, file) || file.fileBytes <= sizes.limit(before)) packer.add(file);
      else {
        const starts = sizes.starts(file.fileBytes, before);
        for (const piece of await cut(file, input, starts, options.step)) packer.add(piece);
      }
      before += file.fileBytes;
    }
  }
  const splits = packer.finish();
  const unfinished = listed.reduce((sum, one) => sum + one.unfinished, 0);
  const warnings = unfinished === 0 ? [] : [unfinishedText(unfinished)];
  return { splits, inputs: listed, totalBytes, tasks: splits.length, warnings };
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
  for (const file of listed) {
    step?.();
    const looked = growing === true ? { ...file, growing: 0 } : file;
    const whole = wholeFile(file, await findCompression(looked, input));
    const settled =
      growing === true && whole.compression === "none" && file.bytes > 0
        ? await settleGrowing(whole, input.framing, step)
        : null;
    if (settled !== null && settled.fileBytes < file.bytes) unfinished++;
    if ((settled ?? whole).fileBytes > 0) files.push(settled ?? whole);
    if (file.held !== undefined) held.set(file.path, file.held);
  }
  return { input, files, unfinished };
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
  const files = [...paths.filter((path) => typeof path !== "string"), ...listed];
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
  return { splits, inputs: [{ input: source, files: [] }], totalBytes: 0, tasks, warnings: [] };
}

function wholeFile(file: InputFile, compression: PlannedPiece["compression"]): PlannedPiece {
  const { path, name, bytes, mtimeMs } = file;
  const place = hashText(file.place ?? name);
  return { kind: "file", path, name, start: 0, end: bytes, fileBytes: bytes, mtimeMs, place, compression };
}

/** Whether a map task can begin in the middle of the file. */
export function isSplittable(reader: Reader<unknown>, file: PlannedPiece): boolean {
  return file.compression === "none" && reader.encoding === undefined && reader.framing.kind !== "stream";
}

async function cut(
  file: PlannedPiece,
  { framing, recordBytesMax }: Reader<unknown>,
  starts: readonly number[],
  step: (() => void) | undefined,
): Promise<PlannedPiece[]> {
  const records =
    framing.kind === "quoted" ? await recordStarts(file, framing, starts, { recordBytesMax, step }) : null;
  return starts.map((start, i) => ({
    ...file,
    start,
    end: starts[i + 1] ?? file.fileBytes,
    ...(records !== null && { recordStart: records[i]! }),
  }));
}

/** Puts pieces into splits in order: a split is closed when the next piece would make it too large. */
class Packer {
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

  finish(): readonly Split[] {
    if (this.#pieces.length > 0) this.#close();
    return this.#splits;
  }

  #close(): void {
    const hosts = nearHosts(this.#pieces, this.#held);
    this.#splits.push({
      index: this.#splits.length,
      pieces: this.#pieces,
      bytes: this.#bytes,
      ...(this.#input === undefined ? {} : { input: this.#input }),
      ...(hosts.length === 0 ? {} : { hosts }),
    });
    this.#pieces = [];
    this.#before += this.#bytes;
    this.#bytes = 0;
    this.#cost = 0;
  }
}
