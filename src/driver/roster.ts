import type { Asker } from "../protocol/worker-protocol.ts";

/** A worker that speaks for itself: a node of one slot to the scheduler. */
export interface RosterEntry {
  readonly node: string;
  readonly incarnation: number;
  ask: number;
  heardMs: number;
  /** It was told that there is nothing more to do. */
  isTold: boolean;
}

/** The workers that have asked for tasks, by process id and address. */
export class Roster {
  readonly #byNode = new Map<string, RosterEntry>();
  /** Lives each has had. */
  readonly #lives = new Map<string, number>();

  /** The worker that asks; `isNew` the first time. */
  meet(asker: Asker, nowMs: number): { readonly worker: RosterEntry; readonly isNew: boolean } {
    const node = nodeOf(asker);
    const known = this.#byNode.get(node);
    if (known !== undefined) {
      known.heardMs = nowMs;
      return { worker: known, isNew: false };
    }
    const incarnation = (this.#lives.get(node) ?? 0) + 1;
    this.#lives.set(node, incarnation);
    const worker: RosterEntry = { node, incarnation, ask: 0, heardMs: nowMs, isTold: false };
    this.#byNode.set(node, worker);
    return { worker, isNew: true };
  }

  /** undefined when it has never asked for a task. */
  find(asker: Asker): RosterEntry | undefined {
    return this.#byNode.get(nodeOf(asker));
  }

  byNode(node: string): RosterEntry | undefined {
    return this.#byNode.get(node);
  }

  /** A worker that was given up is met as a new one when it asks again, in a later life. */
  forget(node: string): void {
    this.#byNode.delete(node);
  }

  get all(): readonly RosterEntry[] {
    return [...this.#byNode.values()];
  }
}

function nodeOf({ workerPid, remote }: Asker): string {
  return `worker-${workerPid ?? 0}@${remote}`;
}
