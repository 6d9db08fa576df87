import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { LoadedJob } from "../client/load-outline.ts";
import type { JobRunOptions, RunOptions } from "../engine/options.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import { type GraphStep, graphOf, readBy, wantedOf } from "./plan.ts";
import { loadPipeline, refuseOptions, resolvedOf } from "./run-pipeline.ts";
import { assignInputs, checkInputs, optionsOfStep } from "./step-inputs.ts";

/** The steps of a pipeline that can be tried by themselves: jobs that read no other step. */
export interface FirstSteps {
  readonly steps: readonly { readonly name: string; readonly options: JobRunOptions }[];
  /** The others: what they read is not there before it is made. */
  readonly left: readonly string[];
  dispose(): Promise<void>;
}

/**
 * @param options as of a run of the pipeline; its `steps` choose among them
 * @returns null: the file is no pipeline's, or cannot be loaded, which a run of it tells
 * @throws SheafError USAGE as a run of it; where there is no such step
 */
export async function firstSteps(file: string, options: RunOptions, cwd: string): Promise<FirstSteps | null> {
  const loaded = await loadPipeline(file, options);
  if (loaded === null) return null;
  const directory = await makeTempDirectory(tmpdir());
  const dispose = async (): Promise<void> => {
    await removeDirectory(directory);
    await loaded.dispose();
  };
  try {
    refuseOptions(options);
    return { ...chosen(loaded, { file, options, directory, cwd }), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function chosen(
  { outline, bundle }: LoadedJob,
  { file, options, directory, cwd }: { file: string; options: RunOptions; directory: string; cwd: string },
): Omit<FirstSteps, "dispose"> {
  const all = outline.steps!;
  const wanted = wantedOf(all, options.steps);
  const graph = graphOf(all, wanted, false).filter(({ name }) => wanted.steps.includes(name));
  const isFirst = ({ outline: step }: GraphStep): boolean => step.kind === "job" && readBy(step).length === 0;
  const first = graph.filter(isFirst);
  if (first.length === 0)
    throw noneFirst(
      wanted.steps,
      all.filter((step) => readBy(step).length === 0 && step.kind === "job").map(({ name }) => name),
    );
  const assigned = assignInputs(all, resolvedOf(options).inputs, { file, cwd });
  const { steps: _s, params = {}, partitions, ...rest } = options;
  const steps = first.map(({ name, outline: step, forms }) => {
    const inputs = assigned[name] ?? [];
    checkInputs(step, inputs);
    const own = optionsOfStep(all, { params, partitions }, step);
    const writes = forms.files ? "files" : "records";
    return {
      name,
      options: {
        ...(rest as JobRunOptions),
        inputs,
        params: own.params,
        ...(own.partitions === undefined ? {} : { partitions: own.partitions }),
        step: { name, writes, bundle, directory: join(directory, name) },
      } as const,
    };
  });
  return { steps, left: graph.filter((step) => !isFirst(step)).map(({ name }) => name) };
}

function noneFirst(wanted: readonly string[], first: readonly string[]): SheafError {
  const hint =
    first.length === 0
      ? "Run it: sheaf show @ tells what each step has taken."
      : `Plan for those that read files: --only ${first[0]}. Or run it: sheaf show @ tells what each step has taken.`;
  const what =
    wanted.length === 1 ? `step ${wanted[0]} cannot` : `none of the steps ${wanted.join(", ")} can`;
  return new SheafError("USAGE", `${what} be planned for: what it reads is not there before it is made`, {
    hint,
  });
}
