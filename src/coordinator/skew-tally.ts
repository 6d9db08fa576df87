import type { HotKey, TaskSuccess } from "../task/task-spec.ts";
import type { JobView } from "../protocol/job-view.ts";

const hotKeysMax = 10;
/** Kept while maps finish; more than are shown, since a key may be hot in the sum only. */
const hotKeysKept = 1_000;

/** What a map adds, as a row of table `added` keeps it until the sums are written. */
export type Addition = Pick<TaskSuccess, "partitionBytes" | "hotKeys">;

/** What it has summed up, as plain data. */
export interface KeptSums {
  /** By collection and partition. */
  readonly bytes: readonly (readonly number[])[];
  readonly hot: readonly HotKey[];
}

/**
 * How the shuffle's bytes lie over partitions, and which keys come up most: summed up as maps finish, because
 * to keep what each map says would take memory for maps times partitions.
 */
export class SkewTally {
  readonly #bytes: readonly Float64Array[];
  #hot = new Map<string, HotKey>();

  constructor(partitions: readonly number[], kept: KeptSums | null = null) {
    this.#bytes = partitions.map((count, index) => {
      const bytes = new Float64Array(count);
      bytes.set(kept?.bytes[index]?.slice(0, count) ?? []);
      return bytes;
    });
    for (const hot of kept?.hot ?? []) this.#hot.set(`${hot.collection}\0${hot.key}`, hot);
  }

  /** As a row of table `sums`. */
  get kept(): KeptSums {
    const hot = this.#sorted().slice(0, hotKeysKept);
    return { bytes: this.#bytes.map((bytes) => [...bytes]), hot: hot.map(([, one]) => one) };
  }

  /** Of a map that finished for the first time. */
  add({ partitionBytes, hotKeys }: Addition): void {
    for (const [collection, bytes] of this.#bytes.entries()) {
      const some = partitionBytes[collection] ?? [];
      for (let at = 0; at < Math.min(some.length, bytes.length); at++) bytes[at]! += some[at]!;
    }
    for (const hot of hotKeys) {
      const id = `${hot.collection}\0${hot.key}`;
      this.#hot.set(id, { ...hot, values: (this.#hot.get(id)?.values ?? 0) + hot.values });
    }
    if (this.#hot.size > 2 * hotKeysKept) this.#hot = new Map(this.#sorted().slice(0, hotKeysKept));
  }

  hotKeys(collections: readonly string[]): JobView["hotKeys"] {
    return this.#sorted()
      .slice(0, hotKeysMax)
      .map(([, { collection, key, values }]) => ({ collection: collections[collection] ?? "", key, values }));
  }

  /** Of every collection with a shuffle over more than one partition. */
  skew(collections: readonly string[]): JobView["skew"] {
    return collections.flatMap((collection, index) => {
      const bytes = this.#bytes[index] ?? new Float64Array();
      let total = 0;
      let largest = 0;
      for (const [partition, some] of bytes.entries()) {
        total += some;
        if (some > bytes[largest]!) largest = partition;
      }
      if (bytes.length < 2 || total === 0) return [];
      const largestBytes = bytes[largest]!;
      const ratio = largestBytes / (total / bytes.length);
      return [{ collection, partitions: bytes.length, largestPartition: largest, largestBytes, ratio }];
    });
  }

  #sorted(): [string, HotKey][] {
    return [...this.#hot].sort(([, a], [, b]) => b.values - a.values || (a.key < b.key ? -1 : 1));
  }
}
