import type { Aggregator } from "../job/aggregator.ts";
import { estimateCount, hashOf, putHash } from "./hyper-log-log.ts";
import { murmur3 } from "./murmur3.ts";
import { refuseArgument } from "./refuse.ts";
import type { Comparable } from "./value-bytes.ts";
import { CanonicalBytes } from "./value-bytes.ts";

const PRECISION_DEFAULT = 14;

export interface DistinctApproxOptions {
  /**
   * Base 2 logarithm of the number of registers, 4 to 18: the standard error is 1.04 / sqrt(2^precision),
   * the state at most 2^precision bytes. Default 14: 0.81 %, 16 KiB.
   */
  readonly precision?: number;
}

/** Few values: their hashes. Many: the registers. */
export type DistinctSketch = { hashes: Set<number> | null; registers: Uint8Array };

const NO_REGISTERS = new Uint8Array(0);

/**
 * About how many different values a key has, however many that are, rounded to an integer: HyperLogLog.
 * Exact (but for collisions of 53-bit hashes) up to 2^precision / 32 different values, 512 by default;
 * beyond that the standard error is 0.81 %. The state is a union of sets, then a maximum per register, so
 * order, splits and memory never show in the result. Values as for `distinct()`.
 *
 * Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
 * algorithm" (2007).
 */
export function distinctApprox(
  options: DistinctApproxOptions = {},
): Aggregator<Comparable, number, DistinctSketch> {
  const precision = options.precision ?? PRECISION_DEFAULT;
  if (!Number.isInteger(precision) || precision < 4 || precision > 18) {
    throw refuseArgument("distinctApprox", `precision is ${precision}`, "Give an integer from 4 to 18.");
  }
  const hashesMax = Math.max(1, 2 ** precision / 32);
  const canonical = new CanonicalBytes("distinctApprox");
  const lanes = new Uint32Array(2);
  const put = (state: DistinctSketch, hash: number): void => {
    if (state.hashes === null) {
      putHash(state.registers, precision, hash);
    } else {
      state.hashes.add(hash);
      if (state.hashes.size > hashesMax) useRegisters(state, precision);
    }
  };
  return {
    kind: "distinctApprox",
    spec: { precision },
    commutative: true,
    empty: () => ({ hashes: new Set(), registers: NO_REGISTERS }),
    add(state, value) {
      murmur3(canonical.buffer, canonical.write(value), lanes);
      put(state, hashOf(lanes[0]!, lanes[1]!));
      return state;
    },
    check: (_state, value) => void canonical.write(value),
    merge(left, right) {
      if (right.hashes !== null) {
        for (const hash of right.hashes) put(left, hash);
      } else {
        useRegisters(left, precision);
        raiseAll(left.registers, right.registers);
      }
      return left;
    },
    result: (state) => state.hashes?.size ?? Math.round(estimateCount(state.registers, precision)),
    pack: (state) => (state.hashes === null ? state.registers : [...state.hashes].sort((a, b) => a - b)),
    unpack: (data) =>
      data instanceof Uint8Array
        ? { hashes: null, registers: Uint8Array.from(data) }
        : { hashes: new Set(data as number[]), registers: NO_REGISTERS },
    sizeOf: (state) => 100 + state.registers.length + (state.hashes?.size ?? 0) * 40,
  };
}

function useRegisters(state: DistinctSketch, precision: number): void {
  if (state.hashes === null) return;
  state.registers = new Uint8Array(2 ** precision);
  for (const hash of state.hashes) putHash(state.registers, precision, hash);
  state.hashes = null;
}

function raiseAll(registers: Uint8Array, others: Uint8Array): void {
  for (let i = 0; i < others.length; i++) {
    if (others[i]! > registers[i]!) registers[i] = others[i]!;
  }
}
