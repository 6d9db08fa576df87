import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import { quotePath } from "../storage/fs-error.ts";

const WINDOW_BYTES_MAX = limits.zstdWindowBytesMax;
/** The descriptor of just that window (RFC 8878, 3.1.1.1.2). */
const WINDOW_DESCRIPTOR_MAX = (27 - 10) << 3;
/** No block gives more (RFC 8878, 3.1.1.2.4). */
const BLOCK_BYTES_MAX = 128 * 1024;
const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

/** A sound frame that cannot be read here: what it needs, and what its maker can do about it. */
export class FrameNeeds extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

type Part = "magic" | "descriptor" | "window" | "rest" | "skippable" | "block" | "checksum";

const DICTIONARY_BYTES = [0, 1, 2, 4];
const SIZE_BYTES = [0, 2, 4, 8];

/**
 * Follows the frames of a zstd file (RFC 8878) as its bytes come, without decoding them. A frame that asks
 * for a larger window than libzstd gives is made to ask for less: it decodes all the same as long as its
 * content is not larger than that, since then nothing it refers to is further away. What is no frame is
 * left to libzstd to refuse.
 */
export class ZstdFrames {
  #part: Part = "magic";
  readonly #held = Buffer.alloc(16);
  #has = 0;
  #needs = 4;
  #skip = 0;
  #at = 0;
  #descriptor = 0;
  #frameAt = 0;
  /** What the frame said it needs, when that was too much. */
  #window = 0;
  #blocks = 0;
  #lost = false;

  /**
   * Takes the next bytes of the file; may change the byte of a window in them.
   * @throws FrameNeeds
   */
  scan(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.#lost;) {
      if (this.#skip > 0) {
        const some = Math.min(this.#skip, bytes.length - at);
        this.#skip -= some;
        this.#at += some;
        at += some;
        continue;
      }
      this.#held[this.#has++] = bytes[at++]!;
      this.#at++;
      if (this.#has < this.#needs) continue;
      this.#has = 0;
      if (this.#part === "window") bytes[at - 1] = this.#windowOf(bytes[at - 1]!);
      this.#next();
    }
  }

  #wait(part: Part, bytes: number): void {
    this.#part = part;
    this.#needs = bytes;
    if (bytes === 0) this.#next();
  }

  #next(): void {
    switch (this.#part) {
      case "magic":
        return this.#magic(this.#held.readUInt32LE(0));
      case "descriptor":
        return this.#describe(this.#held[0]!);
      case "window":
        return this.#wait("rest", this.#restBytes());
      case "rest":
        this.#rest();
        return this.#wait("block", 3);
      case "skippable":
        this.#skip = this.#held.readUInt32LE(0);
        return this.#wait("magic", 4);
      case "block":
        return this.#block(this.#held.readUIntLE(0, 3));
      case "checksum":
        return this.#wait("magic", 4);
    }
  }

  #magic(magic: number): void {
    this.#frameAt = this.#at - 4;
    if (magic === FRAME) this.#wait("descriptor", 1);
    else if ((magic & 0xfffffff0) === SKIPPABLE) this.#wait("skippable", 4);
    else this.#lost = true;
  }

  #describe(descriptor: number): void {
    this.#descriptor = descriptor;
    this.#window = 0;
    this.#blocks = 0;
    if (this.#isSingle) this.#wait("rest", this.#restBytes());
    else this.#wait("window", 1);
  }

  /** The frame is one segment: its window is its content. */
  get #isSingle(): boolean {
    return (this.#descriptor & 0x20) !== 0;
  }

  #windowOf(descriptor: number): number {
    const base = 2 ** (10 + (descriptor >> 3));
    const bytes = base + (base / 8) * (descriptor & 7);
    if (bytes <= WINDOW_BYTES_MAX) return descriptor;
    this.#window = bytes;
    return WINDOW_DESCRIPTOR_MAX;
  }

  #restBytes(): number {
    const sizeBytes = SIZE_BYTES[this.#descriptor >> 6]! || (this.#isSingle ? 1 : 0);
    return DICTIONARY_BYTES[this.#descriptor & 3]! + sizeBytes;
  }

  #rest(): void {
    const idBytes = DICTIONARY_BYTES[this.#descriptor & 3]!;
    const dictionary = idBytes === 0 ? 0 : this.#held.readUIntLE(0, idBytes);
    if (dictionary !== 0) {
      throw new FrameNeeds(
        `the zstd frame at byte ${this.#frameAt} needs dictionary ${dictionary}, which sheaf does not have`,
        "Decompress it where the dictionary is (zstd -d -D DICTIONARY), or compress it without one.",
      );
    }
    if (!this.#isSingle) return;
    const size = SIZE_BYTES[this.#descriptor >> 6]!;
    const bytes =
      size === 8
        ? Number(this.#held.readBigUInt64LE(idBytes))
        : size === 4
          ? this.#held.readUInt32LE(idBytes)
          : 0;
    if (bytes > WINDOW_BYTES_MAX) throw this.#windowTooLarge(bytes);
  }

  #block(header: number): void {
    const isLast = (header & 1) === 1;
    const isRun = ((header >> 1) & 3) === 1;
    this.#blocks++;
    if (this.#window > 0 && this.#blocks > WINDOW_BYTES_MAX / BLOCK_BYTES_MAX)
      throw this.#windowTooLarge(this.#window);
    this.#skip = isRun ? 1 : header >> 3;
    if (!isLast) this.#wait("block", 3);
    else if ((this.#descriptor & 4) !== 0) this.#wait("checksum", 4);
    else this.#wait("magic", 4);
  }

  #windowTooLarge(bytes: number): FrameNeeds {
    return new FrameNeeds(
      `the zstd frame at byte ${this.#frameAt} needs a window of ${formatSize(bytes)}, ` +
        `sheaf reads up to ${formatSize(WINDOW_BYTES_MAX)}`,
      "Pipe it in (zstd -dc --long=31 FILE | sheaf run job.ts -), or compress it again with --long=27.",
    );
  }
}

/**
 * Whether what the first frame says of itself, in the first bytes of the file, can be met.
 * @throws SheafError INPUT_UNREADABLE
 */
export function checkFirstFrame(path: string, head: Uint8Array): void {
  try {
    new ZstdFrames().scan(Uint8Array.from(head));
  } catch (error) {
    throw error instanceof FrameNeeds ? unreadableFrame(path, error) : error;
  }
}

export function unreadableFrame(path: string, { message, hint }: FrameNeeds): SheafError {
  return new SheafError("INPUT_UNREADABLE", `input ${quotePath(path)}: ${message}`, {
    hint: hint.replace("FILE", quotePath(path)),
    details: { path },
  });
}
