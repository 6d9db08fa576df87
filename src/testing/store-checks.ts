import { type Checks, StoreBench, type StoreSubject } from "./store-bench.ts";
import { outputChecks } from "./store-outputs.ts";
import { faultChecks, readChecks } from "./store-reads.ts";

/** Something that a storage has to do, for whichever test runner. */
export interface StoreCheck {
  /** A sentence. */
  readonly title: string;
  /**
   * Tries it; one check after the other, in their order.
   * @returns why it was left out: the storage cannot do that, or has no server; null: it has passed
   * @throws AssertionError; what the store has thrown
   */
  run(): Promise<string | null>;
}

export interface StoreChecks {
  readonly checks: readonly StoreCheck[];
  /** When all are over: closes the subject. Files that were written stay, in the directory of the checks. */
  close(): Promise<void>;
}

/**
 * The checks that every storage has to pass: what is listed, by directories, patterns and unusual names;
 * reads of ranges, of a version that changes or goes; outputs, their commit, and what is given up; and the
 * same through a proxy that cuts connections, answers 500 and 503, and ends bodies too early. What a storage
 * cannot do (list, write) it leaves out of its Store.
 * @param start starts its server, or takes one that runs; called once, by the first check
 */
export function storeChecks(start: () => Promise<StoreSubject> | StoreSubject): StoreChecks {
  return checksOf(start, { ...readChecks, ...faultChecks, ...outputChecks });
}

/** Those of a table. */
export function checksOf(start: () => Promise<StoreSubject> | StoreSubject, checks: Checks): StoreChecks {
  let bench: Promise<StoreBench> | null = null;
  const opened = (): Promise<StoreBench> =>
    (bench ??= Promise.resolve(start()).then((subject) => new StoreBench(subject)));
  return {
    checks: Object.entries(checks).map(([title, check]) => ({
      title,
      async run() {
        const on = await opened();
        try {
          return (await check(on)) ?? null;
        } finally {
          await on.over();
        }
      },
    })),
    close: async () => {
      if (bench !== null) await (await bench).close();
    },
  };
}
