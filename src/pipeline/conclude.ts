import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { EventLog } from "../engine/event-log.ts";
import type { StepRecord } from "../engine/events.ts";
import { pruneJobs } from "../engine/prune-jobs.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import { retold, RunFailure } from "../engine/run-result.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Key } from "../job/key.ts";
import { emptyStats } from "../task/task-spec.ts";
import type { DoneSteps } from "./done-steps.ts";
import type { StepsEnd } from "./pipeline-run.ts";
import type { Opened } from "./places.ts";
import type { GraphStep } from "./plan.ts";
import { collectionName, partsOf, readStepRecords } from "./step-output.ts";

/** What a run of a pipeline gives, and what its history tells of how it ended. */
export async function concluded(
  done: DoneSteps,
  end: StepsEnd,
  about: {
    readonly opened: Opened;
    readonly resolved: ResolvedOptions;
    readonly events: EventLog;
    readonly graph: readonly GraphStep[];
    readonly steps: readonly StepRecord[];
  },
): Promise<RunResult> {
  const { opened, resolved, events, graph, steps } = about;
  const { begun, directory, place, isTemporary } = opened;
  const { status } = end;
  const isDone = status === "SUCCEEDED";
  const delivered = isDone ? done.delivered() : [];
  const counters = done.counters();
  const parts = isDone && resolved.output !== null ? partsOf(delivered) : [];
  const elapsedMs = events.elapsedMs;
  const stats = { ...emptyStats, elapsedMs };
  for (const step of steps) {
    const isSource = graph.find(({ name }) => name === step.name)!.needs.length === 0;
    if (isSource) stats.recordsIn += step.recordsIn;
    if (isSource) stats.bytesIn += step.bytesIn;
    if (step.kept) stats.recordsOut += step.recordsOut;
    if (step.kept) stats.bytesOut += step.bytesOut;
    stats.cpuMs += done.state.steps[step.name]?.done?.summary.cpuMs ?? 0;
  }
  const badRecords = done.badRecords();
  const error = errorOf(end, begun.id, directory !== null);
  const clear = async (): Promise<void> => {
    if (isDone && done.isWhole) await done.tidy();
    if (isTemporary) for (const one of [begun.work, place]) rmSync(one, { recursive: true, force: true });
  };
  if (!resolved.collect || !isDone) await clear();
  const recordsOf = new Map(
    delivered.flatMap(({ step }) =>
      graph
        .find(({ name }) => name === step)!
        .outline.job.collections.map(
          (one) => [collectionName(step, one.name), [done.recordsOf(step), one.name]] as const,
        ),
    ),
  );
  const result = resultOf({
    status,
    jobId: begun.id,
    name: begun.name,
    directory: directory?.path ?? null,
    output: resolved.output,
    counters,
    stats,
    parts,
    badRecords,
    error,
    steps,
    records: (collection) => recordsIn(recordsOf, resolved.collect, collection),
    dispose: () => (resolved.collect && isDone ? clear() : Promise.resolve()),
  });
  events.emit(finishedEvent(result));
  const { recordsIn: read, recordsOut, bytesIn, bytesOut } = stats;
  directory?.finish({
    status,
    counters,
    badRecords,
    steps,
    recordsIn: read,
    recordsOut,
    bytesIn,
    bytesOut,
    elapsedMs,
    endTime: new Date(systemClock.wallMs()).toISOString(),
    currentPhase: "finished",
    exception: status === "FAILED" ? (error?.report ?? null) : null,
  });
  if (directory !== null) pruneJobs(dirname(dirname(directory.path)), limits.jobsKept).catch(() => undefined);
  return result;
}

function errorOf(end: StepsEnd, id: string, canGoOn: boolean): RunFailure | null {
  if (end.status === "SUCCEEDED") return null;
  const next = canGoOn ? `sheaf resume ${id} goes on from here; steps that are done are not done again.` : "";
  if (end.status === "CANCELLED") {
    const message = `the pipeline was cancelled${canGoOn ? `; sheaf resume ${id} goes on from here` : ""}`;
    return new RunFailure("CANCELLED", message, { failed: null, report: message });
  }
  const { error } = end;
  if (next === "") return error;
  return retold(error, error.message, `${error.report.trimEnd()}\n\n  ${next}`);
}

async function* recordsIn(
  collections: ReadonlyMap<string, readonly [directory: string | null, collection: string]>,
  collect: boolean,
  collection: string | undefined,
): AsyncGenerator<[Key, unknown]> {
  const names = [...collections.keys()];
  const [directory, own] = collections.get(collection ?? (names.length === 1 ? names[0]! : "")) ?? [null, ""];
  if (!collect || directory === null) {
    throw new SheafError(
      "USAGE",
      `result.records(${collection ?? ""}): ${collect ? "which step?" : "the results were not kept"}`,
      {
        hint: collect
          ? `There are: ${names.join(", ")}.`
          : "Run with { collect: true }, and read them before dispose().",
      },
    );
  }
  yield* readStepRecords(join(directory, own));
}
