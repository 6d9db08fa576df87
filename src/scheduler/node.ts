import type { Attempt } from "./attempt.ts";
import { type Link, newLink } from "./chain.ts";
import type { NodeRef } from "./ids.ts";
import type { Task } from "./task.ts";

export type SlotState =
  /** Its worker has not asked since its last attempt ended, or is gone. */
  | { readonly kind: "AWAY" }
  | { readonly kind: "IDLE"; readonly ask: number }
  | { readonly kind: "BUSY"; readonly attempt: Attempt };

export const AWAY: SlotState = { kind: "AWAY" };

export interface Slot {
  readonly index: number;
  state: SlotState;
  lastAsk: number;
  /** The last question that was answered with an attempt. */
  answeredAsk: number;
}

/** One life of a node: from its joining to its loss. */
export class NodeState {
  readonly id: string;
  readonly incarnation: number;
  readonly slots: readonly Slot[];
  readonly idle: Slot[] = [];
  heardMs: number;
  /** It was restored, and its first heartbeat since will tell which of its attempts really run. */
  restored = false;
  /** It is about to leave. */
  draining = false;
  /** It takes new tasks; changed by `openOrClose` only. */
  open = true;
  /** Finished map tasks whose output lies here, by job. */
  readonly outputs = new Map<string, Set<Task>>();
  /** Among all nodes, longest silent first. */
  readonly byLease: Link<NodeState> = newLink<NodeState>(this);
  /** Among the nodes with idle slots, next to be used first. */
  readonly byIdle: Link<NodeState> = newLink<NodeState>(this);

  constructor(ref: NodeRef, slots: number, nowMs: number) {
    this.id = ref.node;
    this.incarnation = ref.incarnation;
    this.slots = Array.from({ length: slots }, (_, index): Slot => ({
      index,
      state: AWAY,
      lastAsk: -1,
      answeredAsk: -1,
    }));
    this.heardMs = nowMs;
  }
}
