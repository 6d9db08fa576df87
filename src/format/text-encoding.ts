import { SheafError } from "../base/errors.ts";
import { TextDecoder } from "../base/own-globals.ts";
import { quotePath } from "../storage/fs-error.ts";
import type { ByteFeed } from "./chunk.ts";

/** What a file's text is encoded in. Anything but UTF-8 is read by one task a file, and given on as UTF-8. */
export type TextEncoding = "utf-8" | "utf-16le" | "utf-16be" | "latin1" | "windows-1252";

export const TEXT_ENCODINGS: readonly TextEncoding[] = [
  "utf-8",
  "utf-16le",
  "utf-16be",
  "latin1",
  "windows-1252",
];

const READ_BYTES = 64 * 1024;
/**
 * 0x80 to 0x9f of Windows-1252; what it leaves free stays a control character. Not left to TextDecoder, which
 * makes other characters of these bytes in other versions of Node.
 */
const WINDOWS_1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

/** A feed of the same text in UTF-8; offsets are then those in UTF-8. */
export class EncodedFeed implements ByteFeed {
  readonly #feed: ByteFeed;
  readonly #name: string;
  readonly #encoding: TextEncoding;
  readonly #decode: (bytes: Buffer, last: boolean) => string;
  readonly #raw = Buffer.allocUnsafeSlow(READ_BYTES);
  #text: Buffer = Buffer.alloc(0);
  #rawBytes = 0;
  #ended = false;

  /** @param strict what is no text in that encoding is an error, else it becomes U+FFFD */
  constructor(feed: ByteFeed, name: string, encoding: TextEncoding, strict: boolean) {
    this.#feed = feed;
    this.#name = name;
    this.#encoding = encoding;
    this.#decode = decoderOf(encoding, strict);
  }

  get taken(): number {
    return this.#feed.taken;
  }

  async fill(target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length) {
      if (this.#text.length === 0) {
        if (this.#ended) break;
        await this.#read();
        continue;
      }
      const some = this.#text.subarray(0, target.length - done);
      target.set(some, done);
      done += some.length;
      this.#text = this.#text.subarray(some.length);
    }
    return done;
  }

  async #read(): Promise<void> {
    const got = await this.#feed.fill(this.#raw);
    this.#ended = got < this.#raw.length;
    const bytes = this.#raw.subarray(0, got);
    const narrow = this.#encoding === "latin1" || this.#encoding === "windows-1252";
    if (this.#rawBytes === 0 && narrow && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
      throw this.#wrong("the file begins with the mark of UTF-8", "Leave the encoding out: it is UTF-8.");
    }
    try {
      this.#text = Buffer.from(this.#decode(bytes, this.#ended));
    } catch {
      const to = this.#rawBytes + got;
      throw this.#wrong(
        `bytes ${this.#rawBytes} to ${to} are not all ${this.#encoding}`,
        'Check the encoding, or give the reader { invalid: "replace" } to read U+FFFD there.',
      );
    }
    this.#rawBytes += got;
  }

  #wrong(what: string, hint: string): SheafError {
    return new SheafError("RECORD_INVALID", `${quotePath(this.#name)}: ${what}`, {
      hint,
      details: { path: this.#name, offset: this.#rawBytes },
    });
  }

  verify(): Promise<void> {
    return this.#feed.verify();
  }

  close(): Promise<void> {
    return this.#feed.close();
  }
}

function decoderOf(encoding: TextEncoding, strict: boolean): (bytes: Buffer, last: boolean) => string {
  if (encoding === "latin1") return (bytes) => bytes.toString("latin1");
  if (encoding === "windows-1252") {
    return (bytes) =>
      bytes
        .toString("latin1")
        .replace(/[\u0080-\u009f]/g, (found) => WINDOWS_1252[found.charCodeAt(0) - 0x80]!);
  }
  const decoder = new TextDecoder(encoding, { fatal: strict, ignoreBOM: true });
  return (bytes, last) => decoder.decode(bytes, { stream: !last });
}
