import { createHeap } from "#src/kernel/heap.js";
import type { Heap, KernelKind } from "#src/kernel/kernels.js";
import {
  ARENA_BYTES,
  CELL_HEADER,
  CELL_KEY_LEN,
  CELL_PARTITION,
  CELL_VAL_LEN,
  CTL_BYTES,
  CTL_DETAIL,
  CTL_LINES,
  CTL_OUT_POSITION,
  CTL_POSITION,
  CTL_RECORDS,
  TABLE_ARENA_END,
  TABLE_ARENA_START,
  TABLE_ARENA_TOP,
  TABLE_BYTES,
  TABLE_COUNT,
  TABLE_INDEX,
  TABLE_INDEX_MAX,
  TABLE_INIT,
  TABLE_MASK,
  TABLE_OPS,
  TABLE_OPS_COUNT,
  TABLE_SLOTS,
} from "#src/kernel/layout.js";

export const KINDS: readonly KernelKind[] = ["wasm", "typescript"];

const START_OF_OP: Readonly<Record<number, readonly number[]>> = {
  1: [0],
  2: [0, 0, 0, 0],
  3: [Infinity],
  4: [-Infinity],
  5: [0],
};

/** A heap with a bump allocator, and words for what tests do with it. */
export class Bench {
  readonly heap: Heap;
  private next: number;

  constructor(kind: KernelKind, bytes = 1 << 20) {
    this.heap = createHeap(bytes, { kernels: kind });
    this.next = this.heap.start;
  }

  get kernels(): Heap["kernels"] {
    return this.heap.kernels;
  }

  /** Forgets all allocations; the bytes keep what they held. */
  reset(): void {
    this.next = this.heap.start;
  }

  alloc(bytes: number): number {
    const at = this.next;
    this.next = Math.ceil((at + bytes) / 8) * 8;
    if (this.next > this.heap.end) throw new Error("the test's heap is too small");
    return at;
  }

  /** Puts bytes at an address of any alignment (odd ones too), with junk before and behind. */
  put(bytes: Uint8Array, align = 1): number {
    const at = this.alloc(bytes.length + 64) + align;
    this.heap.u8.fill(0xa5, at - align, at + bytes.length + 32);
    this.heap.u8.set(bytes, at);
    return at;
  }

  get32(at: number): number {
    return this.heap.u32[at >>> 2]!;
  }

  set32(at: number, value: number): void {
    this.heap.u32[at >>> 2] = value;
  }

  bytes(from: number, to: number): Uint8Array {
    return this.heap.u8.slice(from, to);
  }

  table(options: {
    ops?: readonly number[];
    indexSlots?: number;
    indexSlotsMax?: number;
    arena?: number;
  }): number {
    const { ops = [1], indexSlots = 4, indexSlotsMax = 1024, arena = 65536 } = options;
    const t = this.alloc(TABLE_BYTES);
    const init = ops.flatMap((op) => START_OF_OP[op]!);
    const arenaStart = this.alloc(arena);
    this.heap.u8.fill(0xa5, arenaStart, arenaStart + arena);
    this.set32(t + TABLE_INDEX, this.alloc(indexSlotsMax * 8));
    this.set32(t + TABLE_MASK, indexSlots - 1);
    this.set32(t + TABLE_INDEX_MAX, indexSlotsMax * 8);
    this.set32(t + TABLE_ARENA_START, arenaStart);
    this.set32(t + TABLE_ARENA_END, arenaStart + arena);
    this.set32(t + TABLE_SLOTS, init.length);
    this.set32(t + TABLE_OPS, this.put(Uint8Array.from(ops)));
    this.set32(t + TABLE_OPS_COUNT, ops.length);
    this.set32(t + TABLE_INIT, this.putRow(init));
    this.kernels.tableReset(t);
    return t;
  }

  putRow(row: readonly number[]): number {
    const at = this.alloc(row.length * 8);
    row.forEach((x, i) => (this.heap.f64[at / 8 + i] = x));
    return at;
  }

  arena(bytes: number): number {
    const at = this.alloc(ARENA_BYTES);
    const start = this.alloc(bytes);
    this.heap.u8.fill(0xa5, start, start + bytes);
    [start, start, start + bytes, 0].forEach((x, i) => this.set32(at + i * 4, x));
    return at;
  }

  ctl(): number {
    const at = this.alloc(CTL_BYTES);
    this.heap.u8.fill(0, at, at + CTL_BYTES);
    return at;
  }

  readCtl(at: number): { position: number; detail: number; records: number; lines: number; out: number } {
    return {
      position: this.get32(at + CTL_POSITION),
      detail: this.get32(at + CTL_DETAIL),
      records: this.get32(at + CTL_RECORDS),
      lines: this.get32(at + CTL_LINES),
      out: this.get32(at + CTL_OUT_POSITION),
    };
  }

  /** Appends a cell by hand; returns its address. */
  cell(key: Uint8Array, value: Uint8Array, partition = 0): number {
    const size = Math.ceil((CELL_HEADER + key.length + value.length) / 8) * 8;
    const at = this.alloc(size);
    this.heap.u8.fill(0, at, at + size);
    this.set32(at, this.kernels.hashKey(this.put(key), key.length));
    this.set32(at + CELL_PARTITION, partition);
    this.set32(at + CELL_KEY_LEN, key.length);
    this.set32(at + CELL_VAL_LEN, value.length);
    this.heap.u8.set(value, at + CELL_HEADER);
    this.heap.u8.set(key, at + CELL_HEADER + value.length);
    return at;
  }

  /** The cells between two addresses, in order. Checks sizes and padding on the way. */
  cells(start: number, top: number): { at: number; hash: number; key: string; value: Uint8Array }[] {
    const found = [];
    let at = start;
    while (at < top) {
      const keyLen = this.get32(at + CELL_KEY_LEN);
      const valLen = this.get32(at + CELL_VAL_LEN);
      const keyAt = at + CELL_HEADER + valLen;
      const key = Buffer.from(this.bytes(keyAt, keyAt + keyLen)).toString("latin1");
      found.push({ at, hash: this.get32(at), key, value: this.bytes(at + CELL_HEADER, keyAt) });
      at = Math.ceil((keyAt + keyLen) / 8) * 8;
      if (this.bytes(keyAt + keyLen, at).some((byte) => byte !== 0))
        throw new Error(`padding of ${key} is not 0`);
    }
    if (at !== top) throw new Error("the last cell does not end at the top");
    return found;
  }

  /** Rows of a table by key (latin1). */
  rows(table: number): Map<string, number[]> {
    const cells = this.cells(this.get32(table + TABLE_ARENA_START), this.get32(table + TABLE_ARENA_TOP));
    if (cells.length !== this.get32(table + TABLE_COUNT)) throw new Error("the table's count is wrong");
    const rows = new Map(cells.map((c) => [c.key, [...new Float64Array(c.value.buffer)]]));
    if (rows.size !== cells.length) throw new Error("a key has two cells");
    return rows;
  }
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export function encodeRecord({ key, value }: KeyValue): Uint8Array {
  return Buffer.concat([varint(key.length), varint(value.length), key, value]);
}

function varint(n: number): Uint8Array {
  const bytes = [];
  for (; n >= 128; n = Math.floor(n / 128)) bytes.push((n % 128) + 128);
  return Uint8Array.from([...bytes, n]);
}

export function decodeRecords(bytes: Uint8Array): KeyValue[] {
  const records = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const keyLen = number();
    const valLen = number();
    records.push({
      key: bytes.slice(at, at + keyLen),
      value: bytes.slice(at + keyLen, at + keyLen + valLen),
    });
    at += keyLen + valLen;
  }
  return records;
}

/** For messages and comparisons: "key=value" in latin1. */
export function show(records: readonly KeyValue[]): string[] {
  return records.map(
    (r) => `${Buffer.from(r.key).toString("latin1")}=${Buffer.from(r.value).toString("hex")}`,
  );
}

export function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}
