import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import type { Job, NamedInput } from "../job/job-plan.ts";
import { isPlainObject } from "../job/plain-data.ts";
import type { Reader } from "../job/reader.ts";
import { checkCollection } from "../job/validate-collection.ts";
import { checkFieldNames, invalid } from "../job/validate.ts";
import { type HasOutputs, type StepReader, stepRefOf } from "./from.ts";

type Readers = Readonly<Record<string, Reader<unknown>>>;
/** What a script or transfer reads: what a step has written, or a path beside the pipeline's file. */
export type FileSource = StepReader<unknown> | string;

export interface ScriptOptions<O extends Readers> {
  /**
   * Program and arguments, without a shell. `{in.NAME}` and `{out.NAME}` in them become the paths of what the
   * script reads and writes. It runs in the directory of the pipeline's file.
   */
  readonly run: readonly string[];
  /**
   * What it reads, by name: files of this machine beside the pipeline's file, or what another step has
   * written, as files: the directory of its parts, or the file of a script.
   */
  readonly in?: Readonly<Record<string, FileSource>>;
  /**
   * What it writes, by name: a file, or a directory of files, and the reader by which other steps read it.
   * The script must write every one of them and nothing else, to `{out.NAME}`.
   */
  readonly out?: O;
  /** Variables of its environment, besides those that every task has. */
  readonly env?: Readonly<Record<string, string>>;
  /** It is ended, and has failed, when it takes longer. Default: no limit. */
  readonly timeoutMs?: number;
  /** Exit codes that mean success. Default [0]. */
  readonly exitCodes?: readonly number[];
  /**
   * Where it runs. "once" (default): on the machine that drives the pipeline. "each": on every agent of the
   * cluster, where what it reads is sent to; files named in `run` are, too. Each of its outputs is then a
   * directory of what the agents have written, by their names. Without a cluster it is as "once".
   */
  readonly on?: "once" | "each";
  readonly keep?: boolean;
  readonly after?: readonly string[];
}

export interface TransferOptions<R> {
  /**
   * Files of this machine beside the pipeline's file (a path, directory or pattern), a step's, or of agents:
   * "agent:/PATH" of all, which are then below `to` by the agents' names, "agent:NAME:/PATH" of one.
   */
  readonly from: FileSource;
  /**
   * Directory the files are copied to, beside the pipeline's file, or on agents; they are below it as below
   * `from`.
   */
  readonly to: string;
  /** How other steps read the copies. Default: they cannot. */
  readonly as?: Reader<R>;
  readonly after?: readonly string[];
}

/** What a script does, as plain data. */
export interface ScriptSpec {
  readonly kind: "script";
  readonly run: readonly string[];
  /** Paths by name; those of steps are in the inputs of the step. */
  readonly paths: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number | null;
  readonly exitCodes: readonly number[];
  readonly on: "once" | "each";
}

export interface TransferSpec {
  readonly kind: "transfer";
  /** null: what a step has written. */
  readonly from: string | null;
  readonly to: string;
}

export interface Script<out R> extends HasOutputs<R> {
  readonly sheaf: "script";
  readonly spec: ScriptSpec | TransferSpec;
  /** Its inputs and outputs, in the form of a job's. */
  readonly job: Job;
  readonly readers: Readers;
  readonly keep: boolean;
  readonly after: readonly string[];
}

const scriptFields = ["run", "in", "out", "env", "timeoutMs", "exitCodes", "on", "keep", "after"];
const transferFields = ["from", "to", "as", "after"];
const NAME = /^[A-Za-z][\w.-]{0,99}$/;
const timeoutMsMax = 2_147_483_647;

/**
 * A step that runs a program: files in, files out. What it prints is in the log of the pipeline.
 *
 *     script({
 *       run: ["python3", "score.py", "{in.visits}", "{out.scores}"],
 *       in: { visits: from(visits) },
 *       out: { scores: jsonl<Score>() },
 *     })
 * @throws SheafError JOB_INVALID naming the field
 */
export function script<O extends Readers = Readonly<Record<never, never>>>(
  options: ScriptOptions<O>,
): Script<{ readonly [N in keyof O]: O[N] extends Reader<infer R> ? R : never }> {
  checkFields("script", options, scriptFields);
  const { run, out = {}, env = {}, timeoutMs, exitCodes = [0], on = "once" } = options;
  const sources = options.in ?? {};
  if (!isTexts(run) || run.length === 0 || run[0] === "")
    throw invalid("script.run", `${printValue(run)} is no command`, 'Give ["python3", "score.py"].');
  if (run.some((word) => word.includes("\0")))
    throw invalid("script.run", "an argument holds a NUL", "Leave it out.");
  for (const name of [...Object.keys(sources), ...Object.keys(out)]) {
    if (!NAME.test(name))
      throw invalid(
        "script",
        `${JSON.stringify(name)} is no name of a file`,
        "A letter, then letters and digits.",
      );
  }
  for (const word of run) checkPlaces(word, Object.keys(sources), Object.keys(out));
  for (const [name, reader] of Object.entries(out)) {
    if (typeof (reader as Partial<Reader<unknown>>).decoder !== "function")
      throw invalid(
        `script.out.${name}`,
        `${printValue(reader)} is no reader`,
        "Give text(), csv(), jsonl().",
      );
  }
  if (!isPlainObject(env) || !isTexts(Object.values(env)))
    throw invalid("script.env", `${printValue(env)} are no variables`, 'Give { NAME: "value" }.');
  // Longer ones would be over at once.
  const isTime = (value: unknown): boolean => typeof value === "number" && value > 0 && value <= timeoutMsMax;
  if (timeoutMs !== undefined && !isTime(timeoutMs))
    throw invalid(
      "script.timeoutMs",
      `${printValue(timeoutMs)} is no time`,
      `Give milliseconds, ${timeoutMsMax} (24 days) at most, or leave it out: there is no limit then.`,
    );
  if (!Array.isArray(exitCodes) || !exitCodes.every(Number.isInteger))
    throw invalid("script.exitCodes", `${printValue(exitCodes)} are no exit codes`, "Give [0, 1].");
  if (on !== "once" && on !== "each")
    throw invalid("script.on", `${printValue(on)} is no place`, 'Give "once" or "each".');
  const paths = Object.entries(sources).filter((one): one is [string, string] => typeof one[1] === "string");
  return Object.freeze({
    sheaf: "script",
    spec: {
      kind: "script" as const,
      run: [...run],
      paths: Object.fromEntries(paths),
      env: { ...env },
      timeoutMs: timeoutMs ?? null,
      exitCodes: [...exitCodes],
      on,
    },
    job: jobLike(sources, Object.keys(out)),
    readers: out,
    keep: options.keep ?? false,
    after: options.after ?? [],
  });
}

/**
 * A step that copies files: several at once, each checked against its source; one that was cut off goes on
 * where it was, and what is there already is not copied again.
 * Places are paths, addresses of storages (what goes there is there whole or not at all), or on agents.
 * @throws SheafError JOB_INVALID naming the field
 */
export function transfer<R = never>(options: TransferOptions<R>): Script<{ readonly "": R }> {
  checkFields("transfer", options, transferFields);
  const { from, to, as } = options;
  for (const [field, value] of Object.entries({ from, to })) {
    if (typeof value !== "string" && (field === "to" || stepRefOf(value as object) === undefined))
      throw invalid(`transfer.${field}`, `${printValue(value)} is no place`, "Give a path, or from(step).");
    if (typeof value === "string") checkPlace(`transfer.${field}`, value);
  }
  if (as !== undefined && to.startsWith("agent:")) {
    const hint = "Leave it out, and give agent:/PATH as the input of a job.";
    throw invalid("transfer.as", "other steps cannot read what lies on agents", hint);
  }
  return Object.freeze({
    sheaf: "script",
    spec: { kind: "transfer" as const, from: typeof from === "string" ? from : null, to },
    job: jobLike(typeof from === "string" ? {} : { from }, [""]),
    readers: (as === undefined ? {} : { "": as }) as Readers,
    keep: false,
    after: options.after ?? [],
  });
}

/** Which storages there are is seen when it runs. @throws SheafError JOB_INVALID */
function checkPlace(field: string, place: string): void {
  if (place === "") throw invalid(field, "it is empty", "Give a path.");
  if (!place.startsWith("agent:") || agentPlace(place) !== null) return;
  throw invalid(
    field,
    `${JSON.stringify(place)} names no place on agents`,
    "Write agent:/PATH for all of them, or agent:NAME:/PATH for one.",
  );
}

/** A place on all agents of a cluster (`agent` null), or on one; null for places elsewhere. */
export function agentPlace(place: string): { readonly agent: string | null; readonly path: string } | null {
  const found = /^agent:(?:([A-Za-z0-9][A-Za-z0-9._-]{0,63}):)?(\/[^]*)$/.exec(place);
  return found === null ? null : { agent: found[1] ?? null, path: found[2]! };
}

function checkPlaces(word: string, ins: readonly string[], outs: readonly string[]): void {
  for (const [all, kind, name] of word.matchAll(/\{(in|out)\.([\w.-]+)\}/g)) {
    const names = kind === "in" ? ins : outs;
    if (names.includes(name!)) continue;
    const near = suggest(name!, names) ?? names[0];
    const hint =
      near === undefined ? `Name it: ${kind}: { ${name}: ... }.` : `Did you mean {${kind}.${near}}?`;
    throw invalid("script.run", `${all} is none of its ${kind === "in" ? "inputs" : "outputs"}`, hint);
  }
}

/** What it reads of steps, and what it writes, as graphs of jobs know it. */
function jobLike(sources: Readonly<Record<string, FileSource>>, outputs: readonly string[]): Job {
  const inputs = Object.entries(sources).flatMap(([inputName, input]): NamedInput[] => {
    if (typeof input === "string") return [];
    if (typeof input === "object" && stepRefOf(input) !== undefined)
      return [{ inputName, input, map: undefined }];
    throw invalid(`script.in.${inputName}`, `${printValue(input)} is no file`, "Give a path, or from(step).");
  });
  const collections = outputs.map((name) => checkCollection(name, {}));
  return {
    sheaf: "job",
    name: undefined,
    input: { kind: "generate", tasks: 1, records: () => [] },
    inputName: "",
    inputs,
    collections,
    named: true,
    map: undefined,
    setup: undefined,
    teardown: undefined,
    params: {},
    aux: {},
    files: [],
    stores: {},
    expect: undefined,
    seed: 0,
  };
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function checkFields(what: string, options: unknown, known: readonly string[]): void {
  if (!isPlainObject(options)) {
    throw invalid(`${what}()`, `${printValue(options)} is no object`, `Give ${what}({ ${known[0]}: ... }).`);
  }
  checkFieldNames(options, what, known);
}
