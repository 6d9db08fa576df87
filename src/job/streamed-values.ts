import { SheafError } from "../base/errors.ts";

/**
 * The values of one key as reduce and combine get them: a stream that can be begun once. Beginning it again
 * is an error, also after a loop that was left early, since the values before are gone; an iterator that was
 * taken from it (`values[Symbol.iterator]()`) goes on where a loop over it ended. Returned as they are, they
 * are the results.
 */
export class StreamedValues<V> implements IterableIterator<V> {
  readonly #iterator: IterableIterator<V>;
  readonly #whose: "reduce" | "combine";
  #begun = false;

  /** `next` gives the values one after the other; it may throw when it is called after its time. */
  constructor(whose: "reduce" | "combine", next: () => IteratorResult<V, undefined>) {
    this.#whose = whose;
    this.#iterator = {
      next,
      [Symbol.iterator]() {
        return this;
      },
    };
  }

  next(): IteratorResult<V> {
    this.#begun = true;
    return this.#iterator.next();
  }

  [Symbol.iterator](): IterableIterator<V> {
    if (this.#begun) {
      const message = `${this.#whose} iterates its values a second time, but they are a stream that comes once`;
      throw new SheafError("USER_CODE", message, {
        hint: "Copy them first, where they fit in memory: const all = [...values]. Else use an aggregator, such as stats().",
      });
    }
    this.#begun = true;
    return this.#iterator;
  }
}

/** The error for values that are read when their reduce or combine has ended. */
export function valuesOver(whose: "reduce" | "combine"): SheafError {
  return new SheafError("USER_CODE", `the values of a key were read after its ${whose} had ended`, {
    hint: "Read them before it returns (await what reads them), or return a copy: [...values].",
  });
}
