import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { isSheafError } from "#src/base/errors.js";
import { limits } from "#src/base/limits.js";
import { ValueDecoder, ValueEncoder } from "#src/codec/value-codec.js";

function roundTrip(value: unknown): unknown {
  const encoder = new ValueEncoder();
  encoder.encode(value);
  const bytes = Buffer.concat([
    Buffer.from([0xaa]),
    encoder.bytes.subarray(0, encoder.length),
    Buffer.from([0xaa]),
  ]);
  const decoder = new ValueDecoder();
  const back = decoder.decodeAt(bytes, 1, encoder.length);
  assert.equal(decoder.at, 1 + encoder.length, "the decoder stopped elsewhere than the encoder");
  // A view into the block would change with it.
  bytes.fill(0x55);
  return back;
}

// Invalid dates have a test of their own: deepStrictEqual takes no two of them for equal.
const leaves = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constantFrom(null, undefined, -0, NaN),
  fc.date({ noInvalidDate: true }),
);
const anything = fc.anything({
  values: [leaves],
  withBigInt: true,
  withMap: true,
  withSet: true,
  withNullPrototype: true,
  withTypedArray: true,
  withSparseArray: false,
  withUnicodeString: true,
  maxDepth: 4,
});

test("a value comes back deeply and strictly equal", () => {
  fc.assert(
    fc.property(anything, (value) => assert.deepStrictEqual(roundTrip(value), value)),
    { numRuns: 3000 },
  );
});

test("numbers come back to the bit", () => {
  fc.assert(
    fc.property(fc.oneof(fc.double(), fc.maxSafeInteger(), fc.integer({ min: -300, max: 300 })), (value) =>
      assert.ok(Object.is(roundTrip(value), value)),
    ),
    { numRuns: 3000 },
  );
});

const shared = { a: 1 };
const values: [name: string, value: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["-0", -0],
  ["NaN", NaN],
  ["infinities", [Infinity, -Infinity]],
  [
    "the edges of safe integers",
    [
      2 ** 53 - 1,
      2 ** 53,
      2 ** 53 + 2,
      -(2 ** 53) + 1,
      -(2 ** 53),
      2 ** 31,
      -(2 ** 31),
      2 ** 32,
      127,
      128,
      -64,
      -65,
    ],
  ],
  ["an empty string", ""],
  [
    "strings around the length of the short path",
    [31, 32, 33].flatMap((n) => ["x".repeat(n), "é".repeat(n), `${"x".repeat(n - 1)}é`]),
  ],
  ["lone surrogates", ["\ud800", "a\udc00", `${"x".repeat(40)}\ud800`, "\udc00\ud800"]],
  ["NUL and other controls", "\0\u0001\x7f\u2028"],
  ["a long string", "häßlich ".repeat(50_000)],
  ["bigints", [0n, -1n, 2n ** 64n, -(2n ** 200n)]],
  ["dates", [new Date(0), new Date(-1), new Date(8.64e15)]],
  ["a field named __proto__", JSON.parse('{"__proto__": {"x": 1}, "b": 2}')],
  ["a field named constructor", { constructor: 1, toString: 2, hasOwnProperty: 3 }],
  ["fields that look like indices, whose order is theirs", { b: 1, 1: 2, a: 3, 0: 4 }],
  ["an object without prototype", Object.assign(Object.create(null), { a: 1, __proto__: 2 })],
  ["undefined inside", { a: undefined, b: [undefined, null] }],
  ["the same object twice", [shared, shared]],
  [
    "Maps and Sets",
    new Map<unknown, unknown>([
      [{ k: 1 }, new Set([1, "1", null])],
      ["s", new Map()],
      [NaN, -0],
    ]),
  ],
  ["a Uint8Array", Uint8Array.of(0, 255)],
  ["a Buffer", Buffer.from("abc")],
  ["a view into a larger buffer", new Uint16Array(Uint16Array.of(1, 2, 3, 4).buffer, 2, 2)],
  [
    "typed arrays",
    [
      Int8Array.of(-1),
      Uint8ClampedArray.of(255),
      Int16Array.of(-2),
      Uint16Array.of(65535),
      Int32Array.of(-3),
      Uint32Array.of(4294967295),
      Float32Array.of(1.5, NaN),
      Float64Array.of(-0, Math.PI),
      BigInt64Array.of(-5n),
      BigUint64Array.of(2n ** 64n - 1n),
      new Float64Array(0),
    ],
  ],
  ["many fields", Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`field${i}`, i]))],
  ["a big array of bytes", new Uint8Array(300_000).fill(7)],
];

for (const [name, value] of values) {
  test(`comes back as it was: ${name}`, () => assert.deepStrictEqual(roundTrip(value), value));
}

test("an invalid Date comes back as one", () => {
  const back = roundTrip(new Date(NaN));
  assert.ok(back instanceof Date && Number.isNaN(back.getTime()));
});

test("the order of fields is kept", () => {
  assert.deepEqual(Object.keys(roundTrip({ z: 1, a: 2, m: 3 }) as object), ["z", "a", "m"]);
});

test("an object made in another realm is data", () => {
  assert.deepEqual(roundTrip(runInNewContext('({ a: 1, list: [1, "x"] })')), { a: 1, list: [1, "x"] });
});

test("a value of no bytes at all is undefined", () =>
  assert.equal(new ValueDecoder().decodeAt(Buffer.alloc(4), 2, 0), undefined));

function withHole(list: number[]): number[] {
  delete list[1];
  return list;
}

class Point {
  x = 1;
}
class List extends Array<number> {}
class Bytes extends Uint8Array {}
const cycle: Record<string, unknown> = {};
cycle["self"] = { again: cycle };
const cyclicMap = new Map<string, unknown>();
cyclicMap.set("self", cyclicMap);
const refusals: [name: string, value: unknown, says: RegExp][] = [
  ["a function", () => 1, /a function/],
  ["a function inside", { a: [() => 1] }, /a function/],
  ["a symbol", Symbol("x"), /a symbol/],
  ["a class instance", new Point(), /Point/],
  ["a class instance inside", [{ p: new Point() }], /Point/],
  ["an instance of a subclass of Array", List.of(1, 2), /List/],
  ["an instance of a subclass of Uint8Array", new Bytes(2), /Bytes/],
  ["an array with fields of its own", "ab".match(/b/), /fields of its own/],
  ["a RegExp", /x/, /RegExp/],
  ["an Error", new Error("x"), /Error/],
  ["a Promise", Promise.resolve(1), /Promise/],
  ["a boxed number", new Number(1), /Number/],
  ["a WeakMap", new WeakMap(), /WeakMap/],
  ["an ArrayBuffer", new ArrayBuffer(2), /ArrayBuffer/],
  ["a DataView", new DataView(new ArrayBuffer(2)), /DataView/],
  ["a generator", (function* () {})(), /Generator|prototype/],
  ["an object with a prototype of its own", Object.create({ a: 1 }), /./],
  ["an object whose prototype has none", Object.create(Object.create(null) as object), /prototype/],
  ["symbol fields", { [Symbol("s")]: 1 }, /symbol/],
  ["an array with holes", withHole([1, 2, 3]), /holes/],
  ["a long array that is empty", Object.assign([], { length: 10 }), /holes/],
  ["an object that holds itself", cycle, /itself/],
  ["a Map that holds itself", cyclicMap, /itself/],
];

for (const [name, value, says] of refusals) {
  test(`refused as a value: ${name}`, () => {
    assert.throws(
      () => roundTrip(value),
      (error) =>
        isSheafError(error) &&
        error.code === "VALUE_INVALID" &&
        says.test(error.message) &&
        error.hint !== undefined,
    );
  });
}

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = "bottom";
  for (let i = 0; i < levels; i++) value = wrap(value);
  return value;
}

for (const [name, wrap] of [
  ["arrays", (inner: unknown): unknown => [inner]],
  ["objects", (inner: unknown): unknown => ({ inner })],
  ["maps", (inner: unknown): unknown => new Map([["k", inner]])],
  ["sets", (inner: unknown): unknown => new Set([inner])],
] as const) {
  test(`${name} may be nested up to the limit and no deeper`, () => {
    roundTrip(nested(limits.valueDepthMax, wrap));
    assert.throws(() => roundTrip(nested(limits.valueDepthMax + 2, wrap)), { code: "VALUE_INVALID" });
    assert.throws(() => roundTrip(nested(100_000, wrap)), { code: "VALUE_INVALID" });
  });
}

test("an encoder is used again after a refusal", () => {
  const encoder = new ValueEncoder();
  assert.throws(() => encoder.encode([1, 2, () => 3]), { code: "VALUE_INVALID" });
  encoder.encode("next");
  assert.equal(new ValueDecoder().decodeAt(encoder.bytes, 0, encoder.length), "next");
});

test("changing a value after it was encoded changes nothing", () => {
  const encoder = new ValueEncoder();
  const value = { list: [1], bytes: Uint8Array.of(1) };
  encoder.encode(value);
  value.list.push(2);
  value.bytes[0] = 9;
  assert.deepEqual(new ValueDecoder().decodeAt(encoder.bytes, 0, encoder.length), {
    list: [1],
    bytes: Uint8Array.of(1),
  });
});

test("a byte that begins no value is BLOCK_CORRUPT", () => {
  assert.throws(() => new ValueDecoder().decodeAt(Buffer.from([0xee]), 0, 1), { code: "BLOCK_CORRUPT" });
});
