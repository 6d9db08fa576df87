import { type Random, seededRandom } from "#src/base/random.js";
import type { Grants, ScheduledJob, TaskPlan } from "#src/scheduler/messages.js";

/** Probabilities and sizes of everything that can go wrong in one world. All zero: a world without faults. */
export interface FaultRates {
  /** Per message. */
  lose: number;
  double: number;
  /** Delayed by up to `delayMs` more, so that later messages overtake. */
  delay: number;
  delayMs: number;
  /** Per attempt. */
  workerCrash: number;
  userFailure: number;
  hang: number;
  diskFullInCommit: number;
  fetchFailure: number;
  /** Per map attempt: its output vanishes from the disk. */
  outputVanish: number;
  /** Mean time between, per node, ms; 0: never. */
  nodeCrashMs: number;
  nodePauseMs: number;
  /** Longest pause. */
  pauseMaxMs: number;
  /** Per node. */
  slowNode: number;
  /** Per node: everything fails there at once. */
  badNode: number;
  /** Per task: its user code always fails. */
  poison: number;
  /** Per task: it ends whatever worker runs it. */
  deadly: number;
  /** Per task: it has some bad records, each of which ends an attempt and is skipped from then on. */
  badRecords: number;
  /** Per job. */
  cancel: number;
  jobCommitFailure: number;
  /** The driver finds that the job as a whole has failed. */
  jobFailure: number;
  /** Code of it emits when its attempt is over. */
  lateEmit: number;
  /** Mean time between deaths of the coordinator, ms; 0: it lives. */
  coordinatorCrashMs: number;
  /** Longest time it is away. */
  coordinatorAwayMs: number;
  /** Mean times between, per node: cut off one way or both; asked to leave; barred by hand for a while. */
  partitionMs: number;
  drainMs: number;
  handBarMs: number;
}

export interface NodePlan {
  readonly id: string;
  readonly slots: number;
  readonly joinMs: number;
  /** Durations there are this many times longer. */
  readonly slowness: number;
  readonly bad: boolean;
}

export interface SimJob {
  readonly plan: ScheduledJob;
  readonly submitMs: number;
  /** Mean duration of its tasks. */
  readonly taskMs: number;
  /** Which map attempts ask for a commit: none, all, or every other one (reduce attempts always do). */
  readonly mapsAsk: "never" | "always" | "sometimes";
  /** Longest time an attempt takes to make its output final. */
  readonly publishMs: number;
  readonly commitMs: number;
  /** null: never cancelled. -1: cancelled while it commits. */
  readonly cancelMs: number | null;
  readonly poisoned: ReadonlySet<string>;
  readonly deadly: ReadonlySet<string>;
  /** By task, how many attempts end by a record that is skipped from then on. */
  readonly badRecords: ReadonlyMap<string, number>;
  /** When the driver finds that it has failed as a whole; null: it does not. -1: while it commits. */
  readonly failureMs: number | null;
  /** Per attempt: some of its code emits when it is over. */
  readonly lateEmit: number;
  /** What its maps say of their output: nothing, the truth, and that may differ from attempt to attempt. */
  readonly maps: "silent" | "same each time" | "different each time";
  /** Mean time between changes of its grants; 0: it has none, and no limit. */
  readonly regrantMs: number;
}

export interface WorldPlan {
  readonly seed: number;
  readonly size: "small" | "medium" | "large";
  readonly faultless: boolean;
  /** Nothing goes wrong but that the coordinator dies now and then. */
  readonly restartsOnly: boolean;
  readonly rates: FaultRates;
  readonly nodes: readonly NodePlan[];
  readonly jobs: readonly SimJob[];
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly askAgainMs: number;
  readonly tickMs: number;
}

const NO_FAULTS: FaultRates = {
  lose: 0,
  double: 0,
  delay: 0,
  delayMs: 0,
  workerCrash: 0,
  userFailure: 0,
  hang: 0,
  diskFullInCommit: 0,
  fetchFailure: 0,
  outputVanish: 0,
  nodeCrashMs: 0,
  nodePauseMs: 0,
  pauseMaxMs: 0,
  slowNode: 0,
  badNode: 0,
  poison: 0,
  deadly: 0,
  badRecords: 0,
  cancel: 0,
  jobCommitFailure: 0,
  jobFailure: 0,
  lateEmit: 0,
  coordinatorCrashMs: 0,
  coordinatorAwayMs: 0,
  partitionMs: 0,
  drainMs: 0,
  handBarMs: 0,
};

/**
 * The world of a seed: mostly small, one in ten of up to 200 nodes, one in a hundred of 1,000; in one in ten
 * the jobs have few cores, and other ones every few seconds.
 */
export function planWorld(seed: number): WorldPlan {
  const random = seededRandom(`world ${seed}`);
  const size = seed % 100 === 99 ? "large" : seed % 10 === 9 ? "medium" : "small";
  const faultless = random.next() < 0.12;
  const restartsOnly = !faultless && random.next() < 0.1;
  const rates = faultless
    ? NO_FAULTS
    : restartsOnly
      ? planRestarts(random)
      : { ...planFaults(random), ...planFailures(seededRandom(`failures ${seed}`)) };
  const nodeCount =
    size === "large" ? 1_000 : size === "medium" ? 20 + random.below(181) : 1 + random.below(12);
  const nodes: NodePlan[] = [];
  for (let i = 0; i < nodeCount; i++) {
    nodes.push({
      id: `n${i}`,
      slots: 1 + random.below(4),
      joinMs: faultless || restartsOnly ? 0 : random.below(i === 0 ? 500 : 5_000),
      slowness: chance(random, rates.slowNode) ? planSlowness(random) : 1,
      bad: i > 0 && chance(random, rates.badNode),
    });
  }
  const jobCount = size === "small" ? 1 + random.below(4) : 1 + random.below(3);
  const jobs: SimJob[] = [];
  for (let i = 0; i < jobCount; i++) jobs.push(planJob(random, i, size, nodes, rates, seed % 10 === 4));
  const small = size === "small";
  return {
    seed,
    size,
    faultless,
    restartsOnly,
    rates,
    nodes,
    jobs,
    leaseMs: 10_000,
    heartbeatMs: small ? 1_000 : 2_500,
    askAgainMs: small ? 2_000 : 5_000,
    tickMs: small ? 200 : 500,
  };
}

export function chance(random: Random, probability: number): boolean {
  return probability > 0 && random.next() < probability;
}

/** Either hopeless, or just so slow that an attempt and its backup end at the same time. */
function planSlowness(random: Random): number {
  return random.below(2) === 0 ? 3 + random.below(8) : 2 + random.next();
}

/** Each fault is there in about half of the worlds, at a rate of its own. */
function planFaults(random: Random): FaultRates {
  const rate = (most: number): number => (random.next() < 0.5 ? 0 : random.next() * random.next() * most);
  const time = (least: number): number => (random.next() < 0.6 ? 0 : least + random.below(20 * least));
  return {
    lose: rate(0.25),
    double: rate(0.4),
    delay: rate(0.4),
    delayMs: random.below(6_000),
    workerCrash: rate(0.3),
    userFailure: rate(0.3),
    hang: rate(0.1),
    diskFullInCommit: rate(0.2),
    fetchFailure: rate(0.2),
    outputVanish: rate(0.15),
    nodeCrashMs: time(30_000),
    nodePauseMs: time(20_000),
    pauseMaxMs: 1_000 + random.below(40_000),
    slowNode: rate(0.8),
    badNode: rate(0.4),
    poison: random.next() < 0.8 ? 0 : random.next() * 0.05,
    cancel: rate(0.6),
    jobCommitFailure: rate(0.3),
    coordinatorCrashMs: time(8_000),
    coordinatorAwayMs: 100 + random.below(15_000),
    partitionMs: time(20_000),
    drainMs: time(40_000),
    handBarMs: time(40_000),
    deadly: 0,
    badRecords: 0,
    jobFailure: 0,
    lateEmit: 0,
  };
}

/** What fails whole jobs, in about a third of the worlds: in the others rarer things have time to happen. */
function planFailures(random: Random): Partial<FaultRates> {
  if (random.next() < 0.65) return {};
  const rate = (most: number): number => (random.next() < 0.5 ? 0 : random.next() * most);
  return { deadly: rate(0.05), badRecords: rate(0.2), jobFailure: rate(0.3), lateEmit: rate(0.6) };
}

function planRestarts(random: Random): FaultRates {
  const coordinatorCrashMs = 1_500 + random.below(30_000);
  return { ...NO_FAULTS, coordinatorCrashMs, coordinatorAwayMs: 100 + random.below(6_000) };
}

/** So many cores of each node, of the first always one. */
export function someGrants(random: Random, nodes: readonly NodePlan[]): Grants {
  return Object.fromEntries(
    nodes.map(({ id, slots }, i) => [id, Math.max(i === 0 ? 1 : 0, random.below(slots + 2) - 1)]),
  );
}

function planJob(
  random: Random,
  index: number,
  size: WorldPlan["size"],
  nodes: readonly NodePlan[],
  rates: FaultRates,
  contended: boolean,
): SimJob {
  const most = size === "large" ? 2_500 : size === "medium" ? 800 : 40;
  const maps = random.below(20) === 0 ? 0 : 1 + random.below(most);
  const reduces = random.below(4) === 0 ? 0 : 1 + random.below(size === "small" ? 12 : 60);
  const samples = random.below(4) === 0 ? 1 + random.below(6) : 0;
  const near = random.below(3) === 0;
  const pins = random.below(12) === 0;
  const someNode = (): string => nodes[random.below(nodes.length)]!.id;
  const task = (): TaskPlan => {
    if (pins && random.below(4) === 0) return { pinned: [someNode(), someNode()] };
    return near ? { preferred: [someNode(), someNode()] } : {};
  };
  const id = `j${index}`;
  const poisoned = new Set<string>();
  const deadly = new Set<string>();
  const badRecords = new Map<string, number>();
  const list = (phase: string, count: number, plan: () => TaskPlan): TaskPlan[] =>
    Array.from({ length: count }, (_, i) => {
      if (chance(random, rates.poison)) poisoned.add(`${phase}/${i}`);
      if (chance(random, rates.deadly)) deadly.add(`${phase}/${i}`);
      if (chance(random, rates.badRecords)) badRecords.set(`${phase}/${i}`, 1 + random.below(6));
      return plan();
    });
  const taskMs = 200 + random.below(4_000);
  const regrantMs =
    contended && !pins
      ? 2_000 + random.below(8_000)
      : pins || random.below(3) !== 0
        ? 0
        : 5_000 + random.below(60_000);
  return {
    plan: {
      id,
      priority: random.below(5) - 2,
      sample: list("sample", samples, () => ({})),
      map: list("map", maps, task),
      reduce: list("reduce", reduces, () => ({})),
      ...(regrantMs > 0 ? { grants: someGrants(random, nodes) } : {}),
      policy: {
        noProgressMs: 15_000 + random.below(20_000),
        speculation: random.below(4) !== 0,
        outputsSurviveNode: random.below(6) === 0,
        failedTasksShare: random.below(4) === 0 ? random.next() * 0.2 : 0,
        barMs: 20_000 + random.below(60_000),
        stallMs: 120_000,
        ...(contended ? { preemptAfterMs: 300 } : {}),
      },
    },
    submitMs: random.below(3) === 0 ? random.below(10_000) : 0,
    taskMs,
    mapsAsk: (["never", "always", "sometimes"] as const)[random.below(3)]!,
    publishMs: 20 + random.below(2) * taskMs,
    commitMs: 20 + random.below(2_000),
    cancelMs: chance(random, rates.cancel) ? (random.below(4) === 0 ? -1 : random.below(12 * taskMs)) : null,
    poisoned,
    deadly,
    badRecords,
    failureMs: chance(random, rates.jobFailure)
      ? random.below(3) === 0
        ? -1
        : random.below(12 * taskMs)
      : null,
    lateEmit: rates.lateEmit / (samples + maps + reduces + 1),
    maps: (["silent", "same each time", "different each time"] as const)[random.below(3)]!,
    regrantMs,
  };
}
