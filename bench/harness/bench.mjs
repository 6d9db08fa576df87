// What a case gets to work with: data, settings, and the two kinds of table.
import { statSync } from "node:fs";
import { contest } from "./contest.mjs";
import { formatSize } from "./size.mjs";

export class Bench {
  /** @param settings {data, bytes, rounds, workers, seed, textPath, log} */
  constructor(settings) {
    Object.assign(this, settings);
  }

  /** A file of text of this size: generated, or the file given by --text, repeated. */
  text(bytes) {
    if (this.textPath !== undefined) return this.data.repeated(this.textPath, bytes);
    return this.data.generated("text", { seed: this.seed, bytes });
  }

  sizeOf(path) {
    return formatSize(statSync(path).size);
  }

  /** Ratio of a row: its time over sheaf's. Above 1, sheaf is faster. */
  async table(title, contenders, { input, rounds = this.rounds }) {
    this.log(title);
    const rows = await contest(contenders, { rounds, log: this.log });
    const sheaf = rows.find((row) => row.name === "sheaf");
    const bytes = statSync(input).size;
    return {
      title,
      ratioName: "time / sheaf's",
      rows: rows.map((row) => ({
        ...row,
        megabytesPerSecond: row.seconds === null ? null : bytes / row.seconds / 1e6,
        ratio: row.seconds === null || sheaf.seconds === null ? null : row.seconds / sheaf.seconds,
      })),
    };
  }

  /** Ratio of a row: its throughput over the first row's. 1 is linear growth. */
  async growthTable(title, contenders) {
    this.log(title);
    const rows = await contest(contenders, { rounds: 1, log: this.log });
    const speeds = rows.map((row, i) =>
      row.seconds === null ? null : contenders[i].bytes / row.seconds / 1e6,
    );
    return {
      title,
      ratioName: "speed / first's",
      rows: rows.map((row, i) => ({
        ...row,
        megabytesPerSecond: speeds[i],
        ratio: speeds[i] === null || speeds[0] === null ? null : speeds[i] / speeds[0],
      })),
    };
  }
}
