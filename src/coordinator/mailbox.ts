import type { Errand, Order } from "../protocol/agent-messages.ts";

interface Waiter {
  readonly deadlineMs: number;
  readonly heard: ReadonlySet<string>;
  resolve(orders: readonly Order[]): void;
}

/**
 * What one life of an agent is still to be told. A long poll empties it; errands stay until they are done.
 */
export class Mailbox {
  #orders: Order[] = [];
  readonly #errands = new Map<string, Errand>();
  #waiter: Waiter | null = null;
  #delivering = false;

  /** Orders may be lost on their way: heartbeats bring again what matters. */
  post(order: Order): void {
    const isNews = order.kind === "outputs";
    // Of several news of one job the latest says all.
    if (isNews) this.#orders = this.#orders.filter((one) => one.kind !== "outputs" || one.job !== order.job);
    this.#orders.push(order);
    this.#deliverSoon();
  }

  give(errand: Errand): void {
    this.#errands.set(errand.id, errand);
    this.#deliverSoon();
  }

  take(errand: string): void {
    this.#errands.delete(errand);
  }

  /** Resolves with what there is, or with nothing at the deadline. A second question answers the first. */
  wait(heard: readonly string[], deadlineMs: number, signal: AbortSignal): Promise<readonly Order[]> {
    this.#answer([]);
    return new Promise((resolve) => {
      const abort = (): void => {
        if (this.#waiter === waiter) this.#waiter = null;
        resolve([]);
      };
      const waiter: Waiter = {
        deadlineMs,
        heard: new Set(heard),
        resolve: (orders) => {
          signal.removeEventListener("abort", abort);
          resolve(orders);
        },
      };
      if (signal.aborted) return resolve([]);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiter = waiter;
      this.#deliver();
    });
  }

  tick(nowMs: number): void {
    if (this.#waiter !== null && nowMs >= this.#waiter.deadlineMs) this.#answer([]);
  }

  /** Nothing of it concerns anybody any more. */
  close(): void {
    this.#orders = [];
    this.#errands.clear();
    this.#answer([]);
  }

  /** What is posted at one time goes together. */
  #deliverSoon(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    queueMicrotask(() => {
      this.#delivering = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    const fresh = [...this.#errands.values()].filter(({ id }) => !waiter.heard.has(id));
    if (this.#orders.length === 0 && fresh.length === 0) return;
    const orders = [...this.#orders, ...fresh.map((errand): Order => ({ kind: "errand", errand }))];
    this.#orders = [];
    this.#answer(orders);
  }

  #answer(orders: readonly Order[]): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter?.resolve(orders);
  }
}
