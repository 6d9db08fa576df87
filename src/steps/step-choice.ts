import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import type { Job } from "../job/job-plan.ts";
import type { LoopOptions } from "./loop.ts";
import { jobOnNodes, type NodeTask } from "./node-job.ts";
import type { Pipeline } from "./pipeline.ts";
import { recordsWriter } from "./records.ts";

/** Which step of a pipeline's file a run is to do, and how its results are written. */
export interface StepChoice {
  readonly name: string;
  /** "records": losslessly, for other steps; "files": as the job says. */
  readonly writes: "records" | "files";
  /** Not the job itself is meant, but the condition of its loop: the gate of what is loaded then asks it. */
  readonly until?: true;
  /** Of a script or transfer: what it does on the agents of a cluster is meant, as a job. */
  readonly node?: NodeTask;
}

/** Under this name the gate is told the round, under the next the records that it has written. */
export const roundCounter = "\0round";
export const recordsCounter = "\0records";

/** The name under which the choice stands in a bundle, beside the file's own exports. */
export const choiceExport = "__sheafStep";

/** The condition of a loop as a gate: it lets pass what is the end. */
function untilGate(until: LoopOptions<unknown>["until"]): Job["expect"] {
  return (given) => {
    const { [roundCounter]: round = 0, [recordsCounter]: recordsOut = 0, ...counters } = given;
    const verdict: unknown = until?.({ round, counters, recordsOut });
    if (typeof verdict === "boolean") return verdict ? true : goOn;
    throw new TypeError(`until returned ${printValue(verdict)}: true or false is wanted`);
  };
}

/** What the gate of a loop answers when there is to be another round. */
export const goOn = "\0go on";

/** The job that the choice is of. @throws SheafError NOT_FOUND */
export function jobOfStep({ steps }: Pipeline, { name, writes, until, node }: StepChoice): Job {
  const plan = steps.find((one) => one.name === name);
  if (plan === undefined) {
    const near = suggest(
      name,
      steps.map((one) => one.name),
    );
    throw new SheafError("NOT_FOUND", `the pipeline has no step "${name}"`, {
      hint: near === undefined ? "Look at the names in its file." : `Did you mean "${near}"?`,
    });
  }
  const { spec } = plan;
  if (node !== undefined && spec !== null) {
    const outputs = plan.job.collections.map((one) => one.name);
    return jobOnNodes(spec, node, outputs);
  }
  if (until === true) return { ...plan.job, expect: untilGate(plan.until) };
  if (writes === "files") return plan.job;
  const output = recordsWriter();
  return { ...plan.job, collections: plan.job.collections.map((one) => ({ ...one, output })) };
}
