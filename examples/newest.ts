// The newest version of each record: of all rows with the same id the one with the latest time, and of those
// with the same time the first. It combines before the shuffle: one row per id and map task travels.
//
//   sheaf run newest.ts 'exports/*.jsonl' -o newest
//
// exports/*.jsonl: {"id":"a7","updated":"2024-05-01T10:00:00Z",...}. Times as ISO 8601 in UTC compare as
// texts.
// newest/part-*.jsonl: {"key":"a7","value":{"id":"a7",...}}
import { job, jsonl } from "sheaf";

interface Row {
  readonly id: string;
  readonly updated: string;
}

function newest(_id: string, rows: Iterable<Row>): Row | undefined {
  let best: Row | undefined;
  for (const row of rows) if (best === undefined || row.updated > best.updated) best = row;
  return best;
}

export default job({
  input: jsonl<Row>(),
  map(row, emit) {
    emit(row.id, row);
  },
  combine: (id, rows) => newest(id, rows)!,
  reduce: newest,
  output: jsonl(),
});
