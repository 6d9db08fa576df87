/**
 * HyperLogLog's arithmetic for hashes of 53 bits, which a number holds exactly. The first `precision` bits
 * of a hash choose one of m = 2^precision registers; a register keeps the largest rank seen: the place of
 * the first 1 among the other q = 53 - precision bits, or q + 1 when they are all zero.
 */

const HASH_BITS = 53;
const LOW_BITS = 21;

/** The hash of two 32-bit lanes: all bits of the first, the upper 21 of the second. */
export function hashOf(high: number, low: number): number {
  return high * 2 ** LOW_BITS + (low >>> (32 - LOW_BITS));
}

/** Raises the register of `hash`. `registers` has 2^precision bytes. */
export function putHash(registers: Uint8Array, precision: number, hash: number): void {
  const high = Math.floor(hash / 2 ** LOW_BITS);
  const low = hash % 2 ** LOW_BITS;
  const index = high >>> (32 - precision);
  const rest = (high << precision) >>> 0;
  const rank = rest !== 0 ? Math.clz32(rest) + 1 : 32 - precision + Math.clz32(low) - (32 - LOW_BITS) + 1;
  if (rank > registers[index]!) registers[index] = rank;
}

/**
 * The number of distinct hashes behind the registers: Otmar Ertl's improved raw estimator, which needs no
 * tables of corrections and no switch between ranges ("New cardinality estimation algorithms for
 * HyperLogLog sketches", arXiv:1702.01284, algorithm 6).
 */
export function estimateCount(registers: Uint8Array, precision: number): number {
  const m = registers.length;
  const q = HASH_BITS - precision;
  const counts = new Float64Array(q + 2);
  for (let i = 0; i < m; i++) {
    const rank = registers[i]!;
    counts[rank] = counts[rank]! + 1;
  }
  let z = m * tau(1 - counts[q + 1]! / m);
  for (let rank = q; rank >= 1; rank--) z = 0.5 * (z + counts[rank]!);
  z += m * sigma(counts[0]! / m);
  return ((m / (2 * Math.LN2)) * m) / z;
}

/** x + the sum of x^(2^k) * 2^(k-1) for k from 1: for registers that are still 0. */
function sigma(x: number): number {
  if (x === 1) return Infinity;
  let power = x;
  let weight = 1;
  let sum = x;
  for (let before = Number.NaN; sum !== before;) {
    before = sum;
    power *= power;
    sum += power * weight;
    weight += weight;
  }
  return sum;
}

/** Its counterpart for registers that are full. */
function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let root = x;
  let weight = 1;
  let sum = 1 - x;
  for (let before = Number.NaN; sum !== before;) {
    before = sum;
    root = Math.sqrt(root);
    weight *= 0.5;
    sum -= (1 - root) ** 2 * weight;
  }
  return sum / 3;
}
