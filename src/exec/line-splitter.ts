import { SheafError } from "../base/errors.ts";
import { formatSize } from "../base/size.ts";

const NEWLINE = 10;

/** Takes a stream of bytes apart into lines. A line that lies within one chunk is not copied. */
export class LineSplitter {
  readonly #bytesMax: number;
  readonly #program: string;
  /** The beginning of a line that came in pieces. */
  #pieces: Buffer[] = [];
  #length = 0;

  /** @param program as messages call what writes the lines */
  constructor(bytesMax: number, program: string) {
    this.#bytesMax = bytesMax;
    this.#program = program;
  }

  /**
   * The chunk's lines that are whole, as stretches of bytes: each [from, to) holds whole lines with their
   * newlines. A line that began before comes first, by itself.
   * @throws SheafError RECORD_TOO_LARGE
   */
  split(chunk: Buffer): Buffer[] {
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < 0) {
      this.#keep(chunk);
      return [];
    }
    const lines: Buffer[] = [];
    let from = 0;
    if (this.#length > 0) {
      from = chunk.indexOf(NEWLINE) + 1;
      this.#keep(chunk.subarray(0, from));
      lines.push(Buffer.concat(this.#pieces, this.#length));
      this.#pieces = [];
      this.#length = 0;
    }
    if (last >= from) lines.push(chunk.subarray(from, last + 1));
    if (last + 1 < chunk.length) this.#keep(chunk.subarray(last + 1));
    return lines;
  }

  /** What is left without a newline, with one; undefined when there is nothing. */
  rest(): Buffer | undefined {
    if (this.#length === 0) return undefined;
    const line = Buffer.concat([...this.#pieces, Buffer.from("\n")]);
    this.#pieces = [];
    this.#length = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.#bytesMax) {
      const may = formatSize(this.#bytesMax);
      throw new SheafError("RECORD_TOO_LARGE", `${this.#program} has written a line of more than ${may}`, {
        hint: "Let it end its lines, or raise recordBytesMax of exec().",
      });
    }
    this.#pieces.push(piece);
  }
}
