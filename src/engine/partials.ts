import { SheafError } from "../base/errors.ts";
import type { PartialResult, RunEvent } from "./events.ts";
import type { RunOptions } from "./options.ts";
import type { RunResult } from "./run-result.ts";

/** The partial results of a run for those who iterate over them. */
export class Partials {
  readonly #options: RunOptions;
  readonly #waiting = new Set<() => void>();
  #isWanted: boolean;
  #hasBegun = false;
  #latest: PartialResult | null = null;
  #count = 0;
  #result: Promise<RunResult> | null = null;
  #isOver = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#isWanted = options.live === true;
  }

  /** The options with which the run begins. */
  begin(): RunOptions {
    this.#hasBegun = true;
    if (!this.#isWanted) return this.#options;
    const { onEvent } = this.#options;
    const takeEvent = (event: RunEvent): void => {
      if (event.kind === "partial") this.#take(event);
      onEvent?.(event);
    };
    return { ...this.#options, live: true, onEvent: takeEvent };
  }

  follow(result: Promise<RunResult>): void {
    this.#result = result;
    const end = (): void => {
      this.#isOver = true;
      this.#wake();
    };
    result.then(end, end);
  }

  /** @throws SheafError USAGE when the run has begun without anybody asking for them */
  all(): AsyncIterable<PartialResult> {
    if (this.#hasBegun && !this.#isWanted) {
      throw new SheafError(
        "USAGE",
        "partials(): the run has begun, and nobody had asked for partial results",
        {
          hint: "Call partials() at once after run(), or give the option { live: true }.",
        },
      );
    }
    this.#isWanted = true;
    // What the run throws, the iteration throws: nobody else need wait for it.
    this.#result?.catch(() => undefined);
    return this.#each();
  }

  async *#each(): AsyncGenerator<PartialResult, void, undefined> {
    let told = 0;
    for (;;) {
      if (this.#count > told && this.#latest !== null) {
        told = this.#count;
        yield this.#latest;
      } else if (this.#isOver) {
        await this.#result;
        return;
      } else await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #take({ records, finished, running, elapsedMs, collections }: PartialResult): void {
    this.#latest = { records, finished, running, elapsedMs, collections };
    this.#count++;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
