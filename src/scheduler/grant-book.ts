import type { Grants } from "./messages.ts";

/** How many cores of which nodes a job may use at once, and how many it does. */
export class GrantBook {
  /** null: as many as it likes. */
  #grants: Grants | null;
  /** Nodes with room for another attempt; empty while there is no limit. */
  readonly #room = new Set<string>();
  readonly #running = new Map<string, number>();

  constructor(grants: Grants | null) {
    this.#grants = grants;
    this.replace(grants);
  }

  get grants(): Grants | null {
    return this.#grants;
  }

  /** Nodes with room; null: all of them. */
  get room(): ReadonlySet<string> | null {
    return this.#grants === null ? null : this.#room;
  }

  /** What runs beyond the new grants goes on. */
  replace(grants: Grants | null): void {
    this.#grants = grants;
    this.#room.clear();
    for (const node of Object.keys(grants ?? {})) if (this.#hasRoom(node)) this.#room.add(node);
  }

  /** The node goes to the end of those with room, so that work spreads. */
  started(node: string): void {
    this.#running.set(node, (this.#running.get(node) ?? 0) + 1);
    if (this.#room.delete(node) && this.#hasRoom(node)) this.#room.add(node);
  }

  /** True when this made room. */
  ended(node: string): boolean {
    const left = this.#running.get(node)! - 1;
    if (left > 0) this.#running.set(node, left);
    else this.#running.delete(node);
    if (this.#grants === null || this.#room.has(node) || !this.#hasRoom(node)) return false;
    this.#room.add(node);
    return true;
  }

  /** How many attempts more may run on the node. */
  roomOn(node: string): number {
    return this.#grants === null
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#granted(node) - this.#runs(node));
  }

  /** How many attempts run on the node beyond what is granted there now. */
  excessOn(node: string): number {
    return this.#grants === null ? 0 : Math.max(0, this.#runs(node) - this.#granted(node));
  }

  has(node: string): boolean {
    return this.#grants === null || this.#room.has(node);
  }

  #hasRoom(node: string): boolean {
    return this.#runs(node) < this.#granted(node);
  }

  #granted(node: string): number {
    return this.#grants !== null && Object.hasOwn(this.#grants, node) ? this.#grants[node]! : 0;
  }

  #runs(node: string): number {
    return this.#running.get(node) ?? 0;
  }
}
