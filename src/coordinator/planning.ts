import type { ErrandResult } from "../protocol/agent-messages.ts";
import { SheafError } from "../base/errors.ts";
import { partitionsOfBytes } from "../plan/default-partitions.ts";
import type { Split, TaskFailure } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import { agentPrefix } from "./paths.ts";
import { mayUse } from "./agents.ts";
import type { Agent } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { Errands } from "./errands.ts";
import type { PlanRow } from "./job-row.ts";
import type { CoordinatorLimits } from "./settings.ts";

type Planned = Extract<ErrandResult, { kind: "planned" }>;

/** The whole of what one agent listed; `local`: on its own disk. */
interface Share extends Planned {
  readonly local: boolean;
}

export interface PlanningEnd {
  planned(job: ClusterJob, plan: PlanRow): void;
  failed(job: ClusterJob, failure: TaskFailure, host: string | null): void;
  /** An agent was lost with its share: the job is to be planned anew. */
  again(job: ClusterJob): void;
}

/** Has agents list and cut a job's input: any one of them what all can see, each of them what is its own. */
export class Planning {
  readonly #errands: Errands;
  readonly #limits: CoordinatorLimits;
  readonly #end: PlanningEnd;

  constructor(errands: Errands, limits: CoordinatorLimits, end: PlanningEnd) {
    this.#errands = errands;
    this.#limits = limits;
    this.#end = end;
  }

  /**
   * @param agents those that may be asked; at least one
   * @returns why none of them can plan the job; null when planning has begun
   */
  begin(
    job: ClusterJob,
    agents: readonly Agent[],
    slots: number,
    errandId: (agent: string) => string,
  ): string | null {
    const { inputs, output, outline } = job.submission;
    const own = inputs.filter((input) => input.startsWith(agentPrefix));
    const shared = inputs.filter((input) => !input.startsWith(agentPrefix));
    const { paths } = job;
    // Generated input has no paths: any agent can say how many tasks there are.
    const asksOne = shared.length > 0 || own.length === 0 || output.kind === "shared";
    const fit = agents.filter((agent) => paths.every((path) => mayUse(agent, path)));
    const one = fit.reduce<Agent | null>(
      (best, agent) => (best === null || isFreer(agent, best) ? agent : best),
      null,
    );
    if (asksOne && one === null) {
      return `none of ${agents.length} agents may use ${paths.find((path) => !agents.some((agent) => mayUse(agent, path))) ?? paths.join(", ")}`;
    }
    const asked = [
      ...(asksOne ? [{ agent: one!, local: false }] : []),
      ...(own.length > 0 ? agents.map((agent) => ({ agent, local: true })) : []),
    ];
    const shares = new Map<string, Share>();
    const missing: TaskFailure[] = [];
    let waiting = asked.length;
    let over = false;
    for (const { agent, local } of asked) {
      const id = errandId(local ? agent.name : "");
      const { options } = job.submission;
      const errand = {
        kind: "plan",
        id,
        job: job.id,
        outline,
        inputs,
        options,
        agentLocal: local,
        workers: slots,
        output,
      } as const;
      this.#errands.give(agent, errand, {
        lost: () => {
          if (over) return;
          over = true;
          this.#end.again(job);
        },
        done: (result) => {
          if (over) return;
          waiting--;
          if (result.kind === "planned") shares.set(id, { ...result, local });
          else if (result.kind === "failed" && local && result.failure.code === "INPUT_MISSING")
            missing.push(result.failure as TaskFailure);
          else {
            over = true;
            this.#end.failed(job, failureOf(result), agent.register.host);
            return;
          }
          if (waiting > 0) return;
          over = true;
          this.#finish(job, [...shares.values()], missing);
        },
      });
    }
    return null;
  }

  #finish(job: ClusterJob, shares: readonly Share[], missing: readonly TaskFailure[]): void {
    const locals = shares.filter(({ local }) => local);
    if (missing.length > 0 && locals.length === 0) {
      this.#end.failed(job, missing[0]!, null);
      return;
    }
    try {
      const plan = mergeShares(job, shares);
      checkLimits(plan, this.#limits);
      this.#end.planned(job, plan);
    } catch (error) {
      this.#end.failed(job, failureOfThrown(error, "plan", "INTERNAL", "system"), null);
    }
  }
}

function isFreer(a: Agent, b: Agent): boolean {
  return a.errands < b.errands || (a.errands === b.errands && a.utility.utility > b.utility.utility);
}

function failureOf(result: ErrandResult): TaskFailure {
  if (result.kind === "failed") return result.failure as TaskFailure;
  return taskFailure("INTERNAL", `an agent answered "${result.kind}" when it was to plan`, {
    blame: "system",
  });
}

/** One list of tasks: what all agents see, then what is one agent's own, by agent and path. */
export function mergeShares(job: ClusterJob, shares: readonly Share[]): PlanRow {
  const { outline, options } = job.submission;
  const sorted = [...shares].sort((a, b) =>
    a.local === b.local ? (a.agent < b.agent ? -1 : 1) : a.local ? 1 : -1,
  );
  const bytes = sorted.reduce((sum, share) => sum + share.bytes, 0);
  const only = sorted.length === 1 ? sorted[0] : undefined;
  const partitions =
    only?.partitions ??
    outline.collections.map((_, index) => options.partitions[index] ?? partitionsOfBytes(bytes));
  const hasLocal = sorted.some(({ local }) => local);
  const numbered = (of: (share: Share) => readonly Split[]): Split[] =>
    sorted.flatMap(of).map((split, index) => ({ ...split, index }));
  const agentsOf = (of: (share: Share) => readonly Split[]): (string | null)[] =>
    hasLocal ? sorted.flatMap((share) => of(share).map(() => (share.local ? share.agent : null))) : [];
  return {
    map: numbered(({ splits }) => splits),
    sample: numbered(({ sample }) => sample),
    mapAgents: agentsOf(({ splits }) => splits),
    sampleAgents: agentsOf(({ sample }) => sample),
    files: sorted.reduce((sum, share) => sum + share.files, 0),
    bytes,
    partitions,
    reduce: outline.collections.flatMap(({ mapOnly }, collection) =>
      mapOnly
        ? []
        : Array.from({ length: partitions[collection]! }, (_, partition) => ({ collection, partition })),
    ),
    reduceAgents: [],
  };
}

function checkLimits(
  { map, reduce, partitions }: PlanRow,
  { tasksMax, partitionsMax }: CoordinatorLimits,
): void {
  const most = partitions.reduce((most, one) => Math.max(most, one), 0);
  const over =
    map.length > tasksMax
      ? `${map.length} map tasks, ${tasksMax} are allowed`
      : reduce.length > tasksMax
        ? `${reduce.length} reduce tasks, ${tasksMax} are allowed`
        : most > partitionsMax
          ? `${most} partitions of one collection, ${partitionsMax} are allowed`
          : null;
  if (over === null) return;
  throw new SheafError("LIMIT_EXCEEDED", `the job has ${over}`, {
    hint: "Use larger splits (--split-size) or fewer --partitions.",
  });
}
