import { csv, job, jsonl, max, tsv } from "sheaf";

/** Whatever shows time zone or locale when it is done wrong: dates, case, numbers, order. */
export default job({
  input: csv({ columns: { id: "integer", name: "string", at: "date", amount: "number" } }),
  collections: {
    tsv: { output: tsv() },
    csv: { output: csv() },
    jsonl: { output: jsonl() },
    sorted: { order: "total" },
    names: { reduce: max() },
    hours: { reduce: (hour: number, dates: Iterable<Date>) => [hour, ...dates], output: jsonl() },
  },
  map(row, emit, ctx) {
    const at = new Date(row.at.getTime() + 1);
    emit.tsv(row.id, at);
    emit.csv(row.id, { at, amount: row.amount });
    emit.jsonl(row.name, { at, dates: new Set([at]), amount: row.amount, of: ctx.random() });
    emit.sorted(row.name, at);
    emit.names(row.name.toLowerCase(), row.amount);
    emit.hours(at.getUTCHours(), at);
    ctx.count(row.name.toUpperCase());
  },
});
