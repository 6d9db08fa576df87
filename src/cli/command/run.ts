import type { Command } from "../command.ts";
import { runFlags } from "../flags/run-flags.ts";

export const runCommand: Command<typeof runFlags> = {
  name: "run",
  summary: "Run a job",
  details: [
    "JOB is a TypeScript or JavaScript file whose default export is a job, or the name of a job listed in sheaf.json " +
      "of this directory or one above it.",
    "INPUT is any number of files, directories and globs; - is standard input. A job that generates its records " +
      "takes none. Of a directory all files below it are read but those whose names begin with . or _. Globs are read " +
      "as in bash without extglob, and ** is any depth; what exists under a name as it is given is taken by that name.",
    "For a job with several inputs each INPUT is NAME=PATH: customers=data/c.csv 'orders=data/*.jsonl'.",
    "With -o the results are written to DIR/part-00000.tsv, part-00001.tsv ... (the extension is the format's; jobs " +
      "with collections write DIR/COLLECTION/part-...), and DIR/_SUCCESS when all of them are complete. Without -o they " +
      "go to standard output. Everything said to people goes to standard error.",
    "Ctrl-C stops the job, removes what it wrote and leaves the output as it was. A second Ctrl-C kills it at once.",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job in sheaf.json", required: true, complete: "job" },
    {
      name: "INPUT",
      doc: "Files, directories, globs, or - for standard input; NAME=PATH where the job has several inputs",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: runFlags,
  examples: [
    { command: "sheaf run wordcount.ts books/*.txt -o out", doc: "Count words, results in out/" },
    { command: "cat log | sheaf run errors.ts - | sort -k2nr | head", doc: "From and to a pipe" },
    {
      command: "sheaf run join.ts customers=c.csv 'orders=orders/*.jsonl' -o out",
      doc: "A job with several inputs: each path with the name of its input",
    },
    {
      command: "sheaf run visits logs/ -o out --set year=2024 --overwrite",
      doc: "A registered job with a parameter",
    },
    {
      command: "sheaf run job.ts data.csv --sample 1% --print 10 -o /tmp/try",
      doc: "Try it on a hundredth of the records",
    },
    {
      command: "node --inspect-brk $(which sheaf) run job.ts small.txt --inline",
      doc: "Step through map and reduce",
    },
  ],
  load: () => import("../action/run.ts"),
};
