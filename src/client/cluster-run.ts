import { homedir } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../base/clock.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { committedDigest } from "../engine/committed-output.ts";
import type { RunEvent } from "../engine/events.ts";
import type { Forecast } from "../engine/forecast.ts";
import { pathsByInput } from "../engine/inputs.ts";
import { checkWholeCode, checkWholePrograms } from "../engine/once.ts";
import type { ClusterRunOptions } from "../engine/options.ts";
import { paramsOf } from "../engine/outline-options.ts";
import { keptForecast, plannedElsewhere } from "../engine/plan-memory.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { resolveOptions } from "../engine/resolve-options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Job } from "../job/job-plan.ts";
import type { ClusterView, JobView } from "../protocol/job-view.ts";
import { schedulePattern } from "../protocol/schedule.ts";
import type { ScheduleRequest, ScheduleView } from "../protocol/schedule.ts";
import type { OutputTarget } from "../protocol/submission.ts";
import { checkOutput } from "../storage/atomic-output.ts";
import { splitAddress } from "../storage/store.ts";
import type { ApiClient } from "./api-client.ts";
import { outputTarget, recordsTarget, takesStaged } from "./cluster-places.ts";
import { connect, type ConnectOptions } from "./connect.ts";
import type { LocalOutput } from "./fetch-results.ts";
import type { LoadedJob } from "./load-outline.ts";
import { loadForCluster } from "./load-outline.ts";
import type { ClusterOutcome } from "./settle-job.ts";
import { finishClusterRun, notSettled, settleJob } from "./settle-job.ts";
import type { ClusterRunKind, JobRequest, SubmittedJob } from "./submit-job.ts";
import { submissionOf, submitJob } from "./submit-job.ts";
import { EventRelay, followEvents, watchJob } from "./watch-job.ts";

/**
 * Runs a job file on a cluster as runner/run.ts does on this machine: the same events, output and result.
 * When this process dies, or `signal` is aborted, the job is stopped.
 * @throws SheafError USAGE for options that make no sense; everything else is in the result
 */
export async function runOnCluster(
  job: Job | string | URL,
  options: ClusterRunOptions,
  kind: ClusterRunKind = {},
): Promise<RunResult> {
  const { file, resolved, api } = begin(job, options);
  const relay = new EventRelay(systemClock, options.onEvent);
  try {
    return finishClusterRun(await runAttached(api, { file, options, resolved, kind }, relay), relay);
  } finally {
    await api.close();
  }
}

/**
 * Stops a job that a client of this user submitted before it died, and waits for its end: from then on it
 * writes nothing. One that is not known any more has ended.
 * @throws SheafError UNREACHABLE, and what the coordinator answers
 */
export async function endLeftJob(
  job: string,
  options: ConnectOptions & { readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { signal } = options;
  const api = connect(options, { env: process.env, home: homedir() });
  try {
    await api.kill(job, "its client has died, and another goes on", { ...(signal && { signal }) });
    for await (const { event } of followEvents(api, job, { ...(signal && { signal }) }))
      if (event.kind === "job-finished") return;
  } catch (error) {
    if (!isSheafError(error) || error.code !== "NOT_FOUND") throw error;
  } finally {
    await api.close();
  }
}

/**
 * Submits a job that goes on without its client. Results without a shared output are kept by the coordinator.
 * @throws SheafError whatever keeps the job from being accepted
 */
export function submitToCluster(job: Job | string | URL, options: ClusterRunOptions): Promise<SubmittedJob> {
  return withRequest(job, options, (api, request) => submitJob(api, request, options.signal));
}

/** When a job is to be submitted, and what it is called; null: as the job. */
export type ScheduleWishes = Omit<ScheduleRequest, "name" | "submission"> & { readonly name: string | null };

/**
 * Has a job submitted again and again by the coordinator's clock, with the code that it has now.
 * @throws SheafError as submitToCluster; USAGE for a pattern or time zone that is none; NAME_TAKEN
 */
export function scheduleOnCluster(
  job: Job | string | URL,
  options: ClusterRunOptions,
  wishes: ScheduleWishes,
): Promise<ScheduleView> {
  return withRequest(job, options, async (api, request) => {
    const submission = await submissionOf(api, request, options.signal);
    const name = wishes.name ?? submission.name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+/, "");
    if (!new RegExp(schedulePattern).test(name)) {
      throw new SheafError("USAGE", `"${name}" is no name of a schedule`, {
        hint: "Give one with --as: up to 64 letters, digits, points, dashes and underscores.",
      });
    }
    return api.addSchedule({ ...wishes, name, submission });
  });
}

/** Makes all that a detached job is submitted with. */
async function withRequest<T>(
  job: Job | string | URL,
  options: ClusterRunOptions,
  work: (api: ApiClient, request: JobRequest) => Promise<T>,
): Promise<T> {
  const { file, resolved, api } = begin(job, options);
  const relay = new EventRelay(systemClock, options.onEvent);
  try {
    const { cluster, loaded } = await relay.phase("load", () =>
      loadForCluster(api, file, options, resolved, relay),
    );
    try {
      const target = await detachedTarget(options, resolved, cluster);
      const once = onceOf(options, resolved, loaded);
      if (target.kind === "shared" && once === undefined) await checkShared(target, options);
      const materialize = recordsTarget(resolved, target, cluster.roots);
      if (materialize === null) throw unfetched(resolved.materialize!);
      const request = {
        file,
        options,
        resolved,
        cluster,
        loaded,
        target,
        materialize,
        attached: false,
        once,
        kind: {},
      };
      return await work(api, request);
    } finally {
      await loaded.dispose();
    }
  } finally {
    await api.close();
  }
}

function begin(
  job: Job | string | URL,
  options: ClusterRunOptions,
): { readonly file: string; readonly resolved: ResolvedOptions; readonly api: ApiClient } {
  const file = jobFile(job, options);
  const resolved = resolveOptions(options, "process");
  return { file, resolved, api: connect(options, { env: process.env, home: homedir() }) };
}

async function runAttached(
  api: ApiClient,
  asked: Pick<JobRequest, "file" | "options" | "resolved" | "kind">,
  relay: EventRelay,
): Promise<ClusterOutcome> {
  const { file, options, resolved, kind } = asked;
  const { signal } = options;
  const { output, overwrite, collect } = resolved;
  let submitted: SubmittedJob | null = null;
  try {
    signal?.throwIfAborted();
    const { cluster, loaded } = await relay.phase("load", () =>
      loadForCluster(api, file, options, resolved, relay),
    );
    try {
      const direct = await takesStaged(resolved);
      const target = outputTarget(
        { output, overwrite, collect, shared: options.shared, direct },
        api.url,
        cluster.roots,
      );
      let once = onceOf(options, resolved, loaded);
      let has: string | null | undefined;
      if (target.kind === "shared") {
        // The agents look for themselves, and at what is there.
        if (once === undefined) await checkShared(target, options);
      } else if (output !== null) {
        if (once !== undefined) has = await committedDigest(output, () => signal?.throwIfAborted());
        const mayBeWanted = typeof has === "string" && !overwrite;
        if (mayBeWanted) once = "fail";
        else await checkOutput(output, { overwrite, keep: [file, ...filesIn(resolved, loaded, kind)] });
      }
      const materialize = recordsTarget(resolved, target, cluster.roots);
      const records = resolved.materialize;
      if (records !== null && (materialize === null || options.shared !== true))
        await checkOutput(records, { overwrite, keep: [file, ...filesIn(resolved, loaded, kind)] });
      const request = { ...asked, cluster, loaded, target, materialize, attached: true, once };
      submitted = await submitJob(api, request, signal);
      relay.submitted();
      const isFetched = target.kind === "collect";
      const fetchRecords = materialize === null ? { path: records!, overwrite } : null;
      const watched = { heartbeatMs: cluster.heartbeatMs, signal, isFetched };
      const end = await watchJob(api, submitted.job, relay, watched);
      const fetch = isFetched && output !== null ? { path: output, overwrite, has } : null;
      const { stateDirectory } = resolved;
      const wishes = { fetch, fetchRecords, output, collect, signal, stateDirectory };
      const outcome = await settleJob(api, submitted.job, end, relay, wishes);
      const isDone = outcome.status === "SUCCEEDED";
      const forecast = isDone ? forecastOf(loaded, options, resolved, relay) : null;
      return { ...outcome, materialize: records, forecast };
    } finally {
      await loaded.dispose();
    }
  } catch (error) {
    return {
      ...notSettled(submitted === null ? error : leftBehind(error, submitted.job), signal),
      view: null,
      jobId: submitted?.job ?? "",
      name: submitted?.name ?? options.name ?? "",
      output,
      parts: [],
      collected: null,
      dispose: () => Promise.resolve(),
    };
  }
}

/** The coordinator went away for good while the job ran. */
function leftBehind(error: unknown, job: string): unknown {
  if (!isSheafError(error) || error.code !== "UNREACHABLE") return error;
  return new SheafError(error.code, error.message, {
    hint: `The job stops when its coordinator is back and misses this client. sheaf show ${job} tells then.`,
    cause: error,
  });
}

/** What `sheaf plan --on` has predicted of the same job. */
function forecastOf(
  { bundle, outline }: LoadedJob,
  options: ClusterRunOptions,
  { stateDirectory, inputs, sample }: ResolvedOptions,
  { plannedBytes }: EventRelay,
): Forecast | null {
  if (stateDirectory === null || plannedBytes === null) return null;
  const plan = plannedElsewhere(inputs, process.cwd(), plannedBytes);
  return keptForecast(stateDirectory, {
    code: bundle.hash,
    params: paramsOf(options, outline),
    sample,
    plan,
  });
}

/** @throws SheafError USAGE where nobody could tell whether it is the same */
function onceOf(
  { once, force }: ClusterRunOptions,
  { external, materialize }: ResolvedOptions,
  { bundle, outline }: LoadedJob,
): "run" | "fail" | undefined {
  if (once !== true || force === true) return undefined;
  if (materialize !== null) {
    throw new SheafError("USAGE", "once does not go with materialize: an earlier run has kept no records", {
      hint: "Leave one of them out.",
    });
  }
  checkWholeCode("once", bundle, external);
  checkWholePrograms("once", outline.programs);
  return "run";
}

/** Nobody will be there to fetch the results of a detached job into a directory. */
async function detachedTarget(
  options: ClusterRunOptions,
  resolved: ResolvedOptions,
  cluster: ClusterView,
): Promise<OutputTarget> {
  const { output, overwrite } = resolved;
  if (output === null) return { kind: "collect", write: true, collect: true };
  const direct = await takesStaged(resolved);
  const wishes = { output, overwrite, collect: false, shared: options.shared, direct };
  const target = outputTarget(wishes, options.on, cluster.roots);
  if (target.kind === "shared") return target;
  const isAddress = splitAddress(output) !== null;
  const or = isAddress
    ? `Or start coordinator and agents with --root for an address above it.`
    : "Or say --shared if all agents see that directory.";
  throw new SheafError(
    "USAGE",
    `the agents cannot write to ${output}${isAddress ? "" : " of this machine"}, and nobody will fetch it`,
    {
      hint: `Leave the output out: the coordinator keeps the results, and \`sheaf results @ -o DIR\` fetches them. ${or}`,
    },
  );
}

function unfetched(directory: string): SheafError {
  return new SheafError("USAGE", `materialize: nobody will fetch the records into ${directory}`, {
    hint: "Give an output that all agents see (-o DIR --shared) and a directory beside it, or do not detach.",
  });
}

/** An output that exists is refused before anything runs. The agents check again if theirs is another. */
async function checkShared(
  target: Extract<OutputTarget, { kind: "shared" }>,
  options: ClusterRunOptions,
): Promise<void> {
  // What they see of a storage this machine need not.
  const isSeen = options.shared !== true && splitAddress(target.path) === null;
  if (isSeen) await checkOutput(target.path, { overwrite: target.overwrite });
}

/** Inputs that may be files of this machine: an output must not replace them. */
function filesIn({ inputs }: ResolvedOptions, { outline }: LoadedJob, { only }: ClusterRunKind): string[] {
  return pathsByInput(outline, inputs, only !== undefined)
    .flat()
    .filter((path) => !path.startsWith("agent:"));
}

/** @throws SheafError USAGE for a Job object without its file */
function jobFile(job: Job | string | URL, options: ClusterRunOptions): string {
  const file = typeof job === "string" || job instanceof URL ? job : options.file;
  if (file === undefined) {
    throw new SheafError("USAGE", "a Job object cannot be sent to a cluster without its file", {
      hint: 'Give the file: run(new URL("./job.ts", import.meta.url), { on: ... }).',
    });
  }
  return file instanceof URL || file.startsWith("file://") ? fileURLToPath(file) : resolve(file);
}

export interface AttachOptions {
  /** Only look: the job is not stopped with this client. */
  readonly watch: boolean;
  /** Where the result files go, for a job whose output is not shared; null: they stay. */
  readonly output: LocalOutput | null;
  /** Whether records() is to read the results. */
  readonly collect: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
  /** Where a job that fails is kept, see keepFailure. Default: nowhere. */
  readonly stateDirectory?: string;
}

/**
 * Follows a job from its beginning to its end, as if this client had submitted it.
 * @throws SheafError NOT_FOUND; USAGE for results the job does not keep; UNREACHABLE
 */
export async function attachToJob(api: ApiClient, job: string, options: AttachOptions): Promise<RunResult> {
  const { watch, output, collect, signal } = options;
  const before = await api.job(job);
  checkWishes(before, output, collect);
  const isOver = before.endTime !== null;
  const isMine = !watch && !isOver;
  if (isMine) await api.attach(job, true);
  const heartbeatMs = isMine ? (await api.cluster()).heartbeatMs : null;
  const relay = new EventRelay(systemClock, options.onEvent);
  const end = await watchJob(api, job, relay, { heartbeatMs, signal, isFetched: output !== null });
  const { stateDirectory = null } = options;
  const wishes = { fetch: output, output: output?.path ?? before.output, collect, signal, stateDirectory };
  const outcome = await settleJob(api, job, end, relay, wishes);
  // It began before this client came.
  return finishClusterRun(outcome, relay, outcome.view?.elapsedMs ?? undefined);
}

/**
 * The results of a job that has ended, as those of a run.
 * @throws SheafError USAGE when it has none: it runs, it failed, they were written elsewhere
 */
export async function resultsOf(
  api: ApiClient,
  job: string,
  options: Omit<AttachOptions, "watch" | "onEvent">,
): Promise<RunResult> {
  const view = await api.job(job);
  checkWishes(view, options.output, options.collect);
  if (view.state !== "SUCCEEDED") {
    throw new SheafError("NOT_FOUND", `job ${job} has no results: it is ${view.state}`, {
      hint: view.endTime === null ? `Wait for it: sheaf attach ${job}` : `See why: sheaf show ${job}`,
    });
  }
  const relay = new EventRelay(systemClock, undefined);
  const { output, collect, signal } = options;
  const wishes = { fetch: output, output: output?.path ?? view.output, collect, signal };
  return finishClusterRun(await settleJob(api, job, "finished", relay, wishes), relay);
}

/** @throws SheafError USAGE */
function checkWishes(view: JobView, output: LocalOutput | null, collect: boolean): void {
  if (view.output === null || (output === null && !collect)) return;
  throw new SheafError("USAGE", `the results of ${view.job} are not kept by the coordinator`, {
    hint: `They are in ${view.output}.`,
  });
}
