import { SheafError } from "../base/errors.ts";
import type { AttemptFact, BarFact, Fact, JobFact, JobStateFact, NodeFact, TaskFact } from "./facts.ts";
import { formatAttempt, formatTask, type NodeRef, PHASES, type TaskRef } from "./ids.ts";
import { addRest, countTask, newJob } from "./job-progress.ts";
import { keepOutput } from "./losses.ts";
import {
  Attempt,
  isDone,
  type JobState,
  NodeState,
  type PhaseState,
  type SchedulerState,
  type Task,
} from "./state.ts";
import { NO_TALLY, type TaskState } from "./task-state.ts";
import { leaveChains, openOrClose } from "./transitions.ts";

/**
 * Fills a new state with what facts tell; what the driver has to do again is in its commands. Nodes that were
 * alive have their whole lease before them, attempts that ran are taken to run still. What facts do not tell
 * begins anew: idle slots (their workers ask again), beats, how long a job has stood still.
 * REQUIRES: the state is empty and its time is set.
 * @throws SheafError STATE_CORRUPT naming the attempt that does not fit the other facts
 */
export function restoreState(s: SchedulerState, table: FactTable): void {
  const lives = new Map<string, NodeState>();
  for (const [node, reason] of table.handBars) s.handBars.set(node, reason);
  for (const { node, incarnation, slots, alive, draining, asks } of table.nodes.values()) {
    s.incarnations.set(node, incarnation);
    if (!alive) continue;
    const state = new NodeState({ node, incarnation }, slots, s.nowMs);
    state.restored = true;
    state.draining = draining;
    for (const slot of state.slots) {
      slot.answeredAsk = asks[slot.index] ?? -1;
      slot.lastAsk = slot.answeredAsk;
    }
    openOrClose(s, state);
    s.nodes.set(node, state);
    s.leases.append(state.byLease);
    lives.set(`${node} ${incarnation}`, state);
  }
  const jobs = [...table.jobs.values()].sort((a, b) => (a.job?.sequence ?? -1) - (b.job?.sequence ?? -1));
  for (const rows of jobs) {
    if (rows.job === null) continue;
    s.jobsSubmitted = rows.job.sequence + 1;
    if (rows.state?.life.kind !== "ENDED") restoreJob(s, rows, lives);
  }
  s.fresh = [];
}

function restoreJob(s: SchedulerState, rows: JobRows, lives: Map<string, NodeState>): void {
  const { plan, sequence, submittedMs } = rows.job!;
  const job = newJob(plan, sequence, submittedMs);
  s.jobs.set(job.id, job);
  s.active.add(job);
  job.activeMs = s.nowMs;
  job.status = rows.state?.life ?? { kind: "RUNNING" };
  if (rows.state !== null) job.grants.replace(rows.state.grants);
  job.outputChanges = rows.state?.outputChanges ?? 0;
  job.samplesAnnounced = rows.state?.samplesAnnounced ?? false;
  restoreRests(job, rows);
  for (const { node, bar } of rows.bars.values()) if (bar !== null) job.bars.set(node, { ...bar });
  for (const name of PHASES) {
    const phase = job.phases[name];
    for (const task of phase.tasks) restoreTask(s, rows, task, lives);
    const running = phase.tasks.flatMap((task) => task.attempts.filter((a) => a.state.kind === "RUNNING"));
    running.sort((a, b) => a.startedMs - b.startedMs);
    for (const attempt of running) {
      job.watched.append(attempt.byProgress!);
      const last = attempt.task.attempts.at(-1) === attempt;
      if (last && !attempt.backup) phase.ages.append(attempt.byAge!);
    }
  }
  for (const fact of rows.attempts())
    if (job.phases[fact.phase].tasks[fact.task] === undefined)
      throw corrupt(fact, "its plan has no such task");
  openPhases(job);
  s.queue.update(job);
  if (job.status.kind === "COMMITTING") s.commands.push({ kind: "commitJob", job: job.id });
  else if (job.samplesAnnounced) s.commands.push({ kind: "sampleReady", job: job.id });
}

/** Tasks that came while the job ran, in the order in which they came. */
function restoreRests(job: JobState, rows: JobRows): void {
  const rests = [...rows.attempts()].flatMap((fact) =>
    fact.state.kind === "SUCCEEDED" && fact.state.rest !== undefined ? [{ fact, ...fact.state.rest }] : [],
  );
  for (const { fact, first, count } of rests.sort((a, b) => a.first - b.first)) {
    const task = job.phases[fact.phase].tasks[fact.task];
    if (task === undefined || addRest(task, count) !== first)
      throw corrupt(fact, "its rest has other numbers");
  }
}

function restoreTask(s: SchedulerState, rows: JobRows, task: Task, lives: Map<string, NodeState>): void {
  const { job, phase } = task;
  let granted: number | null = null;
  let attempt = 0;
  for (const fact of rows.attemptsOf(task.ref)) {
    attempt++;
    if (fact === undefined) throw corrupt({ ...task.ref, attempt }, "it is missing between others");
    restoreAttempt(s, task, fact, lives);
    if (fact.granted) granted = attempt;
  }
  const row = rows.taskOf(task.ref);
  task.lastFailedNode = row?.lastFailedNode ?? null;
  const tally = row?.tally ?? NO_TALLY;
  const state = stateOf(task, tally, granted);
  task.state = row?.failure ? { kind: "FAILED", tally, failure: row.failure } : state;
  phase.counts.BLOCKED--;
  phase.counts[task.state.kind]++;
  const counted = task.state.kind === "FINISHED" ? task.state.attempt : tally.lostOutput;
  const committed = counted === null ? undefined : task.attempts[counted - 1];
  if (committed?.state.kind !== "SUCCEEDED") return;
  countTask(task, committed.state.counters);
  if (task.state.kind !== "FINISHED" || committed.outputLost !== null) return;
  const needed = phase.name === "map" && job.phases.reduce.tasks.length > 0;
  if (needed && !job.policy.outputsSurviveNode) keepOutput(task, committed.node);
}

/** What the attempts of a task say about it. */
function stateOf(task: Task, tally: TaskState["tally"], granted: number | null): TaskState {
  const attempts: number[] = [];
  for (const { state, ref, outputLost } of task.attempts) {
    if (state.kind === "RUNNING") attempts.push(ref.attempt);
    if (state.kind === "SUCCEEDED" && outputLost === null)
      return { kind: "FINISHED", tally, attempt: ref.attempt };
  }
  if (attempts.length > 0) return { kind: "RUNNING", tally, attempts, granted };
  const settled = task.job.status.kind === "COMMITTING" && tally.lostOutput !== null;
  return settled ? { kind: "FINISHED", tally, attempt: tally.lostOutput! } : { kind: "BLOCKED", tally };
}

function restoreAttempt(
  s: SchedulerState,
  task: Task,
  fact: AttemptFact,
  lives: Map<string, NodeState>,
): void {
  const node = lifeOf(lives, fact);
  const attempt = new Attempt(task, node, fact, fact.backup, s.nowMs, fact.startedMs);
  attempt.state = fact.state;
  attempt.fingerprint = fact.fingerprint;
  attempt.outputLost = fact.outputLost;
  task.attempts = [...task.attempts, attempt];
  if (fact.state.kind !== "RUNNING") leaveChains(attempt);
  if (fact.backup) task.phase.backups++;
  if (fact.state.kind === "SUCCEEDED") task.phase.durations.add(fact.state.endedMs - fact.startedMs);
  const slot = node.slots[fact.slot];
  if (slot !== undefined) {
    slot.answeredAsk = Math.max(slot.answeredAsk, fact.ask);
    slot.lastAsk = slot.answeredAsk;
  }
  if (fact.state.kind !== "RUNNING") return;
  if (slot === undefined) throw corrupt(fact, `${fact.node}.${fact.incarnation} has no slot ${fact.slot}`);
  if (slot.state.kind === "BUSY") throw corrupt(fact, "its slot runs another one");
  slot.state = { kind: "BUSY", attempt };
  s.busySlots++;
  task.job.running++;
  task.job.grants.started(node.id);
  attempt.unheard = true;
}

/** The life of a node an attempt ran in; one that is over has no slots and nothing on its disk. */
function lifeOf(lives: Map<string, NodeState>, ref: NodeRef): NodeState {
  const key = `${ref.node} ${ref.incarnation}`;
  let life = lives.get(key);
  if (life === undefined) lives.set(key, (life = new NodeState(ref, 0, 0)));
  return life;
}

/** A phase is open when all before it are done: so the tasks that wait are READY. */
function openPhases(job: JobState): void {
  for (const name of PHASES) {
    const phase = job.phases[name];
    openPhase(job, phase);
    if (!isDone(phase)) return;
  }
}

function openPhase(job: JobState, phase: PhaseState): void {
  phase.open = true;
  for (const task of phase.tasks) {
    if (task.state.kind !== "BLOCKED") continue;
    task.state = { kind: "READY", tally: task.state.tally };
    phase.counts.BLOCKED--;
    phase.counts.READY++;
    job.ready++;
    job.queue.add(task);
  }
}

function corrupt(attempt: Parameters<typeof formatAttempt>[0] & { job: string }, what: string): SheafError {
  return new SheafError("STATE_CORRUPT", `attempt ${formatAttempt(attempt)} of ${attempt.job}: ${what}`, {
    hint: "The rows were not written together. Go back to a copy of the state, or begin with an empty one.",
  });
}

/** The last facts about one job. */
class JobRows {
  job: JobFact | null = null;
  state: JobStateFact | null = null;
  readonly tasks = new Map<string, TaskFact>();
  readonly bars = new Map<string, BarFact>();
  readonly #attempts = new Map<string, AttemptFact[]>();

  /** Attempt n is at n - 1; undefined where a row is missing. */
  attemptsOf(ref: TaskRef): readonly (AttemptFact | undefined)[] {
    return this.#attempts.get(formatTask(ref)) ?? [];
  }

  taskOf(ref: TaskRef): TaskFact | undefined {
    return this.tasks.get(formatTask(ref));
  }

  *attempts(): Generator<AttemptFact> {
    for (const list of this.#attempts.values()) for (const fact of list) if (fact !== undefined) yield fact;
  }

  add(fact: Exclude<Fact, { kind: "node" | "handBar" | "jobForgotten" }>): void {
    switch (fact.kind) {
      case "job":
        this.job = fact;
        return;
      case "jobState":
        this.state = fact;
        return;
      case "task":
        this.tasks.set(formatTask(fact), fact);
        return;
      case "attempt": {
        const task = formatTask(fact);
        const list = this.#attempts.get(task);
        if (list !== undefined) list[fact.attempt - 1] = fact;
        else this.#attempts.set(task, sparse(fact));
        return;
      }
      case "bar":
        if (fact.bar === null) this.bars.delete(fact.node);
        else this.bars.set(fact.node, fact);
        return;
    }
  }
}

function sparse(fact: AttemptFact): AttemptFact[] {
  const list: AttemptFact[] = [];
  list[fact.attempt - 1] = fact;
  return list;
}

/** Facts in any order or a whole log of them: of each key the last one counts. */
export class FactTable {
  readonly nodes = new Map<string, NodeFact>();
  readonly handBars = new Map<string, string>();
  readonly jobs = new Map<string, JobRows>();
  /** The latest time any fact tells of. */
  latestMs = 0;

  constructor(facts: Iterable<Fact>) {
    for (const fact of facts) this.#add(fact);
  }

  #add(fact: Fact): void {
    this.latestMs = Math.max(this.latestMs, timeOf(fact));
    switch (fact.kind) {
      case "node":
        this.nodes.set(fact.node, fact);
        return;
      case "handBar":
        if (fact.reason === null) this.handBars.delete(fact.node);
        else this.handBars.set(fact.node, fact.reason);
        return;
      case "jobForgotten":
        this.jobs.delete(fact.job);
        return;
      default: {
        let rows = this.jobs.get(fact.job);
        if (rows === undefined) this.jobs.set(fact.job, (rows = new JobRows()));
        rows.add(fact);
      }
    }
  }
}

function timeOf(fact: Fact): number {
  switch (fact.kind) {
    case "job":
      return fact.submittedMs;
    case "jobState":
      return fact.life.kind === "ENDED" ? fact.life.endedMs : 0;
    case "attempt":
      return fact.state.kind === "RUNNING" ? fact.startedMs : fact.state.endedMs;
    case "bar":
      return fact.bar?.lastMs ?? 0;
    case "task":
    case "node":
    case "handBar":
    case "jobForgotten":
      return 0;
  }
}
