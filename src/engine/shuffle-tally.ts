import type { HotKey, TaskSuccess } from "../task/task-spec.ts";

/** How unevenly a collection's shuffle bytes lie over its partitions. */
export interface Skew {
  readonly collection: string;
  readonly partitions: number;
  readonly largestPartition: number;
  readonly largestBytes: number;
  /** largestBytes divided by the mean; 1 is perfectly even. */
  readonly ratio: number;
}

/** A key with many pairs, as they were shuffled: after combining. */
export interface HotKeyShare extends HotKey {
  /** Of its collection. */
  readonly name: string;
  /** Its pairs as a share of those of the collection, 0 to 1. */
  readonly share: number;
}

const hotKeysMax = 10;
/** Kept while maps finish; more than are shown, since a key may be hot in the sum only. */
const hotKeysKept = 1_000;
/** A key is hot when it has this share of the pairs of its collection, and so many that it matters ... */
const hotShareMin = 0.1;
const hotValuesMin = 10_000;
/** ... unless there are few keys at all, which have nearly all pairs: then only when it has half of them. */
const fewKeysShareMin = 0.9;
const halfShare = 0.5;
const hotOnesMax = 3;

/** What a map adds, as a row of table `added` keeps it until the sums are written. */
export interface Addition extends Pick<TaskSuccess, "partitionBytes" | "hotKeys"> {
  readonly pairs?: TaskSuccess["pairs"] | undefined;
}

/** What it has summed up, as plain data. */
export interface KeptSums {
  /** By collection and partition. */
  readonly bytes: readonly (readonly number[])[];
  /** By collection; not in sums of sheaf 0.1.0. */
  readonly pairs?: readonly number[];
  readonly hot: readonly HotKey[];
}

/**
 * How the shuffle's bytes lie over partitions, and which keys have most of its pairs: summed up as maps
 * finish, because to keep what each map says would take memory for maps times partitions.
 */
export class ShuffleTally {
  readonly #bytes: readonly Float64Array[];
  readonly #pairs: Float64Array;
  #hot = new Map<string, HotKey>();

  /** `partitions` by collection. */
  constructor(partitions: readonly number[], kept: KeptSums | null = null) {
    this.#bytes = partitions.map((count, index) => {
      const bytes = new Float64Array(count);
      bytes.set(kept?.bytes[index]?.slice(0, count) ?? []);
      return bytes;
    });
    this.#pairs = Float64Array.from(partitions, (_, index) => kept?.pairs?.[index] ?? 0);
    for (const hot of kept?.hot ?? []) this.#hot.set(`${hot.collection}\0${hot.key}`, hot);
  }

  /** As a row of table `sums`. */
  get kept(): KeptSums {
    const hot = this.#sorted().slice(0, hotKeysKept);
    return {
      bytes: this.#bytes.map((bytes) => [...bytes]),
      pairs: [...this.#pairs],
      hot: hot.map(([, one]) => one),
    };
  }

  /** Of a map that finished for the first time. */
  add({ partitionBytes, pairs, hotKeys }: Addition): void {
    for (const [collection, bytes] of this.#bytes.entries()) {
      const some = partitionBytes[collection] ?? [];
      for (let at = 0; at < Math.min(some.length, bytes.length); at++) bytes[at]! += some[at]!;
      this.#pairs[collection]! += pairs?.[collection] ?? 0;
    }
    for (const hot of hotKeys) {
      const id = `${hot.collection}\0${hot.key}`;
      this.#hot.set(id, { ...hot, values: (this.#hot.get(id)?.values ?? 0) + hot.values });
    }
    if (this.#hot.size > 2 * hotKeysKept) this.#hot = new Map(this.#sorted().slice(0, hotKeysKept));
  }

  /** The keys with most pairs, whether or not these are many. */
  hotKeys(collections: readonly string[]): HotKeyShare[] {
    return this.#sorted()
      .slice(0, hotKeysMax)
      .map(([, hot]) => ({
        ...hot,
        name: collections[hot.collection] ?? "",
        share: hot.values / Math.max(hot.values, this.#pairs[hot.collection] ?? 0),
      }));
  }

  /** Of every collection with a shuffle over more than one partition. */
  skew(collections: readonly string[]): Skew[] {
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

  /** What to warn of when all maps are done. */
  warnings(collections: readonly string[]): string[] {
    return hotOnes(this.hotKeys(collections)).map(hotKeyText);
  }

  #sorted(): [string, HotKey][] {
    return [...this.#hot].sort(([, a], [, b]) => b.values - a.values || (a.key < b.key ? -1 : 1));
  }
}

/** Those that are worth a word, of the keys with most pairs. */
export function hotOnes<H extends { collection: unknown; values: number; share: number }>(
  keys: readonly H[],
): H[] {
  const isHot = ({ collection, values, share }: H): boolean => {
    if (values < hotValuesMin || share < hotShareMin) return false;
    const beside = keys.filter((one) => one.collection === collection);
    return share >= halfShare || beside.reduce((sum, one) => sum + one.share, 0) < fewKeysShareMin;
  };
  return keys.filter(isHot).slice(0, hotOnesMax);
}

/** One line: what key, how much, and what to do. */
export function hotKeyText({ name, key, values, share }: Omit<HotKeyShare, "collection">): string {
  const where = name === "" ? "" : ` of collection ${name}`;
  const much = `${Math.round(share * 100)}% of the pairs${where} (${values})`;
  return `hot key: ${key} has ${much}, which all go to one reduce task. ${hotKeyRemedy}`;
}

export const hotKeyRemedy =
  "An aggregator or combine() leaves few of them; or spread the key, [key, n], and join its parts after.";
