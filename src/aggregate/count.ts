import type { Aggregator } from "../job/aggregator.ts";
import { numericAggregator } from "./numeric-aggregator.ts";

/** How many values a key has. The values do not matter and can be left out: `emit(key)`. */
export function count(): Aggregator<unknown, number, Float64Array> {
  const made = numericAggregator<unknown, number>("count", null, {
    ops: ["count"],
    folds: ["one"],
    countsOnly: true,
    takesNumber: true,
    add(row, at) {
      row[at] = row[at]! + 1;
    },
    result: (row, at) => row[at]!,
  });
  return { ...made, estimated: "count" };
}
