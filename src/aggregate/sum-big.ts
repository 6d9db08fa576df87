import type { Aggregator } from "../job/aggregator.ts";
import { refuseValue } from "./refuse.ts";

/** The sum is `big + small`; numbers gather in `small` for as long as it stays a safe integer. */
export interface BigSum {
  big: bigint;
  small: number;
}

/**
 * The exact sum of integers of any size, as a bigint; 0n for none.
 * Values: bigints and safe integers; others throw VALUE_INVALID.
 */
export function sumBig(): Aggregator<number | bigint, bigint, BigSum> {
  return {
    kind: "sumBig",
    spec: null,
    commutative: true,
    estimated: "sum",
    empty: () => ({ big: 0n, small: 0 }),
    add(state, value) {
      checkInteger(value);
      if (typeof value === "bigint") state.big += value;
      else addNumber(state, value);
      return state;
    },
    check: (_state, value) => checkInteger(value),
    merge(left, right) {
      left.big += right.big;
      addNumber(left, right.small);
      return left;
    },
    result: (state) => state.big + BigInt(state.small),
    pack: (state) => state.big + BigInt(state.small),
    unpack: (data) => ({ big: data as bigint, small: 0 }),
    sizeOf: (state) => 64 + bytesOf(state.big),
  };
}

function checkInteger(value: unknown): void {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return;
  const hint = "Emit bigints, or integers within 2^53 - 1; use sum() for other numbers.";
  throw refuseValue("sumBig", value, "a bigint or a safe integer", hint);
}

function addNumber(state: BigSum, value: number): void {
  const small = state.small + value;
  if (Number.isSafeInteger(small)) {
    state.small = small;
  } else {
    state.big += BigInt(state.small) + BigInt(value);
    state.small = 0;
  }
}

function bytesOf(big: bigint): number {
  return big === BigInt.asIntN(64, big) ? 24 : 16 + big.toString(16).length / 2;
}
