import { fromWireValue } from "../base/wire-json.ts";
import { liveSettings, type LiveWishes } from "../engine/live.ts";
import { jobPolicy } from "../engine/policy.ts";
import type { Preparation } from "../protocol/task-messages.ts";
import type { Grants, ScheduledJob, TaskPlan } from "../scheduler/messages.ts";
import type { JobPolicy } from "../scheduler/policy.ts";
import type { JobSettings, LiveSettings } from "../task/task-spec.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob, PlannedJob } from "./cluster-job.ts";
import type { Plan } from "./job-row.ts";
import { liveOfJob } from "./looking-on.ts";
import type { CoordinatorTimings } from "./settings.ts";

const anywhere: TaskPlan = {};

/**
 * The job as the scheduler sees it.
 * @param agents those that there are, to find the ones near a split
 */
export function schedulerPlan(
  job: ClusterJob,
  plan: Plan,
  grants: Grants,
  timings: CoordinatorTimings,
  agents: Agents,
): ScheduledJob {
  const placed = (
    pinned: readonly (string | null)[],
    hosts: readonly string[] | undefined,
    task: number,
  ): TaskPlan => {
    const agent = pinned[task] ?? null;
    if (agent !== null) return { pinned: [agent] };
    return hosts === undefined ? anywhere : { preferred: agents.on(new Set(hosts)) };
  };
  return {
    id: job.id,
    priority: job.submission.options.priority,
    sample: Array.from({ length: plan.sampleTasks }, (_, task) =>
      placed(plan.sampleAgents, plan.sample.hostsOf(task), task),
    ),
    map: Array.from({ length: plan.mapTasks }, (_, task) =>
      placed(plan.mapAgents, plan.map.hostsOf(task), task),
    ),
    reduce: plan.reduce.map((_, task) => {
      const agent = plan.reduceAgents[task];
      return agent === undefined ? anywhere : { preferred: [agent] };
    }),
    policy: policyOf(job, timings),
    grants,
  };
}

function policyOf(job: ClusterJob, { leaseMs }: CoordinatorTimings): Partial<JobPolicy> {
  const { options } = job.submission;
  return {
    ...jobPolicy({ ...options, keepBad: options.badBudget !== null }, leaseMs),
    // Tasks that go on until they are stopped are not slow.
    speculation: options.speculation && !isOpen(job),
    ...(options.queueTimeoutMs === null ? {} : { queueTimeoutMs: options.queueTimeoutMs }),
  };
}

function isOpen(job: ClusterJob): boolean {
  const live = liveOfJob(job.submission);
  return live !== null && (live.asks || live.forMs !== null);
}

/** Many tasks tell of themselves less often: all of them come to one coordinator. */
function clusterLive(wishes: LiveWishes, maps: number): LiveSettings {
  const settings = liveSettings(wishes);
  return { ...settings, everyMs: Math.max(settings.everyMs, 2 * Math.min(1_000, maps)) };
}

/** What every task of the job shares, as agents get it. */
function wireSettings(job: ClusterJob, { partitions, map: { length: maps } }: Plan): Preparation["settings"] {
  const { options, output, outline } = job.submission;
  const live = liveOfJob(job.submission);
  const collects = output.kind === "collect";
  const settings: Omit<JobSettings, "jobId" | "name"> = {
    memoryBytes: options.memoryBytes,
    partitions,
    bounds: job.row.bounds ?? partitions.map(() => null),
    sample: options.sample,
    ...(options.estimate === true && { estimate: true }),
    seed: outline.seed,
    ...(options.only !== undefined && { only: options.only }),
    params: options.params,
    keepBad: options.badBudget !== null,
    collect: collects && output.collect,
    output: !collects || output.write ? "write" : "none",
    partBytes: options.partBytes,
    ...(live !== null && { live: clusterLive(live, maps) }),
    ...(job.submission.incremental === true && { keepMaps: true }),
    ...(job.submission.materialize !== undefined && { materialize: true }),
  };
  return { ...settings };
}

/** The agents that will probably run the reduces: those with cores, in turn, each as often as it has some. */
export function reduceAgents(count: number, grants: Grants): string[] {
  const names = Object.keys(grants).sort();
  const most = names.reduce((most, name) => Math.max(most, grants[name]!), 0);
  const turns = Array.from({ length: most }, (_, turn) =>
    names.filter((name) => grants[name]! > turn),
  ).flat();
  return turns.length === 0 ? [] : Array.from({ length: count }, (_, task) => turns[task % turns.length]!);
}

/** The same as tasks get it. */
export function jobSettings(job: ClusterJob, plan: Plan): JobSettings {
  const settings = wireSettings(job, plan) as unknown as Omit<JobSettings, "jobId" | "name">;
  const params = fromWireValue(settings.params) as Record<string, unknown>;
  return { ...settings, params, jobId: job.id, name: job.submission.name };
}

export function preparationOf(job: ClusterJob, { plan }: PlannedJob, agent: string): Preparation {
  const { submission, row } = job;
  const { options } = submission;
  const expected = plan.reduce.flatMap(({ collection, partition }, task) =>
    plan.reduceAgents[task] === agent ? [{ task, collection, partition }] : [],
  );
  return {
    job: job.id,
    name: submission.name,
    version: row.settingsVersion,
    settings: wireSettings(job, plan),
    bundle: submission.bundle,
    sourceMap: submission.sourceMap,
    aux: submission.aux,
    auxSources: submission.outline.aux.map(({ file }) => file),
    ...(submission.files !== undefined && { files: submission.files }),
    heapBytes: options.heapBytes,
    noProgressMs: options.noProgressMs,
    keepBad: options.badBudget !== null,
    ...(options.failedTasksShare === 0 && { attempts: options.attempts }),
    faults: submission.faults,
    ...(options.chaos !== undefined && { chaos: options.chaos }),
    output: submission.output,
    ...(plan.incremental !== undefined && { notes: plan.incremental.notes }),
    shuffleKey: row.shuffleKey,
    expected,
    maps: plan.map.length,
  };
}
