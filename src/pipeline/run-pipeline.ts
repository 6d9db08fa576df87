import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { loadOutline, type LoadedJob } from "../client/load-outline.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import { EventLog } from "../engine/event-log.ts";
import { mayBePipeline } from "../engine/job-bundle.ts";
import { listJobs, type KeptJob } from "../engine/job-history.ts";
import { optionNames } from "../engine/options.ts";
import type { JobRunOptions, RunOptions } from "../engine/options.ts";
import { type ResolvedOptions, resolveOptions } from "../engine/resolve-options.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import { surroundingsOf } from "../engine/surroundings.ts";
import type { Runner } from "../runners/runners.ts";
import { lockFile } from "../storage/file-lock.ts";
import { concluded } from "./conclude.ts";
import { fileOf, noPipeline, type PipelineWishes } from "./detect.ts";
import { DoneSteps } from "./done-steps.ts";
import { journalName, PipelineJournal, readJournal } from "./journal.ts";
import type { PipelineParts } from "./parts.ts";
import { PipelineRun, type StepsEnd } from "./pipeline-run.ts";
import {
  type Asked,
  type Earlier,
  keepBundle,
  keptOptions,
  type Opened,
  openPipelineRun,
  optionsKept,
} from "./places.ts";
import { graphOf, wantedOf } from "./plan.ts";
import { emptyState, pipelineStateOf } from "./state.ts";
import { codeOfSteps } from "./step-code.ts";
import { assignInputs } from "./step-inputs.ts";

/**
 * The runner, for pipelines, too: of a pipeline's file every step is a job that it runs. What is a job's file
 * it runs as ever.
 */
export function withPipelines<O extends JobRunOptions>(
  runner: Runner<O>,
  wishes: PipelineWishes = {},
): Runner<O> {
  const { submit } = runner;
  return {
    async run(job, options) {
      const file = fileOf(job, options);
      const loaded = file === null ? null : await loadPipeline(file, options);
      if (loaded === null) {
        if (options.steps === undefined) return runner.run(job, options);
        throw noPipeline(String(file ?? "the job"));
      }
      try {
        refuseOptions(options);
      } catch (error) {
        await loaded.dispose();
        throw error;
      }
      return runLoaded(loaded, { file: file!, options, runner: runner as Runner<JobRunOptions>, wishes });
    },
    ...(submit && {
      async submit(job, options) {
        const file = fileOf(job, options);
        const loaded = file === null ? null : await loadPipeline(file, options);
        if (loaded === null) return submit.call(runner, job, options);
        await loaded.dispose();
        throw new SheafError(
          "USAGE",
          "a pipeline cannot be detached: this command runs its steps one by one",
          {
            hint: "Let it run. If it is killed, `sheaf resume @` goes on from there.",
          },
        );
      },
    }),
  };
}

/** What is of a job and its one output, and would be of nothing in particular here. */
export function refuseOptions(options: RunOptions): void {
  const names = [...optionNames.queue, "estimate", "live", "made", "materialize", "incremental", "explain"];
  const [name] =
    Object.entries(options).find(([one, value]) => value !== undefined && names.includes(one)) ?? [];
  if (name === undefined) return;
  throw new SheafError("USAGE", `the option "${name}" is for jobs, and this is a pipeline`, {
    hint: "Leave it out. What a pipeline has done before, sheaf resume and --from use again.",
  });
}

/** The file's bundle and steps; null when it is no pipeline's, or cannot be loaded, which a run tells. */
export async function loadPipeline(file: string, options: JobRunOptions): Promise<LoadedJob | null> {
  if (!mayBePipeline(file)) return null;
  let loaded: LoadedJob;
  try {
    loaded = await loadOutline(file, resolvedOf(options), () => undefined);
  } catch {
    return null;
  }
  if (loaded.outline.steps !== undefined) return loaded;
  await loaded.dispose();
  return null;
}

export function resolvedOf(options: JobRunOptions): ResolvedOptions {
  return resolveOptions(options, "thread");
}

/**
 * Goes on from where a pipeline has stopped: steps that were done are not done again, unless their code,
 * inputs or params have changed since.
 * @param handleOptions what is said of this run; all else is as it was
 * @throws SheafError USAGE for a job that is no pipeline, or one that has succeeded; NOT_FOUND, STATE_CORRUPT
 */
export async function resumePipeline(
  job: KeptJob,
  handleOptions: RunOptions,
  runnerOf: (options: RunOptions) => Promise<Runner<JobRunOptions>>,
  wishes: PipelineWishes = {},
): Promise<RunResult> {
  const held = holdEarlier(job);
  try {
    const { begun, ended } = held.earlier.state;
    if (ended === "SUCCEEDED" && handleOptions.steps === undefined) {
      throw new SheafError("USAGE", `${job.record.jobId} has succeeded: there is nothing to go on with`, {
        hint: "sheaf run runs it anew; --from STEP runs a step, and all that need it, once more.",
      });
    }
    const options = { ...optionsKept(begun!), ...handleOptions } as RunOptions;
    const { file } = begun!;
    const runner = await runnerOf(options);
    const loaded = await loadOutline(file, resolvedOf(options), () => undefined);
    if (loaded.outline.steps === undefined) {
      await loaded.dispose();
      throw new SheafError("USAGE", `${file} is no pipeline any more`, { hint: "Run it anew: sheaf run." });
    }
    return await runLoaded(loaded, { file, options, runner, wishes }, held.earlier);
  } finally {
    held.release();
  }
}

/**
 * Takes the lock of an earlier run, then reads what it has done: what is read stays so until release().
 * @throws SheafError STATE_LOCKED while another process runs it; as earlierPipeline
 */
function holdEarlier(job: KeptJob): { readonly earlier: Earlier; readonly release: () => void } {
  const release = lockPipeline(job.directory, job.record.jobId);
  try {
    return { earlier: earlierPipeline(job), release };
  } catch (error) {
    release();
    throw error;
  }
}

function lockPipeline(directory: string, id: string): () => void {
  return lockFile(join(directory, "lock"), `the pipeline ${id}`);
}

/** @throws SheafError USAGE, NOT_FOUND, STATE_CORRUPT */
export function earlierPipeline(job: KeptJob): Earlier {
  const path = join(job.directory, journalName);
  const { entries, bytes } = readJournal(path);
  const state = pipelineStateOf(entries);
  if (state.begun === null || state.begun.version !== 1) {
    throw new SheafError("STATE_CORRUPT", `${path}: the journal has no beginning that this version knows`, {
      hint: "Run the pipeline anew with sheaf run.",
    });
  }
  return { job, state, journalBytes: bytes };
}

/** The latest run of the file that can be gone on from; undefined when there is none. */
async function latestOf(file: string, stateDirectory: string | null): Promise<KeptJob | undefined> {
  if (stateDirectory === null) return undefined;
  // A run that ended before it began to do anything has left no journal.
  return (await listJobs(stateDirectory)).find(
    ({ directory, record }) =>
      record.file === file && record.steps !== undefined && existsSync(join(directory, journalName)),
  );
}

async function runLoaded(loaded: LoadedJob, asked: Asked, given?: Earlier): Promise<RunResult> {
  const { file, options, wishes } = asked;
  const events = new EventLog(systemClock, options.onEvent);
  const warn = (message: string): void => events.emit({ kind: "warning", message });
  for (const message of loaded.bundle.warnings) warn(message);
  const release: (() => void)[] = [];
  let opened: Opened | null = null;
  try {
    const resolved = resolvedOf(options);
    const steps = loaded.outline.steps!;
    const wanted = wantedOf(steps, options.steps);
    const again = options.steps?.from ?? options.steps?.only;
    let earlier = given;
    const latest =
      given === undefined && again !== undefined ? await latestOf(file, resolved.stateDirectory) : undefined;
    if (latest !== undefined) {
      const held = holdEarlier(latest);
      release.push(held.release);
      earlier = held.earlier;
    }
    const graph = graphOf(steps, wanted, resolved.collect);
    const kept = keptOptions(asked, resolved, earlier, steps);
    const inputs = assignInputs(steps, kept.inputs, { file, cwd: process.cwd() });
    opened = await openPipelineRun(asked, resolved, { code: loaded.bundle.hash, earlier, kept, warn });
    if (earlier === undefined) release.push(lockPipeline(opened.place, opened.begun.id));
    const { begun, place, directory } = opened;
    const journal = new PipelineJournal(join(place, journalName), earlier?.journalBytes ?? 0);
    release.push(() => journal.close());
    const bundle = keepBundle(loaded, join(place, "app"));
    if (directory !== null) events.keepIn(directory);
    const { id: jobId, name } = begun;
    const about = { jobId, name, file, code: bundle.hash, directory: directory?.path ?? null };
    events.emit({ kind: "job-started", ...about, output: resolved.output, isolation: resolved.isolation });
    const text = readFileSync(bundle.portablePath, "utf8");
    const surroundings = surroundingsOf(text);
    const names = steps.map((step) => step.name);
    const before = earlier?.state ?? emptyState;
    const { runner } = asked;
    const together = { id: jobId, name, scratch: join(begun.work, ".engine"), warn };
    const shared = (await runner.open?.(options as JobRunOptions, together)) ?? null;
    const parts = { begun, state: before, journal, events, directory, place, steps, graph, wanted, bundle };
    const all: PipelineParts = {
      ...parts,
      code: codeOfSteps(text, names),
      surroundings,
      inputs,
      options,
      output: resolved.output,
      passing: wishes.passing === true,
      run: (stepOptions) => (shared ?? runner).run(file, stepOptions),
    };
    const done = new DoneSteps(all);
    done.append(begun);
    const run = new PipelineRun(all, done);
    const ran = await ranWith(run, shared);
    const end = await finish(done, ran, all);
    return await concluded(done, end, { opened, resolved, events, graph, steps: run.records });
  } catch (error) {
    const failed = isSheafError(error) ? error : null;
    opened?.directory?.finish({
      status: "FAILED",
      exception: describeThrown(error),
      currentPhase: "finished",
    });
    if (failed?.code === "USAGE" || failed === null || failed.code === "STATE_LOCKED") throw error;
    const result = resultOf({
      status: "FAILED",
      jobId: "",
      name: basename(file),
      error: failureOutsideTasks(failed),
    });
    events.emit(finishedEvent(result));
    return result;
  } finally {
    for (const one of release.toReversed()) one();
    await loaded.dispose();
  }
}

/** Runs the steps, and ends what they share, if anything. */
async function ranWith(
  run: PipelineRun,
  shared: { close(): Promise<void> } | null,
): ReturnType<PipelineRun["run"]> {
  try {
    return await run.run();
  } finally {
    await shared?.close();
  }
}

/** Commits the output of steps that are done, and writes down how it ended. */
async function finish(
  done: DoneSteps,
  end: StepsEnd,
  { output, options: { signal } }: PipelineParts,
): Promise<StepsEnd> {
  let last = end;
  if (end.status === "SUCCEEDED" && output !== null && !done.isCommitted) {
    const steps = done.delivered().map(({ step, stays }) => ({ step, stays }));
    done.append({ kind: "committing", output, steps });
    try {
      await done.commit();
    } catch (error) {
      const known = isSheafError(error)
        ? error
        : new SheafError("INTERNAL", describeThrown(error), { cause: error });
      // Uploading may take long.
      last =
        signal?.aborted === true
          ? { status: "CANCELLED" }
          : { status: "FAILED", error: failureOutsideTasks(known) };
    }
  }
  done.append({ kind: "ended", status: last.status });
  return last;
}
