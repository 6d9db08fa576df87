import { rename } from "node:fs/promises";
import { join } from "node:path";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { toWireJson } from "../base/wire-json.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import type { StepRecord } from "../engine/events.ts";
import type { RunOptions } from "../engine/options.ts";
import { retold } from "../engine/run-result.ts";
import type { RunFailure, RunResult } from "../engine/run-result.ts";
import { asShortage } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { keepBad } from "./bad-records.ts";
import type { DoneSteps } from "./done-steps.ts";
import type { PipelineParts } from "./parts.ts";
import {
  collectionsOf,
  decide,
  digest,
  type GraphStep,
  madeOf,
  readBy,
  type Reasons,
  type StepNow,
} from "./plan.ts";
import type { Forms, StepDone, StepFacts, StepSummary } from "./state.ts";
import { checkInputs, filesOfStep, optionsOfStep } from "./step-inputs.ts";
import { collectionName, completeRecords, formsIn, summaryOfResult, writeRecords } from "./step-output.ts";
import { StepRunner } from "./step-runner.ts";
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
  readonly #done: DoneSteps;
  readonly #runner: StepRunner;
  #reasons: Reasons = new Map();
  readonly #running = new Map<string, Promise<void>>();
  readonly #records = new Map<string, StepRecord>();
  #error: RunFailure | null = null;

  constructor(parts: PipelineParts, done: DoneSteps) {
    this.#parts = parts;
    this.#done = done;
    this.#runner = new StepRunner(
      parts,
      (name) => this.#done.step(name),
      (step, jobId) => this.#done.append({ kind: "step-submitted", step, jobId }),
    );
  }

  /** Every step as the history has it. */
  get records(): StepRecord[] {
    return this.#parts.graph.map((step) => this.#record(step));
  }

  /** Runs what has to be run. Never rejects. */
  async run(): Promise<StepsEnd> {
    const { signal } = this.#parts.options;
    try {
      await this.#done.settleBegun();
      await this.#done.commit();
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

  async #plan(): Promise<void> {
    const { graph, events, steps, options, directory } = this.#parts;
    const now: Record<string, StepNow> = {};
    for (const step of graph) {
      // Names that no step has are told before anything runs.
      const own = optionsOfStep(steps, shared(options), step.outline);
      const { done, removed } = this.#done.step(step.name);
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
    const there = await formsIn(this.#done.doneDirectory(name));
    if (outline.kind !== "transfer") return there;
    return { ...there, files: there.files && (await areCopies(summary.parts)) };
  }

  /** What is in the output already need not lie anywhere else, unless that is made anew. */
  #decide(now: Readonly<Record<string, StepNow>>): Reasons {
    const { graph, wanted } = this.#parts;
    const { commit } = this.#done.state;
    const isIn = (name: string): boolean =>
      this.#done.isCommitted && commit.kind !== "none" && commit.steps.some(({ step }) => step === name);
    const inOutput = Object.entries(now).map(([name, { facts, there }]): [string, StepNow] => [
      name,
      { facts, there: { ...there, files: there.files || isIn(name) } },
    ]);
    const reasons = decide(graph, wanted, this.#done.state, Object.fromEntries(inOutput));
    const runsNothing = [...reasons.values()].every((why) => why === null);
    return runsNothing ? reasons : decide(graph, wanted, this.#done.state, now);
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
        return waits ? this.#records.get(need)?.status === "SUCCEEDED" : this.#done.step(need).done !== null;
      });
      if (!isReady) continue;
      const running = this.#runStep(step, why).finally(() => this.#running.delete(name));
      this.#running.set(name, running);
    }
  }

  async #runStep(step: GraphStep, why: string): Promise<void> {
    const { events } = this.#parts;
    const { name, forms } = step;
    const run = this.#done.step(name).runs + 1;
    this.#note(step, { status: "RUNNING", why, run });
    events.emit({ kind: "step-started", run, why }, name);
    const own = optionsOfStep(this.#parts.steps, shared(this.#parts.options), step.outline);
    const known = await this.#factsOf(step, own);
    const needs = Object.fromEntries(
      step.needs.map((need) => [need, this.#done.step(need).done?.made ?? ""]),
    );
    // An input that is missing is told by the run itself.
    const facts: StepFacts = {
      ...(known ?? { code: "", params: "", options: "", files: {}, elsewhere: [] }),
      needs,
    };
    // What a script or transfer does again may be something else, and so may be what lies on agents.
    const isSame = step.outline.spec === null && facts.elsewhere.length === 0;
    const made = isSame ? madeOf(name, facts) : `${madeOf(name, facts)}-${run}`;
    await this.#takeOver(step, run, made);
    this.#done.append({ kind: "step-begun", step: name, run, facts, forms, made });
    const result = await this.#runner.run(step, run, own);
    try {
      await this.#ended(step, run, why, result);
    } finally {
      await result.dispose();
    }
  }

  /** The rounds of an earlier run of the same loop that was cut off are those of this one. */
  async #takeOver({ name, outline }: GraphStep, run: number, made: string): Promise<void> {
    const { lost } = this.#done.step(name);
    if (lost === null) return;
    if (outline.kind === "loop" && lost.made === made)
      await rename(this.#done.directory(name, lost.run), this.#done.directory(name, run)).catch(
        () => undefined,
      );
    else await removeDirectory(this.#done.directory(name, lost.run));
  }

  async #ended(step: GraphStep, run: number, why: string, result: RunResult): Promise<void> {
    const { events } = this.#parts;
    const { name, forms, outline } = step;
    const { status, error, stats, jobId } = result;
    const directory = this.#done.directory(name, run);
    let summary: StepSummary | null = null;
    if (status === "SUCCEEDED") {
      const collections = collectionsOf(outline);
      const isJob = outline.kind === "job";
      if (isJob && forms.records && forms.files)
        await writeRecords(result, collections, join(directory, "records"));
      if (isJob && forms.records) await completeRecords(join(directory, "records"), collections);
      await keepBad(this.#parts.begun.work, name, directory);
      summary = summaryOfResult(result, forms);
      this.#done.append({ kind: "step-done", step: name, run, summary });
    } else {
      this.#done.append({ kind: "step-failed", step: name, run, message: error?.message ?? status });
      if (outline.kind !== "loop") await removeDirectory(directory);
      if (status === "FAILED")
        this.#error ??= retold(error!, `step ${name}: ${error!.message}`, `step ${name}: ${error!.report}`);
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
    for (let old = run - 1; old > 0; old--) await removeDirectory(this.#done.directory(step.name, old));
    for (const need of readBy(step.outline)) {
      const source = graph.find(({ name }) => name === need)!;
      const { done, removed } = this.#done.step(need);
      if (source.outline.keep || source.delivered || removed || done === null) continue;
      const isDone = (name: string): boolean =>
        (this.#reasons.get(name) ?? null) === null
          ? this.#done.step(name).done !== null
          : this.#records.get(name)?.status === "SUCCEEDED";
      if (!source.readers.every(isDone)) continue;
      this.#done.append({ kind: "step-removed", step: need });
      await removeDirectory(join(this.#parts.begun.work, need));
    }
  }

  #note(step: GraphStep, changes: Partial<StepRecord> & { readonly status: StepRecord["status"] }): void {
    this.#records.set(step.name, { ...this.#record(step), ...changes });
    this.#parts.directory?.update({ steps: this.records });
  }

  #record(step: GraphStep): StepRecord {
    const { name, needs, outline, delivered } = step;
    const { done, runs } = this.#done.step(name);
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

function shared({ params = {}, partitions }: RunOptions) {
  return { params, partitions };
}
