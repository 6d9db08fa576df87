import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { ValueDecoder, ValueEncoder } from "../codec/value-codec.ts";
import { copyKey } from "../job/descending.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";

/** Where the pairs of one collection go: a collector, or the output of a map-only collection. */
export interface EmitTarget {
  emit(key: Key, value: unknown): void;
  /** Throws what emit would throw, and takes nothing. */
  check(key: Key, value: unknown): void;
}

type EmitFunction = (key: Key, value?: unknown) => void;

/**
 * The `emit` that map gets: a function, or an object of functions for a job with collections. `held` is its
 * twin that checks pairs at once but keeps them until the record is known to be good.
 */
export class MapEmitter {
  readonly emit: unknown;
  readonly held: unknown;
  #open = true;
  #holds = false;
  #waiting: (() => void)[] = [];
  readonly #encoder = new ValueEncoder();
  readonly #decoder = new ValueDecoder();

  constructor(plans: readonly CollectionPlan[], named: boolean, targets: readonly EmitTarget[]) {
    const direct = targets.map((target) => this.#direct(target));
    const held = targets.map((target) => this.#holding(target));
    this.emit = named ? emitObject(plans, direct) : direct[0];
    this.held = named ? emitObject(plans, held) : held[0];
  }

  /** From now on until release() or drop() what is emitted through `held` is the record's. */
  hold(): void {
    this.#holds = true;
  }

  /** Emits what was held. */
  release(): void {
    this.#holds = false;
    for (const emit of this.#waiting) emit();
    this.#waiting = [];
  }

  /** Forgets what was held. */
  drop(): void {
    this.#holds = false;
    this.#waiting = [];
  }

  /**
   * A copy, exact to its types; what the codec does not take is left to the writers of map-only collections.
   */
  #kept(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    try {
      this.#encoder.encode(value);
    } catch {
      return value;
    }
    return this.#decoder.decodeAt(
      Buffer.from(this.#encoder.bytes.subarray(0, this.#encoder.length)),
      0,
      this.#encoder.length,
    );
  }

  /** From now on emitting is an error: the task has ended. */
  close(): void {
    this.#open = false;
  }

  #direct(target: EmitTarget): EmitFunction {
    return (key, value) => {
      if (!this.#open) throw late();
      target.emit(key, value);
    };
  }

  #holding(target: EmitTarget): EmitFunction {
    return (key, value) => {
      if (!this.#open) throw late();
      // Emitted between two records, by something that was not waited for: neither may take it along.
      if (!this.#holds) return target.emit(key, value);
      target.check(key, value);
      // Encoded only later, so they must not change under our hands.
      const keptKey = copyKey(key);
      const keptValue = this.#kept(value);
      this.#waiting.push(() => target.emit(keptKey, keptValue));
    };
  }
}

function late(): SheafError {
  return new SheafError("EMIT_LATE", "emit was called after the task had ended", {
    hint: "Something started in map was not awaited. Make map async and await it, or return its promise.",
  });
}

/** emit.byCity(...): a misspelt name says so, and which one was meant. */
function emitObject(plans: readonly CollectionPlan[], functions: readonly EmitFunction[]): object {
  const target: Record<string, EmitFunction> = Object.create(null) as Record<string, EmitFunction>;
  for (const [i, plan] of plans.entries()) target[plan.name] = functions[i]!;
  return Object.setPrototypeOf(
    target,
    new Proxy(Object.create(null) as object, {
      get(_, name) {
        if (typeof name === "symbol" || name === "then") return undefined;
        const names = plans.map((plan) => plan.name);
        const near = suggest(name, names);
        throw new SheafError("USER_CODE", `emit.${name}: the job has no collection "${name}"`, {
          hint: near === undefined ? `It has ${names.join(", ")}.` : `Did you mean emit.${near}?`,
        });
      },
    }),
  ) as object;
}
