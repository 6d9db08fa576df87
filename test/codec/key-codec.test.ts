import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { limits } from "#src/base/limits.js";
import { decodeKey, encodeKey, keyPrefixLength, keySizeMax, printKey } from "#src/codec/key-codec.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { arbitraryKey, encoded, normal } from "./support.js";

test("a key comes back as it was", () => {
  fc.assert(
    fc.property(arbitraryKey, (key) => {
      const bytes = encoded(key);
      assert.deepEqual(decodeKey(bytes, 0, bytes.length), normal(key));
    }),
    { numRuns: 2000 },
  );
});

test("a key comes back from the middle of other bytes", () => {
  fc.assert(
    fc.property(arbitraryKey, fc.nat({ max: 9 }), (key, at) => {
      const bytes = Buffer.alloc(at + keySizeMax(key) + 9, 0);
      const end = encodeKey(bytes, at, key);
      bytes.fill(0x30, end);
      assert.deepEqual(decodeKey(bytes, at, end), normal(key));
    }),
    { numRuns: 1000 },
  );
});

test("no encoding is longer than keySizeMax says", () => {
  fc.assert(
    fc.property(arbitraryKey, (key) => assert.ok(encoded(key).length <= keySizeMax(key))),
    { numRuns: 1000 },
  );
});

test("encodings are ordered as compareKeys orders the keys", () => {
  fc.assert(
    fc.property(arbitraryKey, arbitraryKey, (a, b) => {
      assert.equal(Math.sign(Buffer.compare(encoded(a), encoded(b))), Math.sign(compareKeys(a, b)));
    }),
    { numRuns: 5000 },
  );
});

test("the first elements of an array are a prefix of its encoding, whose length is told", () => {
  fc.assert(
    fc.property(fc.array(arbitraryKey, { minLength: 1, maxLength: 4 }), fc.nat(), (key, chosen) => {
      const elements = 1 + (chosen % key.length);
      const bytes = encoded(key);
      const length = keyPrefixLength(bytes, 0, bytes.length, elements);
      assert.deepEqual(bytes.subarray(0, length), encoded(key.slice(0, elements)));
      assert.deepEqual(decodeKey(bytes, 0, length), normal(key.slice(0, elements)));
    }),
    { numRuns: 2000 },
  );
});

test("groupBy refuses keys that have too few elements", () => {
  for (const [key, elements] of [
    [[], 1],
    [["a"], 2],
    ["a", 1],
    [null, 1],
    [5, 1],
    [new Uint8Array(3), 1],
    [[["a", "b"]], 2],
  ] as [Key, number][]) {
    const bytes = encoded(key);
    // What follows a key in memory is not its own.
    const padded = Buffer.concat([bytes, encoded("more")]);
    assert.throws(
      () => keyPrefixLength(padded, 0, bytes.length, elements),
      { code: "KEY_INVALID" },
      printKey(key),
    );
  }
});

test("encodings are frozen: these bytes are in files", () => {
  const cases: [Key, string][] = [
    [null, "10"],
    [false, "20"],
    [true, "21"],
    ["", "50"],
    ["a", "5061"],
    ["é😀", "50c3a9f09f9880"],
    ["a\0", "506100"],
    [0, "308000000000000000"],
    [-0, "308000000000000000"],
    [1, "30bff0000000000000"],
    [-1, "30400fffffffffffff"],
    [Infinity, "30fff0000000000000"],
    [-Infinity, "30000fffffffffffff"],
    [Uint8Array.of(0, 255), "6000ff"],
    [[], "70"],
    [["a", 1], "705061000030bff0000000000000"],
    [["a\0b"], "70506100ff620000"],
    [[Uint8Array.of(0)], "706000ff0000"],
    [[[], [null]], "7070007010" + "00"],
  ];
  for (const [key, hex] of cases) assert.equal(encoded(key).toString("hex"), hex, printKey(key));
});

test("-0 and 0 are one key", () => assert.deepEqual(encoded([-0, [-0]]), encoded([0, [0]])));

test("a Buffer is bytes, and comes back as a Uint8Array", () => {
  const key = Buffer.from("abc");
  const bytes = encoded(key);
  assert.deepEqual(bytes, encoded(new Uint8Array(key)));
  assert.equal(Object.getPrototypeOf(decodeKey(bytes, 0, bytes.length)), Uint8Array.prototype);
});

test("a decoded key does not change with the bytes it came from", () => {
  const bytes = encoded([Uint8Array.of(1, 2), Uint8Array.of(0, 3)]);
  const key = decodeKey(bytes, 0, bytes.length);
  bytes.fill(9);
  assert.deepEqual(key, [Uint8Array.of(1, 2), Uint8Array.of(0, 3)]);
});

const cyclic: unknown[] = [];
cyclic.push(cyclic);
let deep: unknown = "bottom";
for (let i = 0; i < 200; i++) deep = [deep];

const refusals: [name: string, key: unknown, says: RegExp][] = [
  ["undefined", undefined, /undefined/],
  ["NaN", NaN, /NaN/],
  ["NaN in an array", ["a", NaN], /NaN/],
  ["undefined in an array", ["a", undefined], /undefined/],
  ["a hole in an array", Object.assign([], { 1: "a" }), /undefined/],
  ["an object", { a: 1 }, /an object/],
  ["an object without prototype", Object.create(null), /an object/],
  ["a Date", new Date(0), /a Date/],
  ["a Map", new Map(), /a Map/],
  ["a bigint", 5n, /bigint/],
  ["a symbol", Symbol("s"), /symbol/],
  ["a function", () => 1, /function/],
  ["a promise", Promise.resolve(1), /a Promise/],
  ["an Int8Array", new Int8Array(2), /Int8Array/],
  ["a boxed string", new String("a"), /String/],
  ["a lone high surrogate", "a\ud800", /surrogate/],
  ["a lone low surrogate", "\udc00b", /surrogate/],
  ["a lone surrogate in a long string", `${"a".repeat(100)}\ud800`, /surrogate/],
  ["a lone surrogate in an array", [["\ud800"]], /surrogate/],
  ["an array that holds itself", cyclic, /deeper/],
  ["an array nested too deep", deep, /deeper/],
  ["a string longer than the limit", "a".repeat(limits.keyBytesMax), /longer/],
  ["bytes longer than the limit", new Uint8Array(limits.keyBytesMax), /longer/],
];

for (const [name, key, says] of refusals) {
  test(`refused as a key: ${name}`, () => {
    assert.throws(
      () => encoded(key as Key),
      (error) =>
        isSheafError(error) &&
        error.code === "KEY_INVALID" &&
        says.test(error.message) &&
        error.hint !== undefined,
    );
  });
}

test("keys up to the limit are taken", () => {
  const key = "a".repeat(limits.keyBytesMax - 1);
  assert.equal(encoded(key).length, limits.keyBytesMax);
});

test("bytes that begin no key are BLOCK_CORRUPT", () => {
  for (const bytes of [[0x00], [0xff], [0x40], [0x70, 0x50, 0x61], [0x70, 0x40]]) {
    assert.throws(
      () => decodeKey(Buffer.from(bytes), 0, bytes.length),
      { code: "BLOCK_CORRUPT" },
      String(bytes),
    );
  }
});

test("any key can be printed in a message", () => {
  assert.equal(printKey("a"), '"a"');
  assert.equal(printKey(Uint8Array.of(1, 255)), "bytes 01ff");
  assert.equal(printKey("x".repeat(1000)).length, 203);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  assert.match(printKey(cycle), /circular/i);
  assert.equal(printKey(undefined), "undefined");
});
