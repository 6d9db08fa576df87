import { hashText } from "../base/random.ts";

/**
 * Decides for `--sample` which records are kept: by a hash of the seed, the file's place below the input that
 * was given (SplitPiece.place) and the record's offset. So the choice is the same for every split, worker,
 * attempt, runner and current directory, and however the path is spelled.
 */
export class RecordSampler {
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
