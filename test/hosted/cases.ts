import { gzipSync } from "node:zlib";
import type { HostedRunOptions } from "#src/engine/options.js";
import { generated } from "../examples/support.ts";

/** A job that gives the same files and counters wherever it runs. */
export interface Case {
  /** What is in it. */
  readonly name: string;
  /** An example, "sort.ts", or the text of a job file. */
  readonly job: { readonly example: string; readonly with?: readonly string[] } | { readonly text: string };
  /** Files by name, made below the directory of each run. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** What it is given, relative to that directory. Default: all files. */
  readonly inputs?: readonly string[];
  /** Default: 2 maps, 2 partitions. */
  readonly options?: Pick<HostedRunOptions, "mappers" | "partitions" | "params" | "maxBad">;
  /** At least so many counters. Default 0. */
  readonly counters?: number;
  readonly bad?: number;
  /** One of the few that every run of the tests has. */
  readonly isQuick?: boolean;
}

const book = generated("text", { seed: 21, bytes: 60_000, options: { "non-ascii": 0.05 } });
const events = generated("jsonl", { seed: 22, records: 2_000, options: { users: 60 } });
const orders = generated("csv", { seed: 23, records: 1_500, options: {} });
const log = generated("accesslog", { seed: 24, records: 1_500, options: { broken: 0.03 } });

const lines = (count: number, line: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => `${line(n)}\n`).join("");
const jsonLines = (count: number, record: (n: number) => object): string =>
  lines(count, (n) => JSON.stringify(record(n)));
const requests = (count: number): Uint8Array =>
  gzipSync(
    lines(count, (n) =>
      n % 40 === 7 ? "?" : `2024-05-01T10:00:00Z GET /p${n % 9} 200 ${(n * 7919) % 1_000}`,
    ),
  );

const of = (example: string, rest: Omit<Case, "name" | "job">): Case => ({
  name: `examples/${example}`,
  job: { example },
  ...rest,
});

/** All of examples/ that are jobs or pipelines and that no place refuses. */
const examples: readonly Case[] = [
  of("access-log.ts", { files: { "access.log": log } }),
  of("by-date.ts", { files: { "orders.csv": orders } }),
  of("collections.ts", {
    files: {
      "letters.jsonl": jsonLines(600, (n) => ({
        author: `a${n % 9}`,
        age: n % 80,
        text: `It is. Été ${n % 40}!`,
      })),
    },
    options: { mappers: 2 },
  }),
  of("custom-format.ts", {
    files: {
      status: lines(400, (n) => `Package: p${n}\nSection: s${n % 7} & <b>\nInstalled-Size: ${n * 13}\n`),
    },
  }),
  of("descending-sort.ts", {
    files: { "numbers.txt": lines(2_000, (n) => `${((n * 7_919) % 4_001) * [1, -1, 0.125, 1e-7][n % 4]!}`) },
    options: { mappers: 3, partitions: 3 },
  }),
  of("grep.ts", { files: { "book.txt": book }, options: { mappers: 3, params: { pattern: "[aeiou]n" } } }),
  of("inverted-index.ts", { files: { "a.txt": book.slice(0, 9_000), "b.txt": book.slice(5_000, 20_000) } }),
  of("join.ts", {
    files: {
      "customers.csv": `id,name\n${lines(40, (n) => `${n},"Nr ${n}, ü"`)}`,
      "orders/1.jsonl": jsonLines(300, (n) => ({ customer: (n * 7) % 50, amount: n / 4 })),
      "orders/2.jsonl": jsonLines(100, (n) => ({ customer: n % 45, amount: n })),
    },
    inputs: ["customers=customers.csv", "orders=orders/*.jsonl"],
  }),
  of("latency.ts", {
    files: { "logs/1.log.gz": requests(900), "logs/2.log.gz": requests(500) },
    inputs: ["logs/*.log.gz"],
  }),
  of("networks.ts", { files: { "access.log": log } }),
  of("newest.ts", {
    files: {
      "a.jsonl": jsonLines(500, (n) => ({ id: `i${n % 90}`, updated: `2024-05-0${(n * 7) % 9}`, n })),
      "b.jsonl": jsonLines(500, (n) => ({ id: `i${n % 80}`, updated: `2024-05-0${(n * 5) % 9}`, n: -n })),
    },
  }),
  of("one-billion-row.ts", {
    files: { "measurements.txt": generated("measurements", { seed: 25, records: 5_000 }) },
  }),
  of("secondary-sort.ts", { files: { "events.jsonl": events } }),
  of("slot-machine.ts", { files: {}, options: { params: { spins: 20_000 } } }),
  of("sort.ts", {
    files: { "big.txt": `${generated("terasort", { seed: 26, records: 1_500 })}été\n日本\n\n` },
    options: { mappers: 3, partitions: 3 },
  }),
  of("top-k.ts", { files: { "orders.csv": orders } }),
  of("visitors.ts", { files: { "events.jsonl": events } }),
  of("wordcount.ts", { files: { "book.txt": book } }),
  of("words.ts", { files: { "book.txt": book } }),
  // Nothing moves in a ring: three steps, of which one is a loop that ends after its first round.
  of("pagerank-loop.ts", { files: { "links.tsv": lines(5, (n) => `p${n}\tp${(n + 1) % 5}`) } }),
  {
    ...of("score-loop.ts", {
      files: { "views.tsv": lines(200, (n) => `u${n % 17}\ti${(n * n) % 11}`) },
      inputs: ["count=views.tsv", "weigh.views=views.tsv"],
    }),
    job: { example: "score-loop.ts", with: ["score-items.mjs"] },
  },
];

const wordJob = `
  import { job, sum, text } from "sheaf";
  export default job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });`;

const compressed = Object.fromEntries(
  Array.from({ length: 5 }, (_, n): [string, string | Uint8Array] => {
    const text = `Füße und 日本 ${n}\r\nthe the\tthe end ${"x".repeat(n)}\n`.repeat(200 * n);
    return n % 2 === 0 ? [`in/${n}.txt`, text] : [`in/${n}.txt.gz`, gzipSync(text)];
  }),
);

const visits = lines(3_000, (n) =>
  n === 1_000 || n === 1_001 ? `broken${n}` : `user${(n * 7) % 13} ${(n * 7_919) % 10_007} p${n}`,
);

const kinds: readonly Case[] = [
  {
    name: "words of many files, some of them compressed, by a partitioner, with 200 counters",
    job: {
      text: `
        import { job, sum, text } from "sheaf";
        export default job({
          input: text(),
          map(line, emit, ctx) {
            for (const word of line.split(/\\s+/)) {
              ctx.count("letters, " + (word.length * 37 + word.charCodeAt(0)) % 200, word.length);
              emit(word, 1);
            }
            for (let n = 0; n < 200; n++) ctx.count("counter " + n);
          },
          reduce: sum(),
          // The last of them gets nothing.
          partition: (word, partitions) => word.length % (partitions - 1),
        });`,
    },
    files: compressed,
    inputs: ["in/*"],
    options: { mappers: 4, partitions: 4 },
    counters: 200,
    isQuick: true,
  },
  {
    name: "collections: sorted values, order over all, without a reduce, bytes as values, bad records",
    job: {
      text: `
        import { desc, job, jsonl, text, tsv } from "sheaf";
        export default job({
          input: text(),
          collections: {
            visits: {
              groupBy: 1,
              partitions: 3,
              reduce: (user, pages) => [...pages].slice(0, 40).join(" "),
              output: tsv(),
            },
            sorted: { order: "total", partitions: 2, output: tsv() },
            lines: { output: tsv() },
            bytes: {
              partitions: 2,
              reduce: (key, values) => [...values].map((one) => Buffer.from(one).toString("hex")),
              output: jsonl(),
            },
          },
          map(line, emit, ctx) {
            const [user, time, page] = line.split(" ");
            if (time === undefined) throw new RangeError("no time");
            emit.visits([user, desc(Number(time))], page);
            emit.sorted(Number(time), page);
            emit.lines(user, time);
            if (time % 50 === 0) emit.bytes(user, new Uint8Array([0, 10, 9, 13, 255, 0x80, time & 255]));
            ctx.count("lines");
          },
        });`,
    },
    files: { "in.txt": visits },
    options: { mappers: 3, maxBad: 5 },
    counters: 1,
    bad: 2,
    isQuick: true,
  },
  {
    name: "records of 5 MB",
    job: {
      text: `
        import { job, text } from "sheaf";
        export default job({
          input: text({ maxRecordBytes: "16MiB" }),
          map: (line, emit) => emit(line[0], line),
          reduce: (key, values) => [...values].join("|"),
        });`,
    },
    files: {
      "in.txt": `${[0, 1, 2, 1].map((n) => String.fromCodePoint(97 + n).repeat(5 << 20)).join("\n")}\nshort\n`,
    },
  },
  {
    name: "an empty input, whose partitions are all empty",
    job: { text: wordJob },
    files: { "in.txt": "" },
    options: { partitions: 3 },
  },
  {
    name: "an empty file among others, and partitions that nothing is led to",
    job: { text: wordJob },
    files: { "a.txt": "", "b.txt": "only\n".repeat(50), "c.txt": "" },
    options: { mappers: 3, partitions: 5 },
  },
  {
    name: "without a reduce maps write the output",
    job: {
      text: `
        import { job, text } from "sheaf";
        export default job({ input: text(), map: (line, emit) => emit(line.toUpperCase(), line.length) });`,
    },
    files: { "a.txt": "one\ntwo\nthree\n".repeat(1_000), "b.txt": "last\n" },
    options: { mappers: 3 },
    isQuick: true,
  },
  {
    name: "neither map nor reduce has anything to write",
    job: {
      text: `
        import { job, text } from "sheaf";
        export default job({ input: text(), map: (line, emit, ctx) => ctx.count("seen") });`,
    },
    files: { "a.txt": "one\ntwo\n" },
    counters: 1,
  },
  {
    name: "lines with every byte there is, CR and NUL among them, as keys and as values",
    job: {
      text: `
        import { job, text } from "sheaf";
        export default job({
          input: text({ invalid: "replace" }),
          map(line, emit) {
            emit(line, Buffer.from(line, "utf8"));
            emit([line.length, line.slice(0, 3)], new Uint8Array(line.length % 7));
          },
          reduce: (key, values) => [...values].map((one) => Buffer.from(one).toString("base64")).join(),
        });`,
    },
    files: {
      "in.bin": Buffer.from(Array.from({ length: 8_192 }, (_, at) => (at * 31 + (at >> 8) * 7) % 256)),
      "cr.txt": "a\rb\r\nc\n\r\n\0\0\n\ttab\t\n",
    },
    options: { mappers: 2, partitions: 3 },
  },
  {
    name: "keys of all kinds, a combiner, and numbers that only bigints hold",
    job: {
      text: `
        import { job, text } from "sheaf";
        const least = (key, values) => [...values].reduce((a, b) => (b < a ? b : a));
        export default job({
          input: text(),
          map(line, emit, ctx) {
            const n = Number(line);
            const mixed = [n % 3, ["x", n % 4]];
            for (const key of [n % 5, -n / 3, String(n % 7), n % 2 === 0, null, mixed])
              emit(key, 2n ** 70n - BigInt(n));
            ctx.count("zwölf, " + (n % 3), n);
          },
          combine: least,
          reduce: (key, values) => String(least(key, values)),
        });`,
    },
    files: { "in.txt": lines(400, String) },
    options: { mappers: 3, partitions: 3 },
    counters: 3,
  },
  {
    name: "programs: a total order by a sample of what they write, collections, counters",
    job: {
      text: `
        import { exec, job, text } from "sheaf";
        const split = \`{ for (i = 1; i <= NF; i++) print "counts\\t" $i "\\t1" }
          { print "order\\t" NR % 97 "\\t" $1; print "seen\\t" length($0); n++ }
          END { print "reporter:counter:lines,all," n > "/dev/stderr" }\`;
        export default job({
          input: text(),
          collections: {
            counts: { reduce: exec(["sh", "-c", "cut -f1 | uniq -c"]) },
            order: { order: "total", partitions: 3 },
            seen: {},
          },
          map: exec(["awk", split], { env: { LC_ALL: "C" } }),
        });`,
    },
    files: { "a.txt": book.slice(0, 40_000), "b.txt": "to be or not to be\n".repeat(20) },
    counters: 1,
  },
  {
    name: "a pipeline of three steps: records, then files, then an order over all",
    job: {
      text: `
        import { from, job, pipeline, sum, text, tsv } from "sheaf";
        const words = job({
          input: text(),
          map(line, emit, ctx) {
            ctx.count("lines");
            for (const word of line.split(" "))
              emit([word, word.length], new Uint8Array([word.length, 0, 255]));
          },
        });
        const counts = job({
          input: from(words),
          map([[word, length], bytes], emit) {
            if (bytes[0] !== (length & 255)) throw new Error("the value is another");
            emit(word, 1);
          },
          reduce: sum(),
        });
        const ranked = job({
          input: from(counts),
          map: ([word, times], emit) => emit([-times, word]),
          order: "total",
          output: tsv(),
        });
        export default pipeline({ words, counts, ranked });`,
    },
    files: { "a.txt": book.slice(0, 30_000), "b.txt": "to be or not to be\n".repeat(20) },
    counters: 1,
  },
];

export const cases: readonly Case[] = [...kinds, ...examples];
