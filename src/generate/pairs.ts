import { seededRandom } from "../base/random.ts";
import { COPY_SLACK } from "./cursor.ts";
import type { GeneratorDefinition } from "./generator.ts";

const FILLER_BYTES = 32_768;

/**
 * Lines of 2 and 3 keys in turn, then a tab and filler: 2.5 keys a line. Key number n of the whole data is a
 * fixed permutation of n mod `distinct`, so the first n keys hold exactly min(n, distinct) different ones,
 * and counts differ by at most one: results can be checked without counting.
 */
export const pairs: GeneratorDefinition = {
  kind: "pairs",
  summary: "lines of 2 and 3 keys in turn, then a tab and filler; every key is seen equally often",
  record: "line",
  options: [
    { name: "distinct", summary: "different keys", default: 1_000_000, min: 1, max: 2 ** 32, integer: true },
    { name: "line-bytes", summary: "length of a line", default: 100, min: 64, max: 65_536, integer: true },
  ],
  maker(random, option) {
    const distinct = option("distinct");
    const lineBytes = option("line-bytes");
    const width = String(distinct - 1).length;
    const permute = permutation(distinct, random.below(2 ** 32));
    const filler = fillerText(lineBytes);
    let next = 0;
    return {
      recordBytesMax: lineBytes,
      write(cursor, index) {
        const end = cursor.at + lineBytes - 1;
        const keys = index % 2 === 0 ? 2 : 3;
        for (let i = 0; i < keys; i++) {
          if (i > 0) cursor.byte(32);
          cursor.byte(107);
          cursor.padded(permute(next), width);
          if (++next === distinct) next = 0;
        }
        cursor.byte(9);
        const length = end - cursor.at;
        cursor.copyWords(filler, random.below(FILLER_BYTES), length);
        cursor.byte(10);
      },
    };
  },
};

/**
 * A bijection of [0, size): a four-round Feistel network over the next even power of two, walked until it
 * lands inside (J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
 */
export function permutation(size: number, seed: number): (n: number) => number {
  let half = 1;
  while (4 ** half < size) half++;
  const mask = 2 ** half - 1;
  const scale = 2 ** half;
  const round = (value: number, key: number): number => {
    let h = Math.imul(value ^ key, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
    return (h ^ (h >>> 13)) & mask;
  };
  const keys = seededRandom(seed);
  const [k0, k1, k2, k3] = [
    keys.below(2 ** 31),
    keys.below(2 ** 31),
    keys.below(2 ** 31),
    keys.below(2 ** 31),
  ];
  return (n) => {
    let value = n;
    do {
      let left = Math.floor(value / scale);
      let right = value & mask;
      left ^= round(right, k0);
      right ^= round(left, k1);
      left ^= round(right, k2);
      right ^= round(left, k3);
      value = left * scale + right;
    } while (value >= size);
    return value;
  };
}

/**
 * Letters and spaces that no compressor makes vanish; a line's filler may begin anywhere in the first
 * FILLER_BYTES.
 */
function fillerText(lineBytes: number): DataView {
  const random = seededRandom("pairs filler");
  const bytes = new Uint8Array(FILLER_BYTES + lineBytes + COPY_SLACK);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(7) === 0 ? 32 : 97 + random.below(26);
  return new DataView(bytes.buffer);
}
