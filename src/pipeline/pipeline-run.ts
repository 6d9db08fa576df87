import { rename } from "node:fs/promises";
import { join } from "node:path";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { toWireJson } from "../base/wire-json.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import type { StepRecord } from "../engine/events.ts";
import type { ClusterRunOptions, RunOptions } from "../engine/options.ts";
import { RunFailure } from "../engine/run-result.ts";
import type { RunResult } from "../engine/run-result.ts";
import { asShortage } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import type { StepOutline } from "../worker/messages.ts";
import { badOf, keepBad } from "./bad-records.ts";
import type { PipelineParts } from "./parts.ts";
import { type GraphStep, type Reasons, type StepNow, decide, digest, madeOf, readBy } from "./plan.ts";
import { endLeftScript } from "./run-script.ts";
import {
  applyEntry,
  type Forms,
  type JournalEntry,
  noRun,
  type PipelineState,
  type StepDone,
  type StepFacts,
  type StepState,
  type StepSummary,
} from "./state.ts";
import { checkInputs, filesOfStep, optionsOfStep } from "./step-inputs.ts";
import {
  collectionName,
  commitSteps,
  completeRecords,
  type Delivered,
  formsIn,
  isCommittedBy,
  stepDirectory,
  stepSummary,
  summaryOfResult,
  writeRecords,
} from "./step-output.ts";
import { isOnCluster, StepRunner } from "./step-runner.ts";
import { areCopies } from "./stored-transfer.ts";

/** How a run of a pipeline has ended, before its output is committed. */
export type StepsEnd =
  | { readonly status: "SUCCEEDED" }
  | { readonly status: "FAILED"; readonly error: RunFailure }
  | { readonly status: "CANCELLED" };

/** Steps that run at one time. */
const stepsAtOnce = limits.stepsAtOnce;

/**
 * Runs the steps of a pipeline, each as a job by the runner it was given, and writes down what was done, so
 * that another process can go on from wherever this one is killed. It steps no tasks itself.
 */
export class PipelineRun {
  readonly #parts: PipelineParts;
  readonly #runner: StepRunner;
  #state: PipelineState;
  #reasons: Reasons = new Map();
  readonly #running = new Map<string, Promise<void>>();
  readonly #records = new Map<string, StepRecord>();
  #error: RunFailure | null = null;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#state = parts.state;
    this.#runner = new StepRunner(
      parts,
      (name) => this.#step(name),
      (step, jobId) => this.append({ kind: "step-submitted", step, jobId }),
    );
  }

  get state(): PipelineState {
    return this.#state;
  }

  /** Every step as the history has it. */
  get records(): StepRecord[] {
    return this.#parts.graph.map((step) => this.#record(step));
  }

  /** Whether everything that the pipeline has to do is done. */
  get isWhole(): boolean {
    const { graph } = this.#parts;
    return graph.every(({ name }) => this.#step(name).done !== null);
  }

  /** Runs what has to be run. Never rejects. */
  async run(): Promise<StepsEnd> {
    const { signal } = this.#parts.options;
    try {
      await this.#settleBegun();
      await this.commit();
      await this.#plan();
      for (;;) {
        if (this.#error === null && signal?.aborted !== true) this.#startReady();
        if (this.#running.size === 0) break;
        await Promise.race(this.#running.values());
      }
    } catch (error) {
      this.#error ??= failureOutsideTasks(
        isSheafError(error)
          ? error
          : (asShortage(error) ??
              new SheafError("INTERNAL", `sheaf failed: ${describeThrown(error)}`, { cause: error })),
      );
      await Promise.allSettled(this.#running.values());
    }
    if (signal?.aborted === true) return { status: "CANCELLED" };
    return this.#error === null ? { status: "SUCCEEDED" } : { status: "FAILED", error: this.#error };
  }

  /** Of all steps, as "STEP.NAME". */
  counters(): Record<string, number> {
    const counters: Record<string, number> = {};
    for (const { name } of this.#parts.graph)
      for (const [counter, value] of Object.entries(this.#step(name).done?.summary.counters ?? {}))
        counters[`${name}.${counter}`] = value;
    return counters;
  }

  /** Of all steps. */
  badRecords(): number {
    const counts = this.#parts.graph.map(({ name }) => this.#step(name).done?.summary.badRecords ?? 0);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** What goes into the output directory. */
  delivered(): Delivered[] {
    const { graph, wanted } = this.#parts;
    return graph
      .filter(({ delivered }) => delivered)
      .map(({ name, outline }) => {
        const stays = outline.keep || this.#parts.passing || !wanted.whole || !this.isWhole;
        return this.#delivery(name, stays);
      });
  }

  #delivery(step: string, stays: boolean): Delivered {
    const directory = join(this.#doneDirectory(step), "files");
    return { step, stays, directory, summary: this.#step(step).done!.summary };
  }

  /** Where the records of a result lie; null for a step that keeps none. */
  recordsOf(step: string): string | null {
    return this.#step(step).done?.forms.records === true ? join(this.#doneDirectory(step), "records") : null;
  }

  append(entry: JournalEntry): void {
    this.#parts.journal.append(entry);
    this.#state = applyEntry(this.#state, entry);
  }

  /** Removes what no later run can use. */
  async tidy(): Promise<void> {
    const { graph, begun } = this.#parts;
    const kept = graph.filter(({ outline }) => outline.keep);
    if (kept.length === 0) return removeDirectory(begun.work);
    for (const { name, outline } of graph) {
      if (outline.keep || this.#step(name).removed) continue;
      this.append({ kind: "step-removed", step: name });
      await removeDirectory(join(begun.work, name));
    }
  }

  #step(name: string): StepState {
    return this.#state.steps[name] ?? noRun;
  }

  #directory(step: string, run: number): string {
    return stepDirectory(this.#parts.begun.work, step, run);
  }

  #doneDirectory(step: string): string {
    return this.#directory(step, this.#step(step).done!.run);
  }

  /** A run that nothing was heard of again is done if what it writes has appeared, else it never was. */
  async #settleBegun(): Promise<void> {
    for (const [step, { begun }] of Object.entries(this.#state.steps)) {
      if (begun === null) continue;
      const { run, forms, jobId } = begun;
      if (jobId !== undefined) await this.#endLeftJob(jobId);
      const directory = this.#directory(step, run);
      const outline = this.#parts.steps.find(({ name }) => name === step);
      const summary = await stepSummary(directory, forms);
      if (summary !== null) {
        // It may have been killed between the one and the other.
        if (forms.records && outline?.spec === null)
          await completeRecords(join(directory, "records"), collectionsOf(outline));
        await keepBad(this.#parts.begun.work, step, directory);
        this.append({ kind: "step-done", step, run, summary });
      } else {
        endLeftScript(directory);
        this.append({ kind: "step-failed", step, run, message: "its process was killed" });
      }
    }
  }

  /** It may still be at work, and would write where nobody looks for it any more. */
  async #endLeftJob(jobId: string): Promise<void> {
    const { options } = this.#parts;
    if (!isOnCluster(options)) return;
    const { on, tokenFile, tls, signal } = options as ClusterRunOptions;
    const { endLeftJob } = await import("../client/cluster-run.ts");
    await endLeftJob(jobId, { on, tokenFile, tls, signal });
  }

  async #plan(): Promise<void> {
    const { graph, events, steps, options, directory } = this.#parts;
    const now: Record<string, StepNow> = {};
    for (const step of graph) {
      // Names that no step has are told before anything runs.
      const own = optionsOfStep(steps, shared(options), step.outline);
      const { done, removed } = this.#step(step.name);
      const nothing = { facts: null, there: { records: false, files: false } };
      if (done === null) now[step.name] = nothing;
      else {
        const there = removed ? nothing.there : await this.#there(step, done);
        now[step.name] = { facts: await this.#factsOf(step, own), there };
      }
    }
    this.#reasons = this.#decide(now);
    for (const step of graph) {
      if ((this.#reasons.get(step.name) ?? null) === null) {
        this.#tellElsewhere(step, now[step.name]!);
        continue;
      }
      checkInputs(step.outline, [
        ...(this.#parts.inputs[step.name] ?? []),
        ...this.#runner.texts(step, null),
      ]);
    }
    const told = graph
      .filter(({ name }) => this.#reasons.has(name))
      .map(({ name, needs }) => ({ name, needs, why: this.#reasons.get(name)! }));
    const collections = graph
      .filter(({ delivered }) => delivered)
      .flatMap(({ name, outline }) => outline.job.collections.map((one) => collectionName(name, one.name)));
    events.emit({ kind: "steps-planned", steps: told, collections });
    directory?.update({ steps: this.records });
  }

  /** Of a transfer the copies count, wherever they are. */
  async #there({ name, outline }: GraphStep, { summary }: StepDone): Promise<Forms> {
    const there = await formsIn(this.#doneDirectory(name));
    if (outline.kind !== "transfer") return there;
    return { ...there, files: there.files && (await areCopies(summary.parts)) };
  }

  /** What is in the output already need not lie anywhere else, unless that is made anew. */
  #decide(now: Readonly<Record<string, StepNow>>): Reasons {
    const { graph, wanted } = this.#parts;
    const { commit } = this.#state;
    const isIn = (name: string): boolean =>
      this.isCommitted && commit.kind !== "none" && commit.steps.some(({ step }) => step === name);
    const inOutput = Object.entries(now).map(([name, { facts, there }]): [string, StepNow] => [
      name,
      { facts, there: { ...there, files: there.files || isIn(name) } },
    ]);
    const reasons = decide(graph, wanted, this.#state, Object.fromEntries(inOutput));
    const runsNothing = [...reasons.values()].every((why) => why === null);
    return runsNothing ? reasons : decide(graph, wanted, this.#state, now);
  }

  /** Whether what the steps have written last is where it belongs. */
  get isCommitted(): boolean {
    const { commit } = this.#state;
    return commit.kind === "done" && commit.output === this.#parts.output;
  }

  /** Carries out the commit that the journal has begun. */
  async commit(): Promise<void> {
    const { commit, begun, committedTo } = this.#state;
    const { output, options, graph } = this.#parts;
    if (commit.kind !== "begun" || commit.output !== output || begun === null) return;
    const overwrite = options.overwrite === true || (await isCommittedBy(committedTo, output));
    const delivered = commit.steps.map(({ step, stays }) => this.#delivery(step, stays));
    const withBad = graph.filter(({ name }) => (this.#step(name).done?.summary.badRecords ?? 0) > 0);
    const bad = withBad.map(({ name }) => [name, badOf(begun.work, name)] as const);
    const about = { name: begun.name, counters: this.counters(), badRecords: this.badRecords() };
    const plan = { id: begun.id, about, bad, overwrite, step: () => options.signal?.throwIfAborted() };
    const made = await commitSteps(output, plan, delivered);
    this.append({ kind: "committed", digest: made });
  }

  /** Files on agents cannot be compared: who would have it otherwise says so. */
  #tellElsewhere({ name }: GraphStep, { facts }: StepNow): void {
    if (!this.#reasons.has(name) || facts === null || facts.elsewhere.length === 0) return;
    const places = facts.elsewhere.join(" ");
    const message = `step ${name} was done before; whether ${places} has changed since cannot be told (--from ${name} runs it again)`;
    this.#parts.events.emit({ kind: "warning", message });
  }

  /** As it were if it began now; null when an input is missing. */
  async #factsOf(
    { name, outline }: GraphStep,
    own: ReturnType<typeof optionsOfStep>,
  ): Promise<Omit<StepFacts, "needs"> | null> {
    const { code, surroundings, inputs, begun, options } = this.#parts;
    const found = await filesOfStep(outline, inputs[name] ?? [], begun.file);
    if (found === null) return null;
    // As messages call them: "variable FACTOR".
    const around = (outline.spec === null ? surroundings : []).map(
      ([asked, hash]) => [(JSON.parse(asked) as string[]).join(" "), hash] as const,
    );
    const files = { ...found, files: { ...found.files, ...Object.fromEntries(around) } };
    const { sample, maxBad, maxFailedTasks, partBytes, growing } = options;
    const { spec, rounds } = outline;
    // Both may be made of more than code when the file is loaded: of the environment, say. Hashed, for the
    // variables of a script may be secrets.
    const made = spec === null && rounds === null ? undefined : digest([spec, rounds]);
    const wishes = { partitions: own.partitions, sample, maxBad, maxFailedTasks, partBytes, growing, made };
    return { code: code[name]!, params: toWireJson(own.params), options: JSON.stringify(wishes), ...files };
  }

  #startReady(): void {
    for (const step of this.#parts.graph) {
      const { name, needs } = step;
      if (this.#running.size >= stepsAtOnce) return;
      const why = this.#reasons.get(name) ?? null;
      if (why === null || this.#running.has(name) || this.#records.has(name)) continue;
      const isReady = needs.every((need) => {
        const waits = (this.#reasons.get(need) ?? null) !== null;
        return waits ? this.#records.get(need)?.status === "SUCCEEDED" : this.#step(need).done !== null;
      });
      if (!isReady) continue;
      const running = this.#runStep(step, why).finally(() => this.#running.delete(name));
      this.#running.set(name, running);
    }
  }

  async #runStep(step: GraphStep, why: string): Promise<void> {
    const { events } = this.#parts;
    const { name, forms } = step;
    const run = this.#step(name).runs + 1;
    this.#note(step, { status: "RUNNING", why, run });
    events.emit({ kind: "step-started", run, why }, name);
    const own = optionsOfStep(this.#parts.steps, shared(this.#parts.options), step.outline);
    const known = await this.#factsOf(step, own);
    const needs = Object.fromEntries(step.needs.map((need) => [need, this.#step(need).done?.made ?? ""]));
    // An input that is missing is told by the run itself.
    const facts: StepFacts = {
      ...(known ?? { code: "", params: "", options: "", files: {}, elsewhere: [] }),
      needs,
    };
    // What a script or transfer does again may be something else, and so may be what lies on agents.
    const isSame = step.outline.spec === null && facts.elsewhere.length === 0;
    const made = isSame ? madeOf(name, facts) : `${madeOf(name, facts)}-${run}`;
    await this.#takeOver(step, run, made);
    this.append({ kind: "step-begun", step: name, run, facts, forms, made });
    const result = await this.#runner.run(step, run, own);
    try {
      await this.#ended(step, run, why, result);
    } finally {
      await result.dispose();
    }
  }

  /** The rounds of an earlier run of the same loop that was cut off are those of this one. */
  async #takeOver({ name, outline }: GraphStep, run: number, made: string): Promise<void> {
    const { lost } = this.#step(name);
    if (lost === null) return;
    if (outline.kind === "loop" && lost.made === made)
      await rename(this.#directory(name, lost.run), this.#directory(name, run)).catch(() => undefined);
    else await removeDirectory(this.#directory(name, lost.run));
  }

  async #ended(step: GraphStep, run: number, why: string, result: RunResult): Promise<void> {
    const { events } = this.#parts;
    const { name, forms, outline } = step;
    const { status, error, stats, jobId } = result;
    const directory = this.#directory(name, run);
    let summary: StepSummary | null = null;
    if (status === "SUCCEEDED") {
      const collections = collectionsOf(outline);
      const isJob = outline.kind === "job";
      if (isJob && forms.records && forms.files)
        await writeRecords(result, collections, join(directory, "records"));
      if (isJob && forms.records) await completeRecords(join(directory, "records"), collections);
      await keepBad(this.#parts.begun.work, name, directory);
      summary = summaryOfResult(result, forms);
      this.append({ kind: "step-done", step: name, run, summary });
    } else {
      this.append({ kind: "step-failed", step: name, run, message: error?.message ?? status });
      if (outline.kind !== "loop") await removeDirectory(directory);
      if (status === "FAILED") this.#error ??= inStep(name, error!);
    }
    this.#note(step, { status, why, run, jobId: jobId === "" ? null : jobId, elapsedMs: stats.elapsedMs });
    const message = status === "SUCCEEDED" ? null : (error?.message ?? status).split("\n", 1)[0]!;
    const { recordsIn, recordsOut, elapsedMs } = stats;
    events.emit({ kind: "step-finished", run, status, recordsIn, recordsOut, elapsedMs, message }, name);
    if (summary !== null) await this.#removeRead(step, run);
  }

  /** What this run replaces, and what nobody will read any more. */
  async #removeRead(step: GraphStep, run: number): Promise<void> {
    const { graph } = this.#parts;
    for (let old = run - 1; old > 0; old--) await removeDirectory(this.#directory(step.name, old));
    for (const need of readBy(step.outline)) {
      const source = graph.find(({ name }) => name === need)!;
      const { done, removed } = this.#step(need);
      if (source.outline.keep || source.delivered || removed || done === null) continue;
      const isDone = (name: string): boolean =>
        (this.#reasons.get(name) ?? null) === null
          ? this.#step(name).done !== null
          : this.#records.get(name)?.status === "SUCCEEDED";
      if (!source.readers.every(isDone)) continue;
      this.append({ kind: "step-removed", step: need });
      await removeDirectory(join(this.#parts.begun.work, need));
    }
  }

  #note(step: GraphStep, changes: Partial<StepRecord> & { readonly status: StepRecord["status"] }): void {
    this.#records.set(step.name, { ...this.#record(step), ...changes });
    this.#parts.directory?.update({ steps: this.records });
  }

  #record(step: GraphStep): StepRecord {
    const { name, needs, outline, delivered } = step;
    const { done, runs } = this.#step(name);
    const known = this.#records.get(name);
    const why = this.#reasons.get(name);
    const status =
      why === undefined ? (done === null ? "left out" : "done") : why === null ? "done" : "waiting";
    const summary = done?.summary;
    return {
      name,
      kind: outline.kind,
      needs,
      status: known?.status ?? status,
      why: why ?? null,
      run: known?.run ?? runs,
      jobId: known?.jobId ?? null,
      elapsedMs: known?.elapsedMs ?? summary?.elapsedMs ?? null,
      recordsIn: summary?.recordsIn ?? 0,
      recordsOut: summary?.recordsOut ?? 0,
      bytesIn: summary?.bytesIn ?? 0,
      bytesOut: summary?.bytesOut ?? 0,
      counters: summary?.counters ?? {},
      kept: outline.keep || delivered,
    };
  }
}

/** The failure of a step as one of its pipeline. */
function inStep(name: string, error: RunFailure): RunFailure {
  const { code, message, hint, details, cause, failure, task, attempt } = error;
  return new RunFailure(code, `step ${name}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    details,
    cause,
    report: `step ${name}: ${error.report}`,
    failed: failure === null ? null : { task: task ?? "", attempt: attempt ?? 0, failure, capsule: null },
  });
}

function collectionsOf({ job }: StepOutline): string[] {
  return job.collections.map(({ name }) => name);
}

function shared({ params = {}, partitions }: RunOptions) {
  return { params, partitions };
}
