import { SheafError } from "../base/errors.ts";
import { typedLength } from "../format/typed-bytes.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import type { Key } from "../job/key.ts";
import type { TaskOutput } from "./result-output.ts";

/** Where the pairs of a program go. */
export interface PairTarget {
  emit(key: Key, value: unknown): void;
  /** Where they are written to files. These end between two pairs, however the pipe has cut what came. */
  readonly output?: Pick<TaskOutput, "full" | "roll">;
}

/** Makes pairs of what a program writes. */
export interface PairReader {
  /** A promise only where a file ends: nothing is to be taken meanwhile. */
  take(chunk: Buffer): Promise<void> | void;
  /** It has written all. */
  end(): Promise<void> | void;
}

/** Pieces of bytes, key and value in turn: behind lengths of four bytes, or typed bytes. */
export class PieceReader implements PairReader {
  readonly #plan: ExecPlan;
  readonly #target: PairTarget;
  readonly #isTyped: boolean;
  #pieces: Buffer[] = [];
  #length = 0;
  /** So many bytes must be there before it is worth a look. */
  #wanted = 1;
  #key: Uint8Array | undefined;

  constructor(plan: ExecPlan, target: PairTarget) {
    this.#plan = plan;
    this.#target = target;
    this.#isTyped = plan.protocol === "typedbytes";
  }

  take(chunk: Buffer): Promise<void> | void {
    this.#pieces.push(chunk);
    this.#length += chunk.length;
    if (this.#length >= this.#wanted) return this.#take(this.#all(), 0);
  }

  /** What has come and is no whole piece. */
  #all(): Buffer {
    return this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.#length);
  }

  #take(bytes: Buffer, from: number): Promise<void> | void {
    const { output } = this.#target;
    const skip = this.#isTyped ? 0 : 4;
    let at = from;
    this.#wanted = 1;
    while (at < bytes.length) {
      const size = this.#sizeAt(bytes, at);
      if (size > this.#plan.recordBytesMax + skip) throw this.#tooLarge(size - skip);
      if (at + size > bytes.length) {
        // Of lists only the end tells how long they are: not each chunk is worth a look at all of them.
        this.#wanted = Math.max(size, this.#isTyped ? 2 * (bytes.length - at) : size);
        break;
      }
      this.#piece(bytes.subarray(at + skip, at + size));
      at += size;
      if (output?.full === true) return output.roll().then(() => this.#take(bytes, at));
    }
    const rest = bytes.subarray(at);
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
  }

  /** Bytes that the piece at `at` takes, or more than there are. */
  #sizeAt(bytes: Buffer, at: number): number {
    if (!this.#isTyped) return at + 4 > bytes.length ? 4 : 4 + bytes.readUInt32BE(at);
    try {
      return typedLength(bytes, at);
    } catch (error) {
      if (!(error instanceof SheafError)) throw error;
      const message = `${commandText(this.#plan)} has written what it should not: ${error.message}`;
      throw new SheafError(error.code, message, { hint: error.hint ?? "", cause: error });
    }
  }

  async end(): Promise<void> {
    if (this.#length > 0) await this.#take(this.#all(), 0);
    if (this.#length === 0 && this.#key === undefined) return;
    const what = this.#length > 0 ? "in the middle of a piece" : "with a key that has no value";
    throw new SheafError("VALUE_INVALID", `${commandText(this.#plan)}: its output ends ${what}`, {
      hint: this.#isTyped
        ? "Each pair is two sequences of typed bytes."
        : 'With protocol: "bytes" each pair is two pieces: a length of 4 bytes, the highest first, and the bytes.',
    });
  }

  #piece(bytes: Buffer): void {
    const copy = new Uint8Array(bytes);
    if (this.#key === undefined) {
      this.#key = copy;
      return;
    }
    this.#target.emit(this.#key, copy);
    this.#key = undefined;
  }

  #tooLarge(size: number): SheafError {
    const message = `${commandText(this.#plan)} has announced a piece of ${size} bytes, which is too long`;
    return new SheafError("RECORD_TOO_LARGE", message, {
      hint: "Lengths are 4 bytes, the highest first. For longer pieces raise recordBytesMax of exec().",
    });
  }
}
