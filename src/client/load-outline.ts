import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import type { SheafError } from "../base/errors.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { planAux } from "../engine/aux-files.ts";
import { formatFailure, mapFailure } from "../engine/error-report.ts";
import { bundleForRun, hiddenPipeline } from "../engine/job-bundle.ts";
import type { RunBundle, StepRun } from "../engine/job-bundle.ts";
import { openState } from "../engine/job-directory.ts";
import type { ClusterRunOptions } from "../engine/options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { RunFailure } from "../engine/run-result.ts";
import { variablesMissed } from "../engine/surroundings.ts";
import { storesOf } from "../engine/user-stores.ts";
import type { ClusterView } from "../protocol/job-view.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import type { AuxCopies } from "../task/aux.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { chaosWarning } from "../worker/chaos.ts";
import type { JobOutline } from "../worker/messages.ts";
import { WorkerPool } from "../worker/pool.ts";
import { startWorkerThread } from "../worker/worker-thread.ts";
import type { ApiClient } from "./api-client.ts";
import type { EventRelay } from "./watch-job.ts";

/** For how long the first request is retried: a coordinator that is just starting is waited for. */
const firstTryMs = 2_000;

/** A job file as a cluster gets it. */
export interface LoadedJob extends RunBundle {
  readonly outline: JobOutline;
  /** The files of its side data, here. */
  readonly aux: AuxCopies;
}

/** Asks the coordinator for its limits and, at the same time, bundles and loads the job. */
export async function loadForCluster(
  api: ApiClient,
  file: string,
  { step }: ClusterRunOptions,
  resolved: ResolvedOptions,
  relay: EventRelay,
): Promise<{ readonly cluster: ClusterView; readonly loaded: LoadedJob }> {
  const asked = api.cluster({ retryMs: firstTryMs });
  const log = (stream: "log" | "stdout" | "stderr", text: string): void =>
    relay.emit({ kind: "log", task: "", attempt: 0, stream, text });
  const loading = loadOutline(file, resolved, log, step);
  // Whichever fails first is told; what the other made is removed.
  loading.catch(() => undefined);
  let cluster: ClusterView;
  try {
    cluster = await asked;
  } catch (error) {
    await loading.then(
      (loaded) => loaded.dispose(),
      () => undefined,
    );
    throw error;
  }
  const loaded = await loading;
  if (loaded.outline.steps !== undefined) throw hiddenPipeline(file);
  for (const message of loaded.bundle.warnings) relay.emit({ kind: "warning", message });
  const missed = variablesMissed(readFileSync(loaded.bundle.portablePath, "utf8"), "a cluster");
  if (missed !== null) relay.emit({ kind: "warning", message: missed });
  if (resolved.chaos !== null) relay.emit({ kind: "warning", message: chaosWarning(resolved.chaos) });
  return { cluster, loaded };
}

/**
 * Bundles a job file and has a worker of this machine tell what job it is: the coordinator never loads the
 * code.
 * @param log what the job file printed while it was loaded
 * @throws SheafError JOB_LOAD, JOB_INVALID ... ; a RunFailure with its report when the file itself threw, or
 * its side data is wrong
 */
export async function loadOutline(
  file: string,
  resolved: ResolvedOptions,
  log: (stream: "log" | "stdout" | "stderr", text: string) => void,
  step?: StepRun,
): Promise<LoadedJob> {
  const pool = new WorkerPool({
    startWorker: startWorkerThread,
    isolation: "thread",
    heapBytes: resolved.heapBytes,
    noProgressMs: resolved.noProgressMs,
    clock: systemClock,
    listener: {
      attemptEnded: () => undefined,
      log: (_id, stream, text) => log(stream, text),
      stray: () => undefined,
    },
  });
  // The worker starts while the job is bundled.
  pool.prewarm(0);
  try {
    const state = openState(resolved.stateDirectory, (message) => log("stderr", `warning: ${message}`));
    const { bundle, dispose } = await bundleForRun(file, state, resolved.external, step);
    let directory: Promise<string> | null = null;
    const fetched = (): Promise<string> => (directory ??= makeTempDirectory(tmpdir()));
    const disposeAll = async (): Promise<void> => {
      if (directory !== null) await removeDirectory(await directory);
      await dispose();
    };
    try {
      const answer = await pool.load(pathToFileURL(bundle.path).href, resolved.attempts);
      if ("failure" in answer) throw await loadFailure(answer.failure, bundle);
      const { outline } = answer;
      await storesOf(outline, file, state);
      const place = { bytesMax: resolved.auxBytes, share: false, directory: fetched };
      const { copies } = await planAux(outline.aux, file, place);
      // Read here as tasks will read it there: whatever is wrong with it is known before there are any.
      const wrong = outline.aux.length === 0 ? null : await pool.aux(copies, resolved.auxBytes);
      if (wrong !== null) throw await loadFailure(wrong, bundle);
      return { outline, aux: copies, bundle, dispose: disposeAll };
    } catch (error) {
      await disposeAll();
      throw error;
    }
  } finally {
    await pool.close();
  }
}

async function loadFailure(failure: TaskFailure, bundle: BundledJob): Promise<SheafError> {
  const mapped = await mapFailure(failure, bundle.path);
  const report = formatFailure(failure, { task: "", attempt: 0, mapped, replay: null });
  return new RunFailure(failure.code, failure.message, {
    ...(failure.hint === null ? {} : { hint: failure.hint }),
    failed: { task: "", attempt: 0, failure, capsule: null },
    report,
  });
}
