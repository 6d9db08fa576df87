// A web server's log in the combined format: requests per status, and per page the requests, the bytes and
// the share of errors. Lines that are no log lines are counted; more than 5 % of them fail the job and leave
// earlier output as it was.
//
//   sheaf gen accesslog access.log --records 100000
//   sheaf run access-log.ts access.log -o report
//
// report/status/part-*.tsv: "404<tab>1234"; report/page/part-*.jsonl: one object per page.
import { count, job, jsonl, mean, stats, sum, text } from "sheaf";

const LINE = /^\S+ \S+ \S+ \[[^\]]+\] "(?:GET|POST|HEAD|PUT|DELETE) (\S+) [^"]*" (\d{3}) (\d+|-)/;

export default job({
  input: text({ invalid: "replace" }),
  collections: {
    status: { reduce: count() },
    page: {
      reduce: stats({ requests: count(), bytes: sum(), errors: mean() }),
      output: jsonl(),
    },
  },
  map(line, emit, ctx) {
    ctx.count("lines");
    const match = LINE.exec(line);
    if (match === null) return ctx.count("broken");
    const [, path = "", status = "", bytes = ""] = match;
    emit.status(Number(status));
    emit.page(path.split("?")[0] ?? path, {
      bytes: bytes === "-" ? 0 : Number(bytes),
      errors: status >= "400" ? 1 : 0,
    });
  },
  expect: ({ broken = 0, lines = 0 }) =>
    broken <= lines * 0.05 || `${broken} of ${lines} lines are no log lines`,
});
