import { unlink } from "./chain.ts";
import { AWAY, type NodeState, type Slot } from "./node.ts";
import type { SchedulerState } from "./scheduler-state.ts";

/** Takes note that the worker of a slot waits for work. REQUIRES: the slot is AWAY. */
export function offerSlot(s: SchedulerState, node: NodeState, slot: Slot, ask: number): void {
  slot.state = { kind: "IDLE", ask };
  node.idle.push(slot);
  if (!node.open) return;
  s.idleSlots++;
  if (node.byIdle.chain === null) s.idle.append(node.byIdle);
}

/** Takes an idle slot of an open node, which goes to the end of the line, so that work spreads. */
export function giveSlot(s: SchedulerState, node: NodeState): { slot: Slot; ask: number } {
  const slot = node.idle.pop()!;
  const ask = slot.state.kind === "IDLE" ? slot.state.ask : slot.lastAsk;
  s.idleSlots--;
  if (node.idle.length > 0) s.idle.append(node.byIdle);
  else unlink(node.byIdle);
  return { slot, ask };
}

/** The worker of an idle slot is gone. */
export function withdrawSlot(s: SchedulerState, node: NodeState, slot: Slot): void {
  slot.state = AWAY;
  node.idle.splice(node.idle.indexOf(slot), 1);
  if (!node.open) return;
  s.idleSlots--;
  if (node.idle.length === 0) unlink(node.byIdle);
}

/** Takes note of whether the node takes new tasks. Its idle slots count only while it does. */
export function openOrClose(s: SchedulerState, node: NodeState): void {
  const open = s.rules.isOpen(node.draining, s.handBars.has(node.id));
  if (open === node.open) return;
  node.open = open;
  if (node.idle.length === 0) return;
  if (open) {
    s.idleSlots += node.idle.length;
    s.idle.append(node.byIdle);
    s.opened.add(node);
  } else {
    s.idleSlots -= node.idle.length;
    unlink(node.byIdle);
  }
}
