import { SheafError } from "../base/errors.ts";
import { isSource } from "../job/reader.ts";
import type { Input, Reader } from "../job/reader.ts";
import { defaultPartitions } from "../plan/default-partitions.ts";
import { planInput } from "../plan/plan-input.ts";
import type { InputPlan, PlanInputOptions } from "../plan/plan-input.ts";
import { planSample } from "../plan/plan-sample.ts";
import type { ListedFile } from "../storage/file-identity.ts";
import type { InputFile } from "../storage/list-input.ts";
import type { Split } from "../task/split.ts";
import type { JobOutline } from "../worker/messages.ts";

/** The tasks of a job: what each reads, by phase and index. */
export interface TaskTable {
  readonly sample: readonly Split[];
  readonly map: readonly Split[];
  readonly reduce: readonly { readonly collection: number; readonly partition: number }[];
}

/** What is to be done, by whom it does not matter. */
export interface JobPlan {
  readonly tasks: TaskTable;
  /** Of each collection. */
  readonly partitions: readonly number[];
  readonly files: number;
  /** Absolute paths of the input files. */
  readonly paths: readonly string[];
  /** The same as they were listed, by input. */
  readonly listed: readonly (readonly ListedFile[])[];
  readonly bytes: number;
  /** By index of a map task, what an earlier run has kept of it: its number there. */
  readonly kept: ReadonlyMap<number, number>;
  /** What the user should know of the input. */
  readonly warnings: readonly string[];
}

/** What the plan follows from besides the job. */
export interface PlanRequest {
  /** Of each input of the job: paths, or files that were listed before. */
  readonly inputs: readonly (readonly (string | InputFile)[])[];
  readonly splitBytes: number | null;
  readonly workers: number;
  /** Map tasks wanted; null: from the input's size. */
  readonly mappers: number | null;
  /** Partitions asked for by collection index; null where they follow from the input. */
  readonly partitions: readonly (number | null)[];
  /** These as PlanInputOptions. */
  readonly step?: () => void;
  readonly growing?: boolean;
  readonly spool?: (file: InputFile) => Promise<InputFile>;
  readonly bounds?: PlanInputOptions["bounds"];
  /** Records that each task of a source makes: those of another run. */
  readonly made?: readonly number[] | undefined;
  /** Of a job without map-only output: where there is some, files follow the tasks and come packed. */
  readonly spread?: number;
  readonly arrange?: NonNullable<PlanInputOptions["arrange"]>;
}

/**
 * @throws SheafError as planInput; USAGE when inputs are missing, or given to a job that makes its own
 * records
 */
export async function planJob(outline: JobOutline, request: PlanRequest): Promise<JobPlan> {
  const inputs = (outline.inputs ?? [outline]).map(inputOf);
  const [input] = inputs;
  if (outline.inputs === undefined) checkInput(input!, request.inputs[0] ?? []);
  const read = inputs.map((one, index) => ({ input: one, paths: request.inputs[index] ?? [] }));
  if (request.made !== undefined && !isSource(input!)) {
    throw new SheafError("USAGE", "made: this job reads files and makes no records", {
      hint: "Leave it out; it is for jobs whose input is generate({ ... }).",
    });
  }
  const plan = await planInput(read, {
    workers: request.workers,
    step: request.step,
    growing: request.growing ?? false,
    made: request.made,
    spread: outline.collections.some(({ mapOnly }) => mapOnly) ? 1 : (request.spread ?? 1),
    ...(request.spool === undefined ? {} : { spool: request.spool }),
    ...(request.bounds === undefined ? {} : { bounds: request.bounds }),
    ...(request.splitBytes === null ? {} : { splitBytes: request.splitBytes }),
    ...(request.mappers === null ? {} : { mappers: request.mappers }),
    ...(request.arrange === undefined ? {} : { arrange: request.arrange }),
  });
  const partitions = request.partitions.map((count) => count ?? defaultPartitions(input!, plan.totalBytes));
  const reduce = outline.collections.flatMap(({ mapOnly }, collection) =>
    mapOnly
      ? []
      : Array.from({ length: partitions[collection]! }, (_, partition) => ({ collection, partition })),
  );
  const sample = await sampleOf(outline, plan, { partitions, step: request.step });
  const files = plan.inputs.flatMap((one) => one.files);
  return {
    tasks: { sample, map: plan.splits, reduce },
    partitions,
    files: files.length,
    paths: files.map((file) => file.path),
    listed: plan.inputs.map((one) => one.files),
    bytes: plan.totalBytes,
    kept: plan.kept,
    warnings: plan.warnings,
  };
}

/** The splits of the sample phase: none unless some collection is cut by key ranges. */
async function sampleOf(
  outline: JobOutline,
  plan: InputPlan,
  { partitions, step }: { readonly partitions: readonly number[]; readonly step: (() => void) | undefined },
): Promise<Split[]> {
  const ranged = outline.collections.some(({ order }, index) => order === "total" && partitions[index]! > 1);
  if (!ranged || plan.splits.length === 0) return [];
  return planSample(plan, step);
}

/** An input as the planner needs it: nothing of it decodes, since user code is not loaded here. */
function inputOf({ input }: Pick<JobOutline, "input">): Input<unknown> {
  if ("tasks" in input) {
    const { tasks, count } = input;
    return { kind: "generate", tasks, ...(count !== undefined && { count }), records: () => [] };
  }
  const reader: Reader<unknown> = {
    kind: input.kind,
    framing: input.framing,
    needsHeader: input.needsHeader,
    compression: input.compression,
    ...(input.content === undefined ? {} : { content: input.content }),
    ...(input.encoding === undefined ? {} : { encoding: input.encoding }),
    ...(input.recordBytesMax === null ? {} : { recordBytesMax: input.recordBytesMax }),
    decoder: () => {
      throw new SheafError("INTERNAL", "the planner does not decode");
    },
  };
  return reader;
}

function checkInput(input: Input<unknown>, paths: readonly (string | InputFile)[]): void {
  if (isSource(input)) {
    const [first] = paths;
    if (first === undefined) return;
    const given = typeof first === "string" ? first : first.name;
    throw new SheafError("USAGE", `this job makes its own records and takes no input (given: ${given})`, {
      hint: "Leave the input paths away, or give the job a reader: input: text().",
    });
  }
  if (paths.length > 0) return;
  throw new SheafError("USAGE", `this job reads files (${input.kind}) and no input was given`, {
    hint: 'Give files, directories or globs; "-" reads standard input.',
  });
}

/**
 * The keys that begin partitions 1, 2, ... of a total order, chosen from a sample so that each partition gets
 * about as
 * many of the sampled keys. Depends on the multiset of keys only, not on their order. With fewer distinct
 * keys than
 * partitions there are fewer bounds, and the last partitions stay empty.
 * @param keys encoded keys in base64; @returns encoded keys in base64, strictly ascending by bytes
 */
export function chooseBounds(keys: readonly string[], partitions: number): string[] {
  const sorted = keys.map((key) => Buffer.from(key, "base64")).sort(Buffer.compare);
  const bounds: Buffer[] = [];
  for (let partition = 1; partition < partitions; partition++) {
    const candidate = sorted[Math.floor((partition * sorted.length) / partitions)];
    const last = bounds.at(-1) ?? sorted[0];
    if (candidate !== undefined && last !== undefined && Buffer.compare(candidate, last) > 0)
      bounds.push(candidate);
  }
  return bounds.map((bound) => bound.toString("base64"));
}

/**
 * Where the partitions of each collection begin, of what was sampled; null where that does not depend on
 * keys.
 */
export function sampledBounds(
  {
    collections,
  }: { readonly collections: readonly { readonly order: JobOutline["collections"][number]["order"] }[] },
  partitions: readonly number[],
  samples: readonly { readonly keys: readonly (readonly string[])[] }[],
): (readonly string[] | null)[] {
  return collections.map(({ order }, index) => {
    const count = partitions[index]!;
    if (order !== "total" || count < 2) return null;
    return chooseBounds(
      samples.flatMap(({ keys }) => keys[index] ?? []),
      count,
    );
  });
}
