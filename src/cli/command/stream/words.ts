import { SheafError } from "../../../base/errors.ts";
import { suggest } from "../../../base/suggest.ts";

/** Flags of Hadoop Streaming, and sheaf's name for each; true: it takes an argument. */
const known: Readonly<Record<string, readonly [flag: string, takes: boolean]>> = {
  input: ["input", true],
  output: ["output", true],
  mapper: ["mapper", true],
  combiner: ["combiner", true],
  reducer: ["reducer", true],
  numReduceTasks: ["num-reduce-tasks", true],
  file: ["file", true],
  files: ["files", true],
  cacheFile: ["files", true],
  jobconf: ["jobconf", true],
  D: ["jobconf", true],
  cmdenv: ["cmdenv", true],
  partitioner: ["partitioner", true],
  inputformat: ["inputformat", true],
  outputformat: ["outputformat", true],
  io: ["io", true],
  lazyOutput: ["lazy-output", false],
  verbose: ["verbose", false],
  help: ["help", false],
  info: ["help", false],
};

const inJob = "Write a job with exec() for it: docs/streaming.md.";

/** What Hadoop has and sheaf has not, and what to do instead. */
const refused: Readonly<Record<string, string>> = {
  archives: "Give the files that are in it with -file.",
  cacheArchive: "Give the files that are in it with -file.",
  libjars: "There is no Java: give programs with -file.",
  inputreader: inJob,
  mapdebug: "A task that fails is run again with sheaf replay.",
  reducedebug: "A task that fails is run again with sheaf replay.",
  background: "Give --detach, with --on URL of a cluster.",
  additionalconfspec: "Give its properties with -D.",
  conf: "Give its properties with -D; --conf NAME=VALUE is a setting of the engine (--on hadoop, spark).",
  fs: "Give whole paths.",
  dfs: "Give whole paths.",
  jt: "Give --on URL of a cluster.",
  estimate:
    "Which of its pairs a record gave is not known of a program. With --sample alone the results are those of the sample.",
};

/**
 * The words of a command line of Hadoop Streaming as those of sheaf: -mapper CMD becomes --mapper=CMD.
 * @throws SheafError USAGE for a flag that sheaf does not have, or that lacks its argument
 */
export function streamWords(words: readonly string[]): string[] {
  const found: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--") return [...found, ...words.slice(i)];
    const [, dashes = "", name = "", inline] = /^(--?)([A-Za-z]+)(?:=(.*))?$/s.exec(word) ?? [];
    const flag = Object.hasOwn(known, name) ? known[name]! : undefined;
    if (flag === undefined) {
      // With two dashes it is the setting of an engine.
      if (Object.hasOwn(refused, name) && word !== "--conf" && !word.startsWith("--conf="))
        throw new SheafError("USAGE", `${word} is not there`, { hint: refused[name]! });
      if (/^-D./.test(word)) found.push(`--jobconf=${word.slice(2)}`);
      else if (dashes === "-" && name.length > 1) throw unknown(word, name);
      else found.push(word);
      continue;
    }
    const [to, takes] = flag;
    if (!takes) {
      found.push(`--${to}`);
      continue;
    }
    const value = inline ?? words[++i];
    if (value === undefined)
      throw new SheafError("USAGE", `${word} needs an argument`, { hint: `Write ${word} VALUE.` });
    found.push(`--${to}=${value}`);
  }
  return found;
}

function unknown(word: string, name: string): SheafError {
  const near = suggest(name, Object.keys(known));
  return new SheafError("USAGE", `sheaf stream: there is no flag ${word}`, {
    hint: near === undefined ? "See sheaf stream -h for its flags." : `Did you mean -${near}?`,
  });
}
