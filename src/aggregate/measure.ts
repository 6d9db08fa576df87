import { SheafError } from "../base/errors.ts";
import { plainKey } from "../job/descending.ts";
import { compareKeys } from "../job/key-order.ts";
import type { Key } from "../job/key.ts";
import { refuseValue } from "./refuse.ts";

/**
 * What items are compared by, in the order of keys: a number, a text, or an array of these that settles
 * ties.
 */
export type Measure = Key;

/** Options of aggregators that compare items. */
export interface MeasureOptions<V> {
  /** What an item is compared by. A pure function. */
  readonly by: (item: V) => Measure;
}

/** Compares measures; plain numbers, the usual case, first. */
export function compareMeasures(a: Measure, b: Measure): number {
  // Not a - b: of two infinities that is NaN.
  return typeof a === "number" && typeof b === "number" ? (a < b ? -1 : a > b ? 1 : 0) : compareKeys(a, b);
}

/** @throws SheafError VALUE_INVALID when `measure` is NaN or nothing that can be compared. */
export function checkMeasure(kind: string, measure: Measure, item: unknown): Measure {
  if (typeof measure === "number" && Number.isFinite(measure)) return measure;
  if (plainKey(measure) !== measure) {
    const hint = "desc() is for keys. Negate a number, or use argMin.";
    throw refuseValue(kind, measure, `a measure for ${typeof item} items`, hint);
  }
  try {
    compareKeys(measure, measure);
    return measure;
  } catch (cause) {
    if (cause instanceof SheafError) {
      const hint = "Measures are numbers (not NaN), strings, or arrays of these, like keys.";
      throw refuseValue(kind, measure, `a measure for ${typeof item} items`, hint);
    }
    throw cause;
  }
}
