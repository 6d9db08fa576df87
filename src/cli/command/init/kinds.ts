import type { Flag } from "../../flag.ts";
import { runFlags } from "../run/flags.ts";

/** What `sheaf init KIND` writes a file of. */
export const kinds = {
  job: {
    about: "Counts the words of text files",
    source: (
      file: string,
    ): string => `// A job: what to read, what to make of each record, how to bring together what was emitted, where to write it.
// Every field of job() is here. What stands in comments is its default.
//
//   sheaf run ${file} INPUT... -o out
import { job, sum, text, tsv } from "sheaf";

export default job({
  // What the run is called. Default: the name of this file.
  // name: "${nameOfJobFile(file)}",

  // How input is read: text() words() csv() tsv() keyValue() jsonl() jsonArray() wholeFile() fixedLength()
  // delimited() raw() from() generate(). Paths come with the run. Several inputs, each with a reader and a map:
  //   inputs: { customers: csv(), orders: jsonl() },
  //   map: { customers(record, emit) { ... }, orders(record, emit) { ... } },
  input: text(),

  // Parameters and their defaults; sheaf run --set NAME=VALUE changes them.
  // params: {},

  // Data that every worker loads once: values, or files by { file: "cities.json" }.
  // aux: {},

  // Programs and files of exec(), in the directory that they run in: "map.py", "lists/stop.txt#words".
  // files: [],
  // Storages of one's own, by the scheme of their addresses: { gs: "./gs-store.ts" }.
  // stores: {},

  // Of ctx.random() and --sample: the same seed gives the same choice.
  // seed: 0,

  // Before the first record of each map task; what it returns is ctx.state.
  // setup: () => undefined,

  // Once per record. Default: the record is the key.
  map(line, emit) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
  },

  // After the last record of each map task; it may emit.
  // teardown: () => undefined,

  // What becomes of the values of one key: sum() count() mean() min() max() topK(10) stats({ ... }) ...; or a
  // function, with or without one that combines values before they travel:
  //   reduce(key: string, values: Iterable<number>) { ... },
  //   combine(key, values) { ... },
  // Without a reduce, what map emits is written as it is.
  reduce: sum(),

  // Reduce tasks, and so output files. Default: from the input's size.
  //   partitions: 8,
  // Which of them a key belongs to. Default: by a hash of the key.
  //   partition: (key, partitions) => 0,
  // "total": the keys of one file come before those of the next.
  // order: "hash",
  // Keys are arrays, grouped by so many first elements, and the values of a group are sorted by the others.
  //   groupBy: 1,

  // How results are written: tsv() csv() jsonl() text() keyValue() raw() route() none().
  output: tsv(),

  // Several outputs, each with a reduce, partition, order and output of its own; map is given one emit for each:
  //   collections: { byWord: { reduce: sum() }, byLength: { reduce: count() } },

  // Looks at the counters before anything is written. false, or a text that says why, fails the job.
  // expect: () => true,
});

${runOptions()}`,
  },
  pipeline: {
    about: "Counts words, and how many words are used how often",
    source: (
      file: string,
    ): string => `// A pipeline: jobs that read what other jobs have written. Every option of step() is here, with its default.
//
//   sheaf run ${file} INPUT... -o out
//   sheaf resume @        goes on after a failure or a kill
import { count, from, job, pipeline, step, sum, text } from "sheaf";

const words = job({
  input: text(),
  map(line, emit) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
  },
  reduce: sum(),
});

const frequencies = job({
  // The results of a step, [key, value] each; from(words, "name") reads one of its collections.
  input: from(words),
  map([, times], emit) {
    emit(times);
  },
  reduce: count(),
});

// What no other step reads is the output: out/frequencies.
export default pipeline({
  words: step(words, {
    // Whether its results are part of the output although another step reads them.
    // keep: false,
    // Files it reads, beside this file. Default: those given to the run.
    //   inputs: "data/*.txt",
    // Steps that must be done before, although their results are not read.
    // after: [],
  }),
  frequencies,
});

${runOptions()}`,
  },
  script: {
    about: "Counts words, has a program sort them, and counts the letters of the sorted lines",
    source: (
      file: string,
    ): string => `// A step that runs a program: files in, files out. Every option of script() is here, with its default.
//
//   sheaf run ${file} INPUT... -o out
//   sheaf logs @          what the program has printed
import { from, job, pipeline, script, sum, text } from "sheaf";

const words = job({
  input: text(),
  map(line, emit) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
  },
  reduce: sum(),
});

const sorted = script({
  // Program and arguments, without a shell, in the directory of this file. {in.NAME} and {out.NAME} become paths.
  //   run: ["python3", "score.py", "{in.counts}", "{out.sorted}"],
  run: ["sh", "-c", 'sort "$1"/part-* > "$2"', "sh", "{in.counts}", "{out.sorted}"],

  // What it reads: the directory of what a step has written, or a file beside this one ("model.bin").
  in: { counts: from(words) },

  // What it writes, all of it and nothing else, and how other steps read that.
  out: { sorted: text() },

  // Variables of its environment. Of those around it, it has what tasks have: no secrets.
  // env: {},

  // Longer than this is a failure. Default: no limit.
  //   timeoutMs: 600_000,

  // What it may end with when all is well.
  // exitCodes: [0],

  // Where it runs: on the machine that drives the pipeline.
  // on: "once",

  // Whether its files are part of the output although another step reads them.
  // keep: false,

  // Steps that must be done before, although their results are not read.
  // after: [],
});

const letters = job({
  input: from(sorted),
  map(line, emit) {
    const [word = "", times] = line.split("\\t");
    emit(word.length, Number(times));
  },
  reduce: sum(),
});

// What no other step reads is the output: out/letters.
export default pipeline({ words, sorted, letters });

${runOptions()}`,
  },
  transfer: {
    about: "Counts words, copies the result to a directory, and reads it there",
    source: (
      file: string,
    ): string => `// A step that copies files: checked, several at once, going on where it was cut off. Every option of transfer()
// is here, with its default.
//
//   sheaf run ${file} INPUT... -o out
import { count, from, job, pipeline, sum, text, transfer } from "sheaf";

const words = job({
  input: text(),
  map(line, emit) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
  },
  reduce: sum(),
});

const copied = transfer({
  // What a step has written; or files, directories and patterns beside this file: "incoming/*.csv".
  from: from(words),

  // Directory they are copied to, beside this file. What is there already, and is the same, is not copied again.
  to: "copies",

  // How other steps read the copies. Default: they cannot.
  as: text(),

  // Steps that must be done before, although their results are not read.
  // after: [],
});

const frequencies = job({
  input: from(copied),
  map(line, emit) {
    emit(Number(line.split("\\t")[1]));
  },
  reduce: count(),
});

// What no other step reads is the output: out/frequencies.
export default pipeline({ words, copied, frequencies });

${runOptions()}`,
  },
} as const;

export type Kind = keyof typeof kinds;

export function isKind(word: string | undefined): word is Kind {
  return word !== undefined && Object.hasOwn(kinds, word);
}

/** "visits" of "jobs/visits.ts". */
export function nameOfJobFile(file: string): string {
  return file.replace(/^.*[/\\]/, "").replace(/\.\w+$/, "");
}

/** As comments: every flag of a run with its default. Made of the flags themselves. */
function runOptions(): string {
  const shown = Object.values(runFlags as Readonly<Record<string, Flag<unknown>>>).filter(
    ({ category }) => category !== "Display",
  );
  const lines = shown.map((flag) => {
    const term = flag.placeholder === undefined ? `--${flag.name}` : `--${flag.name} ${flag.placeholder}`;
    return `//   ${term}: ${flag.doc}. Default: ${flag.default ?? (flag.arity === "switch" ? "off" : "none")}`;
  });
  return `// What a run is told. sheaf run --help says more; sheaf.config.ts can say it for every run (docs/project.md).
//
${lines.join("\n")}
`;
}
