import type { Attempt } from "./attempt.ts";
import { unlink } from "./chain.ts";
import type { SchedulerEvent } from "./events.ts";
import { type Failure, systemFailure } from "./failure.ts";
import { formatAttempt, formatTask } from "./ids.ts";
import { hear } from "./hear.ts";
import { offerSlot, openOrClose, withdrawSlot } from "./idle-slots.ts";
import { afterAttempt } from "./job-progress.ts";
import { moveTask } from "./move-task.ts";
import { tellDrained } from "./node-admission.ts";
import { NodeState, type Slot } from "./node.ts";
import { loseOutputs } from "./output-loss.ts";
import { serveNode } from "./placement.ts";
import { endAttempt, orderStart } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

type EventOf<K extends SchedulerEvent["kind"]> = Extract<SchedulerEvent, { kind: K }>;

export function nodeJoined(s: SchedulerState, event: EventOf<"nodeJoined">): void {
  const known = s.incarnations.get(event.node);
  if (known !== undefined && event.incarnation <= known) {
    hear(s, event);
    return;
  }
  const old = s.nodes.get(event.node);
  if (old !== undefined) loseNode(s, old, "it started anew");
  const node = new NodeState(event, event.slots, s.nowMs);
  s.incarnations.set(node.id, node.incarnation);
  s.nodes.set(node.id, node);
  openOrClose(s, node);
  s.leases.append(node.byLease);
  s.facts?.node(node);
}

export function nodeHeartbeat(s: SchedulerState, event: EventOf<"nodeHeartbeat">): void {
  const node = hear(s, event);
  if (node === undefined) return;
  for (const ref of event.running) {
    const attempt = s.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task]?.attempts[ref.attempt - 1];
    if (attempt !== undefined && (s.rules.speaksFor(attempt, event) || hasOutput(attempt))) {
      attempt.unheard = false;
      continue;
    }
    const { node: name, incarnation } = event;
    s.commands.push({ kind: "killAttempt", attempt: ref, node: name, incarnation, reason: "it is void" });
  }
  if (node.restored) loseUnheard(s, node);
  tellDrained(s, node);
}

/**
 * The first list of what runs after a restore: what is not on it is gone. Later lists say nothing about what
 * is missing, as orders may still be on their way.
 */
function loseUnheard(s: SchedulerState, node: NodeState): void {
  node.restored = false;
  for (const { state } of node.slots)
    if (state.kind === "BUSY" && state.attempt.unheard)
      loseAttempt(s, state.attempt, `${node.id} does not run it any more`);
}

/** Finished, and its output counts: a list of what runs that was made just before must not cost it that. */
function hasOutput(attempt: Attempt): boolean {
  return attempt.state.kind === "SUCCEEDED" && attempt.outputLost === null;
}

export function nodeLost(s: SchedulerState, event: EventOf<"nodeLost">): void {
  const node = s.nodes.get(event.node);
  if (node !== undefined && node.incarnation === event.incarnation) loseNode(s, node, event.reason, "asked");
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

export function workerReady(s: SchedulerState, event: EventOf<"workerReady">): void {
  const node = hear(s, event);
  const slot = node?.slots[event.slot];
  if (node === undefined || slot === undefined) return;
  if (!s.rules.isNewAsk(event.ask, slot.lastAsk)) {
    if (event.ask === slot.lastAsk) answerAgain(s, node, slot);
    return;
  }
  slot.lastAsk = event.ask;
  switch (slot.state.kind) {
    case "IDLE":
      slot.state = { kind: "IDLE", ask: event.ask };
      return;
    case "BUSY":
      loseAttempt(s, slot.state.attempt, "its worker asked for other work");
      offerSlot(s, node, slot, event.ask);
      break;
    case "AWAY":
      offerSlot(s, node, slot, event.ask);
      break;
  }
  serveNode(s, node);
}

/** The same question once more: the answer to it may have been lost. */
function answerAgain(s: SchedulerState, node: NodeState, slot: Slot): void {
  switch (slot.state.kind) {
    case "IDLE":
      return;
    case "BUSY":
      if (slot.state.attempt.beat !== null) return;
      if (slot.state.attempt.task.phase.open) {
        slot.state.attempt.unheard = false;
        orderStart(s, node, slot);
        return;
      }
      dropUnbegun(s, slot.state.attempt);
      askAnew(s, node, slot);
      return;
    case "AWAY":
      askAnew(s, node, slot);
      return;
  }
}

function askAnew(s: SchedulerState, node: NodeState, slot: Slot): void {
  const { id, incarnation } = node;
  s.commands.push({ kind: "askAnew", node: id, incarnation, slot: slot.index, ask: slot.lastAsk });
}

/** What a reduce is to read is told with its order; some of that is gone before it was heard. */
function dropUnbegun(s: SchedulerState, attempt: Attempt): void {
  const { task, ref } = attempt;
  endAttempt(s, attempt, { kind: "LOST", endedMs: s.nowMs, reason: "its input was lost before it began" });
  moveTask(s, task, { kind: "release", attempt: ref.attempt, open: task.phase.open });
}

export function workerGone(s: SchedulerState, event: EventOf<"workerGone">): void {
  const node = hear(s, event);
  const slot = node?.slots[event.slot];
  if (node === undefined || slot === undefined || event.ask < slot.lastAsk) return;
  slot.lastAsk = event.ask;
  switch (slot.state.kind) {
    case "AWAY":
      return;
    case "IDLE":
      withdrawSlot(s, node, slot);
      return;
    case "BUSY": {
      // One that has not been heard to begin may not have got its order: then it has ended nobody.
      const { attempt } = slot.state;
      loseAttempt(s, attempt, event.message, attempt.beat === null ? "alone" : "withWorker");
      return;
    }
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
