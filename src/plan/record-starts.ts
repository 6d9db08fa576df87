import { settings } from "../base/limits.ts";
import { MiB } from "../base/size.ts";
import { QUOTED_LOOK_BYTES, QuotedRows } from "../format/quoted-rows.ts";
import type { Framing } from "../job/reader.ts";
import { openRange, type PlannedFile } from "../storage/read-range.ts";

const READ_BYTES = MiB;
const MARK_BYTES = 3;

export interface RecordStartsOptions {
  /** Default 64 MiB. */
  readonly recordBytesMax?: number | undefined;
  readonly step?: (() => void) | undefined;
  /** The file may go on: starts behind its last whole record get no answer. Default false. */
  readonly open?: boolean;
}

/**
 * For each start (ascending): where the first record begins that begins there or behind; the file's size when
 * none does. Reads the file from its beginning to behind the last start, once.
 */
export async function recordStarts(
  file: PlannedFile,
  framing: Extract<Framing, { kind: "quoted" }>,
  starts: readonly number[],
  options: RecordStartsOptions = {},
): Promise<number[]> {
  const walk = new RecordWalk(framing, starts, options.recordBytesMax ?? settings.recordBytes.default);
  const range = await openRange(file);
  let pending: Promise<void> = Promise.resolve();
  try {
    let ahead: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const load = async (target: Buffer, at: number): Promise<Buffer> => {
      const some = target.subarray(0, Math.max(0, Math.min(READ_BYTES, file.fileBytes - at)));
      if (some.length > 0) await range.read(some, at);
      return some;
    };
    let next = load(ahead, 0);
    for (let at = 0; ;) {
      const bytes = await next;
      options.step?.();
      at += bytes.length;
      const final = at >= file.fileBytes;
      const taken = ahead;
      // The next block is read while this one is walked through.
      ahead = walk.spare(taken);
      next = final ? Promise.resolve(ahead.subarray(0, 0)) : load(ahead, at);
      pending = next.then(
        () => undefined,
        () => undefined,
      );
      if (walk.take(bytes, final && options.open !== true)) return walk.found;
      if (!final) continue;
      // What was taken says where its last record ends, which the next step finds.
      walk.take(Buffer.alloc(0), false);
      return walk.found;
    }
  } finally {
    await pending;
    await range.close();
  }
}

/** Goes from record to record over the blocks of a file. */
class RecordWalk {
  readonly found: number[] = [];
  readonly #rows: QuotedRows;
  readonly #newline: number;
  readonly #starts: readonly number[];
  /** Bytes of a record from which on only a line end ends it. */
  readonly #span: number;
  /** What is not done with: begins with a record, unless `#tooLong`. */
  #bytes: Buffer = Buffer.alloc(0);
  #base = 0;
  /** The record at hand is over the limit: it ends at the next line end. */
  #tooLong = false;
  #other: Buffer | null = null;

  constructor(
    framing: Extract<Framing, { kind: "quoted" }>,
    starts: readonly number[],
    recordBytesMax: number,
  ) {
    this.#rows = new QuotedRows(framing, recordBytesMax);
    this.#newline = framing.newline ?? 10;
    this.#starts = starts;
    this.#span = recordBytesMax + QUOTED_LOOK_BYTES;
  }

  /** A buffer to read the next block into while `taken` is in use. */
  spare(taken: Buffer): Buffer {
    const spare = this.#other ?? Buffer.allocUnsafeSlow(READ_BYTES);
    this.#other = taken;
    return spare;
  }

  /** Takes the next block; true when every start has its answer. */
  take(block: Buffer, final: boolean): boolean {
    this.#bytes = this.#bytes.length === 0 ? block : Buffer.concat([this.#bytes, block]);
    const at = this.#walk(this.#bytes, final);
    if (final)
      while (this.found.length < this.#starts.length) this.found.push(this.#base + this.#bytes.length);
    if (this.found.length === this.#starts.length) return true;
    const rest = this.#bytes.subarray(at);
    this.#base += at;
    this.#tooLong ||= rest.length >= this.#span;
    if (this.#tooLong) {
      this.#base += rest.length;
      this.#bytes = Buffer.alloc(0);
    } else this.#bytes = Buffer.from(rest);
    return false;
  }

  /** Answers the starts that it can; returns where the first record begins that is not whole. */
  #walk(bytes: Buffer, final: boolean): number {
    const { length } = bytes;
    let at = 0;
    if (this.#tooLong) {
      at = bytes.indexOf(this.#newline) + 1;
      if (at === 0) return length;
      this.#tooLong = false;
    }
    for (;;) {
      while (this.found.length < this.#starts.length && this.#starts[this.found.length]! <= this.#base + at) {
        this.found.push(this.#base + at);
      }
      if (this.found.length === this.#starts.length) return at;
      const wanted = this.#starts[this.found.length]! - this.#base;
      const marked = this.#base + at === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
      const from = marked ? MARK_BYTES : at;
      // To the last record before the one wanted, and over that.
      const before = this.#rows.lastEnd(bytes, from, Math.min(length, wanted));
      const end = before > from ? before : this.#rows.end(bytes, from, length, final);
      if (end === -1) return at;
      at = end;
    }
  }
}
