import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import type { HostedRunOptions, LocalRunOptions } from "../engine/options.ts";
import { resolveOptions } from "../engine/resolve-options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Job } from "../job/job-plan.ts";
import { warmWorker } from "../worker/warm-worker.ts";
import type { Isolation, StartWorker } from "../worker/worker.ts";
import type { JobSource, RunKind } from "./run-kind.ts";

/**
 * Runs a job on this machine and resolves when its output is committed.
 *
 * `job` is the path or file URL of a job file (its default export is the job): that is the way to all cores,
 * since
 * workers load the file too. A Job object runs on this thread, unless `options.file` names the file it comes
 * from.
 * @throws RunFailure (a SheafError) with the first real cause when the job fails or is cancelled; nothing is
 * then left
 * behind but its job directory.
 */
export async function runHere(job: Job | string | URL, options: LocalRunOptions = {}): Promise<RunResult> {
  const result = await runJob(job, options);
  result.throwIfFailed();
  return result;
}

/**
 * As run(), but a failed or cancelled job is a result (`status`, `error`) too.
 * @param kind `only` maps these records of the inputs and no others; see JobSettings
 * @throws SheafError USAGE for options that make no sense; everything else is in the result.
 */
export async function runJob(
  job: Job | string | URL,
  options: LocalRunOptions | HostedRunOptions = {},
  kind: RunKind = {},
): Promise<RunResult> {
  const { source, resolved, startWorker } = await startOf(job, options);
  const [{ LocalRun }, { finishRun }] = await Promise.all([
    import("./local-run.ts"),
    import("./run-result.ts"),
  ]);
  const run = new LocalRun(source, options, resolved, startWorker, kind);
  return finishRun(run, await run.run());
}

/** What a run on this machine begins with. @throws SheafError USAGE as runJob */
export async function startOf(
  job: Job | string | URL,
  options: LocalRunOptions | HostedRunOptions,
): Promise<{
  readonly source: JobSource;
  readonly resolved: ResolvedOptions;
  readonly startWorker: StartWorker;
}> {
  const source = sourceOf(job, options);
  const isolation = source.kind === "object" ? "inline" : isolationOf(options);
  const resolved = resolveOptions(options, isolation);
  const starter = await starterOf(isolation, source);
  // The first worker takes as long to start as the rest of the runner to load: they do it side by side.
  const startWorker = isolation === "inline" ? starter : warmWorker(starter, resolved.heapBytes);
  return { source, resolved, startWorker };
}

async function starterOf(isolation: Isolation, source: JobSource): Promise<StartWorker> {
  switch (isolation) {
    case "thread":
      return (await import("../worker/worker-thread.ts")).startWorkerThread;
    case "process": {
      const { requireProcesses, startWorkerProcess } = await import("../worker/worker-process.ts");
      requireProcesses();
      return startWorkerProcess;
    }
    case "inline": {
      const { startWorkerInline } = await import("../worker/worker-inline.ts");
      return (start) => startWorkerInline(start, source.kind === "object" ? source.job : undefined);
    }
  }
}

function isolationOf(options: LocalRunOptions | HostedRunOptions): Isolation {
  const { on } = options;
  const isolate = isolateOf(options);
  if (on !== "inline") return isolate ?? "thread";
  if (isolate === undefined || isolate === "inline") return "inline";
  throw new SheafError("USAGE", `on: "inline" and isolate: "${isolate}" exclude each other`, {
    hint: "Leave one of them out.",
  });
}

/** On an engine nothing but the loading is done here. */
function isolateOf(options: LocalRunOptions | HostedRunOptions): Isolation | undefined {
  return (options as LocalRunOptions).isolate;
}

function sourceOf(job: Job | string | URL, options: LocalRunOptions | HostedRunOptions): JobSource {
  if (typeof job === "string" || job instanceof URL) return { kind: "file", path: jobFilePath(job) };
  if (typeof job !== "object" || job === null || job.sheaf !== "job") {
    throw new SheafError("USAGE", "run(job): the job is neither a job() nor the path or URL of a job file", {
      hint: 'Give what job({...}) returned, or new URL("./job.ts", import.meta.url).',
    });
  }
  if (options.file !== undefined) return { kind: "file", path: jobFilePath(options.file) };
  const isolate = isolateOf(options);
  if (isolate !== undefined && isolate !== "inline") {
    throw new SheafError(
      "USAGE",
      `isolate: "${isolate}" needs the job's file; a Job object runs on this thread`,
      {
        hint: 'Give the file: run(new URL("./job.ts", import.meta.url)), the job being its default export.',
      },
    );
  }
  return { kind: "object", job };
}

/** Accepts a path, a file: URL, or its text. */
function jobFilePath(job: string | URL): string {
  if (job instanceof URL || job.startsWith("file://")) return fileURLToPath(job);
  return resolve(job);
}
