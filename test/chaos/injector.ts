import { setTimeout as pause } from "node:timers/promises";
import { faultKinds, pick } from "./fault-kinds.js";
import type { FaultWorld, Injected } from "./fault-kinds.js";

/** Faults come for so long in one job; then it is left in peace, so that it can end. */
const stormMs = 20_000;

/** Injects one random fault every one to three seconds, as the seed says, and undoes each after its time. */
export class Injector {
  readonly counts = new Map<string, number>(faultKinds.map(({ name }) => [name, 0]));
  readonly #world: FaultWorld;
  readonly #tell: (line: string) => void;
  readonly #healing = new Set<Promise<void>>();
  #calm = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(world: FaultWorld, tell: (line: string) => void) {
    this.#world = world;
    this.#tell = tell;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  begin(): void {
    this.#calm = new AbortController();
    this.#running = this.#inject(this.#calm.signal);
  }

  /** No more faults; resolves when all that were injected are undone, those that last at once. */
  async calm(): Promise<void> {
    this.#calm.abort();
    await this.#running;
    while (this.#healing.size > 0) await Promise.all(this.#healing);
    this.#world.wires.openAll();
  }

  async #inject(signal: AbortSignal): Promise<void> {
    const { random } = this.#world;
    let leftMs = stormMs;
    for (;;) {
      const pauseMs = 1_000 + random.below(2_000);
      leftMs -= pauseMs;
      if (leftMs < 0 || !(await passes(pauseMs, signal))) return;
      const kind = pick(random, faultKinds)!;
      const injected = await kind.inject(this.#world);
      if (injected === null) continue;
      this.counts.set(kind.name, this.counts.get(kind.name)! + 1);
      this.#tell(`${kind.name}: ${injected.what}`);
      const healing = this.#heal(injected, signal);
      this.#healing.add(healing);
      void healing.finally(() => this.#healing.delete(healing)).catch(() => undefined);
    }
  }

  async #heal({ healAfterMs, heal }: Injected, signal: AbortSignal): Promise<void> {
    await passes(healAfterMs, signal);
    await heal();
  }
}

/** Resolves with true when the time has passed, with false when the signal came first. */
async function passes(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await pause(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
