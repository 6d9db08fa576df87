import type { NodeRef } from "./ids.ts";
import type { NodeState } from "./node.ts";
import type { SchedulerState } from "./scheduler-state.ts";

/**
 * The living node that speaks, its lease renewed. undefined when that life of it is over, which the speaker
 * is then told, or has not joined yet.
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
