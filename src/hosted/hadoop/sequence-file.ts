import { closeSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { KiB, MiB } from "../../base/size.ts";
import { asSheafError } from "../../storage/fs-error.ts";

/*
 * What Hadoop's SequenceFileOutputFormat makes of the frames that tasks write, where the cluster has no
 * NamedOutputFormat of sheaf's: version 6, keys and values BytesWritable, not compressed.
 *
 *   "SEQ" 6 keyClass:Text valueClass:Text isCompressed:u8 isBlockCompressed:u8
 *   metadata:i32, so many pairs of Text, sync[16]
 *   then records: length:i32 keyLength:i32 key value; a length of -1 is followed by sync
 *   Text = its bytes' number as a VInt, its bytes; BytesWritable = length:i32 bytes
 */

const BYTES = "org.apache.hadoop.io.BytesWritable";
const SYNC_BYTES = 16;
const CHUNK_BYTES = 256 * KiB;
/** A name and a chunk of a file are far below. */
const RECORD_BYTES_MAX = 16 * MiB;

/**
 * Makes the files that a task has written as frames, (name, next bytes), in the directory.
 * @param path the part of the task
 * @throws SheafError BLOCK_CORRUPT for what is no such file, is cut, or names a file outside of the directory
 */
export function unpackPart(path: string, directory: string): void {
  const source = new Source(path);
  let name: string | null = null;
  let file: number | null = null;
  const done = new Set<string>();
  try {
    readHeader(source);
    for (let record = nextRecord(source); record !== null; record = nextRecord(source)) {
      if (record.name !== name || file === null) {
        if (file !== null) closeSync(file);
        file = null;
        name = record.name;
        if (done.has(name)) throw source.broken(`more bytes of ${name} come behind another file`);
        done.add(name);
        file = create(source, directory, name);
      }
      for (let at = 0; at < record.bytes.length;) at += writeSync(file, record.bytes, at);
    }
  } catch (error) {
    throw asSheafError(error, { path: directory, doing: "write" });
  } finally {
    if (file !== null) closeSync(file);
    source.close();
  }
}

/** In exclusive mode: two tasks have no file in common. */
function create(source: Source, directory: string, name: string): number {
  const parts = name.split("/");
  if (name.includes("\0") || parts.some((part) => part === "" || part === "." || part === ".."))
    throw source.broken(`${JSON.stringify(name)} is no name of an output file`);
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, "wx");
}

function readHeader(source: Source): void {
  const magic = source.take(4);
  if (magic.toString("latin1") !== "SEQ\x06") throw source.broken("it does not begin as one");
  const [key, value] = [readText(source), readText(source)];
  if (key !== BYTES || value !== BYTES) throw source.broken(`it has ${key} and ${value}`);
  const flags = source.take(2);
  if (flags[0] !== 0 || flags[1] !== 0) throw source.broken("it is compressed");
  for (let left = 2 * source.take(4).readInt32BE(); left > 0; left--) readText(source);
  source.take(SYNC_BYTES);
}

function readText(source: Source): string {
  const first = source.take(1).readInt8();
  if (first < -120) throw source.broken("a length is wrong");
  // From -113 to -120 they are the number of bytes that follow, big-endian.
  const extra = first >= -112 ? 0 : -112 - first;
  if (extra > 6) throw source.broken("a length is wrong");
  const length = extra === 0 ? first : source.take(extra).readUIntBE(0, extra);
  return source.take(length).toString("utf8");
}

function nextRecord(source: Source): { readonly name: string; readonly bytes: Buffer } | null {
  for (;;) {
    if (source.isAtEnd()) return null;
    const length = source.take(4).readInt32BE();
    if (length === -1) {
      source.take(SYNC_BYTES);
      continue;
    }
    const keyLength = source.take(4).readInt32BE();
    if (keyLength < 4 || length < keyLength + 4) throw source.broken("a length is wrong");
    const record = source.take(length);
    const nameLength = record.readInt32BE(0);
    const bytesLength = record.readInt32BE(keyLength);
    if (nameLength !== keyLength - 4 || bytesLength !== length - keyLength - 4)
      throw source.broken("a length is wrong");
    return { name: record.toString("utf8", 4, keyLength), bytes: record.subarray(keyLength + 4) };
  }
}

/** A file, read from its beginning. */
class Source {
  readonly #path: string;
  readonly #fd: number;
  #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = 0;
  #end = 0;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "r");
  }

  isAtEnd(): boolean {
    return !this.#has(1);
  }

  /** The next bytes, valid until the next call. @throws SheafError when there are not so many */
  take(count: number): Buffer {
    if (count < 0 || count > RECORD_BYTES_MAX) throw this.broken("a length is wrong");
    if (!this.#has(count)) throw this.broken("it is cut");
    this.#at += count;
    return this.#buffer.subarray(this.#at - count, this.#at);
  }

  broken(what: string): SheafError {
    return new SheafError("BLOCK_CORRUPT", `${this.#path} is no whole sequence file of a task: ${what}`, {
      hint: "Nothing was written. Run the job again; if it comes back, look at the compression that --conf asks for.",
      retryable: true,
    });
  }

  close(): void {
    closeSync(this.#fd);
  }

  #has(count: number): boolean {
    if (this.#end - this.#at >= count) return true;
    const left = this.#buffer.subarray(this.#at, this.#end);
    const next = count > this.#buffer.length ? Buffer.allocUnsafe(count + CHUNK_BYTES) : this.#buffer;
    left.copy(next);
    this.#buffer = next;
    this.#at = 0;
    this.#end = left.length;
    while (this.#end < count) {
      const read = readSync(this.#fd, this.#buffer, this.#end, this.#buffer.length - this.#end, null);
      if (read === 0) return false;
      this.#end += read;
    }
    return true;
  }
}
