import { settings } from "../base/limits.ts";
import type { FilePiece } from "../format/chunk.ts";
import { QuotedRows } from "../format/quoted-rows.ts";
import type { NativeScan } from "../job/reader.ts";
import type { Decoder, Reader, RecordBatch } from "../job/reader.ts";
import * as layout from "../kernel/layout.ts";
import type { Collector } from "../shuffle/collector.ts";
import type { TaskMemory } from "../shuffle/memory.ts";

/** A job that kernels can map by themselves, without making a string of any record. */
export type NativePlan =
  | { readonly kind: "words"; readonly lowerCase: boolean }
  | { readonly kind: "lines" }
  | {
      readonly kind: "columns";
      readonly scan: Extract<NativeScan, { kind: "columns" }>;
      readonly key: string;
      readonly value: string | null;
    };

const NEWLINE = 10;

/**
 * What the columns kernel needs of one file, and the rows it leaves to JavaScript: quotes, odd numbers, odd
 * rows.
 */
export class NativeColumns {
  readonly #plan: Extract<NativePlan, { kind: "columns" }>;
  readonly #memory: TaskMemory;
  readonly #collector: Collector;
  readonly #batch: RecordBatch<unknown> = { records: [], offsets: [], bad: [] };
  #decoder: Decoder<unknown> | undefined;
  #rows: QuotedRows | undefined;
  /** The kernel's parameters: a Columns struct. */
  readonly columns: number;
  /** Records in the row taken last: 1, or 0 when it was an empty line. */
  taken = 0;

  constructor(plan: Extract<NativePlan, { kind: "columns" }>, memory: TaskMemory, collector: Collector) {
    this.#plan = plan;
    this.#memory = memory;
    this.#collector = collector;
    this.columns = memory.take(layout.COLUMNS_BYTES);
  }

  /** Learns where the columns are in this file. False when the reader's rows have no names. */
  enter(reader: Reader<unknown>, piece: FilePiece, header: Uint8Array | undefined): boolean {
    const { scan, key, value } = this.#plan;
    this.#decoder = reader.decoder({
      path: piece.name,
      recordBytesMax: reader.recordBytesMax ?? settings.recordBytes.default,
      ...(header !== undefined && { header }),
    });
    if (reader.framing.kind === "quoted") {
      this.#rows = new QuotedRows(reader.framing, reader.recordBytesMax ?? settings.recordBytes.default);
    }
    const names = scan.names(header, piece.name);
    if (names === undefined) return false;
    const { i32 } = this.#memory.heap;
    const at = this.columns >>> 2;
    i32[at + (layout.COLUMNS_DELIMITER >>> 2)] = scan.delimiter;
    i32[at + (layout.COLUMNS_QUOTE >>> 2)] = scan.quote;
    i32[at + (layout.COLUMNS_KEY >>> 2)] = names.indexOf(key);
    i32[at + (layout.COLUMNS_VALUE >>> 2)] = value === null ? -1 : names.indexOf(value);
    i32[at + (layout.COLUMNS_COUNT >>> 2)] = names.length;
    return true;
  }

  /**
   * Decodes and emits the row at `at`, which the reader may find bad; returns where the next one begins.
   * @param end of the bytes in hand; @param offset of the row in its file
   */
  takeRow(at: number, end: number, offset: number): number {
    const { key, value } = this.#plan;
    const { bytes } = this.#memory;
    const found = this.#rows?.end(bytes, at, end, true) ?? bytes.indexOf(NEWLINE, at) + 1;
    const next = found <= 0 || found > end ? end : found;
    const batch = this.#batch;
    batch.records.length = 0;
    batch.offsets.length = 0;
    batch.bad.length = 0;
    this.#decoder!.decode(bytes.subarray(at, next), offset, false, batch);
    const bad = batch.bad[0];
    if (bad !== undefined) throw bad.error;
    this.taken = batch.records.length;
    for (const record of batch.records as Readonly<Record<string, unknown>>[]) {
      this.#collector.emit(record[key] as string, value === null ? undefined : record[value]);
    }
    return next;
  }
}
