/**
 * What goes wrong, and what follows for tasks and jobs: attempts that fail or are lost, nodes that are lost
 * or barred, map outputs that are gone or come out differently when they are made again.
 */
import { unlink } from "./chain.ts";
import { type Failure, formatAttempt, formatTask, isFinal, systemFailure } from "./ids.ts";
import { afterAttempt, failJob } from "./job-progress.ts";
import {
  type Attempt,
  type Bar,
  isBarred,
  isDone,
  type JobState,
  type NodeState,
  type SchedulerState,
  type Task,
} from "./state.ts";
import { endAttempt, killRest, moveTask, orderKill } from "./transitions.ts";

/**
 * Counts a failure on a node against it. The node is barred at the limit; when it is the last one admitted,
 * the job fails if the failures were the system's (a full disk), and goes on by the attempt limits if they
 * were user code's. A barred node gets no tasks; what its maps have written stays of use.
 * @param failure null for a fetch that failed: that may bar, but never fails the job, as it does not tell
 *   which side is broken
 */
export function noteFailure(
  s: SchedulerState,
  job: JobState,
  node: string,
  failure: Failure | null,
  message: string,
): void {
  const bar = barOf(s, job, node);
  bar.failures++;
  bar.lastMs = s.nowMs;
  bar.lastMessage = message;
  if (failure?.blame === "system") bar.systemFailures++;
  s.facts?.bar(job, node);
  if (bar.untilMs !== null || bar.failures < job.policy.barAfterFailures) return;
  if (hasOtherNode(s, job, node)) {
    bar.untilMs = s.nowMs + job.policy.barMs;
    s.commands.push({ kind: "nodeBarred", job: job.id, node, untilMs: bar.untilMs });
  } else if (failure?.blame === "system" && bar.systemFailures >= job.policy.barAfterFailures) {
    const times = `${node}, the last node this job may use, failed ${bar.systemFailures} times`;
    failJob(s, job, { ...failure, message: `${times}; last: ${failure.message}` });
  }
}

/**
 * A fetch from the node failed, which has been counted. From a barred one no other is tried: all that its
 * maps have written for the job is given up at once, instead of one output and one reduce attempt at a time.
 */
export function doubtOutputs(s: SchedulerState, job: JobState, node: string): void {
  const source = s.nodes.get(node);
  const bar = job.bars.get(node);
  if (source === undefined || bar === undefined || bar.untilMs === null) return;
  loseOutputs(s, job, source, `${node} is barred after ${bar.failures} failures; last: ${bar.lastMessage}`);
}

/** Lifts the bars whose time has come; returns the nodes admitted again. */
export function liftBars(s: SchedulerState, job: JobState): string[] {
  const lifted: string[] = [];
  for (const [node, bar] of job.bars) {
    if (bar.untilMs === null || bar.untilMs > s.nowMs) continue;
    job.bars.delete(node);
    s.facts?.bar(job, node);
    s.commands.push({ kind: "nodeAdmitted", job: job.id, node });
    lifted.push(node);
  }
  return lifted;
}

function barOf(s: SchedulerState, job: JobState, node: string): Bar {
  const old = job.bars.get(node);
  if (old !== undefined && (old.untilMs !== null || s.nowMs - old.lastMs < job.policy.barMs)) return old;
  const bar: Bar = { failures: 0, systemFailures: 0, lastMs: s.nowMs, lastMessage: "", untilMs: null };
  job.bars.set(node, bar);
  return bar;
}

function hasOtherNode(s: SchedulerState, job: JobState, node: string): boolean {
  for (const [name, { open }] of s.nodes) if (open && name !== node && !isBarred(job, name)) return true;
  return false;
}

/** Ends a life of a node: its attempts are lost, and the map outputs that lie on it. */
export function loseNode(
  s: SchedulerState,
  node: NodeState,
  reason: string,
  how: "asked" | "unasked" = "unasked",
): void {
  s.nodes.delete(node.id);
  s.facts?.node(node);
  unlink(node.byLease);
  unlink(node.byIdle);
  if (node.open) s.idleSlots -= node.idle.length;
  node.idle.length = 0;
  for (const slot of node.slots) {
    if (slot.state.kind === "BUSY")
      loseAttempt(
        s,
        slot.state.attempt,
        `${node.id} is lost: ${reason}`,
        how === "unasked" ? "withNode" : "alone",
      );
  }
  for (const id of node.outputs.keys()) {
    const job = s.jobs.get(id);
    if (job !== undefined) loseOutputs(s, job, node, `${node.id} is lost: ${reason}`);
  }
}

/**
 * An attempt is gone through no fault of its job: the task runs again and no user attempt is used up. One
 * that was restored and not heard of since is not even counted: its driver's death must not fail a job.
 * @param how what was lost under it: a task that loses many workers or nodes does not get another
 * @param detail what its driver reported with it
 */
export function loseAttempt(
  s: SchedulerState,
  attempt: Attempt,
  reason: string,
  how: "alone" | "withWorker" | "withNode" = "alone",
  detail: unknown = null,
): void {
  if (attempt.state.kind !== "RUNNING") return;
  const { task, unheard } = attempt;
  const counts = how === "alone" || unheard ? {} : { [how]: true as const };
  endAttempt(s, attempt, { kind: "LOST", endedMs: s.nowMs, reason, ...counts });
  const { attempt: number } = attempt.ref;
  const { open } = task.phase;
  if (unheard) {
    moveTask(s, task, { kind: "release", attempt: number, open });
    return;
  }
  const where = { attempt: attempt.ref, node: attempt.node.id, detail };
  const deadly = how === "alone" ? null : deadlyLoss(s, task, how, reason, where);
  const failure =
    deadly ?? systemFailure("WORKER_LOST", `${formatAttempt(attempt.ref)} was lost: ${reason}`, where);
  const limit = deadly === null ? task.job.policy.lossesMax : 1;
  moveTask(s, task, { kind: "lose", attempt: number, failure, limit, open });
  afterAttempt(s, task);
}

/** The task has lost one more worker or node: the failure that ends it if that was one too many. */
function deadlyLoss(
  s: SchedulerState,
  task: Task,
  how: "withWorker" | "withNode",
  reason: string,
  where: Pick<Failure, "attempt" | "node" | "detail">,
): Failure | null {
  const lost = task.attempts.filter(({ state }) => state.kind === "LOST" && state[how] === true);
  const { nodesLostMax, workersLostMax } = task.job.policy;
  const name = formatTask(task.ref);
  if (how === "withNode") {
    if (lost.length < nodesLostMax) return null;
    const nodes = [...new Set(lost.map(({ node }) => node.id))].join(", ");
    const message =
      `${lost.length} agents were lost while they ran ${name} (${nodes}): ` +
      `the job is stopped before it takes down another; last: ${reason}`;
    return systemFailure("WORKER_LOST", message, where);
  }
  // A life of a node that has ended took its workers with it: those lost before may have been the first sign.
  const held = lost.filter(({ node }) => s.rules.countsLostWorker(s.nodes.get(node.id) === node)).length;
  if (held < workersLostMax) return null;
  const message = `user code exited: ${held} workers were lost running ${name}; ${reason}`;
  return { blame: "user", code: "USER_EXITED", message, ...where };
}

/**
 * An attempt failed by itself. User and data failures use up attempts, all of them at once where another one
 * would fail alike; the system's count as losses; all count against the node.
 */
export function failAttempt(s: SchedulerState, attempt: Attempt, failure: Failure): void {
  const { task } = attempt;
  const { job } = task;
  const { policy } = job;
  task.lastFailedNode = attempt.node.id;
  s.facts?.task(task);
  endAttempt(s, attempt, { kind: "FAILED", endedMs: s.nowMs, failure });
  const common = { attempt: attempt.ref.attempt, failure, open: task.phase.open };
  if (failure.blame === "system") moveTask(s, task, { kind: "lose", limit: policy.lossesMax, ...common });
  else moveTask(s, task, { kind: "fail", limit: isFinal(failure) ? 1 : policy.attemptsMax, ...common });
  afterAttempt(s, task);
  if (job.status.kind === "RUNNING") noteFailure(s, job, attempt.node.id, failure, failure.message);
}

/**
 * No progress for too long: killed. It hangs by its own fault if it was reported to stand still. One that
 * never began, or of which nothing was heard (its node is silent, reports went astray), is lost through no
 * fault of the job.
 */
export function expireAttempt(s: SchedulerState, attempt: Attempt): void {
  const { task, ref, node } = attempt;
  const silentMs = Math.round(s.nowMs - attempt.progressMs);
  orderKill(s, attempt, `no progress for ${silentMs} ms`);
  if (attempt.beat === null) {
    loseAttempt(s, attempt, `it did not begin within ${silentMs} ms`);
    return;
  }
  const reportsReliable = s.settings.leaseMs === Number.POSITIVE_INFINITY;
  const stillMs = reportsReliable ? silentMs : attempt.reportedMs - attempt.progressMs;
  if (stillMs < task.job.policy.noProgressMs / 2) {
    loseAttempt(s, attempt, `nothing was heard of it for ${silentMs} ms`);
    return;
  }
  const message = `${formatTask(task.ref)} finished no record for ${silentMs} ms`;
  const detail = null;
  failAttempt(s, attempt, {
    blame: "user",
    code: "NO_PROGRESS",
    message,
    attempt: ref,
    node: node.id,
    detail,
  });
}

/** Remembers that the output of a finished map task lies on the node. */
export function keepOutput(task: Task, node: NodeState): void {
  let tasks = node.outputs.get(task.job.id);
  if (tasks === undefined) node.outputs.set(task.job.id, (tasks = new Set()));
  tasks.add(task);
}

/**
 * The job's finished map outputs on the node are gone: their tasks run again, unless no reduce needs them any
 * more.
 */
function loseOutputs(s: SchedulerState, job: JobState, node: NodeState, reason: string): void {
  const tasks = node.outputs.get(job.id);
  if (tasks === undefined) return;
  node.outputs.delete(job.id);
  if (job.status.kind !== "RUNNING" || isDone(job.phases.reduce)) return;
  const limit = job.policy.lossesMax;
  for (const task of tasks) {
    if (task.state.kind !== "FINISHED") continue;
    const attempt = task.attempts[task.state.attempt - 1]!;
    const text = `the output of ${formatTask(task.ref)} was lost: ${reason}`;
    const failure = systemFailure("WORKER_LOST", text, { attempt: attempt.ref, node: node.id });
    attempt.outputLost = reason;
    s.facts?.attempt(attempt);
    moveTask(s, task, { kind: "outputLost", attempt: task.state.attempt, failure, limit });
    s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
    if (failsJob(s, job, task)) return;
  }
  closeReduces(s, job);
}

/**
 * A reduce could not read the output of `attempt`; true when that ended the job. A stale complaint changes
 * nothing.
 */
export function loseUnreadable(s: SchedulerState, task: Task, number: number, message: string): boolean {
  const { job } = task;
  const attempt = task.attempts[number - 1];
  if (attempt === undefined || task.state.kind !== "FINISHED" || task.state.attempt !== number) return false;
  const times = task.state.tally.fetchFailures + 1;
  const text = `the output of ${formatTask(task.ref)} could not be fetched ${times} times; last: ${message}`;
  const failure = systemFailure("BLOCK_CORRUPT", text, { attempt: attempt.ref, node: attempt.node.id });
  attempt.outputLost = message;
  s.facts?.attempt(attempt);
  attempt.node.outputs.get(job.id)?.delete(task);
  const limit = job.policy.fetchFailuresMax;
  moveTask(s, task, { kind: "outputUnreadable", attempt: number, failure, limit });
  s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
  if (failsJob(s, job, task)) return true;
  closeReduces(s, job);
  return false;
}

function failsJob(s: SchedulerState, job: JobState, task: Task): boolean {
  if (task.state.kind !== "FAILED") return false;
  failJob(s, job, task.state.failure);
  return true;
}

/**
 * Reduces that have not started wait for the maps again. Costs as much as there are reduces; done per loss,
 * not per event.
 */
function closeReduces(s: SchedulerState, job: JobState): void {
  const { map, reduce } = job.phases;
  if (!reduce.open || isDone(map)) return;
  reduce.open = false;
  if (reduce.counts.READY === 0) return;
  for (const task of reduce.tasks) if (task.state.kind === "READY") moveTask(s, task, { kind: "block" });
}

/**
 * A lost map output was made again and is another one: reduces that run or have finished began while the old
 * one was there, and others will read the new one. So that they all read the same, the former start over; no
 * attempt is used up. The job fails when that happens too often. Costs as much as there are reduces.
 */
export function startReducesOver(s: SchedulerState, before: Attempt, after: Attempt): void {
  const { job } = after.task;
  const { reduce } = job.phases;
  if (reduce.counts.RUNNING + reduce.counts.FINISHED === 0) return;
  job.outputChanges++;
  s.facts?.job(job);
  const what = `${formatAttempt(before.ref)} and ${formatAttempt(after.ref)} gave different output`;
  if (job.outputChanges > job.policy.outputChangesMax) {
    const times = job.outputChanges === 1 ? "" : ` (case ${job.outputChanges} in this job)`;
    failJob(s, job, {
      blame: "user",
      code: "NOT_DETERMINISTIC",
      message: `${what} for the same input${times}: the map depends on time, chance or what ran before`,
      attempt: after.ref,
      node: after.node.id,
      detail: null,
    });
    return;
  }
  for (const task of reduce.tasks) startOver(s, task, `it read an input that is another one now: ${what}`);
}

function startOver(s: SchedulerState, task: Task, reason: string): void {
  const { open } = task.phase;
  if (task.state.kind === "FINISHED") {
    const attempt = task.attempts[task.state.attempt - 1]!;
    attempt.outputLost = reason;
    s.facts?.attempt(attempt);
    moveTask(s, task, { kind: "startOver", attempt: attempt.ref.attempt, open });
    s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
  } else if (task.state.kind === "RUNNING") {
    const { attempts } = task.state;
    killRest(s, task, reason);
    for (const attempt of attempts) moveTask(s, task, { kind: "release", attempt, open });
  }
}
