import { statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { findAux } from "../engine/aux-files.ts";
import { findJobFiles, isFile } from "../engine/job-files.ts";
import type { JobRunOptions } from "../engine/options.ts";
import { agentPlace } from "../steps/script.ts";
import { inodeOf } from "../storage/content-check.ts";
import { inputIn, isElsewhere } from "../storage/glob.ts";
import { type InputFile, listInput } from "../storage/list-input.ts";
import { isStored } from "../storage/stores.ts";
import type { InputOutline, JobOutline, StepOutline } from "../worker/messages.ts";
import { digest, stampOfUntold } from "./plan.ts";
import type { StepFacts } from "./state.ts";

/** An input of a step's job that is read from files, and its name; "" where the job has one input. */
function fileInputs({ job }: StepOutline): string[] {
  const isFile = (input: InputOutline): boolean => !("tasks" in input) && input.step === undefined;
  if (job.inputs === undefined) return isFile(job.input) ? [""] : [];
  return job.inputs.filter(({ input }) => isFile(input)).map(({ name }) => name);
}

/**
 * The inputs of every step as texts a run takes: PATH, or NAME=PATH for a job with several inputs; absolute.
 * What is given for a step takes the place of its own.
 * @param given "PATH" where one step reads files; else "STEP=PATH", or "STEP.NAME=PATH" for one of several
 * @param file the pipeline's; its steps' own inputs lie beside it
 * @throws SheafError USAGE for a text that belongs to no step, and a step without an input
 */
export function assignInputs(
  steps: readonly StepOutline[],
  given: readonly string[],
  { file, cwd }: { readonly file: string; readonly cwd: string },
): Readonly<Record<string, readonly string[]>> {
  const readers = readersOf(steps);
  const assigned = new Map<string, string[]>();
  for (const text of given) {
    const { step, name, path } = addressee(readers, text);
    const texts = assigned.get(step.name) ?? [];
    assigned.set(step.name, [...texts, inputText(step, name, absolute(path, cwd))]);
  }
  for (const step of readers) {
    if (assigned.has(step.name) || step.inputs.length === 0) continue;
    const own = step.inputs.map((text) => {
      const [, name = "", path = text] = /^(\w+)=(.*)$/s.exec(text) ?? [];
      const isNamed = step.job.inputs?.some((one) => one.name === name) ?? false;
      return inputText(step, isNamed ? name : "", absolute(isNamed ? path : text, dirname(file)));
    });
    assigned.set(step.name, own);
  }
  return Object.fromEntries(assigned);
}

/** An input that was given, absolute, so that it means the same for a process that starts elsewhere. */
export function absoluteText(steps: readonly StepOutline[], text: string, base: string): string {
  const prefix = prefixOf(readersOf(steps), text);
  const path = text.slice(prefix.length);
  return path === "-" ? text : prefix + absolute(path, base);
}

function readersOf(steps: readonly StepOutline[]): StepOutline[] {
  return steps.filter((step) => fileInputs(step).length > 0);
}

/** @throws SheafError USAGE for a step that has no paths for one of its inputs */
export function checkInputs(step: StepOutline, texts: readonly string[]): void {
  for (const name of fileInputs(step)) {
    if (texts.some((text) => name === "" || text.startsWith(`${name}=`))) continue;
    const what = name === "" ? "no input" : `no path for its input "${name}"`;
    const asGiven = name === "" ? `${step.name}=PATH` : `${step.name}.${name}=PATH`;
    throw new SheafError("USAGE", `step ${step.name} reads files, and there is ${what}`, {
      hint: `Give it: ${asGiven}. Or say it in the pipeline: step(job({ ... }), { inputs: "data/*.csv" }).`,
    });
  }
}

interface Addressee {
  readonly step: StepOutline;
  /** Of the input; "" when it is not told. */
  readonly name: string;
  readonly path: string;
}

function addressee(readers: readonly StepOutline[], text: string): Addressee {
  const [, stepName = "", input = ""] = spelled.exec(text) ?? [];
  const prefix = prefixOf(readers, text);
  const path = text.slice(prefix.length);
  const named = prefix === "" ? undefined : readers.find(({ name }) => name === stepName);
  if (named !== undefined) {
    if (input !== "" && !fileInputs(named).includes(input)) {
      throw usage(`${text}: step ${stepName} reads no files as "${input}"`, readers);
    }
    return { step: named, name: input, path };
  }
  const [only] = readers;
  if (only === undefined) throw usage(`no step of the pipeline reads files (given: ${text})`, readers);
  if (readers.length > 1) {
    const near = suggest(
      stepName,
      readers.map(({ name }) => name),
    );
    const problem = `${text} does not say which step it is for`;
    throw usage(
      near === undefined ? problem : `${problem}; did you mean ${near}=${text.replace(spelled, "")}?`,
      readers,
    );
  }
  return { step: only, name: prefix === "" ? "" : stepName, path };
}

const spelled = /^([A-Za-z][\w-]*)(?:\.(\w+))?=(?=.)/s;

/** What stands before the path: the name of a step or input that there is, "=" behind it; "": nothing. */
function prefixOf(readers: readonly StepOutline[], text: string): string {
  const [prefix = "", name = "", input = ""] = spelled.exec(text) ?? [];
  if (readers.some((step) => step.name === name)) return prefix;
  const [only, ...more] = readers;
  const isInput = input === "" && only?.job.inputs?.some((one) => one.name === name) === true;
  return isInput && more.length === 0 && fileInputs(only!).includes(name) ? prefix : "";
}

function usage(problem: string, readers: readonly StepOutline[]): SheafError {
  const texts = readers.flatMap((step) =>
    fileInputs(step).map((name) => (name === "" ? `${step.name}=PATH` : `${step.name}.${name}=PATH`)),
  );
  const hint = texts.length === 0 ? "Leave the input paths away." : `Give ${texts.join(" ")}.`;
  return new SheafError("USAGE", problem, { hint });
}

function inputText(step: StepOutline, name: string, path: string): string {
  if (step.job.inputs === undefined) return path;
  const names = fileInputs(step);
  if (name !== "" || names.length === 1) return `${name === "" ? names[0]! : name}=${path}`;
  throw new SheafError("USAGE", `${path} does not say which input of step ${step.name} it is for`, {
    hint: `Give ${names.map((one) => `${step.name}.${one}=PATH`).join(" ")}.`,
  });
}

function absolute(path: string, base: string): string {
  if (path === "-") {
    throw new SheafError("USAGE", "a pipeline cannot read standard input: it could not be gone on from", {
      hint: "Write it to a file, and give that.",
    });
  }
  return isElsewhere(path) ? path : resolve(inputIn(base, path));
}

/** Which output of which step is read. */
export type StepSource = NonNullable<Extract<InputOutline, { step?: unknown }>["step"]>;

/** The texts with which the run of a step reads what other steps have written. */
export function stepTexts(
  { job }: StepOutline,
  pathsOf: (source: StepSource) => readonly string[],
): string[] {
  const text = (input: InputOutline): readonly string[] =>
    "step" in input && input.step !== undefined ? pathsOf(input.step) : [];
  if (job.inputs === undefined) return [...text(job.input)];
  return job.inputs.flatMap(({ name, input }) => text(input).map((path) => `${name}=${path}`));
}

/** Options that steps share, or that are for some of them by name. */
export interface SharedOptions {
  readonly params: Readonly<Record<string, unknown>>;
  readonly partitions: JobRunOptions["partitions"];
}

/**
 * The params and partitions of one step: those it has, and those given for it alone ("STEP.NAME").
 * @throws SheafError USAGE for what no step has
 */
export function optionsOfStep(
  steps: readonly StepOutline[],
  { params, partitions }: SharedOptions,
  step: StepOutline,
): SharedOptions {
  const own: Record<string, unknown> = {};
  for (const [text, value] of Object.entries(params)) {
    const name = nameFor(text, step.name, (name) => Object.hasOwn(step.job.params, name));
    if (name !== null) own[name] = value;
    else if (
      !steps.some((one) => nameFor(text, one.name, (name) => Object.hasOwn(one.job.params, name)) !== null)
    )
      throw noneHas(
        "param",
        text,
        steps.flatMap(({ job }) => Object.keys(job.params)),
      );
  }
  if (typeof partitions !== "object") return { params: own, partitions };
  const counts: Record<string, number> = {};
  const has = (job: JobOutline, name: string): boolean => job.collections.some((one) => one.name === name);
  for (const [text, count] of Object.entries(partitions)) {
    const found = (one: StepOutline): string | null =>
      text === one.name && has(one.job, "") ? "" : nameFor(text, one.name, (name) => has(one.job, name));
    const name = found(step);
    if (name !== null) counts[name] = count;
    else if (steps.every((one) => found(one) === null))
      throw noneHas(
        "collection",
        text,
        steps.flatMap(({ name, job }) => job.collections.map((one) => one.name || name)),
      );
  }
  return { params: own, partitions: Object.keys(counts).length === 0 ? undefined : counts };
}

/** What `text` names in the step: "STEP.NAME" in that one only; null when nothing. */
function nameFor(text: string, step: string, has: (name: string) => boolean): string | null {
  if (has(text)) return text;
  const rest = text.startsWith(`${step}.`) ? text.slice(step.length + 1) : "";
  return rest !== "" && has(rest) ? rest : null;
}

function noneHas(what: string, text: string, names: readonly string[]): SheafError {
  const near = suggest(text, names);
  const known = [...new Set(names)];
  const list = known.length === 0 ? "They have none." : `There are: ${known.join(", ")}.`;
  return new SheafError("USAGE", `no step of the pipeline has a ${what} "${text}"`, {
    hint: near === undefined ? list : `Did you mean "${near}"?`,
  });
}

/** Files named one by one in the journal; more than these are one hash. */
const filesNamedMax = 500;

/**
 * What tells later whether the files of a step have changed; null when one is not there.
 * @param texts as assignInputs gives them
 */
export async function filesOfStep(
  step: StepOutline,
  texts: readonly string[],
  file: string,
): Promise<Pick<StepFacts, "files" | "elsewhere"> | null> {
  const several = step.job.inputs !== undefined;
  const paths = texts.map((text) => (several ? text.slice(text.indexOf("=") + 1) : text));
  const isHere = (path: string): boolean => isAbsolute(path) || isStored(path);
  const { spec } = step;
  const own =
    spec?.kind === "transfer" && spec.from !== null && agentPlace(spec.from) !== null ? [spec.from] : [];
  const elsewhere = [...paths.filter((path) => !isHere(path)), ...own];
  const stamps: [path: string, stamp: string][] = [];
  try {
    // Which input reads which files has a say, too.
    for (const [index, path] of paths.entries()) {
      if (!isHere(path)) continue;
      const name = several ? texts[index]!.slice(0, texts[index]!.indexOf("=") + 1) : "";
      for (const one of await listInput([path], { streams: true }))
        stamps.push([`${name}${one.path}`, stampOfFile(one)]);
    }
    stamps.push(...(await ownFilesOf(step, file)));
    const aux = [...(await findAux(step.job.aux, file)).values()].flat();
    for (const { path, stored } of aux) stamps.push([path, stampOfFile(stored ?? { path })]);
    for (const { path } of findJobFiles(step.job.files, file)) stamps.push([path, stampOf(path)]);
    for (const path of step.job.programs ?? []) if (isFile(path)) stamps.push([path, stampOf(path)]);
  } catch {
    return null;
  }
  if (stamps.length <= filesNamedMax) return { files: Object.fromEntries(stamps), elsewhere };
  const hash = digest(stamps);
  return { files: { [`${paths[0]} (one of ${stamps.length} files)`]: hash }, elsewhere };
}

/** Files that a script or transfer reads: those it names, and those among its arguments. */
async function ownFilesOf({ spec }: StepOutline, file: string): Promise<[path: string, stamp: string][]> {
  if (spec === null) return [];
  const base = dirname(file);
  const at = (path: string): string => (isStored(path) ? path : resolve(inputIn(base, path)));
  if (spec.kind === "transfer")
    return spec.from === null || agentPlace(spec.from) !== null
      ? []
      : (await listInput([at(spec.from)])).map(stamped);
  const named = Object.values(spec.paths).map(at);
  const given = spec.run
    .map((word) => resolve(base, word))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
  const listed = await listInput(named);
  const stamps = [...listed.map(stamped), ...given.map((path) => stamped({ path }))];
  return [...new Map(stamps)];
}

function stamped(file: Stamped): [path: string, stamp: string] {
  return [file.path, stampOfFile(file)];
}

type Stamped = Pick<InputFile, "path" | "version" | "exact">;

function stampOfFile({ path, version, exact }: Stamped): string {
  if (!isStored(path)) return stampOf(path);
  return version !== undefined && exact === true ? version : stampOfUntold();
}

function stampOf(path: string): string {
  const stamp = inodeOf(path);
  if (stamp !== null) return stamp;
  throw new SheafError("INPUT_MISSING", `there is no ${path}`, { hint: "Look at its name." });
}
