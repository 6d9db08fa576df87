import { createHash, randomUUID } from "node:crypto";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import type { StepSelection } from "../engine/options.ts";
import type { StepOutline } from "../worker/messages.ts";
import { type Forms, noRun, type PipelineState, type StepFacts } from "./state.ts";

/** A step among those it has to do with. */
export interface GraphStep {
  readonly outline: StepOutline;
  readonly name: string;
  /** Steps that must be done before: those it reads first. */
  readonly needs: readonly string[];
  /** Steps that read what it writes. */
  readonly readers: readonly string[];
  /** Its files are part of the output. */
  readonly delivered: boolean;
  /** How its results have to lie in its directory. */
  readonly forms: Forms;
}

/** What of a pipeline is wanted in a run. */
export interface Wanted {
  /** Steps whose results are wanted, in order. */
  readonly steps: readonly string[];
  /** Those of them that run even when nothing has changed. */
  readonly again: ReadonlySet<string>;
  /** The flag that says so. */
  readonly flag: string;
  /** All of the pipeline. */
  readonly whole: boolean;
}

/** Names of the steps whose records or files a step reads. */
export function readBy({ job }: StepOutline): string[] {
  const inputs = job.inputs?.map(({ input }) => input) ?? [job.input];
  return [...new Set(inputs.flatMap((input) => ("step" in input && input.step ? [input.step.of] : [])))];
}

/** Names of the collections that a step makes. */
export function collectionsOf({ job }: StepOutline): string[] {
  return job.collections.map(({ name }) => name);
}

/** Names of the steps that must be done before one begins. */
function neededBy(step: StepOutline): string[] {
  return [...new Set([...readBy(step), ...step.after])];
}

/**
 * The steps, in order, with their neighbours.
 * @param collect whether records of the last steps are wanted of the result
 */
export function graphOf(
  steps: readonly StepOutline[],
  wanted: Wanted,
  collect: boolean,
): readonly GraphStep[] {
  return steps.map((outline) => {
    const { name, keep, kind } = outline;
    const reading = steps.filter((one) => readBy(one).includes(name));
    const readers = reading.map((one) => one.name);
    const isWanted = wanted.steps.includes(name);
    const isLast = isWanted && !readers.some((reader) => wanted.steps.includes(reader));
    // What is transferred is where it was transferred to.
    const delivered = kind !== "transfer" && ((keep && isWanted) || isLast);
    const forms =
      outline.spec !== null
        ? { records: false, files: true }
        : {
            records: reading.some((one) => one.spec === null) || (collect && delivered),
            files: delivered || reading.some((one) => one.spec !== null),
          };
    const needs = neededBy(outline);
    return { outline, name, needs, readers, delivered, forms };
  });
}

/** How a step reads another: jobs read the records of jobs, everything else is files. */
export function formRead(source: StepOutline, reader: StepOutline): keyof Forms {
  return source.spec === null && reader.spec === null ? "records" : "files";
}

/** @throws SheafError USAGE for a step that there is not, and more than one wish */
export function wantedOf(steps: readonly StepOutline[], selection: StepSelection = {}): Wanted {
  const names = steps.map(({ name }) => name);
  const given = Object.entries(selection).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const flags = given.map(([name]) => `--${name}`).join(" and ");
    throw new SheafError("USAGE", `${flags} exclude each other`, { hint: "Give one of them." });
  }
  const [kind, step] = (given[0] ?? ["", ""]) as [string, string];
  if (kind === "") return { steps: names, again: new Set(), flag: "", whole: true };
  if (!names.includes(step)) {
    const near = suggest(step, names);
    throw new SheafError("USAGE", `--${kind}: the pipeline has no step "${step}"`, {
      hint: near === undefined ? `Its steps are: ${names.join(", ")}.` : `Did you mean "${near}"?`,
    });
  }
  const chosen = new Set([step]);
  if (kind === "from") {
    // Steps stand behind those they need.
    for (const one of steps) if (neededBy(one).some((name) => chosen.has(name))) chosen.add(one.name);
  }
  if (kind === "until") {
    for (const one of steps.toReversed())
      if (chosen.has(one.name)) for (const name of neededBy(one)) chosen.add(name);
  }
  const again = kind === "until" ? new Set<string>() : chosen;
  const wanted = kind === "from" ? names : names.filter((name) => chosen.has(name));
  return { steps: wanted, again, flag: `--${kind} ${step}`, whole: kind === "from" };
}

/** What is known of a step before it is decided whether it runs. */
export interface StepNow {
  /** Without `needs`; null when they cannot be told, since an input is missing. */
  readonly facts: Omit<StepFacts, "needs"> | null;
  /** The directory of its last run that was done has these. */
  readonly there: Forms;
}

/** Why a step runs; null: it does not, what it wrote before is used. */
export type Reasons = ReadonlyMap<string, string | null>;

/**
 * Decides which steps run. Pure. A step runs when its results are wanted, or needed by one that runs, and it
 * was not done, or not with the same code, inputs and params, or what it wrote is not there.
 */
export function decide(
  graph: readonly GraphStep[],
  wanted: Wanted,
  state: PipelineState,
  now: Readonly<Record<string, StepNow>>,
): Reasons {
  const must = new Map<string, string>();
  /** Those that run only since what they wrote is gone: they write the same again. */
  const same = new Set<string>();
  const asked = new Set(wanted.steps);
  for (let before = -1; before < must.size + asked.size;) {
    before = must.size + asked.size;
    for (const step of graph) {
      if (!asked.has(step.name) || must.has(step.name)) continue;
      const why = wanted.again.has(step.name)
        ? `${wanted.flag} asks for it`
        : whyNow(step, state, now[step.name]!, (need) => must.has(need) && !same.has(need));
      if (why !== null) must.set(step.name, why);
      else if (step.delivered && !now[step.name]!.there.files) {
        must.set(step.name, "the files of its output are not there any more");
        if (writesSame(step.outline, now[step.name]!)) same.add(step.name);
      }
    }
    for (const step of graph) {
      if (!must.has(step.name)) continue;
      for (const need of step.needs) {
        const done = state.steps[need]?.done ?? null;
        const reads = readBy(step.outline).includes(need);
        const source = graph.find(({ name }) => name === need)!.outline;
        const isThere = !reads || now[need]!.there[formRead(source, step.outline)];
        if (must.has(need) || (done !== null && isThere)) continue;
        asked.add(need);
        must.set(
          need,
          done === null ? firstRun(state, need) : `its output is gone, and ${step.name} reads it`,
        );
        if (done !== null && writesSame(source, now[need]!)) same.add(need);
      }
    }
  }
  return new Map(
    graph.filter(({ name }) => asked.has(name)).map(({ name }) => [name, must.get(name) ?? null]),
  );
}

/** Nobody knows whether a script writes the same again, nor what lies on agents by now. */
function writesSame({ spec }: StepOutline, { facts }: StepNow): boolean {
  return spec === null && facts?.elsewhere.length === 0;
}

function firstRun(state: PipelineState, step: string): string {
  return (state.steps[step]?.runs ?? 0) === 0 ? "it has not run yet" : "it was not done";
}

/** Why the step's results cannot be used again, or null. */
function whyNow(
  { name, needs, outline }: GraphStep,
  state: PipelineState,
  { facts }: StepNow,
  changes: (step: string) => boolean,
): string | null {
  const { done } = state.steps[name] ?? noRun;
  if (done === null) return firstRun(state, name);
  const changed = needs.find(changes);
  if (changed !== undefined) return `${changed} runs again`;
  if (facts === null) return "its inputs have changed";
  const before = done.facts;
  if (facts.code !== before.code) return "its code has changed";
  if (facts.params !== before.params) return "its params have changed";
  if (facts.options !== before.options) return "options of the run have changed";
  const paths = [...new Set([...Object.keys(before.files), ...Object.keys(facts.files)])];
  const other = paths.filter((path) => facts.files[path] !== before.files[path]);
  if (other.length > 0) {
    const isUntold = other.every((path) => facts.files[path]?.startsWith(untold) === true);
    return isUntold
      ? `nobody can tell whether its inputs have changed: ${told(other)}`
      : `its inputs have changed: ${told(other)}`;
  }
  if (facts.elsewhere.join("\n") !== before.elsewhere.join("\n")) return "its inputs have changed";
  for (const need of needs) {
    const made = state.steps[need]?.done?.made;
    if (made !== undefined && made !== before.needs[need])
      return readBy(outline).includes(need)
        ? `${need} has written something else since`
        : `${need} ran since`;
  }
  return null;
}

function told(paths: readonly string[]): string {
  return paths.length === 1 ? paths[0]! : `${paths[0]} and ${paths.length - 1} more`;
}

const untold = "?";

/** For a file of which nobody can tell whether it has changed: never the same twice. */
export function stampOfUntold(): string {
  return untold + randomUUID();
}

/** A name for what a step writes that is the same where its results are sure to be. */
export function madeOf(name: string, facts: StepFacts): string {
  const files = Object.entries(facts.files).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const needs = Object.entries(facts.needs).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return digest([name, facts.code, facts.params, facts.options, files, facts.elsewhere, needs]);
}

/** Of plain data; the same for the same. */
export function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 24);
}
