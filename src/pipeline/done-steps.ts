import { join } from "node:path";
import type { ClusterRunOptions } from "../engine/options.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { badOf, keepBad } from "./bad-records.ts";
import type { PipelineParts } from "./parts.ts";
import { collectionsOf } from "./plan.ts";
import { endLeftScript } from "./run-script.ts";
import { applyEntry, type JournalEntry, noRun, type PipelineState, type StepState } from "./state.ts";
import {
  commitSteps,
  completeRecords,
  type Delivered,
  isCommittedBy,
  stepDirectory,
  stepSummary,
} from "./step-output.ts";
import { isOnCluster } from "./step-runner.ts";

/** What the steps of a pipeline have done, as the journal says it, and where what they have written lies. */
export class DoneSteps {
  readonly #parts: PipelineParts;
  #state: PipelineState;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#state = parts.state;
  }

  /** As the journal has it by now. */
  get state(): PipelineState {
    return this.#state;
  }

  /** Writes an entry into the journal, and goes on from there. */
  append(entry: JournalEntry): void {
    this.#parts.journal.append(entry);
    this.#state = applyEntry(this.#state, entry);
  }

  /** What is known of a step, also of one that never ran. */
  step(name: string): StepState {
    return this.#state.steps[name] ?? noRun;
  }

  /** Where one run of the step writes. */
  directory(step: string, run: number): string {
    return stepDirectory(this.#parts.begun.work, step, run);
  }

  /** Where the run of a step that is done has written. */
  doneDirectory(step: string): string {
    return this.directory(step, this.step(step).done!.run);
  }

  /** Whether everything that the pipeline has to do is done. */
  get isWhole(): boolean {
    const { graph } = this.#parts;
    return graph.every(({ name }) => this.step(name).done !== null);
  }

  /** Of all steps, as "STEP.NAME". */
  counters(): Record<string, number> {
    const counters: Record<string, number> = {};
    for (const { name } of this.#parts.graph)
      for (const [counter, value] of Object.entries(this.step(name).done?.summary.counters ?? {}))
        counters[`${name}.${counter}`] = value;
    return counters;
  }

  /** Of all steps. */
  badRecords(): number {
    const counts = this.#parts.graph.map(({ name }) => this.step(name).done?.summary.badRecords ?? 0);
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
    const directory = join(this.doneDirectory(step), "files");
    return { step, stays, directory, summary: this.step(step).done!.summary };
  }

  /** Where the records of a result lie; null for a step that keeps none. */
  recordsOf(step: string): string | null {
    return this.step(step).done?.forms.records === true ? join(this.doneDirectory(step), "records") : null;
  }

  /** Removes what no later run can use. */
  async tidy(): Promise<void> {
    const { graph, begun } = this.#parts;
    const kept = graph.filter(({ outline }) => outline.keep);
    if (kept.length === 0) return removeDirectory(begun.work);
    for (const { name, outline } of graph) {
      if (outline.keep || this.step(name).removed) continue;
      this.append({ kind: "step-removed", step: name });
      await removeDirectory(join(begun.work, name));
    }
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
    const withBad = graph.filter(({ name }) => (this.step(name).done?.summary.badRecords ?? 0) > 0);
    const bad = withBad.map(({ name }) => [name, badOf(begun.work, name)] as const);
    const about = { name: begun.name, counters: this.counters(), badRecords: this.badRecords() };
    const plan = { id: begun.id, about, bad, overwrite, step: () => options.signal?.throwIfAborted() };
    const made = await commitSteps(output, plan, delivered);
    this.append({ kind: "committed", digest: made });
  }

  /** A run that nothing was heard of again is done if what it writes has appeared, else it never was. */
  async settleBegun(): Promise<void> {
    for (const [step, { begun }] of Object.entries(this.#state.steps)) {
      if (begun === null) continue;
      const { run, forms, jobId } = begun;
      if (jobId !== undefined) await this.#endLeftJob(jobId);
      const directory = this.directory(step, run);
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
}
