import { parseDuration } from "../base/duration.ts";
import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import type { PartialResults, Source, SourceContext, SourceProgress } from "../job/reader.ts";

export interface GenerateOptions<R> {
  /** Number of map tasks, each of which runs `records` once. Default 1. */
  readonly tasks?: number;
  /**
   * The records of task `context.index`. Must depend on nothing but its context: a task that is tried again
   * must make the same records. May go on without end where one of the bounds below is given.
   */
  records(context: SourceContext): Iterable<R> | AsyncIterable<R>;
  /**
   * Records in all: each task makes its share, and no more. The records are then the same for any number of
   * workers. Default: as many as `records` makes.
   */
  readonly count?: number;
  /**
   * How long records are made, from when the first task begins: "10s", "2m", or milliseconds. Tasks that have
   * not begun by then make none. Default: no limit.
   */
  readonly for?: string | number;
  /**
   * The stop condition, asked a few times a second of the results so far: true stops all tasks. Needs a
   * `reduce` that is an aggregator. Runs in a worker of its own, and must not take long.
   */
  until?(partial: PartialResults, progress: SourceProgress): boolean;
}

/**
 * Input that is made inside the map tasks instead of read from files. Where it is bounded by time or a stop
 * condition, the result says how many records each task made (`made`), and the option `made` makes the same
 * again.
 * @throws SheafError JOB_INVALID for options that make no sense
 */
export function generate<R>(options: GenerateOptions<R>): Source<R> {
  const { tasks = 1, count, until } = options;
  const { min, max } = settings.mappers;
  if (!Number.isSafeInteger(tasks) || tasks < min || tasks > max) {
    throw invalid(
      `tasks must be a whole number from ${min} to ${max}, not ${String(tasks)}`,
      "Give the number of map tasks that make records, for example 8.",
    );
  }
  if (count !== undefined && (!Number.isSafeInteger(count) || count < 0)) {
    throw invalid(
      `count must be a whole number, not ${printValue(count)}`,
      "Give the number of records that all tasks make together.",
    );
  }
  if (until !== undefined && typeof until !== "function") {
    throw invalid(
      `until must be a function, not ${printValue(until)}`,
      "Write it so: until: (partial) => partial.rtp.ci95 < 0.001.",
    );
  }
  const forMs = options.for === undefined ? undefined : durationOf(options.for);
  return {
    kind: "generate",
    tasks,
    ...(count !== undefined && { count }),
    ...(forMs !== undefined && { forMs }),
    ...(until !== undefined && { until: (partial, progress) => options.until!(partial, progress) }),
    records: (context) => options.records(context),
  };
}

function durationOf(given: unknown): number {
  const ms = typeof given === "number" ? given : typeof given === "string" ? textMs(given) : Number.NaN;
  if (ms > 0 && ms <= settings.noProgressMs.max) return ms;
  throw invalid(
    `for must be a time, not ${printValue(given)}`,
    'Give a number with a unit, or milliseconds: for: "10s".',
  );
}

function textMs(text: string): number {
  try {
    return parseDuration(text, "for");
  } catch {
    return Number.NaN;
  }
}

function invalid(problem: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", `generate: ${problem}`, { hint });
}
