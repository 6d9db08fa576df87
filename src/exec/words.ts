import { SheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";

const NEWLINE = 10;
const LINE_START = Buffer.from("sheaf ");
/** A length that no piece has: behind it stand the length and the JSON of a word. */
const NO_LENGTH = 0xffff_ffff;
const WORD_BYTES_MAX = 4 * KiB;
const NOTHING = Buffer.alloc(0);

/** What has come: data, and then perhaps a word. */
export interface DataPiece {
  readonly data: Buffer;
  /** Its JSON. */
  readonly word: string | undefined;
}

/** How words of a program that does several tasks stand among its data (docs/streaming.md). */
export interface WordForm {
  join(word: object): Buffer;
  /** Takes words out of what a program writes, who says nothing more before it is told something. */
  splitter(): (chunk: Buffer) => DataPiece;
}

/** Among lines of JSON: a line that is none. */
const inLines: WordForm = {
  join: (word) => Buffer.concat([LINE_START, Buffer.from(`${JSON.stringify(word)}\n`)]),
  splitter() {
    let held: Buffer = NOTHING;
    let isLineStart = true;
    return (chunk) => {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      held = NOTHING;
      const isEnded = bytes.at(-1) === NEWLINE;
      const from = bytes.subarray(0, isEnded ? -1 : undefined).lastIndexOf(NEWLINE) + 1;
      const last = bytes.subarray(from);
      const begins = from > 0 || isLineStart;
      isLineStart = true;
      if (begins && last.length <= WORD_BYTES_MAX && mayBeWord(last)) {
        const data = bytes.subarray(0, from);
        if (isEnded) return { data, word: last.toString("utf8", LINE_START.length) };
        held = last;
        return { data, word: undefined };
      }
      isLineStart = isEnded;
      return { data: bytes, word: undefined };
    };
  },
};

function mayBeWord(line: Buffer): boolean {
  const length = Math.min(line.length, LINE_START.length);
  return line.subarray(0, length).equals(LINE_START.subarray(0, length));
}

/** Among pieces behind their lengths. */
const inPieces: WordForm = {
  join(word) {
    const text = Buffer.from(JSON.stringify(word));
    const head = Buffer.alloc(8);
    head.writeUInt32BE(NO_LENGTH, 0);
    head.writeUInt32BE(text.length, 4);
    return Buffer.concat([head, text]);
  },
  splitter() {
    let held: Buffer = NOTHING;
    /** Of the piece in hand, still to come. */
    let left = 0;
    return (chunk) => {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      held = NOTHING;
      let at = 0;
      for (;;) {
        const step = Math.min(left, bytes.length - at);
        at += step;
        left -= step;
        if (bytes.length - at < 4) break;
        const size = bytes.readUInt32BE(at);
        if (size !== NO_LENGTH) {
          left = size;
          at += 4;
          continue;
        }
        if (bytes.length - at < 8) break;
        const end = at + 8 + bytes.readUInt32BE(at + 4);
        if (end - at > WORD_BYTES_MAX || bytes.length > end) throw wordInvalid();
        if (bytes.length === end)
          return { data: bytes.subarray(0, at), word: bytes.toString("utf8", at + 8) };
        break;
      }
      held = bytes.subarray(at);
      return { data: bytes.subarray(0, at), word: undefined };
    };
  },
};

function wordInvalid(): SheafError {
  return new SheafError("PROGRAM_FAILED", "a program said something while it was to wait for its next task", {
    hint: "docs/streaming.md has what programs with reuse say, and when.",
  });
}

export function wordForm(protocol: "json" | "bytes"): WordForm {
  return protocol === "json" ? inLines : inPieces;
}
