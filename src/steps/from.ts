import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Job } from "../job/job-plan.ts";
import type { Result } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import { recordsReader } from "./records.ts";

/** What carries the types of a step's outputs, by name; "" is that of a job without collections. */
export interface HasOutputs<out R> {
  readonly "~outputs"?: R;
}

/** The records of a step's only output, or of any of them. */
export type RecordsOf<S> = S extends HasOutputs<infer R> ? R[keyof R] : never;

/** The names of a step's outputs. */
export type CollectionNames<S> = S extends HasOutputs<infer R> ? Exclude<keyof R & string, ""> : never;

/** The records of the output of that name. */
export type RecordsNamed<S, N> = S extends HasOutputs<infer R> ? (N extends keyof R ? R[N] : never) : never;

/** What `from<T>("name")` reads: of a step's type its records, else records of that type. */
type Told<T> = unknown extends T ? Result<Key, unknown> : T extends HasOutputs<unknown> ? RecordsOf<T> : T;

/** Which step's output a reader reads. */
export interface StepRef {
  /** Its name; until pipeline() has seen it, it may be the step itself. */
  readonly of: string | object;
  /** The output's name; "" for the only one. */
  readonly output: string;
  /** In a loop: of every round but the first what the one before has written. */
  readonly previous?: boolean;
}

/** A reader of what another step of the same pipeline has written. */
export interface StepReader<out R> extends Reader<R> {
  readonly step: StepRef;
}

/**
 * Reads the output of another step of the same pipeline: [key, value] for each of its results, as they were
 * emitted or reduced, in their order; of a script's output what its reader makes of it.
 *
 * Give the step itself, or its name. Types follow from the step; a name alone says nothing of them, unless a
 * type is given with it (`from<typeof clean>("clean")`), or it is the `from` that pipeline() hands to later
 * steps.
 * @param step the step, or its name in the pipeline
 * @param output name of the collection; may be left out where there is only one
 */
export function from<T = unknown>(step: string, output?: string): StepReader<Told<T>>;
export function from<R, N extends keyof R & string>(step: HasOutputs<R>, output: N): StepReader<R[N]>;
export function from<R>(step: HasOutputs<R>): StepReader<R[keyof R]>;
export function from(step: string | object, output: string = ""): StepReader<unknown> {
  const isStep = typeof step === "string" || (typeof step === "object" && step !== null && "sheaf" in step);
  if (!isStep || step === "") {
    throw new SheafError("JOB_INVALID", `from(${printValue(step)}): that is no step`, {
      hint: 'Give the name of a step of the same pipeline, or the step itself: from("clean"), from(clean).',
    });
  }
  if (typeof output !== "string") {
    throw new SheafError("JOB_INVALID", `from(): ${printValue(output)} is no name of a collection`, {
      hint: 'Give its name: from("clean", "byCity").',
    });
  }
  return { ...recordsReader(), step: { of: step, output } };
}

/** `from` for the steps of one pipeline, whose names and types are known. */
export interface From<S> {
  <N extends keyof S & string, O extends CollectionNames<S[N]>>(
    step: N,
    output: O,
  ): StepReader<RecordsNamed<S[N], O>>;
  <N extends keyof S & string>(step: N): StepReader<RecordsOf<S[N]>>;
}

/** The step that a reader reads; undefined for readers of files. */
export function stepRefOf(input: object): StepRef | undefined {
  return "step" in input ? (input as StepReader<unknown>).step : undefined;
}

/** The readers of a job, by the name of the input; "" where there is one. */
export function readersOf(job: Job): readonly (readonly [name: string, reader: object])[] {
  return job.inputs.length === 0
    ? [["", job.input]]
    : job.inputs.map(({ inputName, input }) => [inputName, input] as const);
}
