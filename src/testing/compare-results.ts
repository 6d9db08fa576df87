import { equalValues } from "../base/equal-values.ts";
import { printValue } from "../base/print-value.ts";
import { compareKeys } from "../job/key-order.ts";
import type { Key } from "../job/key.ts";
import type { Pair } from "./interpret-map.ts";

/** The first key whose results differ, with what each side has for it. */
export interface Difference {
  readonly key: Key;
  readonly expected: readonly unknown[];
  readonly actual: readonly unknown[];
}

/** Results in key order; those of one key stay in the order they came. */
export function sortResults(results: readonly Pair[]): Pair[] {
  return [...results].sort((a, b) => compareKeys(a[0], b[0]));
}

/**
 * The first difference between results that are in key order. Results of one key may come in any order.
 * @param tolerance relative difference that two numbers may have; 0 for none
 */
export function findDifference(
  expected: readonly Pair[],
  actual: readonly Pair[],
  tolerance: number,
): Difference | undefined {
  for (let i = 0, j = 0; i < expected.length || j < actual.length;) {
    const key = smallerKey(expected[i], actual[j]);
    const [wanted, got]: [unknown[], unknown[]] = [[], []];
    for (; i < expected.length && compareKeys(expected[i]![0], key) === 0; i++) wanted.push(expected[i]![1]);
    for (; j < actual.length && compareKeys(actual[j]![0], key) === 0; j++) got.push(actual[j]![1]);
    if (equalValues(wanted, got, tolerance)) continue;
    if (equalValues(byText(wanted), byText(got), tolerance)) continue;
    return { key, expected: wanted, actual: got };
  }
  return undefined;
}

function smallerKey(a: Pair | undefined, b: Pair | undefined): Key {
  if (a === undefined) return b![0];
  if (b === undefined) return a[0];
  return compareKeys(a[0], b[0]) <= 0 ? a[0] : b[0];
}

function byText(values: readonly unknown[]): unknown[] {
  const keyed = values.map((value): [string, unknown] => [printValue(value, Infinity), value]);
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, value]) => value);
}
