import { job, mean, stats, sum, text } from "sheaf";

const entry = /^(\S+) \S+ (\S+) \[([^\]]+)\] "(\w+) (\S+) [^"]*" (\d+) (\d+) ([\d.]+)$/;

export default job({
  input: text(),
  map(line, emit) {
    const found = entry.exec(line);
    if (found === null) return;
    const [, , , , , url = "", status = "", bytes, seconds] = found;
    emit([url.split("?")[0]!, status], { requests: 1, bytes: Number(bytes), seconds: Number(seconds) });
  },
  reduce: stats({ requests: sum(), bytes: sum(), seconds: mean() }),
});
