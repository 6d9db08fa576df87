import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import { parseSize } from "../base/size.ts";
import { suggest } from "../base/suggest.ts";
import { type KeyField, partitionOfFields, readKeyFields } from "./key-fields.ts";

/**
 * What a program reads and writes.
 * - `lines`: as Hadoop Streaming has it. A map program reads records as lines; pairs are KEY TAB VALUE.
 * - `json`: a map program reads a record a line, as JSON; pairs are [key, value], a line each.
 * - `bytes`: everything is a length of four bytes, the highest first, and so many bytes: a record is one of
 *   these, a pair two.
 * - `rawbytes`, `typedbytes`: as Hadoop Streaming has them, for lines as records. A map reads pairs, too: the
 *   offset of a line, and the line. Keys and values that JavaScript reads or makes are Uint8Arrays of these.
 */
export type ExecProtocol = "lines" | "json" | "bytes" | "rawbytes" | "typedbytes";

export interface ExecOptions {
  /** Default "lines". */
  readonly protocol?: ExecProtocol;
  /** Where what it reads is in another protocol than what it writes. Default: as `protocol`. */
  readonly inputProtocol?: ExecProtocol;
  /** Lines: what ends the fields of a key in what the program writes, and the key. Default a tab. */
  readonly separator?: string;
  /**
   * Lines: fields of the key in what the program writes. A line of fewer is a key without a value. Default 1.
   */
  readonly keyFields?: number;
  /** Lines: what stands between key and value in what a reduce or combine reads. Default a tab. */
  readonly inputSeparator?: string;
  /**
   * Of a map that writes lines, for a program as reduce: the order of its keys, as the options of sort(1),
   * which it follows: "-k1,1nr -k2". Default: by the key's bytes, as LC_ALL=C sort has them.
   */
  readonly sort?: string;
  /** Of a map that writes lines: fields of the key that decide its partition, "-k1,2". Default: the key. */
  readonly partitionBy?: string;
  /** What ends the fields of a key in `sort` and `partitionBy`. Default a tab. */
  readonly keySeparator?: string;
  /** Lines, where JavaScript or an aggregator reads them: what values are. Default "text". */
  readonly values?: "text" | "number";
  /**
   * Lines, where JavaScript reads them: "fail" (default) refuses what is not UTF-8, with "bytes" keys and
   * values are Uint8Arrays. From program to program, and to text(), all bytes pass as they are.
   */
  readonly invalid?: "fail" | "bytes";
  /** Variables of its environment, besides those of a task (docs/streaming.md). */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are no failure. Default [0]; "any": all. A signal always is one. */
  readonly exitCodes?: readonly number[] | "any";
  /**
   * Of a map: true (default) starts it for each file of a task, so that mapreduce_map_input_file tells the
   * file. false: once for the task, and the variable is there only when the task has one file.
   */
  readonly perFile?: boolean;
  /**
   * Of "json" and "bytes": true starts it once for a worker, which gives it one task after the other. It has
   * to speak the protocol for that (docs/streaming.md), as python/sheaf_worker.py does, which keeps what one
   * task changes from the next. Default false: a process for each.
   */
  readonly reuse?: boolean;
  /** Memory its processes may use, bytes or "512 MiB"; looked at on Linux only. Default: no limit. */
  readonly memory?: number | string;
  /** It fails when it neither reads, writes nor reports for so long, milliseconds. Default: as the task's. */
  readonly noProgressMs?: number;
  /** Bytes that a line, or a piece of `bytes`, may have. Default 64 MiB. */
  readonly recordBytesMax?: number;
  /** Lines on standard error that begin with it are counters and status. Default "reporter:". */
  readonly reporter?: string;
}

/** A program as a job has it, checked and with its defaults. */
export interface ExecPlan {
  readonly argv: readonly string[];
  readonly protocol: ExecProtocol;
  readonly inputProtocol: ExecProtocol;
  readonly separator: Buffer;
  readonly keyFields: number;
  readonly inputSeparator: Buffer;
  readonly sort: readonly KeyField[] | undefined;
  readonly partitionBy: readonly KeyField[] | undefined;
  readonly keySeparator: Buffer;
  readonly values: "text" | "number";
  readonly invalid: "fail" | "bytes";
  readonly env: Readonly<Record<string, string>>;
  readonly exitCodes: readonly number[] | "any";
  readonly perFile: boolean;
  readonly reuse: boolean;
  readonly memoryBytes: number | undefined;
  readonly noProgressMs: number | undefined;
  readonly recordBytesMax: number;
  readonly reporter: string;
}

/** Stands where a job has a function. It cannot be called: tasks start the program. */
// oxlint-disable-next-line typescript/no-explicit-any -- it fits every map, combine and reduce
export type ExecFunction = (first: any, second: any, third?: any) => any;

const PROTOCOLS = ["lines", "json", "bytes", "rawbytes", "typedbytes"] as const;

const NAMES = [
  "protocol",
  "inputProtocol",
  "separator",
  "keyFields",
  "inputSeparator",
  "sort",
  "partitionBy",
  "keySeparator",
  "values",
  "invalid",
  "env",
  "exitCodes",
  "perFile",
  "reuse",
  "memory",
  "noProgressMs",
  "recordBytesMax",
  "reporter",
] as const satisfies readonly (keyof ExecOptions)[];

/**
 * A program, in any language, as `map`, `combine` or `reduce` of a job.
 *
 *     export default job({
 *       input: text(),
 *       files: ["mapper.py", "reducer.py"],
 *       map: exec(["python3", "mapper.py"]),
 *       reduce: exec(["python3", "reducer.py"]),
 *     });
 *
 * It is started without a shell, once for each task (of a map: for each file in it), in a directory of its
 * own in which the job's `files` are. Without an `output` the lines of a reduce, or of a map without one,
 * are written as they are (text()).
 * @param argv the program and its arguments; without a "/" the program is looked for among the job's files,
 * then in PATH
 * @throws SheafError JOB_INVALID naming the option that is wrong
 */
export function exec(argv: readonly string[], options: ExecOptions = {}): ExecFunction {
  const plan = readPlan(argv, options);
  const call = (): never => {
    throw new SheafError("JOB_INVALID", `exec(${printValue(argv)}) is no function to be called`, {
      hint: "Tasks start the program: run the job with run() or sheaf run. testJob() does not run programs.",
    });
  };
  return Object.assign(call, { exec: plan });
}

/** The program of a map, combine or reduce; undefined where that is a function. */
export function execOf(value: unknown): ExecPlan | undefined {
  return typeof value === "function" && "exec" in value ? (value as { exec: ExecPlan }).exec : undefined;
}

/** How the message calls it: "python3 mapper.py". */
export function commandText({ argv }: Pick<ExecPlan, "argv">): string {
  const text = argv.map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word))).join(" ");
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** Partition of a key by its fields, for a map whose keys are not spread by their bytes. */
export function fieldPartition({ partitionBy, keySeparator }: ExecPlan) {
  return (key: unknown, partitions: number): number => {
    const bytes = key instanceof Uint8Array ? Buffer.from(key) : Buffer.from(String(key));
    return partitionOfFields(bytes, 0, bytes.length, partitionBy, keySeparator, partitions);
  };
}

function readPlan(argv: unknown, options: ExecOptions): ExecPlan {
  if (!Array.isArray(argv) || argv.length === 0 || !argv.every(isWord) || argv[0] === "") {
    const isText = typeof argv === "string";
    throw invalid(
      "argv",
      `${printValue(argv)} is no program with its arguments`,
      isText
        ? `There is no shell: give the words, exec(${JSON.stringify(String(argv).trim().split(/\s+/))}).`
        : 'Give a list of texts: exec(["python3", "mapper.py"]).',
    );
  }
  for (const name of Object.keys(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    const near = suggest(name, NAMES);
    const hint = near === undefined ? `There are: ${NAMES.join(", ")}.` : `Did you mean "${near}"?`;
    throw invalid(name, "no such option", hint);
  }
  const protocol = choice("protocol", options.protocol, PROTOCOLS);
  const inputProtocol = choice("inputProtocol", options.inputProtocol ?? protocol, PROTOCOLS);
  checkLines(options, protocol, ["separator", "keyFields", "sort", "partitionBy", "values"]);
  checkLines(options, inputProtocol, ["inputSeparator"]);
  const { sort, partitionBy, exitCodes = [0], reporter = "reporter:" } = options;
  const perFile = truth("perFile", options.perFile ?? true);
  const reuse = truth("reuse", options.reuse ?? false);
  if (reuse && (protocol !== inputProtocol || (protocol !== "json" && protocol !== "bytes"))) {
    const hint = 'Use protocol: "json" or "bytes", and a program that speaks it: docs/streaming.md.';
    throw invalid("reuse", `between ${protocol} nothing can be said`, hint);
  }
  if (reuse && options.exitCodes !== undefined) {
    const hint = "It says itself that a task is done; leave exitCodes out.";
    throw invalid("exitCodes", "a program that is used again does not end with a task", hint);
  }
  const isCode = (code: unknown): boolean => Number.isInteger(code) && (code as number) >= 0;
  if (exitCodes !== "any" && !(Array.isArray(exitCodes) && exitCodes.every(isCode)))
    throw invalid("exitCodes", `${printValue(exitCodes)} is no list of exit codes`, "Give [0, 1], or any.");
  if (typeof reporter !== "string" || reporter === "")
    throw invalid("reporter", `${printValue(reporter)} is no prefix`, 'Give a text such as "reporter:".');
  return {
    argv: [...(argv as string[])],
    protocol,
    inputProtocol,
    separator: separator("separator", options.separator),
    keyFields: whole("keyFields", options.keyFields) ?? 1,
    inputSeparator: separator("inputSeparator", options.inputSeparator),
    sort: sort === undefined ? undefined : readKeyFields(sort, "exec(): sort"),
    partitionBy: partitionBy === undefined ? undefined : readKeyFields(partitionBy, "exec(): partitionBy"),
    keySeparator: separator("keySeparator", options.keySeparator),
    values: choice("values", options.values, ["text", "number"]),
    invalid: choice("invalid", options.invalid, ["fail", "bytes"]),
    env: readEnv(options.env ?? {}),
    exitCodes,
    perFile,
    reuse,
    memoryBytes: options.memory === undefined ? undefined : parseSize(options.memory, "exec(): memory"),
    noProgressMs: whole("noProgressMs", options.noProgressMs),
    recordBytesMax: whole("recordBytesMax", options.recordBytesMax) ?? settings.recordBytes.default,
    reporter,
  };
}

function checkLines(
  options: ExecOptions,
  protocol: ExecProtocol,
  names: readonly (keyof ExecOptions)[],
): void {
  const stray = names.find((name) => options[name] !== undefined);
  if (stray === undefined || protocol === "lines") return;
  throw invalid(stray, `it is for lines, not for ${protocol}`, "Leave it out.");
}

function isWord(word: unknown): boolean {
  return typeof word === "string" && !word.includes("\0");
}

function readEnv(env: unknown): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(env as object)) {
    // The shell that starts programs hands on no others.
    if (/^[A-Za-z_]\w*$/.test(name) && isWord(value)) continue;
    const hint =
      "Give texts by names of letters, digits and _, which begin with no digit: env: { PYTHONPATH: 'lib' }.";
    throw invalid("env", `${name}=${printValue(value)} is no variable`, hint);
  }
  return { ...(env as Record<string, string>) };
}

function separator(name: string, text: unknown = "\t"): Buffer {
  if (typeof text === "string" && text !== "" && !text.includes("\n")) return Buffer.from(text);
  throw invalid(name, `${printValue(text)} cannot stand between fields`, 'Give a text such as "\\t" or ".".');
}

function truth(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(name, `${printValue(value)} is neither`, "Give true or false.");
}

function whole(name: string, value: unknown): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= 1))
    return value as number | undefined;
  throw invalid(name, `${printValue(value)} is out of range`, "Give an integer of at least 1.");
}

function choice<const T extends string>(name: string, value: unknown, of: readonly T[]): T {
  if (value === undefined) return of[0]!;
  const found = of.find((one) => one === value);
  if (found !== undefined) return found;
  throw invalid(name, `${printValue(value)} is not one of ${of.join(", ")}`, `Give one of ${of.join(", ")}.`);
}

function invalid(option: string, problem: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", `exec(): ${option}: ${problem}`, { hint, details: { field: option } });
}
