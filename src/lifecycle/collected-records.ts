import { SheafError } from "../base/errors.ts";
import type { Key } from "../job/key.ts";

/** Results that were kept for `records()`. */
export interface KeptRecords {
  /** In (partition, roll) order; null: not kept, or disposed of. */
  readonly collected: readonly { readonly collection: string; readonly path: string }[] | null;
  /** Names of all collections. */
  readonly collections: readonly string[];
}

/**
 * RunResult.records().
 * @throws SheafError USAGE when they were not kept, or it is not clear of which collection
 */
export async function* readRecords(
  { collected, collections }: KeptRecords,
  collection: string | undefined,
): AsyncGenerator<[Key, unknown]> {
  if (collected === null) {
    throw new SheafError("USAGE", "result.records(): the results were not kept, or have been disposed of", {
      hint: "Run with { collect: true }, and read them before dispose().",
    });
  }
  const name = collection ?? collections[0] ?? "";
  if (!collections.includes(name) || (collection === undefined && collections.length > 1)) {
    throw new SheafError("USAGE", `result.records(${collection ?? ""}): which collection?`, {
      hint: `The job has: ${collections.join(", ")}.`,
    });
  }
  const { readCollected } = await import("../task/collected.ts");
  for (const one of collected) if (one.collection === name) yield* readCollected(one.path);
}
