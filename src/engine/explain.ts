import { SheafError } from "../base/errors.ts";
import type { IncrementalRun } from "../incremental/incremental-run.ts";
import type { Split } from "../task/split.ts";
import type { JobOutline } from "../worker/messages.ts";
import { type RunEventBody, taskName } from "./events.ts";
import type { JobRunOptions } from "./options.ts";
import type { JobPlan } from "./plan-job.ts";

/** @throws SheafError USAGE for options that exclude `incremental`, or that it needs */
export function checkIncrementalOptions(
  options: Pick<JobRunOptions, "output" | "sample" | "live" | "materialize">,
): void {
  const { output, sample = 1, live = false, materialize } = options;
  if (output === undefined) {
    throw new SheafError("USAGE", "incremental: without an output there is nothing to go on from", {
      hint: "Give the output directory: -o DIR. What is kept for the next run lies in it.",
    });
  }
  if (sample !== 1) {
    throw new SheafError("USAGE", "incremental and sample exclude each other", {
      hint: "A sample is quick as it is: leave incremental out, and give it another output.",
    });
  }
  if (materialize !== undefined) {
    throw new SheafError("USAGE", "incremental and materialize exclude each other", {
      hint: "Leave materialize out: records of what is taken over from an earlier run are not read.",
    });
  }
  if (live) {
    throw new SheafError("USAGE", "incremental and live exclude each other", {
      hint: "Leave live out: what is taken over from an earlier run would be missing from what it shows.",
    });
  }
}

/** @throws SheafError USAGE for a job of which nothing can be kept */
export function checkIncremental(
  { input, collections }: Pick<JobOutline, "input" | "collections">,
  { collect }: { readonly collect: boolean },
): void {
  if ("tasks" in input) {
    throw new SheafError(
      "USAGE",
      "incremental: this job makes its own records, and reads no input that could change",
      {
        hint: "Leave incremental out; or write the records to files once, and read those.",
      },
    );
  }
  if (collect && collections.some(({ mapOnly }) => mapOnly)) {
    throw new SheafError(
      "USAGE",
      "incremental: records of map tasks that are not run again cannot be collected",
      {
        hint: "Leave --print, --collect or `collect` out, and read the output's files.",
      },
    );
  }
}

/** @throws SheafError USAGE when nothing of the run before can be taken over */
export function checkMends(full: string | null): void {
  if (full === null) return;
  throw new SheafError("USAGE", `bad records cannot be merged into the output: ${full}`, {
    hint: "Run the whole job again (--incremental --overwrite), or write them beside: sheaf bad retry -o DIR.",
  });
}

/** What the event `planned` says of an incremental run. */
export function keptIn({ kept, tasks }: JobPlan, { full }: Pick<IncrementalRun, "full">) {
  const keptBytes = tasks.map.reduce((sum, { index, bytes }) => sum + (kept.has(index) ? bytes : 0), 0);
  return { full, keptTasks: kept.size, keptBytes };
}

export type TaskExplained = Extract<RunEventBody, { kind: "task-explained" }>;

/** Says of each task of a plan why it runs or not. */
export function* explain(planned: {
  readonly tasks: {
    readonly sample: { readonly length: number };
    readonly map: Iterable<Split>;
    readonly reduce: { readonly length: number };
  };
  readonly isKept: (split: Split) => boolean;
  readonly incremental: Pick<IncrementalRun, "whyRuns"> | null;
}): Generator<TaskExplained> {
  const { tasks, isKept, incremental } = planned;
  const { sample, map, reduce } = tasks;
  const told = (task: string, runs: boolean, why: string, input: string) =>
    ({ kind: "task-explained", task, runs, why, input }) as const;
  const samples = "a total order chooses where partitions begin of all of the input";
  for (let index = 0; index < sample.length; index++)
    yield told(taskName("sample", index), true, samples, "");
  for (const split of map) {
    const task = taskName("map", split.index);
    if (isKept(split)) yield told(task, false, "its input is what an earlier run has read", inputText(split));
    else
      yield told(
        task,
        true,
        incremental?.whyRuns(split) ?? "without --incremental all of the input is mapped",
        inputText(split),
      );
  }
  const merges =
    incremental === null
      ? "it reads what all maps have made"
      : "it merges what is kept with what is mapped now";
  for (let index = 0; index < reduce.length; index++) yield told(taskName("reduce", index), true, merges, "");
}

/** The same of a plan of this machine. */
export function explainJob(
  { tasks, kept }: JobPlan,
  incremental: Pick<IncrementalRun, "whyRuns"> | null,
): Generator<TaskExplained> {
  return explain({ tasks, isKept: ({ index }) => kept.has(index), incremental });
}

function inputText({ pieces }: Split): string {
  const [first] = pieces;
  if (first === undefined) return "";
  if (first.kind === "generate") return `generated records ${first.index + 1} of ${first.tasks}`;
  const { name, start, end, fileBytes } = first;
  const part = start === 0 && end === fileBytes ? "" : `, bytes ${start} to ${end} of ${fileBytes}`;
  const more = pieces.length - 1;
  return `${name}${part}${more > 0 ? ` and ${more} more ${more === 1 ? "file" : "files"}` : ""}`;
}
