import { hashText } from "../base/random.ts";
import type { SplitPiece } from "./split.ts";
import type { ChosenFile, JobSettings } from "./task-spec.ts";

/** Which records are mapped; the others are passed over. */
export interface RecordChoice {
  /** What names the source whose records come next. */
  enter(source: string): void;
  keeps(offset: number): boolean;
}

/** Those at the given offsets, by the name of their file (JobSettings.only). */
class RecordsByOffset implements RecordChoice {
  readonly #offsets: ReadonlyMap<string, ReadonlySet<number>>;
  #here: ReadonlySet<number> | undefined;

  constructor(files: readonly ChosenFile[]) {
    this.#offsets = new Map(files.map(({ name, offsets }) => [name, new Set(offsets)]));
  }

  enter(name: string): void {
    this.#here = this.#offsets.get(name);
  }

  keeps(offset: number): boolean {
    return this.#here?.has(offset) === true;
  }
}

/**
 * Decides for `--sample` which records are kept: by a hash of the seed, the file's place below the input that
 * was given (SplitPiece.place) and the record's offset. So the choice is the same for every split, worker,
 * attempt, runner and current directory, and however the path is spelled.
 */
class RecordSampler implements RecordChoice {
  readonly #threshold: number;
  readonly #seed: number;
  #file = 0;

  /** `share` is the fraction kept, 0 to 1. */
  constructor(share: number, seed: number) {
    this.#threshold = Math.floor(share * 0x1_0000_0000);
    this.#seed = seed;
  }

  /** The place of the file, or the number of the generated task, whose records come next. */
  enter(source: string): void {
    this.#file = hashText(`${this.#seed}/${source}`);
  }

  keeps(offset: number): boolean {
    let h =
      this.#file ^
      Math.imul(offset | 0, 0x9e3779b1) ^
      Math.imul(Math.floor(offset / 0x1_0000_0000), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0 < this.#threshold;
  }
}

/** Which records of an input, by its index, are mapped; undefined: all. */
export function choiceOf({ only, sample, seed }: JobSettings, input: number): RecordChoice | undefined {
  if (only !== undefined)
    return only.whole.includes(input)
      ? undefined
      : new RecordsByOffset(only.files.filter((one) => one.input === input));
  return sample < 1 ? new RecordSampler(sample, seed) : undefined;
}

/** What the choice knows the piece by. */
export function sourceOf(piece: SplitPiece, { only }: JobSettings): string {
  if (piece.kind !== "file") return `generated ${piece.index}`;
  return only === undefined ? `place ${piece.place ?? piece.name}` : piece.name;
}
