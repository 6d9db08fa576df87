import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { Key } from "#src/job/key.js";
import type { CachedTable, EmitKind } from "#src/shuffle/emit-cache.js";
import { EmitCache, cacheBits } from "#src/shuffle/emit-cache.js";

/** A table of one sum a key, in a Map; full when it has `size` keys. */
class MapTable implements CachedTable {
  emitted = 0;
  calls = 0;
  readonly rows: number[] = [];
  readonly #numbers = new Map<Key, number>();
  readonly totals = new Map<Key, number>();
  readonly cache: EmitCache;
  readonly #kind: EmitKind;
  readonly #size: number;

  constructor(kind: EmitKind, bits: number, size = Infinity) {
    this.#kind = kind;
    this.#size = size;
    this.cache = new EmitCache(bits);
    this.cache.attach(this, kind);
  }

  rowOf(key: Key): number {
    this.calls++;
    const found = this.#numbers.get(key);
    if (found !== undefined) return found;
    if (this.#numbers.size === this.#size) this.spill();
    const row = this.rows.length;
    this.rows.push(0);
    this.#numbers.set(key, row);
    return row;
  }

  rowOfAscii(key: string): number {
    assert.match(key, /^[\0-\x7f]{1,12}$/s);
    return this.rowOf(key);
  }

  add(row: number, value: unknown): void {
    if (typeof value === "string") throw new RangeError(value);
    this.rows[row]! += this.#kind === "count" ? 1 : (value as number);
  }

  addFirst(row: number, value: unknown): void {
    this.add(row, value);
  }

  addWaiting(row: number, total: number): void {
    assert.notEqual(this.#kind, "other");
    this.rows[row]! += total;
  }

  spill(): void {
    this.cache.flush();
    for (const [key, row] of this.#numbers) {
      this.totals.set(key, (this.totals.get(key) ?? 0) + this.rows[row]!);
    }
    this.#numbers.clear();
    this.rows.length = 0;
  }
}

test("keys that differ in one character anywhere, or in their length, are different keys", () => {
  for (let length = 1; length <= 14; length++) {
    // One entry for all: whatever the entry does not tell apart is counted together.
    const table = new MapTable("count", 1);
    const keys = ["x".repeat(length), "x".repeat(length - 1), `${"x".repeat(length)}\0`];
    for (let at = 0; at < length; at++) {
      for (const other of ["y", "\0", "\x7f", "\x80", "é", "\u0178", "字"]) {
        keys.push(keys[0]!.slice(0, at) + other + keys[0]!.slice(at + 1));
      }
    }
    for (const key of keys) {
      for (const again of [keys[0]!, key, key, keys[0]!]) table.cache.emit(again, undefined);
    }
    table.spill();
    assert.equal(table.emitted, keys.length * 4);
    assert.equal(table.totals.get(keys[0]!), keys.length * 2 + 2, `length ${length}`);
    for (const key of new Set(keys.slice(1))) assert.equal(table.totals.get(key), 2, JSON.stringify(key));
  }
});

test("numbers and the strings that look like them are different keys, -0 and 0 the same", () => {
  const keys = [0, 1, -1, 12, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 1.5, "0", "1", "-1", "\f", "\x01", "\u0001é"];
  const table = new MapTable("count", 1);
  for (const key of [...keys, ...keys, -0, -0]) {
    table.cache.emit(key, undefined);
    table.cache.emit(key, undefined);
  }
  table.spill();
  for (const key of keys) assert.equal(table.totals.get(key), key === 0 ? 8 : 4, JSON.stringify(key));
});

test("totals are those of a Map, for every kind, with spills at any time", () => {
  const seed = "emit-cache";
  const random = seededRandom(seed);
  for (const kind of ["count", "sum", "other"] as const) {
    for (const [bits, size] of [
      [1, 3],
      [4, 50],
      [6, Infinity],
    ] as const) {
      const table = new MapTable(kind, bits, size);
      const expected = new Map<Key, number>();
      for (let i = 0; i < 5000; i++) {
        const number = Math.floor(random.next() ** 3 * 200);
        const key: Key =
          number % 7 === 0 ? number : String.fromCharCode(65 + (number % 600)).repeat(number % 15);
        const value = [1, -1, 0, 2 ** 31 - 1, -(2 ** 31), 0.5, 2 ** 40][Math.floor(random.next() * 7)]!;
        table.cache.emit(key, value);
        expected.set(key, (expected.get(key) ?? 0) + (kind === "count" ? 1 : value));
      }
      table.spill();
      assert.deepEqual(
        [...table.totals].sort((a, b) => String(a).localeCompare(String(b))),
        [...expected].sort((a, b) => String(a).localeCompare(String(b))),
        `${kind}, ${bits} bits, seed ${seed}`,
      );
    }
  }
});

test("a key that came up before costs the table nothing", () => {
  const table = new MapTable("sum", 10);
  for (let i = 0; i < 1000; i++) {
    for (const key of ["a", "to", "the", "than", "twelve chars"]) table.cache.emit(key, i);
  }
  assert.equal(table.calls, 5);
  assert.equal(table.emitted, 5000);
  table.spill();
  assert.equal(table.totals.get("twelve chars"), 499_500);
});

test("what a table refuses is thrown by that emit, and nothing that waits is lost", () => {
  const table = new MapTable("sum", 1);
  table.cache.emit("a", 1);
  table.cache.emit("a", 2);
  for (const key of ["a", "b", "a".repeat(20)]) assert.throws(() => table.cache.emit(key, "bad"), RangeError);
  table.cache.emit("a", 3);
  table.spill();
  assert.equal(table.totals.get("a"), 6);
});

test("a cache put before another table knows nothing of the one before", () => {
  const first = new MapTable("count", 4);
  first.cache.emit("a", 5);
  first.cache.emit("a", 5);
  const second = new MapTable("sum", 4);
  first.cache.attach(second, "sum");
  first.cache.emit("a", 5);
  first.cache.flush();
  assert.deepEqual(second.rows, [5]);
  assert.equal(second.emitted, 1);
  assert.equal(first.emitted, 2);
});

test("keys that push each other out of the front of a slot come back without the table", () => {
  // As many as a slot has entries: whichever slots they fall into, they fit.
  const keys = ["a", "be", 7, "twelve chars"];
  const table = new MapTable("sum", 1);
  for (let i = 0; i < 100; i++) for (const key of keys) table.cache.emit(key, 1);
  assert.equal(table.calls, keys.length);
  table.spill();
  for (const key of keys) assert.equal(table.totals.get(key), 100, JSON.stringify(key));
});

test("a cache takes a 16th of its table at most, within bounds", () => {
  assert.equal(cacheBits(256 * 2 ** 20), 14);
  assert.equal(cacheBits(8 * 2 ** 20), 12);
  assert.ok(96 * 2 ** cacheBits(2 ** 20) <= 2 ** 20 / 16);
  assert.equal(cacheBits(1), 4);
});
