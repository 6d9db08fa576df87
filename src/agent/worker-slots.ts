import type { WorkerPool } from "../worker/pool.ts";

/**
 * Which job's worker is in which slot. Jobs have pools of their own, numbered by the agent's slots; all
 * together have no more workers than there are slots.
 */
export class WorkerSlots {
  readonly #owners = new Map<number, WorkerPool>();

  /** The slot is that pool's: another job's idle worker in it is ended first. */
  async take(slot: number, pool: WorkerPool): Promise<void> {
    const owner = this.#owners.get(slot);
    this.#owners.set(slot, pool);
    if (owner !== undefined && owner !== pool) await owner.kill(slot);
  }

  /** The pool has been closed: it owns no slot any more. */
  released(pool: WorkerPool): void {
    for (const [slot, owner] of this.#owners) if (owner === pool) this.#owners.delete(slot);
  }
}
