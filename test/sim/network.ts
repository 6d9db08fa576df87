import type { Random } from "#src/base/random.js";
import type { EventQueue } from "./event-queue.js";
import type { FaultLog } from "./fault-log.js";
import { chance, type FaultRates } from "./world-plan.js";

/** Brings messages after a while: perhaps late, twice, in another order, or not at all. */
export class Network {
  /** Off: every message comes once and soon. */
  faulty = true;
  readonly #queue: EventQueue;
  readonly #random: Random;
  readonly #rates: FaultRates;
  readonly #log: FaultLog;

  constructor(queue: EventQueue, random: Random, rates: FaultRates, log: FaultLog) {
    this.#queue = queue;
    this.#random = random;
    this.#rates = rates;
    this.#log = log;
  }

  /** `isCut` is asked when it is sent: then the message is lost. */
  send(deliver: () => void, isCut: () => boolean = () => false): void {
    const rates = this.#rates;
    if (isCut()) return;
    if (this.faulty && chance(this.#random, rates.lose)) {
      this.#log.count("message lost");
      return;
    }
    this.#queue.after(this.#delay(), deliver);
    if (this.faulty && chance(this.#random, rates.double)) {
      this.#log.count("message doubled");
      this.#queue.after(this.#delay(), deliver);
    }
  }

  #delay(): number {
    const usual = 1 + this.#random.next() * 10;
    if (!this.faulty || !chance(this.#random, this.#rates.delay)) return usual;
    this.#log.count("message delayed");
    return usual + this.#random.next() * this.#rates.delayMs;
  }
}
