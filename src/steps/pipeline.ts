import type { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import type { Job } from "../job/job-plan.ts";
import { isPlainObject } from "../job/plain-data.ts";
import type { Reader } from "../job/reader.ts";
import { checkFieldNames, invalid } from "../job/validate.ts";
import { type From, from, type HasOutputs, readersOf, stepRefOf } from "./from.ts";
import { type Loop, type LoopOptions, previousName } from "./loop.ts";
import type { Script, ScriptSpec, TransferSpec } from "./script.ts";

/** What a step of a pipeline may be told besides what it does. */
export interface StepOptions {
  /**
   * Keep what the step writes: its files are in the output directory of the pipeline, and its records stay
   * for later runs of single steps. Default: only the output of steps that no other reads is kept; that of
   * the others is removed when all who read it are done.
   */
  readonly keep?: boolean;
  /** Steps that must be done before this one begins, besides those it reads. */
  readonly after?: readonly string[];
  /**
   * Files, directories and globs it reads, beside the pipeline's file; for a job with several inputs by their
   * names. What the run is given for the step takes their place. Default: what the run is given.
   */
  readonly inputs?: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>;
}

/** A step with options of its own. */
export interface Step<out R> extends HasOutputs<R> {
  readonly sheaf: "step";
  readonly job: Job<R>;
  readonly options: StepOptions;
}

export type AnyStep = Job | Step<unknown> | Script<unknown> | Loop<unknown>;
export type AnySteps = Readonly<Record<string, AnyStep>>;

/** One step after pipeline() has checked it. */
export interface StepPlan {
  readonly name: string;
  readonly kind: "job" | "loop" | "script" | "transfer";
  /** Of a script or transfer only what it reads of steps, and the names of what it writes. */
  readonly job: Job;
  /** What a script or transfer does; null for jobs. */
  readonly spec: ScriptSpec | TransferSpec | null;
  /** Rounds of a loop at most; null for others. */
  readonly rounds: { readonly max: number; readonly hasUntil: boolean } | null;
  readonly keep: boolean;
  /** Names of the steps it waits for, besides those it reads. */
  readonly after: readonly string[];
  /** As texts: PATH, or NAME=PATH for a job with several inputs. */
  readonly inputs: readonly string[];
}

/** A step with what only the process that runs it knows. */
interface LivePlan extends StepPlan {
  readonly until?: LoopOptions<unknown>["until"];
  /** Of a script's outputs. */
  readonly readers?: Readonly<Record<string, Reader<unknown>>>;
}

/** A checked pipeline: what `pipeline()` returns. Treat it as opaque. */
export interface Pipeline {
  readonly sheaf: "pipeline";
  /** In an order in which each comes after those it needs. */
  readonly steps: readonly LivePlan[];
}

/** A job with what its step in a pipeline is told: `clean: step(job({ ... }), { keep: true })`. */
export function step<R>(job: Job<R>, options: StepOptions): Step<R> {
  return Object.freeze({ sheaf: "step", job, options });
}

type Stage<Before, Added> = (from: From<Before>) => Added;

/**
 * Steps by their names. A step begins as soon as what it reads is there; steps that do not need each other
 * run at the same time.
 *
 *     const words = job({ input: text(), map: ..., reduce: sum() });
 *     const top = job({ input: from(words), map([word, count], emit) { ... }, reduce: topK(...) });
 *     export default pipeline({ words, top });
 *
 * Steps may come in several groups. A group is then a function of `from`, which knows the names and types of
 * the steps in the groups before it:
 *
 *     export default pipeline(
 *       { words: job({ ... }) },
 *       (from) => ({ top: job({ input: from("words"), ... }) }),
 *     );
 * @throws SheafError JOB_INVALID naming the step, and the field, that is wrong
 */
export function pipeline<A extends AnySteps>(first: A): Pipeline;
export function pipeline<A extends AnySteps, B extends AnySteps>(first: A, second: Stage<A, B>): Pipeline;
export function pipeline<A extends AnySteps, B extends AnySteps, C extends AnySteps>(
  first: A,
  second: Stage<A, B>,
  third: Stage<A & B, C>,
): Pipeline;
export function pipeline<A extends AnySteps, B extends AnySteps, C extends AnySteps, D extends AnySteps>(
  first: A,
  second: Stage<A, B>,
  third: Stage<A & B, C>,
  fourth: Stage<A & B & C, D>,
): Pipeline;
export function pipeline<
  A extends AnySteps,
  B extends AnySteps,
  C extends AnySteps,
  D extends AnySteps,
  E extends AnySteps,
>(
  first: A,
  second: Stage<A, B>,
  third: Stage<A & B, C>,
  fourth: Stage<A & B & C, D>,
  ...more: Stage<A & B & C & D, E>[]
): Pipeline;
export function pipeline(first: unknown, ...more: readonly unknown[]): Pipeline {
  const given = new Map<string, unknown>();
  for (const [index, part] of [first, ...more].entries()) {
    const steps: unknown =
      typeof part === "function" ? (part as (given: typeof from) => unknown)(from) : part;
    if (!isPlainObject(steps)) {
      const what = index === 0 ? "pipeline()" : `pipeline(): group ${index + 1}`;
      throw invalid(what, `${printValue(steps)} is no object of steps`, stepsHint);
    }
    for (const [name, value] of Object.entries(steps)) {
      checkStepName(name, [...given.keys()]);
      given.set(name, value);
    }
  }
  if (given.size === 0) throw invalid("pipeline()", "there are no steps", stepsHint);
  const plans = [...given].map(([name, value]) => stepPlan(name, value));
  const resolved = plans.map((plan) => resolveRefs(plan, plans, given));
  return Object.freeze<Pipeline>({ sheaf: "pipeline", steps: Object.freeze(inOrder(resolved)) });
}

const stepsHint = "Give steps by their names: pipeline({ clean: job({ ... }), report: job({ ... }) }).";

/** Names become directories, and parts of flags. */
const STEP_NAME = /^[A-Za-z][\w-]{0,99}$/;

function checkStepName(name: string, before: readonly string[]): void {
  if (!STEP_NAME.test(name)) {
    const hint =
      'Names are directories of the output: a letter, then letters, digits, "_" and "-", 100 at most.';
    throw invalid("pipeline()", `${JSON.stringify(name)} is no name of a step`, hint);
  }
  if (name in {}) {
    const hint = "Every object has something of that name. Choose another.";
    throw invalid("pipeline()", `${JSON.stringify(name)} is no name of a step`, hint);
  }
  const other = before.find((one) => one.toLowerCase() === name.toLowerCase());
  if (other === undefined) return;
  const same = other === name;
  const problem = same ? `there are two steps "${name}"` : `"${other}" and "${name}" differ in case only`;
  throw invalid("pipeline()", problem, "Their outputs would be one directory. Rename one.");
}

const stepFields = ["keep", "after", "inputs"] as const;

const noExtras = { spec: null, rounds: null } as const;

function stepPlan(name: string, value: unknown): LivePlan {
  const kind = typeof value === "object" && value !== null && "sheaf" in value ? value.sheaf : undefined;
  if (kind === "job")
    return { name, kind: "job", job: value as Job, keep: false, after: [], inputs: [], ...noExtras };
  if (kind === "script") {
    const { spec, job, readers, keep, after } = value as Script<unknown>;
    const own = optionsOf(name, { keep, after });
    return { name, kind: spec.kind, job, spec, rounds: null, readers, ...own };
  }
  if (kind === "loop") return loopPlan(name, (value as Loop<unknown>).options);
  if (kind !== "step") {
    throw invalid(`step ${name}`, `${printValue(value)} is no step`, `Write ${name}: job({ ... }).`);
  }
  const { job, options } = value as Step<unknown>;
  if (typeof job !== "object" || job === null || (job as Partial<Job>).sheaf !== "job") {
    throw invalid(
      `step ${name}`,
      `${printValue(job)} is no job`,
      `Write ${name}: step(job({ ... }), { ... }).`,
    );
  }
  if (!isPlainObject(options)) {
    throw invalid(`step ${name}`, `${printValue(options)} is no object`, "Give options: { keep: true }.");
  }
  checkFieldNames(options, `step ${name}`, stepFields);
  return { name, kind: "job", job, ...optionsOf(name, options), ...noExtras };
}

/** @throws SheafError JOB_INVALID */
function optionsOf(step: string, options: StepOptions): Pick<StepPlan, "keep" | "after" | "inputs"> {
  const { keep = false, after = [], inputs = [] } = options;
  if (typeof keep !== "boolean")
    throw invalid(`step ${step}.keep`, `${printValue(keep)} is no answer`, "Give true or false.");
  return { keep, after: namesIn(step, "after", after), inputs: inputTexts(step, inputs) };
}

/** The job of a loop reads what `first` says, until the driver knows of a round before. */
function loopPlan(name: string, options: LoopOptions<unknown>): LivePlan {
  const { step: job, first, until, max = 100 } = options;
  const { of, output } = stepRefOf(first)!;
  const given = <I>(input: I): I =>
    stepRefOf(input as object)?.of === previousName
      ? ({ ...(input as object), step: { of, output, previous: true } } as I)
      : input;
  const several = job.inputs.map((one) => ({ ...one, input: given(one.input) }));
  return {
    name,
    kind: "loop",
    job: { ...job, input: given(job.input), inputs: several },
    spec: null,
    rounds: { max, hasUntil: until !== undefined },
    ...(until === undefined ? {} : { until }),
    ...optionsOf(name, options),
  };
}

function namesIn(step: string, field: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw invalid(`step ${step}.${field}`, `${printValue(value)} is no list of names`, `Give ["clean"].`);
}

function inputTexts(step: string, inputs: unknown): readonly string[] {
  if (typeof inputs === "string") return [inputs];
  if (isPlainObject(inputs)) {
    return Object.entries(inputs).flatMap(([name, paths]) =>
      inputTexts(step, paths).map((path) => `${name}=${path}`),
    );
  }
  return namesIn(step, "inputs", inputs);
}

/** The step with names in place of the steps it refers to, all of which there are. */
function resolveRefs(
  plan: LivePlan,
  plans: readonly LivePlan[],
  given: ReadonlyMap<string, unknown>,
): LivePlan {
  const names = plans.map((one) => one.name);
  for (const name of plan.after) {
    if (!names.includes(name)) throw noSuchStep(`step ${plan.name}.after`, name, names);
    if (name === plan.name) throw invalid(`step ${plan.name}.after`, "it waits for itself", "Leave it out.");
  }
  const resolve = <I>(input: I): I => {
    const ref = stepRefOf(input as object);
    if (ref === undefined) return input;
    const name = nameOf(plan.name, ref.of, given);
    const source = plans.find((one) => one.name === name);
    if (source === undefined) throw noSuchStep(`step ${plan.name}: from("${name}")`, name, names);
    const output = outputOf(plan.name, source, ref.output);
    const reader = source.spec === null ? input : readerOf(plan, source, output, input);
    return { ...(reader as object), step: { ...ref, of: name, output } } as I;
  };
  const { job } = plan;
  const inputs = job.inputs.map((one) => ({ ...one, input: resolve(one.input as Reader<unknown>) }));
  return {
    ...plan,
    job: Object.freeze({ ...job, input: resolve(job.input), inputs: Object.freeze(inputs) }),
  };
}

/** How the output of a script or transfer is read: by its own reader, or as the files that it is. */
function readerOf<I>(reader: LivePlan, source: LivePlan, output: string, input: I): I {
  if (reader.spec !== null) return input;
  const own = source.readers?.[output];
  if (own !== undefined) return own as I;
  const hint = "Say how: transfer({ from, to, as: jsonl() }).";
  throw invalid(`step ${reader.name}`, `from("${source.name}"): nothing says how to read it`, hint);
}

function nameOf(reader: string, of: string | object, given: ReadonlyMap<string, unknown>): string {
  if (typeof of === "string") return of;
  const isIt = (value: unknown): boolean =>
    value === of ||
    ((value as Partial<Step<unknown>>).sheaf === "step" && (value as Step<unknown>).job === of);
  const found = [...given].filter(([, value]) => isIt(value)).map(([name]) => name);
  if (found.length === 1) return found[0]!;
  if (found.length === 0) {
    throw invalid(
      `step ${reader}`,
      "from() names a job that is no step of this pipeline",
      "Add it to the pipeline: pipeline({ clean, ... }).",
    );
  }
  const hint = `It is the steps ${found.join(" and ")}: give the name, from("${found[0]}").`;
  throw invalid(`step ${reader}`, "from() names a job that is several steps", hint);
}

/** @returns the name of the output that is meant */
function outputOf(reader: string, source: LivePlan, output: string): string {
  const names = source.job.collections.map(({ name }) => name);
  if (names.includes(output)) return output;
  if (output === "" && names.length === 1) return names[0]!;
  const known = names.filter((name) => name !== "");
  const near = suggest(output, known) ?? known[0];
  const hint =
    near === undefined
      ? `It has no collections: from("${source.name}") reads its results.`
      : `It has ${known.join(", ")}: from("${source.name}", "${near}").`;
  const problem =
    output === ""
      ? `from("${source.name}"): the step has several collections`
      : `from("${source.name}", "${output}"): the step has no such collection`;
  throw invalid(`step ${reader}`, problem, hint);
}

/** The names of the steps that one needs: those it reads, and those it waits for. */
function needsOf({ job, after }: StepPlan): string[] {
  const read = readersOf(job).flatMap(([, reader]) => stepRefOf(reader)?.of ?? []);
  return [...new Set([...read.map(String), ...after])];
}

/** Each step after those it needs; otherwise as they were written. */
function inOrder(plans: readonly LivePlan[]): LivePlan[] {
  const done = new Map<string, LivePlan>();
  while (done.size < plans.length) {
    const next = plans.find((plan) => !done.has(plan.name) && needsOf(plan).every((name) => done.has(name)));
    if (next === undefined) throw circle(plans.filter((plan) => !done.has(plan.name)));
    done.set(next.name, next);
  }
  return [...done.values()];
}

/** Of steps of which none can begin: the way round. */
function circle(plans: readonly StepPlan[]): SheafError {
  const way = [plans[0]!.name];
  for (;;) {
    const plan = plans.find(({ name }) => name === way.at(-1))!;
    const next = needsOf(plan).find((name) => plans.some((one) => one.name === name))!;
    const begin = way.indexOf(next);
    way.push(next);
    if (begin < 0) continue;
    const text = way.slice(begin).join(" needs ");
    return invalid("pipeline()", `${text}: none of them can begin`, "Take one of these out of the circle.");
  }
}

function noSuchStep(where: string, name: string, names: readonly string[]): SheafError {
  const near = suggest(name, names);
  const hint = near === undefined ? `The steps are: ${names.join(", ")}.` : `Did you mean "${near}"?`;
  return invalid(where, `there is no step "${name}"`, hint);
}

export function isPipeline(exported: unknown): exported is Pipeline {
  return (
    typeof exported === "object" && exported !== null && "sheaf" in exported && exported.sheaf === "pipeline"
  );
}
