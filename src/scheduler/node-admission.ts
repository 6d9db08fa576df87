import type { SchedulerEvent } from "./events.ts";
import { openOrClose } from "./idle-slots.ts";
import type { NodeState } from "./node.ts";
import { hear } from "./hear.ts";
import type { SchedulerState } from "./scheduler-state.ts";

type EventOf<K extends SchedulerEvent["kind"]> = Extract<SchedulerEvent, { kind: K }>;

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

/** Tells a draining node on which nothing runs that it may go. Costs as much as it has slots and jobs. */
export function tellDrained(s: SchedulerState, node: NodeState): void {
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
