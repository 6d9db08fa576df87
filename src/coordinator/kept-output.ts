import type { EmptyFiles } from "../task/empty-files.ts";
import type { KeptStats, OutputPart, TaskStats, TaskSuccess } from "../task/task-spec.ts";

/** What is kept of a success for as long as the job runs: a job may have a million of them. */
export interface KeptOutput {
  readonly stats: TaskStats;
  readonly parts: readonly OutputPart[];
  readonly badPath: string | null;
  /** Of a map's output; null when nothing was emitted. */
  readonly bytes: number | null;
  /** Of samples: encoded keys by collection. */
  readonly keys: readonly (readonly string[])[];
  readonly emptyFiles?: EmptyFiles;
  /** Records that a source has made. */
  readonly made?: number;
  /** Of a map of an incremental run: as TaskSuccess has it, and as it is sent. */
  readonly adopted?: KeptStats;
  readonly unit?: string;
}

const nothing: readonly never[] = [];

export function keptOutput(
  success: TaskSuccess & Pick<KeptOutput, "unit">,
  bytes: number | null,
): KeptOutput {
  const { stats, parts, badPath, keys, emptyFiles, made, adopted, unit } = success;
  const sampled = keys.some((some) => some.length > 0);
  return {
    stats,
    parts: parts.length === 0 ? nothing : parts,
    badPath,
    bytes,
    keys: sampled ? keys : nothing,
    ...(emptyFiles !== undefined && { emptyFiles }),
    ...(made !== undefined && { made }),
    ...(adopted !== undefined && { adopted }),
    ...(unit !== undefined && { unit }),
  };
}

/** As the commit needs it; what was not kept is left empty. */
export function successOf({ stats, parts, badPath, keys }: KeptOutput): TaskSuccess {
  return {
    kind: "success",
    stats,
    parts,
    badPath,
    keys,
    counters: {},
    output: null,
    partitionBytes: nothing,
    pairs: nothing,
    hotKeys: nothing,
  };
}
