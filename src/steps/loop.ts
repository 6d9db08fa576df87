import { printValue } from "../base/print-value.ts";
import type { Job } from "../job/job-plan.ts";
import type { Result } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import { isPlainObject } from "../job/plain-data.ts";
import { checkFieldNames, invalid } from "../job/validate.ts";
import { type HasOutputs, type StepReader, stepRefOf } from "./from.ts";
import { recordsReader } from "./records.ts";

/** What is known when a round is over. */
export interface Round {
  /** From 1 on. */
  readonly round: number;
  /** What the job of this round has counted. */
  readonly counters: Readonly<Record<string, number>>;
  readonly recordsOut: number;
}

export interface LoopOptions<R> {
  /** The job of each round. It reads what the round before has written as `previous()`. */
  readonly step: Job<R>;
  /** What the first round reads as `previous()`: the output of another step. */
  readonly first: StepReader<unknown>;
  /** Asked after each round; true ends the loop. Default: it ends after `max` rounds. */
  readonly until?: (round: Round) => boolean;
  /** Rounds at most. Default 100 with `until`; needed without. */
  readonly max?: number;
  readonly keep?: boolean;
  readonly after?: readonly string[];
  /** As in StepOptions, for what the job reads besides. */
  readonly inputs?: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>;
}

export interface Loop<out R> extends HasOutputs<R> {
  readonly sheaf: "loop";
  readonly options: LoopOptions<R>;
}

const fields = ["step", "first", "until", "max", "keep", "after", "inputs"];
const roundsMax = 10_000;

/** The name that stands for what the round before has written, until pipeline() knows the loop. */
export const previousName = "\0previous";

/**
 * In the job of a loop: what the round before has written, in the first round what its `first` says. Give
 * the type of a record: `previous<[string, number]>()`.
 */
export function previous<R = Result<Key, unknown>>(): StepReader<R> {
  return { ...recordsReader(), step: { of: previousName, output: "" } } as unknown as StepReader<R>;
}

/**
 * A step that runs a job again and again, each round reading what the one before has written, until a
 * condition is true. Its output is that of the last round.
 *
 *     ranks: loop({
 *       first: from("start"),
 *       step: job({ input: previous<[string, Page]>(), map: ..., reduce: ... }),
 *       until: ({ counters }) => counters.moved === undefined,
 *       max: 50,
 *     })
 * @throws SheafError JOB_INVALID naming the field
 */
export function loop<R>(options: LoopOptions<R>): Loop<R> {
  if (!isPlainObject(options))
    throw invalid("loop()", `${printValue(options)} is no object`, "Give loop({ step, first, until }).");
  checkFieldNames(options, "loop", fields);
  const { step, first, until, max } = options;
  if (typeof step !== "object" || step === null || (step as Partial<Job>).sheaf !== "job")
    throw invalid("loop.step", `${printValue(step)} is no job`, "Give job({ input: previous(), ... }).");
  const reads = [step.input, ...step.inputs.map(({ input }) => input)].map(stepRefOf);
  if (!reads.some((ref) => ref?.of === previousName))
    throw invalid("loop.step", "the job does not read the round before", "Give it the input previous().");
  if (step.collections.length > 1)
    throw invalid(
      "loop.step",
      "the job has several collections",
      "Have one; a later step can make several of it.",
    );
  if (typeof first !== "object" || first === null || stepRefOf(first) === undefined)
    throw invalid("loop.first", `${printValue(first)} is no step's output`, 'Give from("start").');
  if (until !== undefined && typeof until !== "function")
    throw invalid(
      "loop.until",
      `${printValue(until)} is no function`,
      "Give ({ counters }) => counters.moved === 0.",
    );
  if (max === undefined && until === undefined)
    throw invalid("loop.max", "it would never end", "Give until, or the number of rounds as max.");
  if (max !== undefined && (!Number.isInteger(max) || max < 1 || max > roundsMax))
    throw invalid("loop.max", `${printValue(max)} is no number of rounds`, `Give 1 to ${roundsMax}.`);
  return Object.freeze({ sheaf: "loop", options });
}
