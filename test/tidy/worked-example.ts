import { createHash } from "node:crypto";
import { encodeKey, keySizeMax } from "#src/codec/key-codec.js";
import { ValueEncoder } from "#src/codec/value-codec.js";
import type { Key } from "#src/job/key.js";
import { hashBytes, partitionOf } from "#src/kernel/typescript/hash.js";
import { RunWriter } from "#src/shuffle/run-writer.js";

/**
 * The run file of docs/formats.md: map task 3, attempt 1, of job "example"; one collection, two partitions.
 */
export const EXAMPLE_JOB = "example";

const RECORDS: readonly (readonly [partition: number, records: readonly (readonly [Key, unknown])[]])[] = [
  [0, [["bee", 7]]],
  [
    1,
    [
      ["ant", 1],
      ["ant", "two"],
    ],
  ],
];

export function writeExample(path: string): void {
  const writer = new RunWriter(path, { jobId: EXAMPLE_JOB, task: 3, attempt: 1 });
  for (const [partition, records] of RECORDS) {
    writer.begin(0, partition, 0);
    writer.block(Buffer.concat(records.map(([key, value]) => record(key, value))), records.length);
  }
  writer.finish();
}

/** Lengths below 128 are one byte each: enough for an example. */
function record(key: Key, value: unknown): Buffer {
  const keyBytes = keyOf(key);
  const valueBytes = valueOf(value);
  return Buffer.concat([Buffer.of(keyBytes.length, valueBytes.length), keyBytes, valueBytes]);
}

export function keyOf(key: Key): Buffer {
  const bytes = Buffer.alloc(keySizeMax(key));
  return bytes.subarray(0, encodeKey(bytes, 0, key));
}

export function valueOf(value: unknown): Buffer {
  const encoder = new ValueEncoder();
  encoder.encode(value);
  return Buffer.from(encoder.bytes.subarray(0, encoder.length));
}

const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");

/**
 * The file as an annotated dump, read by what docs/formats.md says and by nothing of the engine: a second
 * reader, which fails where the page and the writer disagree.
 */
export function dump(file: Buffer): string {
  const lines: string[] = [];
  let at = 0;
  const take = (size: number, meaning: (bytes: Buffer) => string): Buffer => {
    const bytes = file.subarray(at, at + size);
    for (let i = 0; i < size; i += 16) {
      const row = hexOf(bytes.subarray(i, Math.min(i + 16, size)));
      const offset = (at + i).toString(16).padStart(4, "0");
      lines.push(`${offset}  ${row.padEnd(47)}  ${i === 0 ? meaning(bytes) : ""}`.trimEnd());
    }
    at += size;
    return bytes;
  };
  const u32 = (name: string): number => take(4, (b) => `${name} ${b.readUInt32LE()}`).readUInt32LE();
  const u64 = (name: string): number => {
    const bytes = take(8, (b) => `${name} ${b.readBigUInt64LE()}`);
    return Number(bytes.readBigUInt64LE());
  };
  const text = (size: number): string => take(size, (b) => `"${b.toString("latin1")}"`).toString("latin1");
  const job = (): void => {
    take(8, (b) => {
      const want = createHash("sha256").update(EXAMPLE_JOB).digest().subarray(0, 8);
      return `job: ${b.equals(want) ? `SHA-256 of "${EXAMPLE_JOB}", its first 8 bytes` : "of another job"}`;
    });
  };
  const indexOffset = Number(file.readBigUInt64LE(file.length - 40));
  text(8);
  u32("version");
  u32("zero");
  while (at < indexOffset) {
    lines.push("");
    const start = at;
    text(4);
    take(2, (b) => `version ${b.readUInt16LE()}`);
    take(2, (b) => `codec ${b[0]} (stored), zero`);
    job();
    for (const name of ["task", "attempt", "collection", "partition", "run", "sequence", "rawLength"])
      u32(name);
    const stored = u32("storedLength");
    u32("records");
    take(4, (b) => {
      const body = Buffer.concat([
        file.subarray(start, start + 52),
        file.subarray(start + 56, start + 56 + stored),
      ]);
      const verdict = b.readUInt32LE() === crc32c(body) ? "right" : "WRONG";
      return `crc32c of the 52 bytes above and the ${stored} below: ${verdict}`;
    });
    for (const end = at + stored; at < end;) {
      const keyLength = file[at]!;
      const valueLength = file[at + 1]!;
      take(2, () => `record: key of ${keyLength} bytes, value of ${valueLength}`);
      take(keyLength, (b) => `key: string "${b.toString("utf8", 1)}"`);
      take(valueLength, (b) =>
        b[0] === 4 ? `value: integer ${b[1]! / 2}` : `value: string "${b.toString("utf8", 2)}"`,
      );
    }
  }
  while (at < file.length - 40) {
    lines.push("");
    for (const name of ["collection", "partition", "run", "blocks"]) u32(name);
    const entry = at - 16;
    for (const name of ["offset", "length", "records", "rawBytes"]) u64(name);
    take(4, (b) => {
      const right = b.readUInt32LE() === crc32c(file.subarray(entry, entry + 48));
      return `crc32c of the 48 bytes above: ${right ? "right" : "WRONG"}`;
    });
  }
  lines.push("");
  u64("indexOffset");
  u32("entries");
  take(4, (b) => {
    const end = file.length;
    const right =
      b.readUInt32LE() ===
      crc32c(Buffer.concat([file.subarray(end - 40, end - 28), file.subarray(end - 24, end - 8)]));
    return `crc32c of the 12 bytes above and the 16 below: ${right ? "right" : "WRONG"}`;
  });
  job();
  u32("task");
  u32("attempt");
  text(8);
  return lines.join("\n");
}

/** CRC-32C (Castagnoli), bit by bit. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`).join("\n");
}

export function keyTable(): string {
  const keys: readonly Key[] = [
    null,
    false,
    true,
    -1.5,
    0,
    1,
    "",
    "a",
    "a\0b",
    "é",
    new Uint8Array([0, 255]),
    [],
    ["a"],
    ["a", 1],
    ["a\0", [null]],
    [[], 1],
  ];
  return table(keys.map((key) => [show(key), hexOf(keyOf(key))]));
}

export function valueTable(): string {
  const values: readonly unknown[] = [
    undefined,
    null,
    false,
    true,
    0,
    1,
    -1,
    300,
    2 ** 53 - 1,
    1.5,
    -0,
    "",
    "aé",
    "\ud800",
    new Uint8Array([1, 2]),
    Buffer.of(3),
    12n,
    new Date(0),
    [1, "x"],
    { a: 1, b: null },
    new Map([["k", 2]]),
    new Set([true]),
    new Float32Array([1]),
  ];
  return table(values.map((value) => [show(value), hexOf(valueOf(value))]));
}

export function partitionTable(): string {
  const keys: readonly Key[] = ["ant", "bee", "cat", 1, ["ant", 1]];
  return table(
    keys.map((key) => {
      const bytes = keyOf(key);
      const hash = hashBytes(bytes, 0, bytes.length);
      return [show(key), `${hash.toString(16).padStart(8, "0")}  partition ${partitionOf(hash, 4)} of 4`];
    }),
  );
}

function show(value: unknown): string {
  if (value instanceof Map) return `Map ${JSON.stringify([...value])}`;
  if (value instanceof Set) return `Set ${JSON.stringify([...value])}`;
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (ArrayBuffer.isView(value))
    return `${value.constructor.name} [${Array.from(value as Uint8Array).join(", ")}]`;
  if (typeof value === "bigint") return `${value}n`;
  return Object.is(value, -0) ? "-0" : (JSON.stringify(value) ?? "undefined");
}
