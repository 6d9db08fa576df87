import type { FileWindow } from "../shuffle/run-index.ts";

/** A slice that is on this disk. */
export interface HeldSlice {
  readonly attempt: number;
  /** Number of the pack. */
  readonly pack: number;
  readonly window: FileWindow;
  /** It holds no records. */
  readonly empty: boolean;
}

/** Which slices of one reduce are on this disk, and where: 25 bytes for each map task. */
export class SliceInventory {
  #attempts = new Int32Array(0);
  #packs = new Int32Array(0);
  #offsets = new Float64Array(0);
  #bytes = new Float64Array(0);
  #empty = new Uint8Array(0);

  get(task: number): HeldSlice | null {
    const attempt = this.#attempts[task] ?? 0;
    if (attempt === 0) return null;
    const window = { offset: this.#offsets[task]!, bytes: this.#bytes[task]! };
    return { attempt, pack: this.#packs[task]!, window, empty: this.#empty[task] === 1 };
  }

  /** In place of an earlier one of the task. */
  set(task: number, { attempt, pack, window, empty }: HeldSlice): void {
    if (task >= this.#attempts.length) this.#grow(Math.max(task + 1, this.#attempts.length * 2));
    this.#attempts[task] = attempt;
    this.#packs[task] = pack;
    this.#offsets[task] = window.offset;
    this.#bytes[task] = window.bytes;
    this.#empty[task] = empty ? 1 : 0;
  }

  /** Forgets all slices of a pack; gives their tasks. */
  dropPack(pack: number): number[] {
    const tasks: number[] = [];
    for (const [task, attempt] of this.#attempts.entries()) {
      if (attempt === 0 || this.#packs[task] !== pack) continue;
      this.#attempts[task] = 0;
      tasks.push(task);
    }
    return tasks;
  }

  #grow(tasks: number): void {
    const larger = <A extends Int32Array | Float64Array | Uint8Array>(grown: A, old: A): A => {
      grown.set(old);
      return grown;
    };
    this.#attempts = larger(new Int32Array(tasks), this.#attempts);
    this.#packs = larger(new Int32Array(tasks), this.#packs);
    this.#offsets = larger(new Float64Array(tasks), this.#offsets);
    this.#bytes = larger(new Float64Array(tasks), this.#bytes);
    this.#empty = larger(new Uint8Array(tasks), this.#empty);
  }
}
