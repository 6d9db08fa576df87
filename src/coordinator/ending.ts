import { pathToFileURL } from "node:url";
import { MiB } from "../base/size.ts";
import { writeCapsule } from "../engine/capsule.ts";
import { formatFailure, mapFailure } from "../engine/error-report.ts";
import type { CommittedPart, RunEventBody, RunStatus } from "../engine/events.ts";
import { FailureLog } from "../engine/failure-log.ts";
import type { EngineScheduler } from "../engine/loop.ts";
import { recordedStats, sampledBy, sumStats } from "../engine/progress.ts";
import type { FailedTask } from "../engine/run-result.ts";
import type { JobError, JobView } from "../protocol/job-view.ts";
import { formatTask } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import { failedSlices } from "./failed-slices.ts";
import type { JobEnd } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";
import { jobSettings } from "./start-job.ts";

/** Why the job did not succeed, for its clients; its capsule is kept where there can be one. */
export async function errorOf(
  job: ClusterJob,
  end: JobEnd,
  scheduler: EngineScheduler<KeptOutput>,
  agents: Agents,
): Promise<{ readonly error: JobError | null; readonly capsule: string | null }> {
  if (end.status === "SUCCEEDED") return { error: null, capsule: null };
  if (end.status === "CANCELLED") {
    const why = end.cause === null ? "" : `: ${end.cause.message}`;
    const message = `the job was cancelled${why}; nothing was written`;
    const none = { hint: null, task: null, attempt: null, host: null };
    return { error: { code: "CANCELLED", message, report: message, ...none }, capsule: null };
  }
  const failures = job.planned?.run.failures ?? new FailureLog();
  const found = failures.causeOf(end.cause);
  const kept = keepCapsule(job, found);
  const { failure, task, attempt } = found;
  const host = hostOf(job, found, end, scheduler, agents);
  const mapped = await mapFailure({ ...failure, stack: localStack(failure, job.codePath) }, job.codePath);
  const isKept = kept?.missing === null;
  const replay = isKept ? `sheaf replay ${job.id}:${task.replace(/-0*(?=\d)/, "-")} --on URL` : null;
  const text = formatFailure(failure, { task, attempt, mapped, replay });
  const notKept = kept === null || isKept ? "" : `\n\n  It cannot be replayed: ${kept.missing}.`;
  const ranOn = host === null ? "" : `\n\n  It ran on ${host}.`;
  const { code, message, hint } = failure;
  return {
    error: {
      code,
      message,
      hint,
      task: task === "" ? null : task,
      attempt: task === "" ? null : attempt,
      host,
      report: `${text}${ranOn}${notKept}`,
    },
    capsule: kept === null ? null : task,
  };
}

/** Keeps its capsule, and says why the inputs of a reduce are not in it; null when none could be kept. */
function keepCapsule(
  job: ClusterJob,
  { task, attempt, failure }: FailedTask,
): { readonly missing: string | null } | null {
  const { planned } = job;
  const made = planned?.run.failures.specs.get(`${task}.${attempt}`);
  if (made === undefined || planned === null) return null;
  const settings = jobSettings(job, planned.plan);
  const slices = made.kind === "reduce" ? failedSlices(job.results, `${task}.${attempt}`) : null;
  const spec = made.kind === "reduce" ? { ...made, inputs: slices!.inputs } : made;
  const { aux, files, outline } = job.submission;
  const auxSources = outline.aux.map(({ file }) => file);
  const programs = files === undefined ? {} : { files };
  const capsule = { jobId: job.id, task, attempt, failure, spec, settings, aux, auxSources, ...programs };
  const written = writeCapsule(job.directory.path, capsule, slices?.missing ?? null);
  return written === null ? null : { missing: written.missingInputs };
}

/** Agents have the code at a path of their own; here it lies in the job directory. */
function localStack({ stack }: TaskFailure, codePath: string): string | null {
  if (stack === null) return null;
  return stack.replaceAll(
    /(?:file:\/\/)?\/[^\s():]*\/job\.mjs(?:\?[^\s:)]*)?/g,
    pathToFileURL(codePath).href,
  );
}

function hostOf(
  job: ClusterJob,
  found: FailedTask,
  end: JobEnd,
  scheduler: EngineScheduler<KeptOutput>,
  agents: Agents,
): string | null {
  let node = end.cause?.node ?? null;
  for (const { attempt, node: where } of viewAttempts(scheduler, job.id)) {
    if (formatTask(attempt) === found.task && attempt.attempt === found.attempt) node = where;
  }
  return node === null ? null : (agents.get(node)?.register.host ?? node);
}

/** Characters of a file list that goes through an event. */
const partsCharsMax = 8 * MiB;

/** The parts, as far as an event has room for them, and how many more there are. */
export function partsToTell(
  parts: readonly CommittedPart[],
): Pick<Extract<RunEventBody, { kind: "job-finished" }>, "parts" | "moreParts"> {
  let chars = 0;
  const count = parts.findIndex((part) => (chars += JSON.stringify(part).length) > partsCharsMax);
  return count < 0 ? { parts } : { parts: parts.slice(0, count), moreParts: parts.length - count };
}

/** The last event of a job. */
export function endEvent(view: JobView): Extract<RunEventBody, { kind: "job-finished" }> {
  const { job: jobId, state, output, parts, counters, badRecords, emptyFiles = null, error } = view;
  const sampled = sampledBy(view.sample ?? 1, view.estimates);
  const { incremental } = view;
  const same = view.sameAs === undefined ? {} : { sameAs: view.sameAs };
  const status = state as RunStatus;
  const stats = view.stats ?? sumStats([], [], view.elapsedMs ?? 0);
  return {
    kind: "job-finished",
    jobId,
    status,
    output,
    ...partsToTell(parts),
    counters,
    stats,
    badRecords,
    emptyFiles,
    ...sampled,
    ...same,
    ...(incremental !== undefined && { incremental }),
    error,
  };
}

/** What `job.json` says at the end. */
export function recordOf(view: JobView) {
  const { stats, counters, elapsedMs, endTime, badRecords, error, state } = view;
  return {
    counters,
    elapsedMs,
    endTime,
    currentPhase: "finished",
    ...(stats === null ? {} : recordedStats(stats)),
    badRecords,
    exception: state === "FAILED" ? (error?.report ?? null) : null,
  };
}
