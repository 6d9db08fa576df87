import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import type { Source, SourceContext } from "../job/reader.ts";

export interface GenerateOptions<R> {
  /** Number of map tasks, each of which runs `records` once. Default 1. */
  readonly tasks?: number;
  /**
   * The records of task `context.index`. Must depend on nothing but its context: a task that is tried again
   * must make the same records.
   */
  records(context: SourceContext): Iterable<R> | AsyncIterable<R>;
}

/** Input that is made inside the map tasks instead of read from files. */
export function generate<R>(options: GenerateOptions<R>): Source<R> {
  const tasks = options.tasks ?? 1;
  const { min, max } = settings.mappers;
  if (!Number.isSafeInteger(tasks) || tasks < min || tasks > max) {
    throw new SheafError(
      "JOB_INVALID",
      `generate: tasks must be a whole number from ${min} to ${max}, not ${String(tasks)}`,
      {
        hint: "Give the number of map tasks that make records, for example 8.",
      },
    );
  }
  return { kind: "generate", tasks, records: (context) => options.records(context) };
}
