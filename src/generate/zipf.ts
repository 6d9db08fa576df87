import type { Random } from "../base/random.ts";

/**
 * Draws ranks 0 ... size-1 with probability proportional to 1 / (rank + 1 + shift) in constant time: Walker's
 * alias method (A. J. Walker 1977, tables by M. D. Vose 1991). Exponent 1 on purpose: it needs only division,
 * which IEEE 754 makes the same everywhere, where Math.pow may differ in the last bit between versions of V8.
 *
 *   column i:  [ i with probability keep[i] | other[i] with the rest ]
 */
export function zipfRanks(random: Random, size: number, shift: number): () => number {
  const keep = new Float64Array(size);
  const other = new Uint32Array(size);
  let total = 0;
  for (let i = 0; i < size; i++) total += keep[i] = 1 / (i + 1 + shift);
  for (let i = 0; i < size; i++) keep[i] = (keep[i]! / total) * size;

  const small: number[] = [];
  const large: number[] = [];
  for (let i = 0; i < size; i++) (keep[i]! < 1 ? small : large).push(i);
  while (small.length > 0 && large.length > 0) {
    const low = small.pop()!;
    const high = large.pop()!;
    other[low] = high;
    keep[high] = keep[high]! + keep[low]! - 1;
    (keep[high]! < 1 ? small : large).push(high);
  }
  // What is left differs from 1 by rounding only.
  for (const i of small) keep[i] = 1;
  for (const i of large) keep[i] = 1;

  // Both halves of a column side by side: a draw then costs one cache miss, not two.
  const columns = new Uint32Array(2 * size);
  for (let i = 0; i < size; i++) {
    columns[2 * i] = Math.min(0xffff_ffff, Math.floor(keep[i]! * 0x1_0000_0000));
    columns[2 * i + 1] = keep[i]! < 1 ? other[i]! : i;
  }
  return () => {
    const place = random.next() * size;
    const column = Math.floor(place);
    const within = (place - column) * 0x1_0000_0000;
    return within < columns[2 * column]! ? column : columns[2 * column + 1]!;
  };
}
