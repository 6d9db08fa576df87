import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";
import { decodeKey, encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { ValueDecoder, ValueEncoder } from "../codec/value-codec.ts";
import type { Key } from "../job/key.ts";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { readVarint, writeVarint } from "../shuffle/varint.ts";

/*
 * The results of a step as the next step of its pipeline reads them: every key and value as it was written.
 *
 *   file   = "sheafR1\n" block* end
 *   block  = u32 payload length (not 0), u32 CRC-32C of the payload, payload
 *   payload = (varint key length, varint value length, key, value)*   as codec/ encodes them
 *   end    = u32 0, f64 number of records in the file                 all little-endian
 *
 * They live as long as the pipeline does that wrote them; a file of another version is refused.
 */
const magic = Buffer.from("sheafR1\n");
const headBytes = 8;
const endBytes = 12;
const blockBytes = 64 * KiB;
const payloadBytesMax = 1024 * 1024 * KiB;

/** Writes results losslessly, for from(). */
export function recordsWriter(): Writer<Key, unknown> {
  return { kind: "records", extension: ".records", encoder: () => new RecordsEncoder() };
}

class RecordsEncoder implements Encoder<Key, unknown> {
  #block: Buffer = Buffer.allocUnsafe(blockBytes);
  #length = 0;
  #records = 0;
  readonly #values = new ValueEncoder();
  readonly #head = Buffer.alloc(headBytes);

  begin(sink: ByteSink): void {
    sink.bytes(magic);
  }

  write(key: Key, value: unknown, sink: ByteSink): void {
    this.#values.encode(value);
    const valueLength = this.#values.length;
    // Lengths are at most five bytes each.
    const most = keySizeMax(key) + valueLength + 10;
    if (this.#length + most > this.#block.length) {
      this.#flush(sink);
      if (most > this.#block.length) this.#block = Buffer.allocUnsafe(most);
    }
    const block = this.#block;
    // The key's length is known when it is there: it goes behind where the longest lengths would end.
    const keyAt = this.#length + 10;
    const keyLength = encodeKey(block, keyAt, key) - keyAt;
    let at = writeVarint(block, this.#length, keyLength);
    at = writeVarint(block, at, valueLength);
    block.copyWithin(at, keyAt, keyAt + keyLength);
    at += keyLength;
    this.#values.bytes.copy(block, at, 0, valueLength);
    this.#length = at + valueLength;
    this.#records++;
  }

  end(sink: ByteSink): void {
    this.#flush(sink);
    const end = Buffer.alloc(endBytes);
    end.writeDoubleLE(this.#records, 4);
    sink.bytes(end);
  }

  #flush(sink: ByteSink): void {
    if (this.#length === 0) return;
    const payload = this.#block.subarray(0, this.#length);
    this.#head.writeUInt32LE(payload.length, 0);
    this.#head.writeUInt32LE(crc32c(payload), 4);
    sink.bytes(this.#head);
    sink.bytes(payload);
    this.#length = 0;
  }
}

/** Reads what recordsWriter() wrote: [key, value] each, in order. */
export function recordsReader(): Reader<readonly [key: Key, value: unknown]> {
  return {
    kind: "records",
    framing: { kind: "stream" },
    compression: "none",
    decoder: (context) => new RecordsDecoder(context),
  };
}

class RecordsDecoder implements Decoder<readonly [key: Key, value: unknown]> {
  readonly #path: string;
  readonly #decoder = new ValueDecoder();
  /** What has come and is no whole block yet; `#from` is where it lies in the file. */
  #rest: Buffer = Buffer.alloc(0);
  #from = 0;
  #begun = false;
  #ended = false;
  #records = 0;

  constructor({ path }: DecodeContext) {
    this.#path = path;
  }

  decode(
    bytes: Uint8Array,
    _offset: number,
    last: boolean,
    batch: RecordBatch<readonly [key: Key, value: unknown]>,
  ): void {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    while (this.#step(batch));
    if (last && !this.#ended) throw this.#damaged("it ends early");
  }

  /** Takes one thing; false when more bytes are needed for it. */
  #step(batch: RecordBatch<readonly [key: Key, value: unknown]>): boolean {
    const rest = this.#rest;
    if (this.#ended) {
      if (rest.length > 0) throw this.#damaged("there are bytes behind its end");
      return false;
    }
    if (!this.#begun) {
      if (rest.length < magic.length) return false;
      if (!rest.subarray(0, magic.length).equals(magic)) throw this.#damaged("it does not begin as one");
      this.#begun = true;
      return this.#skip(magic.length);
    }
    if (rest.length < 4) return false;
    const length = rest.readUInt32LE(0);
    if (length === 0) {
      if (rest.length < endBytes) return false;
      if (rest.readDoubleLE(4) !== this.#records) throw this.#damaged("records are missing");
      this.#ended = true;
      return this.#skip(endBytes);
    }
    if (length > payloadBytesMax) throw this.#damaged("a block is impossibly long");
    if (rest.length < headBytes + length) return false;
    const payload = rest.subarray(headBytes, headBytes + length);
    if (crc32c(payload) !== rest.readUInt32LE(4)) throw this.#damaged("a checksum is wrong");
    this.#take(payload, batch);
    return this.#skip(headBytes + length);
  }

  #take(payload: Buffer, batch: RecordBatch<readonly [key: Key, value: unknown]>): void {
    for (let at = 0; at < payload.length;) {
      const start = at;
      const [keyLength, afterKey] = readVarint(payload, at);
      const [valueLength, keyAt] = readVarint(payload, afterKey);
      const valueAt = keyAt + keyLength;
      at = valueAt + valueLength;
      const key = decodeKey(payload, keyAt, valueAt);
      batch.records.push([key, this.#decoder.decodeAt(payload, valueAt, valueLength)]);
      batch.offsets.push(this.#from + headBytes + start);
      this.#records++;
    }
  }

  #skip(bytes: number): true {
    this.#rest = this.#rest.subarray(bytes);
    this.#from += bytes;
    return true;
  }

  #damaged(why: string): SheafError {
    return new SheafError("INPUT_CORRUPT", `${this.#path} is no whole file of a step's records: ${why}`, {
      hint: "Run the step that wrote it again: sheaf resume @ --from STEP.",
      details: { path: this.#path, offset: this.#from },
    });
  }
}
