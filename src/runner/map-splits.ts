import { bytesOf, cutSplit } from "../task/cut-split.ts";
import type { Split, SplitPlace } from "../task/split.ts";

/**
 * What map tasks read, by number: those that hand over their rest less than was planned, others that rest.
 */
export class MapSplits {
  readonly #splits: Split[];

  constructor(planned: readonly Split[]) {
    this.#splits = [...planned];
  }

  get all(): readonly Split[] {
    return this.#splits;
  }

  of(task: number): Split {
    return this.#splits[task]!;
  }

  /**
   * The task did what lies before the first place; a task is added for what lies behind each. False: none.
   */
  takeRest(task: number, places: readonly SplitPlace[]): boolean {
    if (places.length === 0) return false;
    const split = this.of(task);
    const [done, ...left] = cutSplit(split, places)!;
    this.#splits[task] = { ...split, pieces: done!, bytes: bytesOf(done!) };
    for (const pieces of left) {
      const index = this.#splits.length;
      const input = split.input === undefined ? {} : { input: split.input };
      this.#splits.push({ index, pieces, bytes: bytesOf(pieces), ...input });
    }
    return true;
  }
}
