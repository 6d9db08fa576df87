import { closeSync, openSync, statSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { MiB } from "../base/size.ts";
import { readFully } from "../shuffle/run-index.ts";
import { brokenFrames, type FrameBounds, type FrameWriter } from "./frames.ts";

/*
 * What map tasks send to reduce tasks through an engine, as frames, and what both hand to it as output.
 * All integers are big-endian. FROZEN within a version of the spec.
 *
 *   key   = prefix:4 bytes  map:i32  sequence:i32               sorted by the engine, or not
 *   value = kind:u8 [crc32c:u32 (of all that follows) body]
 *     1 HELLO  nothing. Every partition gets one, for an engine drops what a reduce without input writes
 *     2 SLICE  bytes:u64 offset:u64 data                      part of one slice (shuffle/partition-slice.ts)
 *     3 FILE   nameLength:u16 name bytes:u64 offset:u64 data  part of a file that is to be output
 *
 * Offsets are multiples of BLOCK_BYTES, and only the last block of a slice or file is shorter: so nothing but
 * the blocks' own words is needed to see that each came, and once.
 *
 *   output: key = name below the output, value = its next bytes. An empty value makes an empty file.
 */

export const BLOCK_BYTES = MiB;
export const KEY_BYTES = 12;
/** Frames that reduces are given, and output. Names have 65,535 bytes at most. */
export const blockBounds: FrameBounds = { keyMax: 65_535, valueMax: BLOCK_BYTES + 65_535 + 64 };

export const HELLO = 1;
export const SLICE = 2;
export const FILE = 3;
const CRC_AT = 1;
const BODY_AT = 5;

/** There can be no more partitions than four digits can name. */
export const partitionsMax = 31 ** 4;

/**
 * The four bytes that lead to a partition: digits to the base 31 of v = (p - 31^4) mod n. The hash of bytes
 * that Hadoop's BinaryPartitioner has, h = 1 and h = 31 h + byte for each, is 31^4 + v of them, and so p
 * modulo n.
 */
export function writePrefix(target: Buffer, partition: number, partitions: number): void {
  let v = (((partition - partitionsMax) % partitions) + partitions) % partitions;
  for (let at = 3; at >= 0; at--) {
    target[at] = v % 31;
    v = Math.floor(v / 31);
  }
}

/** Where the engine puts a key that begins so. */
export function partitionOfBlock(key: Buffer, partitions: number): number {
  let hash = 1;
  // Bytes are signed in Java.
  for (let at = 0; at < 4; at++) hash = (Math.imul(31, hash) + key.readInt8(at)) | 0;
  return (hash & 0x7fffffff) % partitions;
}

/** A file with the name under which it is sent. */
export interface SentFile {
  readonly name: string;
  readonly path: string;
}

/** What a map sends. Its frames are numbered. */
export class BlockWriter {
  readonly #frames: FrameWriter;
  readonly #partitions: number;
  readonly #key = Buffer.alloc(KEY_BYTES);
  readonly #data = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #sequence = 0;

  constructor(frames: FrameWriter, map: number, partitions: number) {
    this.#frames = frames;
    this.#partitions = partitions;
    this.#key.writeInt32BE(map, 4);
  }

  hello(partition: number): void {
    this.#send(partition, [Buffer.from([HELLO])]);
  }

  /** @param fill puts the slice's bytes from `offset` on into the whole of `target` */
  slice(partition: number, bytes: number, fill: (target: Buffer, offset: number) => void): void {
    this.#blocks(partition, SLICE, Buffer.alloc(0), bytes, fill);
  }

  file(partition: number, { name, path }: SentFile): void {
    withFile(path, (fd, bytes) =>
      this.#blocks(partition, FILE, nameHead(name), bytes, (target, offset) =>
        readFully(fd, path, target, offset),
      ),
    );
  }

  /** A file that holds the text. */
  text(partition: number, name: string, text: string): void {
    const bytes = Buffer.from(text);
    this.#blocks(partition, FILE, nameHead(name), bytes.length, (target, offset) =>
      bytes.copy(target, 0, offset),
    );
  }

  #blocks(
    partition: number,
    kind: number,
    before: Buffer,
    bytes: number,
    fill: (target: Buffer, offset: number) => void,
  ): void {
    const head = Buffer.alloc(BODY_AT + before.length + 16);
    head[0] = kind;
    head.set(before, BODY_AT);
    head.writeBigUInt64BE(BigInt(bytes), head.length - 16);
    for (let offset = 0; offset === 0 || offset < bytes; offset += BLOCK_BYTES) {
      const data = this.#data.subarray(0, Math.min(BLOCK_BYTES, bytes - offset));
      fill(data, offset);
      head.writeBigUInt64BE(BigInt(offset), head.length - 8);
      head.writeUInt32BE(crc32c(data, crc32c(head.subarray(BODY_AT))), CRC_AT);
      this.#send(partition, [head, data]);
    }
  }

  #send(partition: number, value: readonly Buffer[]): void {
    writePrefix(this.#key, partition, this.#partitions);
    this.#key.writeInt32BE(this.#sequence++, 8);
    this.#frames.write(this.#key, value);
  }
}

function nameHead(name: string): Buffer {
  const head = Buffer.alloc(2 + Buffer.byteLength(name));
  head.writeUInt16BE(head.length - 2, 0);
  head.write(name, 2);
  return head;
}

/** A block as it came. `data` is only valid until the next frame is read. */
export type Block =
  | { readonly kind: "hello" }
  | {
      readonly kind: "slice" | "file";
      /** Of a slice "". */
      readonly name: string;
      /** Of the whole slice or file. */
      readonly bytes: number;
      readonly offset: number;
      readonly data: Buffer;
    };

/** @throws SheafError MESSAGE_INVALID for what no map of this version sends */
export function readBlock(value: Buffer): Block {
  const kind = value[0];
  if (kind === HELLO && value.length === 1) return { kind: "hello" };
  if ((kind !== SLICE && kind !== FILE) || value.length < BODY_AT + 16)
    throw brokenFrames(`a block of unknown kind (${kind ?? "empty"})`);
  const body = value.subarray(BODY_AT);
  if (crc32c(body) !== value.readUInt32BE(CRC_AT)) throw brokenFrames("a block fails its checksum");
  const nameEnd = kind === SLICE ? 0 : 2 + body.readUInt16BE(0);
  if (body.length < nameEnd + 16) throw brokenFrames("a block that ends inside its head");
  const name = kind === SLICE ? "" : body.toString("utf8", 2, nameEnd);
  const bytes = Number(body.readBigUInt64BE(nameEnd));
  const offset = Number(body.readBigUInt64BE(nameEnd + 8));
  const data = body.subarray(nameEnd + 16);
  const isPlaced =
    Number.isSafeInteger(bytes) &&
    offset % BLOCK_BYTES === 0 &&
    (offset < bytes || bytes === 0) &&
    data.length === Math.min(BLOCK_BYTES, bytes - offset);
  if (!isPlaced) throw brokenFrames(`a block of ${data.length} bytes at ${offset} of ${bytes}`);
  return { kind: kind === SLICE ? "slice" : "file", name, bytes, offset, data };
}

/** Hands files to the engine as output. */
export class OutputWriter {
  readonly #frames: FrameWriter;
  readonly #data = Buffer.allocUnsafeSlow(BLOCK_BYTES);

  constructor(frames: FrameWriter) {
    this.#frames = frames;
  }

  file({ name, path }: SentFile): void {
    withFile(path, (fd, bytes) => this.stretch(name, { fd, path, offset: 0, bytes }));
  }

  /** A file whose bytes lie somewhere in another. */
  stretch(
    name: string,
    { fd, path, offset, bytes }: { fd: number; path: string; offset: number; bytes: number },
  ): void {
    const key = Buffer.from(name);
    for (let at = 0; at === 0 || at < bytes; at += BLOCK_BYTES) {
      const data = this.#data.subarray(0, Math.min(BLOCK_BYTES, bytes - at));
      readFully(fd, path, data, offset + at);
      this.#frames.write(key, [data]);
    }
  }

  text(name: string, text: string): void {
    const bytes = Buffer.from(text);
    for (let at = 0; at === 0 || at < bytes.length; at += BLOCK_BYTES)
      this.#frames.write(Buffer.from(name), [bytes.subarray(at, at + BLOCK_BYTES)]);
  }
}

function withFile(path: string, use: (fd: number, bytes: number) => void): void {
  const fd = openSync(path, "r");
  try {
    use(fd, statSync(path).size);
  } finally {
    closeSync(fd);
  }
}
