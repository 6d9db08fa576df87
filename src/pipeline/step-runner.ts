import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { stepsDirectory } from "../engine/job-history.ts";
import type { ClusterRunOptions, JobRunOptions, RunOptions } from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { NodeTask } from "../steps/node-job.ts";
import { agentPlace } from "../steps/script.ts";
import { isStored } from "../storage/stores.ts";
import { scriptTask, takeOutputs } from "./node-script.ts";
import type { PipelineParts } from "./parts.ts";
import { formRead, type GraphStep, readBy } from "./plan.ts";
import { runLoop } from "./run-loop.ts";
import { pathsOf, runScript, type ScriptRun } from "./run-script.ts";
import { runTransfer } from "./run-transfer.ts";
import type { StepState } from "./state.ts";
import { type SharedOptions, type StepSource, stepTexts } from "./step-inputs.ts";
import { stepDirectory } from "./step-output.ts";

/** Runs one step, whatever kind it is of. */
export class StepRunner {
  readonly #parts: PipelineParts;
  readonly #step: (name: string) => StepState;
  readonly #submitted: (name: string, jobId: string) => void;

  /** @param submitted told of each job that a cluster has begun for a step */
  constructor(
    parts: PipelineParts,
    step: (name: string) => StepState,
    submitted: (name: string, jobId: string) => void,
  ) {
    this.#parts = parts;
    this.#step = step;
    this.#submitted = submitted;
  }

  async run(step: GraphStep, run: number, own: SharedOptions): Promise<RunResult> {
    const { name, outline, forms } = step;
    const directory = stepDirectory(this.#parts.begun.work, name, run);
    const form = forms.files ? "files" : "records";
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    switch (outline.kind) {
      case "job":
        return this.#job(step, own, {
          output: join(directory, form),
          previous: null,
          collect: forms.files && forms.records,
        });
      case "loop":
        return this.#loop(step, directory, own);
      case "script":
      case "transfer":
        return this.#program(step, directory);
    }
  }

  /** What the step reads of others. @param previous in a loop the records of the round before */
  texts({ outline }: GraphStep, previous: string | null): string[] {
    return stepTexts(outline, (source) =>
      source.previous === true && previous !== null ? [previous] : this.#paths(outline, source),
    );
  }

  #paths(reader: GraphStep["outline"], { of, output }: StepSource): string[] {
    const { done } = this.#step(of);
    // Whether it is there was looked after before; without it only the number of inputs matters.
    if (done === null) return [of];
    const source = this.#parts.steps.find(({ name }) => name === of)!;
    if (source.kind === "transfer") return done.summary.parts.map(({ file }) => file);
    const directory = stepDirectory(this.#parts.begun.work, of, done.run);
    return [join(directory, formRead(source, reader), output)];
  }

  #bundlePlace(name: string): string {
    return join(this.#parts.place, "app", stepsDirectory, name);
  }

  #job(
    step: GraphStep,
    own: SharedOptions,
    to: { readonly output: string; readonly previous: string | null; readonly collect: boolean },
  ): Promise<RunResult> {
    const { options, begun, events, bundle, place, inputs } = this.#parts;
    const { name, forms, outline } = step;
    const writes = forms.files ? "files" : "records";
    const { inputs: _i, params: _p, partitions: _n, steps: _s, sample, overwrite: _o, ...rest } = options;
    const readsFiles = readBy(outline).length === 0;
    const all: JobRunOptions = {
      ...rest,
      inputs: [...(inputs[name] ?? []), ...this.texts(step, to.previous)],
      params: own.params,
      ...(own.partitions === undefined ? {} : { partitions: own.partitions }),
      // What steps pass on has been sampled before.
      ...(sample === undefined || !readsFiles ? {} : { sample }),
      output: to.output,
      collect: to.collect,
      name: `${begun.name}.${name}`,
      stateDirectory: this.#parts.directory === null ? null : join(place, stepsDirectory),
      step: { name, writes, bundle, directory: this.#bundlePlace(`${name}-${writes}`) },
      onEvent: (event) => {
        if (event.kind === "job-started" && isOnCluster(options)) this.#submitted(name, event.jobId);
        events.forward(event, name);
      },
    };
    return this.#parts.run(all);
  }

  #loop(step: GraphStep, directory: string, own: SharedOptions): Promise<RunResult> {
    const { events, bundle, options } = this.#parts;
    const { name, forms, outline } = step;
    return runLoop({
      name,
      directory,
      forms,
      rounds: outline.rounds!,
      bundle,
      place: this.#bundlePlace(`${name}-until`),
      noProgressMs: options.noProgressMs ?? settings.noProgressMs.default,
      round: (output, previous, collect) => this.#job(step, own, { output, previous, collect }),
      warn: (message) => events.emit({ kind: "warning", message }),
      log: (stream, text) => events.emit({ kind: "log", task: name, attempt: 0, stream, text }, name),
    });
  }

  async #program({ name, outline }: GraphStep, directory: string): Promise<RunResult> {
    const { events, begun, options } = this.#parts;
    const { signal } = options;
    const { spec, job } = outline;
    const about = { name, file: begun.file, directory, signal };
    const inputs: [string, string][] = [];
    for (const { name: input, input: reader } of job.inputs ?? []) {
      if (!("step" in reader) || reader.step === undefined) continue;
      inputs.push([input, this.#place(outline, reader.step)]);
    }
    if (spec?.kind === "transfer") {
      let toldMs = 0;
      const progress = (files: number, filesDone: number, bytes: number, bytesDone: number): void => {
        const isLast = filesDone === files && bytesDone === bytes;
        if (!isLast && events.elapsedMs - toldMs < 250) return;
        toldMs = events.elapsedMs;
        events.emit({ kind: "transferred", files, filesDone, bytes, bytesDone }, name);
      };
      const source = inputs[0]?.[1] ?? null;
      const onNodes = isOnCluster(options) ? (node: NodeTask) => this.#onNodes(name, node) : null;
      return runTransfer({ ...about, spec, source, progress, onNodes });
    }
    const outputs = job.collections.map((one) => one.name);
    const log = (stream: "stdout" | "stderr", text: string): void =>
      events.emit({ kind: "log", task: name, attempt: 0, stream, text }, name);
    const script = { ...about, spec: spec!, inputs: Object.fromEntries(inputs), outputs, log };
    if (spec?.on !== "each" || !isOnCluster(options)) return runScript(script);
    return runScript(script, (out) => this.#onEach(script, out));
  }

  /** Runs a script on every agent; null when all is well and what they have written is there. */
  async #onEach({ name, spec, file, inputs, outputs }: ScriptRun, out: string): Promise<RunResult | null> {
    const { events } = this.#parts;
    const task = scriptTask(spec, file, { ...(await pathsOf(spec, file)), ...inputs });
    const result = await this.#onNodes(name, task);
    if (result.status !== "SUCCEEDED") return result;
    try {
      const agents = await takeOutputs(result, outputs, out);
      const text = `it has run on ${agents.join(", ")}`;
      events.emit({ kind: "log", task: name, attempt: 0, stream: "log", text }, name);
      return null;
    } finally {
      await result.dispose();
    }
  }

  /** Has agents do something for a step, as a job. */
  #onNodes(name: string, node: NodeTask): Promise<RunResult> {
    const { events, begun, bundle, options, place, directory } = this.#parts;
    const { on, tokenFile, tls, priority, queueTimeoutMs, external, signal } = options as ClusterRunOptions;
    const own = { tokenFile, tls, priority, queueTimeoutMs, external, signal };
    const given = Object.entries(own).filter(([, value]) => value !== undefined);
    const all: Partial<ClusterRunOptions> & JobRunOptions = {
      ...Object.fromEntries(given),
      on,
      // Nobody knows what a script has done when it has failed, or whether it may do it twice.
      attempts: 1,
      speculation: false,
      collect: true,
      // No worker holds what it is sent in memory.
      maxAux: Number.MAX_SAFE_INTEGER,
      name: `${begun.name}.${name}`,
      stateDirectory: directory === null ? null : join(place, stepsDirectory),
      step: { name, writes: "files", node, bundle, directory: this.#bundlePlace(`${name}-nodes`) },
      onEvent: (event) => {
        if (event.kind === "job-started") this.#submitted(name, event.jobId);
        events.forward(event, name);
      },
    };
    return this.#parts.run(all);
  }

  /** Where what a step has written lies as files: of a transfer the directory of its copies. */
  #place(reader: GraphStep["outline"], source: StepSource): string {
    const { spec } = this.#parts.steps.find(({ name }) => name === source.of)!;
    if (spec?.kind === "transfer" && agentPlace(spec.to) !== null) {
      throw new SheafError("USAGE", `${source.of} has copied to ${spec.to}: other steps cannot read that`, {
        hint: "Let the step wait for it (after), and read the files where they are.",
      });
    }
    if (spec?.kind === "transfer")
      return isStored(spec.to)
        ? `${spec.to.replace(/\/+$/, "")}/`
        : resolve(dirname(this.#parts.begun.file), spec.to);
    return this.#paths(reader, source)[0]!;
  }
}

export function isOnCluster({ on }: RunOptions): boolean {
  return on?.includes("://") === true;
}
