import { fromWireValue } from "../base/wire-json.ts";
import type { ListedBadRecord } from "../engine/bad-list.ts";
import type { ClusterRunOptions } from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import { type BadJob, type BadMend, type BadRetry, mendOf, retryOf } from "../runner/retry-bad.ts";
import type { ApiClient } from "./api-client.ts";
import { runOnCluster } from "./cluster-run.ts";

/** As planRetry of runner/retry-bad.ts, of a job of a cluster. @throws SheafError as that, and NOT_FOUND */
export async function planRetryThere(
  api: ApiClient,
  job: string,
  bad: readonly ListedBadRecord[],
  whole: readonly string[],
): Promise<BadRetry> {
  const { params, ...known } = await api.badInputs(job);
  return retryOf({ ...known, params: fromWireValue(params) as BadJob["params"] }, bad, whole);
}

/** As planMend. */
export async function planMendThere(api: ApiClient, job: string): Promise<BadMend> {
  const { params, output, partBytes, growing, ...known } = await api.badInputs(job);
  const { badRecords } = await api.job(job);
  const settings = { partBytes, growing, params: fromWireValue(params) as BadJob["params"] };
  const place = output.kind === "shared" ? output.path : null;
  return mendOf({ ...known, output: place, badRecords, settings, maps: null });
}

/** Runs those records alone, on the cluster. */
export function runRetryThere(
  { file, options, only }: BadRetry,
  more: ClusterRunOptions,
): Promise<RunResult> {
  return runOnCluster(file, { ...options, ...more }, { only });
}

/** Runs the maps that have set records aside once more, on the cluster. */
export function runMendThere({ file, options }: BadMend, more: ClusterRunOptions): Promise<RunResult> {
  return runOnCluster(file, { ...options, ...more, shared: true }, { mends: true });
}
