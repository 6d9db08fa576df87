import { statSync } from "node:fs";
import { basename, isAbsolute, resolve } from "node:path";
import { SheafError } from "../../../base/errors.ts";
import { splitCommand } from "../../../stream/split-command.ts";
import type { StreamIo, StreamPlan } from "../../../stream/stream-job.ts";
import type { RunFlags } from "../run/options.ts";
import { ioOf, keyRules, type StreamSide, takeProperty, type JobconfWishes } from "./jobconf.ts";

/** What the flags of `sheaf stream` say besides those of `sheaf run`. */
export interface StreamFlags {
  readonly input: readonly string[];
  readonly mapper: string | undefined;
  readonly combiner: string | undefined;
  readonly reducer: string | undefined;
  readonly numReduceTasks: number | undefined;
  readonly file: readonly string[];
  readonly files: readonly string[];
  readonly jobconf: readonly (readonly [string, string])[];
  readonly cmdenv: readonly (readonly [string, string])[];
  readonly partitioner: string | undefined;
  readonly inputformat: string | undefined;
  readonly outputformat: string | undefined;
  readonly io: string | undefined;
  readonly lazyOutput: boolean | undefined;
}

export interface AskedStream {
  readonly plan: StreamPlan;
  readonly inputs: readonly string[];
  /** Flags of `sheaf run` that properties stand for. */
  readonly flags: Partial<RunFlags>;
  /** What is to be told: how the command line is not followed to the letter. */
  readonly notes: readonly string[];
}

const IDENTITY = /(?:^|\.)Identity(?:Mapper|Reducer)$/;

/**
 * What a command line of Hadoop Streaming asks for.
 * @param cwd relative paths are those of files below it
 * @throws SheafError USAGE for what sheaf cannot do, by name
 */
export function askedStream(flags: StreamFlags, given: readonly string[], cwd: string): AskedStream {
  const wishes: JobconfWishes = {};
  const notes: string[] = [];
  for (const [name, value] of flags.jobconf) {
    const note = takeProperty(wishes, name, value);
    if (note !== null) notes.push(note);
  }
  if (flags.lazyOutput === true)
    notes.push("-lazyOutput changes nothing here: each part is a file, an empty one too");
  const shipped = new Shipped([...flags.file, ...flags.files.flatMap((some) => some.split(","))], cwd);
  const command = (text: string, what: string): string[] => shipped.taken(splitCommand(text, what), notes);
  const rules = keyRules(wishes, flags.partitioner ?? wishes.partitioner);
  const { sort, partitionBy, order, isLeftOut } = rules;
  if (isLeftOut)
    notes.push("the partitioner's options change nothing without -partitioner KeyFieldBasedPartitioner");
  if (wishes.sort !== undefined && wishes.hasComparator !== true) {
    notes.push(
      "the comparator's options change nothing without " +
        "-D mapreduce.job.output.key.comparator.class=KeyFieldBasedComparator",
    );
  }
  const reduces = flags.numReduceTasks ?? wishes.reduces ?? 1;
  const reducer = reduces === 0 ? "none" : reducerOf(flags.reducer, command);
  const isCombined = flags.combiner !== undefined && reducer !== "none" && reducer !== "aggregate";
  if (flags.combiner !== undefined && !isCombined)
    notes.push(
      `-combiner changes nothing with ${reducer === "aggregate" ? "" : "no "}-reducer${reducer === "aggregate" ? " aggregate" : ""}`,
    );
  const mapper =
    flags.mapper === undefined || IDENTITY.test(flags.mapper) ? ["cat"] : command(flags.mapper, "-mapper");
  const plan: StreamPlan = {
    name: wishes.name ?? "stream",
    mapper,
    ...(isCombined && { combiner: command(flags.combiner, "-combiner") }),
    reducer,
    ...(reducer !== "none" && order !== undefined && { order }),
    options: {
      env: { ...confEnvironment(flags.jobconf), ...Object.fromEntries(flags.cmdenv) },
      ...(wishes.anyExit === true && { exitCodes: "any" }),
      ...(wishes.reporter !== undefined && { reporter: wishes.reporter }),
    },
    mapOptions: {
      ...(wishes.separator !== undefined && { separator: wishes.separator }),
      ...(wishes.keyFields !== undefined && { keyFields: wishes.keyFields }),
      ...(reducer !== "none" && sort !== undefined && { sort }),
      ...(reducer !== "none" && partitionBy !== undefined && { partitionBy }),
      ...(wishes.keySeparator !== undefined && { keySeparator: wishes.keySeparator }),
      ...(perFile(flags.inputformat, wishes) ? {} : { perFile: false }),
    },
    ...(wishes.inputSeparator !== undefined && { inputSeparator: wishes.inputSeparator }),
    files: shipped.files,
    ...ioWished(flags, wishes, reducer),
    ...outputOf(flags, wishes),
  };
  const never = 2 ** 31 - 1;
  return {
    plan,
    inputs: [...flags.input.flatMap((text) => inputsOf(text, cwd)), ...given],
    flags: {
      ...(reducer !== "none" && { partitions: [{ collection: undefined, count: reduces }] }),
      ...(wishes.mappers !== undefined && { mappers: wishes.mappers }),
      ...(wishes.splitSize !== undefined && wishes.mappers === undefined && { splitSize: wishes.splitSize }),
      ...(wishes.attempts !== undefined && { attempts: wishes.attempts }),
      ...(wishes.noProgressMs !== undefined && {
        noProgressTimeout: wishes.noProgressMs === 0 ? never : wishes.noProgressMs,
      }),
      ...(wishes.name !== undefined && { name: wishes.name }),
    },
    notes,
  };
}

function reducerOf(
  reducer: string | undefined,
  command: (text: string, what: string) => string[],
): StreamPlan["reducer"] {
  if (reducer === undefined || IDENTITY.test(reducer)) return "identity";
  if (reducer === "NONE") return "none";
  if (reducer.toLowerCase() === "aggregate") return "aggregate";
  return command(reducer, "-reducer");
}

/** @returns whether a mapper is started for each file */
function perFile(format: string | undefined, { ignoresKey }: JobconfWishes): boolean {
  const name = format?.replace(/^.*\./, "") ?? "TextInputFormat";
  const hasKeys = name === "KeyValueTextInputFormat";
  if (ignoresKey === hasKeys) {
    throw new SheafError("USAGE", `-D stream.map.input.ignoreKey=${ignoresKey} is not there with ${name}`, {
      hint: `Leave it out: mappers read ${hasKeys ? "KEY TAB VALUE" : "lines, without their offsets"}.`,
    });
  }
  if (hasKeys || name === "TextInputFormat") return true;
  if (name === "CombineTextInputFormat") return false;
  throw new SheafError("USAGE", `-inputformat: there is no ${format}`, {
    hint:
      "There are TextInputFormat, KeyValueTextInputFormat and CombineTextInputFormat (one mapper for several " +
      "files). For other formats write a job with a reader and exec(): docs/streaming.md.",
  });
}

function outputOf(
  { outputformat }: StreamFlags,
  wishes: JobconfWishes,
): Pick<StreamPlan, "output" | "compress"> {
  const name = outputformat?.replace(/^.*\./, "") ?? "TextOutputFormat";
  if (name !== "TextOutputFormat" && name !== "NullOutputFormat") {
    throw new SheafError("USAGE", `-outputformat: there is no ${outputformat}`, {
      hint: "There are TextOutputFormat, and NullOutputFormat, which writes nothing.",
    });
  }
  const codec = wishes.codec?.replace(/^.*\./, "");
  const compress = codec === "GzipCodec" ? "gzip" : codec === "ZStandardCodec" ? "zstd" : undefined;
  if (wishes.compresses === true && compress === undefined) {
    throw new SheafError(
      "USAGE",
      `the output cannot be compressed with ${codec ?? "Hadoop's default codec"}`,
      {
        hint: "Give -D mapreduce.output.fileoutputformat.compress.codec=GzipCodec, or ZStandardCodec.",
      },
    );
  }
  return {
    ...(name === "NullOutputFormat" && { output: "none" as const }),
    ...(wishes.compresses === true && compress !== undefined && { compress }),
  };
}

/** How programs read and write: -io says all, properties of single ends go before it. */
function ioWished(
  { io: all, partitioner }: StreamFlags,
  { io: single = {}, ...wishes }: JobconfWishes,
  reducer: StreamPlan["reducer"],
): Pick<StreamPlan, "io"> {
  const every = all === undefined ? "lines" : ioOf(all, "-io");
  const end = (name: StreamSide): StreamIo => single[name] ?? every;
  const pairs = end("map.output");
  if (reducer !== "none" && end("reduce.input") !== pairs) {
    throw new SheafError("USAGE", "-D stream.map.output and stream.reduce.input differ", {
      hint: "A reducer reads what the mapper has written: give both the same.",
    });
  }
  if (pairs !== "lines") {
    const { sort, partitionBy, separator, keyFields } = wishes;
    const isOfLines = [sort, partitionBy, separator, keyFields, wishes.inputSeparator].some(
      (one) => one !== undefined,
    );
    const what =
      isOfLines || /KeyField/.test(partitioner ?? "")
        ? "fields of keys are"
        : reducer === "aggregate"
          ? "-reducer aggregate is"
          : null;
    if (what !== null) {
      throw new SheafError("USAGE", `${what} for lines, not for ${pairs}`, {
        hint: "Leave them out, or let the programs write lines of text (-io text).",
      });
    }
  }
  const io = { mapInput: end("map.input"), pairs, reduceOutput: end("reduce.output") };
  return Object.values(io).every((one) => one === "lines") ? {} : { io };
}

/** Hadoop has several paths in one, parted by commas: those of a path that is there are its own. */
function inputsOf(text: string, cwd: string): string[] {
  if (!text.includes(",") || isFileOrDirectory(resolve(cwd, text))) return [text];
  return text.split(/,(?![^{]*\})/).filter((one) => one !== "");
}

function isFileOrDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** As Hadoop does: every property is a variable, its name with _ for what no name of one has. */
function confEnvironment(jobconf: StreamFlags["jobconf"]): Record<string, string> {
  return Object.fromEntries(jobconf.map(([name, value]) => [name.replace(/[^A-Za-z0-9_]/g, "_"), value]));
}

/** The files that travel with the job: those that are named, and those that are words of its commands. */
class Shipped {
  readonly files: string[] = [];
  readonly #names = new Map<string, string>();
  readonly #cwd: string;

  constructor(given: readonly string[], cwd: string) {
    this.#cwd = cwd;
    for (const text of given) if (text !== "") this.#add(text);
  }

  #add(text: string): void {
    const plain = text.replace(/^file:(?:\/\/)?(?=\/)/, "");
    const at = plain.lastIndexOf("#");
    const path = resolve(this.#cwd, at > 0 ? plain.slice(0, at) : plain);
    const name = at > 0 ? plain.slice(at + 1) : basename(path);
    if (this.#names.get(name) === path) return;
    this.#names.set(name, path);
    this.files.push(`${path}#${name}`);
  }

  /**
   * Words of a command, of which those that are files here are shipped. Arguments stay as they are spelt:
   * what looks like a file may be anything.
   */
  taken(words: readonly string[], notes: string[]): string[] {
    return words.map((word, at) => {
      const path = resolve(this.#cwd, word);
      const name = basename(path);
      const isHere = word === name || word === `./${name}`;
      // A program without a slash is one of PATH.
      const isProgram = at === 0 && !word.includes("/");
      if (isProgram || isAbsolute(word) || this.#names.has(word)) return word;
      if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return word;
      if (at > 0 && !isHere) {
        notes.push(
          `${word} does not travel with the job: where it is to, give -file ${word} and write ${name}`,
        );
        return word;
      }
      const known = this.#names.get(name);
      if (known !== undefined && known !== path) return word;
      if (known === undefined) {
        this.#add(path);
        notes.push(`${word} travels with the job, as with -file ${word}`);
      }
      return isHere ? word : `./${name}`;
    });
  }
}
