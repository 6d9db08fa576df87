import { type CollectionPlan, type Job, mergePrint } from "../job/job-plan.ts";
import { isSource } from "../job/reader.ts";
import { programPaths } from "../job/validate-exec.ts";
import { stepRefOf } from "../steps/from.ts";
import type { Pipeline } from "../steps/pipeline.ts";
import { auxFiles } from "../task/aux.ts";
import { estimateOutline, mapsByProgram } from "../task/record-units.ts";
import { tellsStates } from "../task/told-states.ts";
import type { InputOutline, JobOutline, StepOutline } from "./messages.ts";

/** What the coordinating thread is told of a job. */
export function outlineOf(job: Job): JobOutline {
  const programs = programPaths(job);
  const byProgram = mapsByProgram(job);
  const inputs = job.inputs.map(({ inputName, input }) => ({ name: inputName, input: inputOutline(input) }));
  return {
    name: job.name ?? null,
    input: inputOutline(job.input),
    ...(inputs.length === 0 ? {} : { inputs }),
    collections: job.collections.map((plan) => ({
      name: plan.name,
      partitions: plan.partitions ?? null,
      order: plan.order,
      mapOnly: plan.mapOnly,
      estimates: estimateOutline(plan, byProgram),
      ...(tellsStates(plan) && { tells: true }),
      ...mergesOf(plan),
    })),
    params: Object.fromEntries(Object.entries(job.params).map(([name, value]) => [name, paramType(value)])),
    aux: auxFiles(job.aux),
    ...(job.files.length > 0 && { files: job.files }),
    ...(Object.keys(job.stores).length > 0 && { stores: job.stores }),
    ...(programs.length > 0 && { programs }),
    hasExpect: job.expect !== undefined,
    seed: job.seed,
  };
}

/** Of a pipeline only its steps are told. */
export function pipelineOutline({ steps }: Pipeline): JobOutline {
  return {
    name: null,
    input: { kind: "generate", tasks: 1 },
    collections: [],
    params: {},
    aux: [],
    hasExpect: false,
    seed: 0,
    steps: steps.map(({ job, until: _until, readers: _readers, ...plan }): StepOutline => ({
      ...plan,
      job: outlineOf(job),
    })),
  };
}

function inputOutline(input: Job["input"]): InputOutline {
  if (isSource(input)) {
    const { tasks, count, forMs, until, nodes } = input;
    return {
      kind: "generate",
      tasks,
      ...(count !== undefined && { count }),
      ...(forMs !== undefined && { forMs }),
      ...(until !== undefined && { hasUntil: true }),
      ...(nodes !== undefined && { nodes }),
    };
  }
  const step = stepRefOf(input);
  return {
    kind: input.kind,
    framing: input.framing,
    needsHeader: input.needsHeader ?? false,
    compression: input.compression ?? "auto",
    recordBytesMax: input.recordBytesMax ?? null,
    ...(input.content === undefined ? {} : { content: input.content }),
    ...(input.encoding === undefined ? {} : { encoding: input.encoding }),
    ...(step === undefined ? {} : { step: { ...step, of: String(step.of) } }),
  };
}

function mergesOf(plan: CollectionPlan): { readonly merges?: string } {
  const merges = mergePrint(plan);
  return merges === null ? {} : { merges };
}

function paramType(value: unknown): string {
  return Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
}
