/** Requests begun in a turn of the event loop in which a connection was taken in. */
const besideConnecting = 2;

/**
 * Lets requests begin in the order in which they came. A turn of the event loop takes in one connection only,
 * and others may wait behind it: as long as some come, only a few requests begin in each turn. Else hundreds
 * of agents that come back at once would wait for each other's requests before they are connected.
 */
export class Turns {
  #waiting: (() => void)[] = [];
  #left = Number.POSITIVE_INFINITY;
  #isSet = false;

  /** A connection was taken in. */
  connected(): void {
    this.#left = Math.min(this.#left, besideConnecting);
    this.#nextTurn();
  }

  /** Calls `begin`, now or in a later turn. */
  take(begin: () => void): void {
    if (this.#waiting.length > 0 || this.#left === 0) this.#waiting.push(begin);
    else {
      this.#left--;
      begin();
    }
  }

  /** Behind what the turn has brought: when that was no connection, all that wait begin. */
  #nextTurn(): void {
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(() => {
      this.#isSet = false;
      const wasConnecting = this.#left !== Number.POSITIVE_INFINITY;
      this.#left = Number.POSITIVE_INFINITY;
      const due = wasConnecting ? this.#waiting.splice(0, besideConnecting) : this.#waiting;
      if (!wasConnecting) this.#waiting = [];
      if (wasConnecting) this.#nextTurn();
      for (const begin of due) begin();
    });
  }
}
