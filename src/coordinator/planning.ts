import { SheafError } from "../base/errors.ts";
import { filesPrint } from "../engine/aux-files.ts";
import { partitionsOfBytes } from "../plan/default-partitions.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import type { Submission } from "../protocol/submission.ts";
import { knownFailure } from "../protocol/task-result.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import { mayUse, unlessStalled } from "./agents.ts";
import type { AgentRecord } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { ErrandEnd, GivenErrands } from "./errands.ts";
import type { Plan } from "./job-row.ts";
import { inputPaths, nodesWish } from "./paths.ts";
import type { CoordinatorLimits } from "./settings.ts";
import { SplitList } from "./split-list.ts";

type PlanErrand = Extract<Errand, { kind: "plan" }>;
type Planned = Extract<ErrandResult, { kind: "planned" }>;

/** The whole of what one agent listed; `local`: on its own disk. */
interface Share extends Omit<Planned, "splits"> {
  readonly local: boolean;
  readonly splits: SplitList;
}

export interface PlanningEnd {
  planned(job: ClusterJob, plan: Plan): void;
  failed(job: ClusterJob, failure: TaskFailure, host: string | null): void;
  /** An agent was lost with its share, or stood still: the job is to be planned anew. */
  again(job: ClusterJob): void;
}

/** Has agents list and cut a job's input: any one of them what all can see, each of them what is its own. */
export class Planning {
  readonly #errands: GivenErrands;
  readonly #limits: CoordinatorLimits;
  readonly #end: PlanningEnd;

  constructor(errands: GivenErrands, limits: CoordinatorLimits, end: PlanningEnd) {
    this.#errands = errands;
    this.#limits = limits;
    this.#end = end;
  }

  /**
   * @param agents those that may be asked; at least one
   * @returns why the job cannot be planned; null when planning has begun
   */
  begin(
    job: ClusterJob,
    agents: readonly AgentRecord[],
    slots: number,
    errandId: (agent: string) => string,
  ): TaskFailure | null {
    const { inputs, output, outline, materialize = null } = job.submission;
    const { own, shared } = inputPaths(job.submission);
    const { paths } = job;
    // Generated input has no paths: any agent can say how many tasks there are.
    const nodes = nodesWish(outline);
    const asksOne =
      nodes === undefined && (shared.length > 0 || own.length === 0 || output.kind === "shared");
    const missing = nodes?.names.find((name) => !agents.some((agent) => agent.name === name));
    if (missing !== undefined) return noAgent(missing, agents);
    const fit = agents.filter((agent) => paths.every((path) => mayUse(agent, path)));
    const one = unlessStalled(job.stalls, fit).reduce<AgentRecord | null>(
      (best, agent) => (best === null || isFreer(agent, best) ? agent : best),
      null,
    );
    if (asksOne && one === null) {
      const which = paths.find((path) => !agents.some((agent) => mayUse(agent, path))) ?? paths.join(", ");
      return taskFailure("FORBIDDEN", `none of ${agents.length} agents may use ${which}`, {
        phase: "plan",
        hint: "Start agents with --root for the directories that jobs may use.",
      });
    }
    const asked = [
      ...(asksOne ? [{ agent: one!, local: false }] : []),
      ...(own.length > 0 || nodes !== undefined ? agents : [])
        .filter(({ name }) => nodes === undefined || nodes.names.length === 0 || nodes.names.includes(name))
        .map((agent) => ({ agent, local: true })),
    ];
    const { options } = job.submission;
    const once = job.submission.once === undefined ? {} : { once: true };
    const incremental = incrementalOf(job.submission);
    const common = {
      job: job.id,
      outline,
      inputs,
      options,
      workers: slots,
      output,
      ...once,
      ...(incremental !== undefined && { incremental }),
      ...(materialize !== null && { materialize }),
    } as const;
    const round = new Round(job, asked.length, this.#limits, this.#end);
    for (const { agent, local } of asked) {
      const id = errandId(local ? agent.name : "");
      const errand = { kind: "plan", id, agentLocal: local, ...common } as const;
      this.#errands.give(agent, errand, round.asks(agent, id, local));
    }
    return null;
  }
}

function noAgent(name: string, agents: readonly AgentRecord[]): TaskFailure {
  const known = agents.map((agent) => agent.name);
  return taskFailure("NOT_FOUND", `the cluster has no agent "${name}" that takes tasks`, {
    phase: "plan",
    hint: `Those that do are: ${known.slice(0, 20).join(", ")}${known.length > 20 ? ", ..." : ""}.`,
  });
}

function incrementalOf({
  incremental = false,
  explain = false,
  mends = false,
  code,
  aux,
  files = [],
}: Submission): PlanErrand["incremental"] {
  if (!incremental) return undefined;
  const print = filesPrint(
    aux.map(({ path, file = path, blob }) => [path, file, blob]),
    files.map(({ name, blob: sha256 }) => ({ name, sha256 })),
    // With files that only agents have it is refused.
    [],
  );
  return { code, aux: Object.fromEntries(print), explain, ...(mends && { mends }) };
}

/** One try at planning a job: what the agents that were asked have said so far. */
class Round {
  readonly #job: ClusterJob;
  readonly #limits: CoordinatorLimits;
  readonly #end: PlanningEnd;
  readonly #shares = new Map<string, Share>();
  readonly #missing: TaskFailure[] = [];
  #waiting: number;
  #over = false;

  constructor(job: ClusterJob, asked: number, limits: CoordinatorLimits, end: PlanningEnd) {
    this.#job = job;
    this.#waiting = asked;
    this.#limits = limits;
    this.#end = end;
  }

  /** What becomes of the errand of one agent. */
  asks(agent: AgentRecord, id: string, local: boolean): ErrandEnd {
    const splits = new SplitList();
    const unlessOver =
      <Given extends readonly unknown[]>(work: (...given: Given) => void) =>
      (...given: Given): void => {
        if (!this.#over) work(...given);
      };
    return {
      lost: unlessOver(() => this.#again()),
      stalled: unlessOver((stillMs: number) => this.#stalled(agent, stillMs)),
      page: ({ from, splits: some }) => {
        // One that comes twice is there; one that would leave a gap is of an errand that began anew.
        if (from === splits.length && splits.length <= this.#limits.tasksMax)
          for (const split of some) splits.push(split);
      },
      done: unlessOver((result: ErrandResult) => {
        this.#waiting--;
        if (result.kind === "planned") {
          if (this.#job.submission.incremental === true && result.incremental === undefined)
            return this.#failed(notIncremental(), agent.register.host);
          const sent = result.sent ?? 0;
          if (splits.length !== sent && sent <= this.#limits.tasksMax) return this.#again();
          for (const split of result.splits) splits.push(split);
          this.#shares.set(id, { ...result, splits, local });
        } else if (result.kind === "failed" && local && result.failure.code === "INPUT_MISSING") {
          this.#missing.push(knownFailure(result.failure));
        } else {
          return this.#failed(failureOf(result), agent.register.host);
        }
        if (this.#waiting === 0) this.#finish();
      }),
    };
  }

  #again(): void {
    this.#over = true;
    this.#end.again(this.#job);
  }

  #failed(failure: TaskFailure, host: string | null): void {
    this.#over = true;
    this.#end.failed(this.#job, failure, host);
  }

  #stalled(agent: AgentRecord, stillMs: number): void {
    const job = this.#job;
    const failure = job.stalls.add("plan", agent, stillMs);
    if (failure !== null) return this.#failed(failure, null);
    const message = `planning made no progress for ${stillMs} ms on agent ${agent.name}; another one is asked`;
    job.emit({ kind: "warning", message });
    this.#again();
  }

  #finish(): void {
    const shares = [...this.#shares.values()];
    const [missing] = this.#missing;
    if (missing !== undefined && !shares.some(({ local }) => local)) return this.#failed(missing, null);
    try {
      const plan = mergeShares(this.#job, shares);
      checkLimits(plan, this.#limits);
      for (const message of new Set(shares.flatMap(({ warnings = [] }) => warnings)))
        this.#job.emit({ kind: "warning", message });
      this.#over = true;
      this.#end.planned(this.#job, plan);
    } catch (error) {
      this.#failed(failureOfThrown(error, "plan", "INTERNAL", "system"), null);
    }
  }
}

function isFreer(a: AgentRecord, b: AgentRecord): boolean {
  return a.errands < b.errands || (a.errands === b.errands && a.utility.utility > b.utility.utility);
}

/** Who commits could not tell what is to be kept. */
function notIncremental(): TaskFailure {
  const message = "an agent planned an incremental job without a word of what an earlier run has kept";
  return taskFailure("INTERNAL", message, { phase: "plan", blame: "system" });
}

function failureOf(result: ErrandResult): TaskFailure {
  if (result.kind === "failed") return knownFailure(result.failure);
  return taskFailure("INTERNAL", `an agent answered "${result.kind}" when it was to plan`, {
    blame: "system",
  });
}

/**
 * One list of tasks: what all agents see, then what is one agent's own, by agent and path. Of several inputs
 * one after the other.
 */
function mergeShares(job: ClusterJob, shares: readonly Share[]): Plan {
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
  const parts = only === undefined && outline.inputs !== undefined ? byInput(sorted, outline.inputs) : sorted;
  const agentsOf = (of: (share: Share) => { readonly length: number }): (string | null)[] =>
    hasLocal ? parts.flatMap((share) => Array.from(of(share), () => (share.local ? share.agent : null))) : [];
  const map = only?.splits ?? new SplitList();
  if (only === undefined) for (const { splits } of parts) map.append(splits);
  const identities = sorted.map(({ local, agent, identity = null }) => [local ? agent : "", identity]);
  const existing = sorted.find((share) => share.existing !== undefined)?.existing;
  const sample = new SplitList();
  for (const share of parts) for (const split of share.sample) sample.push(split);
  return {
    map,
    sample,
    hosts: [...map.hosts()],
    mapTasks: map.length,
    sampleTasks: sample.length,
    mapAgents: agentsOf(({ splits }) => splits),
    sampleAgents: agentsOf(({ sample: some }) => some),
    files: sorted.reduce((sum, share) => sum + share.files, 0),
    bytes,
    partitions,
    reduce: outline.collections.flatMap(({ mapOnly }, collection) =>
      mapOnly
        ? []
        : Array.from({ length: partitions[collection]! }, (_, partition) => ({ collection, partition })),
    ),
    reduceAgents: [],
    identity: identities.some(([, identity]) => identity === null) ? null : JSON.stringify(identities),
    ...(existing !== undefined && { existing }),
    ...(only?.incremental !== undefined && { incremental: only.incremental }),
  };
}

/** The shares cut by the input that their splits are of. */
function byInput(shares: readonly Share[], inputs: readonly unknown[]): Share[] {
  return inputs.flatMap((_, input) =>
    shares.map((share) => ({
      ...share,
      splits: share.splits.ofInput(input),
      sample: share.sample.filter((split) => split.input === input),
    })),
  );
}

function checkLimits(
  { map, reduce, partitions }: Plan,
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
