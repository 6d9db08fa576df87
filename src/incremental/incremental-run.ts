import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { MiB } from "../base/size.ts";
import { isSource } from "../job/reader.ts";
import type { Reader } from "../job/reader.ts";
import type { PlannedPiece } from "../plan/near-hosts.ts";
import { type Arranged, type InputFiles, isSplittable, type Stretch } from "../plan/plan-input.ts";
import { contentDigests, DIGEST_KEY_BYTES } from "../storage/content-digest.ts";
import { digestsByThreads } from "../storage/digest-threads.ts";
import { settle, stampOf, stampOfStored } from "../storage/file-identity.ts";
import { openRange } from "../storage/read-range.ts";
import { isStored } from "../storage/stores.ts";
import type { Split } from "../task/split.ts";
import type { KeptMap } from "../task/task-spec.ts";
import { arrange, type FileNow } from "./arrange.ts";
import { whatChanged } from "./job-print.ts";
import { checkMark, fetchUnits, type JobPrint, keptMapIn, readState, type State } from "./kept-state.ts";
import type { IncrementalReport, NotedFile, RunNotes, StateFiles } from "./run-notes.ts";
import { placeOfInput, reportOf, stateOf } from "./run-notes.ts";

export interface IncrementalOptions {
  /** Path, or address; that ends in "/". */
  readonly output: string;
  /** Where what is kept in a storage is copied to for maps of this machine. Default: it is not. */
  readonly copies?: string;
  readonly job: JobPrint;
  /** How many the job has. */
  readonly collections: number;
  readonly keepBad: boolean;
  /**
   * Maps that have set records aside run again, and only those: what others have made is taken over, whatever
   * the job's code was. Default: only what the same code has made is.
   */
  readonly mends?: boolean;
  /** As in IdentityOptions. */
  readonly wallMs: () => number;
  readonly pause: (ms: number) => Promise<void>;
  /** Called now and then; what it throws ends the work. */
  readonly step?: () => void;
  /** Somebody waits for the notes as soon as the run is planned. Left out: not before it has mapped. */
  readonly isAwaited?: boolean;
}

/** Files that are looked at until others get their turn. */
const FILES_A_TURN = 1_000;
/** Files looked into at once on this thread, */
const FILES_AT_ONCE = 4;
/** and how many threads do it where there are so many bytes. */
const DIGEST_THREADS_MAX = 8;
const THREADS_WORTH_BYTES = 128 * MiB;

/** A file of an input, and what it is known by. */
interface Known {
  readonly input: number;
  readonly piece: PlannedPiece;
  readonly reader: Reader<unknown>;
  /** Its inode before anything of it was read; null: by that nobody can tell whether it changes. */
  readonly inode: string | null;
  /** null: it could not be read. */
  digest: string | null;
  grownFrom: FileNow["grownFrom"];
}

/**
 * What an incremental run knows of the run before it and keeps for the next. A run is planned with `arrange`,
 * asks `keptOf` for each of its map tasks, and commits `files`: here, or, by its notes, somewhere else.
 */
export class IncrementalRun {
  readonly #options: IncrementalOptions;
  /** What can be used; null: nothing, `full` says why. */
  readonly #state: State | null;
  readonly #key: Buffer;
  readonly #mark: string;
  #full: string | null;
  #known: readonly Known[] = [];
  #digested: Promise<void> = Promise.resolve();
  /** By file: why what begins at these bytes is mapped. */
  #whys: ReadonlyMap<string, readonly { readonly from: number; readonly why: string }[]> = new Map();
  #stateBytes = 0;

  private constructor(options: IncrementalOptions, mark: string, state: State | null, full: string | null) {
    this.#options = options;
    this.#mark = mark;
    this.#state = state;
    this.#full = full;
    this.#key = state === null ? randomBytes(DIGEST_KEY_BYTES) : Buffer.from(state.key, "hex");
  }

  /** Looks at what the run before has kept. Never throws: what cannot be used is not. */
  static async open(options: IncrementalOptions): Promise<IncrementalRun> {
    const found = await readState(options.output);
    const { mark } = found;
    if (found.kind === "none") return new IncrementalRun(options, mark, null, found.why);
    const full =
      whatChanged(found.state.job, options.job, options.mends === true) ??
      // A job's code says how many there are.
      (found.state.partitions.length === options.collections
        ? null
        : "what is kept of an earlier run is no state");
    return new IncrementalRun(options, mark, full === null ? found.state : null, full);
  }

  /** Why every map runs; null when what was kept can be used. */
  get full(): string | null {
    return this.#full;
  }

  /** For planInput: see PlanInputOptions.arrange. @throws SheafError as contentDigests */
  async arrange(inputs: readonly InputFiles[]): Promise<readonly Arranged[]> {
    this.#known = await this.#look(inputs);
    this.#digested = this.#digestAll();
    const state = this.#state;
    if (state === null) {
      // Nothing depends on them before the commit: the main thread has time while workers map.
      this.#digested.catch(() => undefined);
      return inputs.map(({ files }) =>
        files.map((file): Stretch => ({ kind: "new", file, from: 0, to: file.fileBytes })),
      );
    }
    await this.#digested;
    const whys = new Map<string, { from: number; why: string }[]>();
    const arranged = inputs.map(({ files }, input) => {
      const now = this.#known
        .filter((one) => one.input === input)
        .map(({ piece, digest, grownFrom }): FileNow => {
          return { name: piece.name, bytes: piece.fileBytes, digest: digest!, grownFrom };
        });
      const { mends = false } = this.#options;
      const keepBad = this.#options.keepBad && !mends;
      return arrange(state, now, { input, keepBad }).map((one): Stretch => {
        if (one.kind === "new") {
          const file = files[one.file]!;
          const place = placeOfInput(input, file.path);
          whys.set(place, [...(whys.get(place) ?? []), { from: one.from, why: one.why }]);
          return { kind: "new", file, from: one.from, to: one.to };
        }
        const recordStarts = state.units[one.unit]!.pieces.map(({ recordStart }) => recordStart);
        const pieces = one.pieces.map(({ file, start, end }, i): PlannedPiece => {
          const recordStart = recordStarts[i];
          return { ...files[file]!, start, end, ...(recordStart !== undefined && { recordStart }) };
        });
        return { kind: "kept", pieces, unit: one.unit };
      });
    });
    this.#whys = whys;
    const { output, copies, step } = this.#options;
    if (isStored(output) && copies !== undefined) {
      const units = arranged.flat().flatMap((one) => (one.kind === "kept" ? [one.unit] : []));
      await fetchUnits(output, state, units, copies, step);
    }
    return arranged;
  }

  /**
   * Partitions of each collection, null where they follow from the input: those asked for, but as many as
   * there were where records are merged into what there is.
   */
  partitionsOf(asked: readonly (number | null)[]): readonly (number | null)[] {
    return this.#options.mends === true ? (this.#state?.partitions ?? asked) : asked;
  }

  /** What can be taken over; null: nothing. */
  get state(): State | null {
    return this.#state;
  }

  /** What a map task can take over. */
  keptOf(unit: number | undefined): KeptMap | undefined {
    if (unit === undefined || this.#state === null) return undefined;
    const { output, copies = output } = this.#options;
    return keptMapIn(copies, this.#state, unit);
  }

  /** Why a map task runs. */
  whyRuns({ pieces, input = 0 }: Split): string {
    if (this.#full !== null) return this.#full;
    const [first] = pieces;
    if (first?.kind !== "file") return "it is new";
    const whys = this.#whys.get(placeOfInput(input, first.path)) ?? [];
    return whys.findLast(({ from }) => from <= first.start)?.why ?? "no result of it was kept";
  }

  /** What the end of the run needs to know. */
  async notes(): Promise<RunNotes> {
    await this.#digested.catch(() => undefined);
    const files = this.#known.map(({ input, piece, inode, digest }): NotedFile => {
      const { path, name, fileBytes: bytes, growing, version } = piece;
      const bound = growing !== undefined || version !== undefined;
      return { input, path, name, bytes, bound, inode, digest };
    });
    const { job } = this.#options;
    const key = this.#key.toString("hex");
    return { job, key, full: this.#full, goneFiles: this.#goneFiles, mark: this.#mark, files };
  }

  /** What the output keeps for the next run, as stateOf has it. */
  async files(...[done, settings, placed]: Tail<Parameters<typeof stateOf>>): Promise<StateFiles> {
    const files = await stateOf(await this.notes(), done, settings, placed);
    this.#stateBytes = files.bytes;
    return files;
  }

  /** As checkMark. */
  checkOutput(): Promise<void> {
    return checkMark(this.#options.output, this.#mark);
  }

  report(results: Parameters<typeof reportOf>[1]): IncrementalReport {
    return reportOf({ full: this.#full, goneFiles: this.#goneFiles }, results, this.#stateBytes);
  }

  get #goneFiles(): number {
    const names = new Set(this.#known.map(({ input, piece }) => `${input} ${piece.name}`));
    const digests = new Set(this.#known.map(({ input, digest }) => `${input} ${digest}`));
    const gone = (this.#state?.files ?? []).filter(
      ({ input, name, digest }) => !names.has(`${input} ${name}`) && !digests.has(`${input} ${digest}`),
    );
    return gone.length;
  }

  async #look(inputs: readonly InputFiles[]): Promise<Known[]> {
    const { wallMs, pause } = this.#options;
    const known: Known[] = [];
    for (const [input, { input: reader, files }] of inputs.entries()) {
      if (isSource(reader)) continue;
      for (const piece of files) {
        if (known.length % FILES_A_TURN === FILES_A_TURN - 1) await setImmediate();
        const stamp = piece.version === undefined ? stampOf(piece.path) : stampOfStored(piece, piece.version);
        const isSettled = stamp !== null && (await settle(stamp.settledMs, wallMs, pause));
        const text = isSettled ? stamp.text : null;
        known.push({ input, piece, reader, inode: text, digest: null, grownFrom: null });
      }
    }
    return known;
  }

  /** Has the files' digests found: by threads when somebody waits for them and they are large. */
  async #digestAll(): Promise<void> {
    const before = new Map<string, number>();
    for (const [index, { input, name }] of (this.#state?.files ?? []).entries())
      before.set(`${input} ${name}`, index);
    const wanted = this.#known.map((one) => ({
      one,
      ...this.#wanted(one, before.get(`${one.input} ${one.piece.name}`)),
    }));
    // Threads read what lies on this machine.
    const local = wanted.filter(({ one }) => one.piece.version === undefined);
    const bytes = local.reduce((sum, { one }) => sum + one.piece.fileBytes, 0);
    const isAwaited = this.#state !== null || this.#options.isAwaited === true;
    const byThreads = isAwaited && bytes >= THREADS_WORTH_BYTES;
    if (byThreads) {
      const requests = local.map(({ one, ends }) => ({ file: one.piece, ends }));
      const threads = Math.min(availableParallelism(), DIGEST_THREADS_MAX);
      const found = await digestsByThreads(requests, this.#key, threads);
      for (const [i, { one, old }] of local.entries()) await this.#take(one, found[i]!, old);
    }
    const rest = byThreads ? wanted.filter(({ one }) => one.piece.version !== undefined) : wanted;
    const waiting = rest.values();
    const work = async (): Promise<void> => {
      for (const { one, ends, old } of waiting)
        await this.#take(one, await contentDigests(one.piece, ends, this.#key), old);
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
  }

  /**
   * Up to where digests of the file are wanted.
   * @param same the file of the state that had this name
   */
  #wanted({ piece, reader }: Known, same: number | undefined): { ends: number[]; old: number | undefined } {
    const before = same === undefined ? undefined : this.#state!.files[same];
    const mayHaveGrown =
      before !== undefined &&
      before.bytes < piece.fileBytes &&
      isSplittable(reader, piece) &&
      tellsOpenQuotes(reader);
    return mayHaveGrown
      ? { ends: [before.bytes, piece.fileBytes], old: same }
      : { ends: [piece.fileBytes], old: undefined };
  }

  async #take(one: Known, found: readonly string[], old: number | undefined): Promise<void> {
    one.digest = found.at(-1)!;
    const before = old === undefined ? undefined : this.#state!.files[old];
    if (before === undefined || found[0] !== before.digest) return;
    const joins = one.reader.framing.kind === "quoted";
    one.grownFrom = { file: old!, atEnd: await isEnd(one, before.bytes), joins };
  }
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;

/**
 * Whether rows with a quote that nothing closes are bad. Where they are rows like others, nobody knows which
 * of them a quote in what is appended would make another.
 */
function tellsOpenQuotes({ framing, kind }: Reader<unknown>): boolean {
  return framing.kind !== "quoted" || (kind === "csv" && framing.lenient !== true);
}

/** Whether a record ends at this place of the file, whatever comes behind it. */
async function isEnd({ piece, reader }: Known, at: number): Promise<boolean> {
  const { framing } = reader;
  if (framing.kind !== "delimiter" || framing.delimiter.length !== 1) return false;
  const range = await openRange(piece);
  try {
    const last = Buffer.alloc(1);
    await range.read(last, at - 1);
    return last[0] === framing.delimiter[0];
  } finally {
    await range.close();
  }
}
