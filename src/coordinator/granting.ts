import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import { bid, type BidResult, expectedLoadOf } from "../scheduler/bidding.ts";
import { PHASES } from "../scheduler/ids.ts";
import type { Grants } from "../scheduler/messages.ts";
import { mayUse } from "./agents.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";

/** Cores of one job as they were bid for. */
interface Share {
  readonly job: ClusterJob;
  /** What it could use now. */
  readonly asked: number;
  readonly weight: number;
  cores: number;
}

/**
 * Grants jobs cores by bidding. All jobs bid again, the more important first, when a job comes or goes, and
 * when agents come, go, drain or are barred: what is scarce is divided first, by weights that double with
 * each step of priority; alone, each gets all it can use. Fewer cores than before take nothing away that
 * runs at once; the job gets no new tasks there, and a more important one may end some soon (preemption).
 */
export class Granting {
  readonly #scheduler: EngineScheduler<KeptOutput>;
  readonly #loop: EventLoop<KeptOutput>;
  readonly #agents: Agents;
  readonly #jobs: Jobs;
  #isDue = false;

  constructor(loop: EventLoop<KeptOutput>, agents: Agents, jobs: Jobs) {
    this.#scheduler = loop.scheduler;
    this.#loop = loop;
    this.#agents = agents;
    this.#jobs = jobs;
  }

  /** Something has changed: bids are due, once however much has. */
  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#loop.after(() => {
      this.#isDue = false;
      this.bidAll(null);
    });
  }

  /** Some job has cores it has no more tasks for, which another one lacks: then bids are due, too. */
  lookAround(): void {
    let lacking = false;
    let spare = false;
    for (const { job, asked } of this.#shares(null)) {
      const granted = job.row.bidding?.granted ?? 0;
      if (granted < asked) lacking = true;
      if (granted > asked) spare = true;
    }
    if (lacking && spare) this.changed();
  }

  /**
   * Bids for every job that has tasks, and for one that is about to.
   * @returns the grants of that one
   */
  bidAll(coming: ClusterJob | null): Grants {
    const granted = new Map<string, number>();
    let own: Grants = {};
    for (const share of this.#divided(coming)) {
      const { job } = share;
      const result = this.#bid(share, granted);
      const grants = withPinned(result.grants, job);
      for (const [node, cores] of Object.entries(grants)) granted.set(node, (granted.get(node) ?? 0) + cores);
      if (job === coming) own = grants;
      this.#take(job, grants, result, job === coming);
    }
    return own;
  }

  #take(job: ClusterJob, grants: Grants, { rounds, reason, granted }: BidResult, isNew: boolean): void {
    const before = job.row.bidding;
    if (!isNew && before !== null && sameGrants(before.grants, grants)) return;
    const wanted = wantedOf(job, this.#scheduler);
    const answers = rounds.map((round) => ({
      bar: round.bar,
      answers: round.answers.map(({ node, utility, cores }) => ({ node, utility, cores })),
    }));
    const note =
      granted >= wanted ? null : (reason ?? `its priority or share allows ${granted} of ${wanted}`);
    const bidding = {
      wanted,
      granted,
      used: job.planned?.coresUsed ?? 0,
      grants: { ...grants },
      rounds: answers,
      note,
    };
    job.update({ bidding });
    if (!isNew) this.#loop.push({ kind: "jobGranted", job: job.id, grants });
  }

  #bid({ job, cores }: Share, granted: ReadonlyMap<string, number>): BidResult {
    const bars = this.#scheduler.state.jobs.get(job.id)?.bars;
    const hosts = new Set(job.planned?.plan.hosts);
    const local = new Set([...(job.planned?.pinnedAgents ?? []), ...this.#agents.on(hosts)]);
    const bidders = this.#agents
      .usable(this.#scheduler)
      .filter(({ name }) => (bars?.get(name)?.untilMs ?? null) === null)
      .filter((agent) => job.paths.every((path) => mayUse(agent, path)))
      .map(({ name, register, utility }) => {
        const taken = granted.get(name) ?? 0;
        const { slots } = register;
        const expectedLoad = expectedLoadOf(slots, taken, utility.utility);
        const free = Math.max(0, slots - taken);
        return { node: name, utility: utility.utility, slots, free, expectedLoad, local: local.has(name) };
      });
    if (cores < 1) return { rounds: [], grants: {}, granted: 0, reason: "all cores are other jobs'" };
    return bid({ wanted: cores, agents: bidders });
  }

  /** What there is, divided; the more important jobs first, then the older. */
  #divided(coming: ClusterJob | null): Share[] {
    const shares = this.#shares(coming);
    const slots = this.#agents.usable(this.#scheduler).reduce((sum, { register }) => sum + register.slots, 0);
    divide(shares, slots);
    return shares;
  }

  #shares(coming: ClusterJob | null): Share[] {
    const running = [...this.#jobs.live()].filter(
      (job) => job === coming || (job.row.state === "RUNNING" && !job.isEnding && job.planned !== null),
    );
    return running
      .map((job): Share => {
        const { priority } = job.submission.options;
        const asked = wantedOf(job, this.#scheduler);
        return { job, asked, weight: 2 ** priority, cores: 0 };
      })
      .sort((a, b) => b.weight - a.weight || a.job.row.number - b.job.row.number);
  }
}

/**
 * Cores of a total, by weight; nobody gets more than it asked for, and what is left over goes to the others.
 */
export function divide(
  shares: readonly { readonly asked: number; readonly weight: number; cores: number }[],
  total: number,
): void {
  let left = total;
  let open = shares.filter(({ asked }) => asked > 0);
  while (left > 0 && open.length > 0) {
    const weights = open.reduce((sum, { weight }) => sum + weight, 0);
    const round = left;
    for (const share of open) {
      const part = Math.min(
        share.asked - share.cores,
        left,
        Math.max(1, Math.floor((round * share.weight) / weights)),
      );
      share.cores += part;
      left -= part;
    }
    open = open.filter(({ asked, cores }) => cores < asked);
  }
}

/**
 * Cores the job could use from now on: as many as the widest of its phases has tasks left, or as it was
 * told.
 */
function wantedOf(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>): number {
  const state = scheduler.state.jobs.get(job.id);
  let widest = 1;
  for (const phase of PHASES) {
    const tasks = job.planned?.plan[phase].length ?? 0;
    const counts = state?.phases[phase].counts;
    widest = Math.max(widest, tasks - (counts?.FINISHED ?? 0) - (counts?.FAILED ?? 0));
  }
  return Math.min(job.submission.options.cores ?? widest, widest);
}

/** Tasks whose input lies on one agent run there or nowhere. */
function withPinned(grants: Grants, { planned }: ClusterJob): Grants {
  const whole: Record<string, number> = { ...grants };
  for (const agent of planned?.pinnedAgents ?? []) if (!Object.hasOwn(whole, agent)) whole[agent] = 1;
  return whole;
}

function sameGrants(a: Grants, b: Grants): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
