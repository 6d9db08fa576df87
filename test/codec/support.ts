import fc from "fast-check";
import { encodeKey, keySizeMax } from "#src/codec/key-codec.js";
import { desc, plainKey } from "#src/job/descending.js";
import type { Key } from "#src/job/key.js";

/** Text that encoders trip over: NULs, surrogate pairs, the highest units, long ASCII, empty. */
export const arbitraryText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom(
      "\0",
      "\u0001",
      "a",
      "b",
      "\x7f",
      "\u0080",
      "\ud7ff",
      "\ue000",
      "\uffff",
      "😀",
      "\u{10ffff}",
    ),
    maxLength: 6,
  }),
  fc.string({ unit: fc.constantFrom("a", "b", "é"), minLength: 40, maxLength: 60 }),
);

const arbitraryNumber: fc.Arbitrary<number> = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.constantFrom(
    0,
    -0,
    Infinity,
    -Infinity,
    Number.MIN_VALUE,
    -Number.MIN_VALUE,
    Number.MAX_SAFE_INTEGER,
    2 ** 53,
    -1,
    1,
  ),
);

const arbitraryBytes: fc.Arbitrary<Uint8Array> = fc
  .array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 5 })
  .map((bytes) => Uint8Array.from(bytes));

/** Keys of every kind, arrays nested. */
export const arbitraryKey: fc.Arbitrary<Key> = fc.letrec<{ key: Key }>((tie) => ({
  key: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    arbitraryNumber,
    arbitraryText,
    arbitraryBytes,
    fc.array(tie("key"), { maxLength: 4 }),
    tie("key").map(desc),
  ),
})).key;

export function encoded(key: Key): Buffer {
  const bytes = Buffer.alloc(keySizeMax(key) + 8, 0xa5);
  return bytes.subarray(0, encodeKey(bytes, 0, key));
}

/** What a key is when it comes back: -0 is 0, and desc() is gone. */
export function normal(emitted: Key): Key {
  const key = plainKey(emitted);
  if (typeof key === "number") return key === 0 ? 0 : key;
  return Array.isArray(key) ? (key as readonly Key[]).map(normal) : key;
}
