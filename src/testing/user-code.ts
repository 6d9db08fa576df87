import { describeThrown, isSheafError, SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { seededRandom } from "../base/random.ts";
import type { Job } from "../job/job-plan.ts";
import type { ReduceContext } from "../job/job.ts";

/** The counters of a run: what `ctx.count` added up to. */
export type Counters = Map<string, number>;

/** What one simulated task is, besides its records. Changed as it goes from record to record. */
export interface SimulatedTask {
  readonly kind: "map" | "reduce";
  readonly index: number;
  path: string;
  offset: number;
  state: unknown;
}

/** Where the emits of user code go. */
export type EmitResult = ReduceContext["emit"];

/** The context that user code of this task gets. `emit` is for reduces. */
export function contextOf(
  job: Job,
  task: SimulatedTask,
  counters: Counters,
  emit: EmitResult,
): ReduceContext {
  const name = `${task.kind}-${String(task.index).padStart(5, "0")}`;
  // As the engine seeds it: a task with the same records gets the same numbers.
  const random = seededRandom(`${job.seed}/${task.kind}/${task.index}`);
  return {
    task: name,
    index: task.index,
    attempt: 1,
    input: job.inputName,
    get path() {
      return task.path;
    },
    get offset() {
      return task.offset;
    },
    params: job.params,
    aux: job.aux,
    get state() {
      return task.state;
    },
    signal: new AbortController().signal,
    count(counter, by = 1) {
      if (!Number.isSafeInteger(by)) {
        throw new SheafError("VALUE_INVALID", `ctx.count(${JSON.stringify(counter)}, ${printValue(by)})`, {
          hint: "Counters count in integers.",
        });
      }
      counters.set(counter, (counters.get(counter) ?? 0) + by);
    },
    random: () => random.next(),
    log() {},
    progress() {},
    emit,
  };
}

/**
 * Runs user code; what it throws is told as USER_CODE with `where` in front, unless it is a SheafError
 * already.
 */
export async function callUser<T>(where: string, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (isSheafError(cause)) throw cause;
    const hint = "The error of the job's own code is the cause of this one.";
    throw new SheafError("USER_CODE", `${where}: ${describeThrown(cause)}`, { cause, hint });
  }
}

/**
 * The values of a reduce's or combine's answer: those a generator yields; else the answer, unless it is
 * undefined.
 */
export async function answersOf(answer: unknown): Promise<unknown[]> {
  const settled: unknown = await answer;
  if (isGenerator(settled)) {
    const values: unknown[] = [];
    for await (const value of settled) values.push(value);
    return values;
  }
  return settled === undefined ? [] : [settled];
}

/** Generators, not arrays and other collections: those are values. */
function isGenerator(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== "object" || value === null || !("next" in value)) return false;
  return Symbol.iterator in value || Symbol.asyncIterator in value;
}
