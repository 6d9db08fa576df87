import type { Aggregator, NumericState } from "../job/aggregator.ts";
import { initRow, mergeNumericRow, packRow, slotsOf, unpackRow } from "./numeric-row.ts";

/** Bytes of a typed array object besides its data. */
const ROW_OVERHEAD_BYTES = 120;

/** The generic functions of an aggregator whose state is a numeric row: the state is a row of its own. */
export function numericAggregator<V, O>(
  kind: string,
  spec: unknown,
  numeric: NumericState<V, O>,
): Aggregator<V, O, Float64Array> {
  const slots = slotsOf(numeric.ops);
  const scratch = new Float64Array(slots);
  return {
    kind,
    spec,
    numeric,
    commutative: true,
    empty() {
      const row = new Float64Array(slots);
      initRow(numeric.ops, row, 0);
      return row;
    },
    add(row, value) {
      numeric.add(row, 0, value);
      return row;
    },
    check(_row, value) {
      // What a row takes depends on the value alone.
      initRow(numeric.ops, scratch, 0);
      numeric.add(scratch, 0, value);
    },
    merge(left, right) {
      mergeNumericRow(numeric.ops, left, 0, right, 0);
      return left;
    },
    result: (row) => numeric.result(row, 0),
    pack: packRow,
    unpack: (data) => unpackRow(numeric.ops, data as (number | null)[]),
    sizeOf: () => slots * 8 + ROW_OVERHEAD_BYTES,
  };
}
