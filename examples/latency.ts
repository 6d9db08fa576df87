// How long requests took, per path: how many there were, the median, the 90th and the 99th percentile. Logs
// may be compressed; each .gz file is one task.
//
//   sheaf run latency.ts 'logs/*.log.gz' -o latency
//
// A line of the log: "2024-05-01T10:00:00Z GET /cart 200 183" (the last number is milliseconds).
// latency/part-*.jsonl: {"key":"/cart","value":{"requests":812,"ms":[120,310,900]}}. Percentiles of more than
// 256 values are within 1 %.
import { count, job, jsonl, quantiles, stats, text } from "sheaf";

const LINE = /^\S+ [A-Z]+ (\/\S*) \d{3} (\d+)$/;

export default job({
  input: text(),
  map(line, emit, ctx) {
    const match = LINE.exec(line);
    if (match === null) return ctx.count("lines of another form");
    emit(match[1]!, { requests: null, ms: Number(match[2]) });
  },
  reduce: stats({ requests: count(), ms: quantiles([0.5, 0.9, 0.99]) }),
  output: jsonl(),
});
