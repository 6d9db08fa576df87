import type { NodeRef } from "./ids.ts";
import { loseAttempt, loseNode } from "./losses.ts";
import type { EventOf } from "./messages.ts";
import { serveNode } from "./placement.ts";
import { type Attempt, NodeState, type SchedulerState, type Slot } from "./state.ts";
import { endAttempt, moveTask, offerSlot, openOrClose, orderStart, withdrawSlot } from "./transitions.ts";

/**
 * To be called first with every report of a node: renews its lease and returns it. undefined when that life
 * of the node is over or has not joined; then the node is told (`fenceNode`, `inviteNode`), and the report
 * counts for nothing.
 */
export function hear(s: SchedulerState, ref: NodeRef): NodeState | undefined {
  const node = s.nodes.get(ref.node);
  if (node === undefined || !s.rules.isSameLife(ref.incarnation, node.incarnation)) {
    const known = s.incarnations.get(ref.node);
    const isNew = known === undefined || ref.incarnation > known;
    const { node: name, incarnation } = ref;
    s.commands.push({ kind: isNew ? "inviteNode" : "fenceNode", node: name, incarnation });
    return undefined;
  }
  node.heardMs = s.nowMs;
  s.leases.append(node.byLease);
  return node;
}

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

/** It has finished and its output counts: a heartbeat that was sent just before must not kill it. */
function hasOutput(attempt: Attempt): boolean {
  return attempt.state.kind === "SUCCEEDED" && attempt.outputLost === null;
}

export function nodeLost(s: SchedulerState, event: EventOf<"nodeLost">): void {
  const node = s.nodes.get(event.node);
  if (node !== undefined && node.incarnation === event.incarnation) loseNode(s, node, event.reason, "asked");
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

/**
 * The order of a reduce names its inputs, and one of them was lost before the order arrived: the task waits
 * for them again.
 */
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
      // An attempt that was never reported to run may not have had its order: it has not ended the worker.
      const { attempt } = slot.state;
      loseAttempt(s, attempt, event.message, attempt.beat === null ? "alone" : "withWorker");
      return;
    }
  }
}

export function nodeDraining(s: SchedulerState, event: EventOf<"nodeDraining">): void {
  const node = hear(s, event);
  if (node === undefined) return;
  if (node.draining !== event.draining) {
    node.draining = event.draining;
    s.facts?.node(node);
    openOrClose(s, node);
  }
  tellDrained(s, node);
}

/** Tells a draining node on which nothing runs that it may leave. Costs as much as it has slots and jobs. */
function tellDrained(s: SchedulerState, node: NodeState): void {
  if (!node.draining || node.slots.some((slot) => slot.state.kind === "BUSY")) return;
  let neededOutputs = 0;
  for (const [id, tasks] of node.outputs)
    if (s.jobs.get(id)?.status.kind === "RUNNING") neededOutputs += tasks.size;
  s.commands.push({ kind: "nodeDrained", node: node.id, incarnation: node.incarnation, neededOutputs });
}

export function nodeBarredByHand(s: SchedulerState, event: EventOf<"nodeBarredByHand">): void {
  s.handBars.set(event.node, event.reason);
  s.facts?.handBar(event.node);
  const node = s.nodes.get(event.node);
  if (node !== undefined) openOrClose(s, node);
}

export function nodeAdmittedByHand(s: SchedulerState, event: EventOf<"nodeAdmittedByHand">): void {
  if (!s.handBars.delete(event.node)) return;
  s.facts?.handBar(event.node);
  const node = s.nodes.get(event.node);
  if (node !== undefined) openOrClose(s, node);
}
