import { type Fact, factKey } from "#src/scheduler/facts.js";

/** The coordinator's disk: the last row of each key. */
export class FactStore {
  readonly #rows = new Map<string, Fact>();

  get size(): number {
    return this.#rows.size;
  }

  /** All or nothing, like a transaction. Rows are kept as text, as a disk would. */
  write(facts: readonly Fact[]): void {
    for (const fact of facts) this.#rows.set(factKey(fact), fact);
  }

  /** As they would come back from a disk: copies, in an order of their own. */
  read(): Fact[] {
    const facts = [...this.#rows.values()].reverse();
    return JSON.parse(JSON.stringify(facts)) as Fact[];
  }
}
