import type { NumericOp } from "../job/aggregator.ts";
import * as layout from "../kernel/layout.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import type { MergedWindow } from "../shuffle/merge-stream.ts";
import { slotCount } from "../shuffle/table-collector.ts";
import { readVarint } from "../shuffle/varint.ts";
import type { TaskOutput } from "./result-output.ts";

const TEXT_BYTES = 256 * 1024;

/** Writes one record the general way; it lies in linear memory. */
export type WriteRecord = (
  keyAt: number,
  keyLength: number,
  valueAt: number,
  valueLength: number,
) => Promise<void> | void;

/**
 * Writes merged records to an output: by the format kernels where the writer and the values allow it, else,
 * and for each record that a kernel cannot print, by a function.
 */
export class NativeFormat {
  readonly #output: TaskOutput;
  readonly #memory: TaskMemory;
  readonly #kernel: "tsv" | "text" | undefined;
  readonly #text: number;
  readonly #control: number;
  /** Floats in a row of the ops. */
  readonly slots: number;

  private constructor(
    output: TaskOutput,
    memory: TaskMemory,
    kernel: "tsv" | "text" | undefined,
    slots: number,
  ) {
    this.#output = output;
    this.#memory = memory;
    this.#kernel = kernel;
    this.slots = slots;
    this.#control = memory.take(layout.CTL_BYTES);
    this.#text = kernel === undefined ? 0 : memory.take(TEXT_BYTES);
  }

  /**
   * `ops` are those of the values' rows; empty when the records have no values; undefined when values are
   * anything. A single count or sum prints as an integer; records without values print as their keys.
   */
  static of(output: TaskOutput, memory: TaskMemory, ops: readonly NumericOp[] | undefined): NativeFormat {
    const slots = ops === undefined ? 0 : slotCount(ops);
    const wanted = output.native;
    const integers = ops?.join() === "count" || ops?.join() === "sum,max";
    // A row of one max or min could hold anything; only these two shapes are printed by the kernel.
    const kernel =
      wanted === "tsv" && integers ? "tsv" : wanted === "text" && ops?.length === 0 ? "text" : undefined;
    return new NativeFormat(output, memory, kernel, slots);
  }

  async write(window: MergedWindow, writeRecord: WriteRecord): Promise<void> {
    let at = window.start;
    while (at < window.end) {
      if (this.#kernel !== undefined) {
        const { kernels, u32 } = this.#memory.heap;
        const control = this.#control >>> 2;
        u32[control + (layout.CTL_RECORDS >>> 2)] = 0;
        const end = this.#text + TEXT_BYTES;
        const status =
          this.#kernel === "tsv"
            ? kernels.formatTsv(at, window.end, this.#text, end, this.#control)
            : kernels.formatText(at, window.end, this.#text, end, this.#control);
        at = u32[control + (layout.CTL_POSITION >>> 2)]!;
        const textEnd = u32[control + (layout.CTL_OUT_POSITION >>> 2)]!;
        if (textEnd > this.#text) {
          const lines = this.#memory.bytes.subarray(this.#text, textEnd);
          await this.#output.writeLines(lines, u32[control + (layout.CTL_RECORDS >>> 2)]!);
        }
        if (status === layout.STATUS_DONE) return;
        // With text in the window a full one has made room by now; an empty one cannot hold the record.
        if (status === layout.STATUS_OUT_FULL && textEnd > this.#text) continue;
      }
      at = await this.#one(at, writeRecord);
    }
  }

  async #one(at: number, writeRecord: WriteRecord): Promise<number> {
    if (this.#output.full) await this.#output.roll();
    const { bytes } = this.#memory;
    const [keyLength, afterKey] = readVarint(bytes, at);
    const [valueLength, keyAt] = readVarint(bytes, afterKey);
    const valueAt = keyAt + keyLength;
    const written = writeRecord(keyAt, keyLength, valueAt, valueLength);
    if (written !== undefined) await written;
    return valueAt + valueLength;
  }
}
