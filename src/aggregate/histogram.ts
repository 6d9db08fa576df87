import { printValue } from "../base/print-value.ts";
import type { Aggregator } from "../job/aggregator.ts";
import { positiveInteger, refuseArgument, refuseMore, refuseNumber, refuseValue } from "./refuse.ts";

const BINS_MAX_DEFAULT = 10_000;

export type HistogramOptions =
  | {
      /** Ascending bounds: n of them make n + 1 bins, the first and last of which are open. */
      readonly edges: readonly number[];
    }
  | {
      /**
       * Width of every bin. The bounds are start + i * width, computed in decimal where both have at most 15
       * digits: with a width of 0.1 the third is 0.3, as it prints, and 0.3 belongs to the bin from it.
       */
      readonly width: number;
      /** Where a bin starts. Default 0. */
      readonly start?: number;
      /** Bins held for one key at most; more throw VALUE_INVALID. Default 10,000. */
      readonly max?: number;
    };

/** Values from `from` (included) to `to` (excluded); null is an open end. */
export interface HistogramBin {
  readonly from: number | null;
  readonly to: number | null;
  readonly count: number;
}

/** Count per bin number. */
export type HistogramState = Map<number, number>;

/** Which bin a value is in, and what to call the bins. */
interface Bins {
  readonly max: number;
  binOf(value: number): number;
  result(state: HistogramState): HistogramBin[];
}

/**
 * How many values fall in which bin, in ascending order. With `edges` all bins are listed, with `width`
 * those that are not empty. Values: finite numbers; others throw VALUE_INVALID.
 */
export function histogram(options: HistogramOptions): Aggregator<number, HistogramBin[], HistogramState> {
  const bins = "edges" in options ? edgeBins(options.edges) : widthBins(options);
  const checkRoom = (state: HistogramState, bin: number): void => {
    if (state.size < bins.max || state.has(bin)) return;
    const hint = "Make the bins wider, or raise it: histogram({ width, max }).";
    throw refuseMore("histogram", bins.max, "bins", hint);
  };
  const put = (state: HistogramState, bin: number, count: number): void => {
    checkRoom(state, bin);
    state.set(bin, (state.get(bin) ?? 0) + count);
  };
  const binOf = (value: number): number => {
    if (!Number.isFinite(value)) throw refuseNumber("histogram", value);
    return bins.binOf(value);
  };
  return {
    kind: "histogram",
    spec: options,
    commutative: true,
    empty: () => new Map(),
    add(state, value) {
      put(state, binOf(value), 1);
      return state;
    },
    check: (state, value) => checkRoom(state, binOf(value)),
    merge(left, right) {
      for (const [bin, count] of right) put(left, bin, count);
      return left;
    },
    result: (state) => bins.result(state),
    pack: (state) => sorted(state).flat(),
    unpack(data) {
      const flat = data as number[];
      const state: HistogramState = new Map();
      for (let i = 0; i < flat.length; i += 2) state.set(flat[i]!, flat[i + 1]!);
      return state;
    },
    sizeOf: (state) => 100 + state.size * 40,
  };
}

function edgeBins(edges: readonly number[]): Bins {
  const ascending =
    Array.isArray(edges) && edges.every((edge, i) => Number.isFinite(edge) && !(edge <= edges[i - 1]!));
  if (!ascending || edges.length === 0) {
    const hint = "Give finite numbers, each larger than the one before it: [0, 10, 100].";
    throw refuseArgument("histogram", `edges are ${printValue(edges)}`, hint);
  }
  const bounds = Float64Array.from(edges);
  return {
    max: Infinity,
    binOf: (value) => edgesUpTo(bounds, value),
    result: (state) =>
      Array.from({ length: bounds.length + 1 }, (_, bin) => ({
        from: bounds[bin - 1] ?? null,
        to: bounds[bin] ?? null,
        count: state.get(bin) ?? 0,
      })),
  };
}

/** How many of the ascending bounds are not above `value`. */
function edgesUpTo(bounds: Float64Array, value: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bounds[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function widthBins(options: {
  readonly width: number;
  readonly start?: number;
  readonly max?: number;
}): Bins {
  const { width, start = 0 } = options;
  if (!(Number.isFinite(width) && width > 0)) {
    throw refuseArgument("histogram", `width is ${printValue(width)}`, "Give a finite number above 0.");
  }
  if (!Number.isFinite(start)) {
    throw refuseArgument("histogram", `start is ${printValue(start)}`, "Give a finite number.");
  }
  const from = decimalBounds(start, width) ?? ((bin: number): number => start + bin * width);
  return {
    max: positiveInteger("histogram", "max", options.max ?? BINS_MAX_DEFAULT),
    binOf(value) {
      let bin = Math.floor((value - start) / width);
      if (!Number.isSafeInteger(bin)) {
        throw refuseValue("histogram", value, `within 2^53 bins of ${width}`, "Make the bins wider.");
      }
      // The quotient is rounded: the bounds that are printed decide.
      while (value < from(bin)) bin--;
      while (value >= from(bin + 1)) bin++;
      return bin;
    },
    result: (state) => sorted(state).map(([bin, count]) => ({ from: from(bin), to: from(bin + 1), count })),
  };
}

/** Digits a decimal number may have to be taken for what somebody wrote, and not for a rounded result. */
const DIGITS_MAX = 15;

/**
 * The bounds start + bin * width, each the double nearest to the decimal number; undefined for numbers that
 * nobody writes, such as 1 / 3.
 */
function decimalBounds(start: number, width: number): ((bin: number) => number) | undefined {
  const [first, step] = [decimal(start), decimal(width)];
  if (first === undefined || step === undefined) return undefined;
  const exponent = Math.min(first.exponent, step.exponent);
  if (Math.max(first.exponent, step.exponent) - exponent > 30) return undefined;
  const from = first.digits * 10n ** BigInt(first.exponent - exponent);
  const by = step.digits * 10n ** BigInt(step.exponent - exponent);
  const [plainFrom, plainBy, scale] = [Number(from), Number(by), 10 ** -exponent];
  const plain = exponent <= 0 && exponent >= -22;
  return (bin) => {
    const units = plainFrom + bin * plainBy;
    // Both exact: their quotient is rounded once.
    if (plain && Math.abs(bin * plainBy) <= PLAIN_MAX && Math.abs(units) <= PLAIN_MAX) return units / scale;
    return Number(`${from + BigInt(bin) * by}e${exponent}`);
  };
}

/** Below this, integers and their sums are exact. */
const PLAIN_MAX = 2 ** 52;

/** digits * 10^exponent, as the number prints; undefined when it has too many digits. */
function decimal(x: number): { readonly digits: bigint; readonly exponent: number } | undefined {
  const [mantissa = "", power = "0"] = String(x).split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  if (String(digits).replace(/^-|0+$/g, "").length > DIGITS_MAX) return undefined;
  return { digits, exponent: Number(power) - fraction.length };
}

function sorted(state: HistogramState): [number, number][] {
  return [...state].sort((a, b) => a[0] - b[0]);
}
