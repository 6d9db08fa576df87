/** What the job itself made of the sample, by estimate: on the object it would be a part of the result. */
const sampled = new WeakMap<object, unknown>();

/** An estimate that knows what the job itself has made of the sample. */
export function withSampled(estimate: Record<string, unknown>, result: unknown): Record<string, unknown> {
  sampled.set(estimate, result);
  return estimate;
}

/** What the job made of the sample, where this is an estimate; else the result itself. */
export function sampledResult(result: unknown): unknown {
  const isKnown = typeof result === "object" && result !== null && sampled.has(result);
  return isKnown ? sampled.get(result) : result;
}

/** One value of the results of a collection with `--estimate`. Plain data. */
export interface EstimateColumn {
  /** Where it stands in the result, nested names with dots: "win.stake"; "" where it is the whole result. */
  readonly column: string;
  /** Why it is what the sample gave; null: it is scaled to all records, with the interval beside it. */
  readonly note: string | null;
}

/** A value of the results of a run with estimates. */
export interface EstimatedColumn extends EstimateColumn {
  /** "" for a job without collections. */
  readonly collection: string;
}
