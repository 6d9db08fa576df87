import { isUtf8 } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import type { FilePiece } from "../format/chunk.ts";
import { openChunks } from "../format/chunks.ts";
import type { Job } from "../job/job-plan.ts";
import { filterOf } from "../job/line-filter.ts";
import type { Reader } from "../job/reader.ts";
import { isSource } from "../job/reader.ts";
import type { TaskOutput } from "./result-output.ts";
import type { JobSettings } from "./task-spec.ts";

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/**
 * The text that lines are searched for in their bytes, or undefined when records have to go through
 * JavaScript: one map-only collection, `grep("text")` over plain lines, written as plain text.
 */
export function grepPlan(
  job: Job,
  settings: JobSettings,
  output: TaskOutput | undefined,
): Buffer | undefined {
  const filter = filterOf(job.map);
  if (filter === undefined || filter.invert || typeof filter.pattern !== "string") return undefined;
  const { pattern } = filter;
  if (isSource(job.input) || job.input.native?.kind !== "lines" || job.named || job.collections.length > 1)
    return undefined;
  if (job.setup !== undefined || job.teardown !== undefined || settings.sample < 1 || settings.keepBad)
    return undefined;
  if (output?.native !== "text" || job.collections[0]?.mapOnly !== true) return undefined;
  // Line ends are not part of a line; an empty text is in every line; half a pair is in no UTF-8.
  if (pattern === "" || /[\n\r]/.test(pattern) || !pattern.isWellFormed()) return undefined;
  return Buffer.from(pattern);
}

/**
 * Copies the lines of a piece in which `needle` occurs. The search is the platform's own over a whole chunk;
 * only around a hit are line ends looked for.
 */
export class NativeGrep {
  readonly #needle: Buffer;
  readonly #output: TaskOutput;
  #found = Buffer.allocUnsafe(256 * 1024);
  #length = 0;
  #lines = 0;
  /** Lines found so far. */
  matches = 0;

  constructor(needle: Buffer, output: TaskOutput) {
    this.#needle = needle;
    this.#output = output;
  }

  /** `moved` hears of bytes and lines read, and taken from the disk, chunk by chunk; whether to go on. */
  async run(
    reader: Reader<unknown>,
    piece: FilePiece,
    signal: AbortSignal,
    moved: (bytes: number, lines: number, taken: number) => boolean,
  ): Promise<void> {
    const recordBytesMax = reader.recordBytesMax ?? settings.recordBytes.default;
    const chunks = await openChunks(piece, reader.framing, {
      chunkBytes: limits.readChunkBytes,
      recordBytesMax,
      content: reader.content,
      signal,
    });
    try {
      for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) {
        const { bytes } = chunk;
        if (!isUtf8(bytes)) throw invalidLine(piece, bytes, chunk.offset);
        this.#search(bytes);
        await this.#flush();
        if (!moved(bytes.length, countLines(bytes), chunks.taken)) break;
      }
    } finally {
      await chunks.close();
    }
  }

  #search(bytes: Buffer): void {
    for (let hit = bytes.indexOf(this.#needle); hit >= 0;) {
      const start = hit === 0 ? 0 : bytes.lastIndexOf(NEWLINE, hit - 1) + 1;
      const newline = bytes.indexOf(NEWLINE, hit);
      const end = newline < 0 ? bytes.length : newline;
      // A carriage return belongs to the line end only where a newline follows it.
      const last = newline > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
      this.#take(bytes, start, last);
      hit = newline < 0 ? -1 : bytes.indexOf(this.#needle, newline + 1);
    }
  }

  #take(bytes: Buffer, start: number, end: number): void {
    const needed = this.#length + end - start + 1;
    if (needed > this.#found.length) {
      const grown = Buffer.allocUnsafe(needed * 2);
      this.#found.copy(grown, 0, 0, this.#length);
      this.#found = grown;
    }
    bytes.copy(this.#found, this.#length, start, end);
    this.#length += end - start;
    this.#found[this.#length++] = NEWLINE;
    this.#lines++;
  }

  async #flush(): Promise<void> {
    if (this.#lines === 0) return;
    this.matches += this.#lines;
    await this.#output.writeLines(this.#found.subarray(0, this.#length), this.#lines);
    this.#length = 0;
    this.#lines = 0;
  }
}

function countLines(bytes: Buffer): number {
  let lines = bytes.length > 0 && bytes[bytes.length - 1] !== NEWLINE ? 1 : 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

/** The first line of the chunk that is not UTF-8. */
export function invalidLine(piece: FilePiece, bytes: Buffer, offset: number): SheafError {
  let start = 0;
  for (;;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    if (newline < 0 || !isUtf8(bytes.subarray(start, end))) {
      return new SheafError(
        "RECORD_INVALID",
        `${piece.name}: the line at offset ${offset + start} is not valid UTF-8`,
        {
          hint: 'Read it with text({ invalid: "replace" }), or with text({ invalid: "bytes" }) as raw bytes.',
          details: { path: piece.name, offset: offset + start },
        },
      );
    }
    start = end + 1;
  }
}
