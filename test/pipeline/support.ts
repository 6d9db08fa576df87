import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { findJob } from "#src/engine/job-history.js";
import type { RunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { fileOf, runnerFitFor } from "#src/pipeline/detect.js";
import { resumePipeline } from "#src/pipeline/run-pipeline.js";
import { runnerAsked } from "#src/runners/runners.js";
import { Bench } from "../runner/support.js";

/** A bench for pipelines, whose steps run on this thread unless they are told otherwise. */
export class PipelineBench extends Bench {
  constructor(t: TestContext) {
    super(t);
  }

  /** As run() of the package, but a failure is a result, too. */
  async pipeline(text: string, options: RunOptions = {}, name = "pipe.ts"): Promise<RunResult> {
    const file = this.file(name, text);
    const all = this.#options({ output: this.output, ...options });
    const runner = await runnerFitFor(file, all, await runnerAsked(all));
    return runner.run(fileOf(file, {})!, all);
  }

  async resume(options: RunOptions = {}): Promise<RunResult> {
    return resumePipeline(await findJob(this.state, "@"), this.#options(options), runnerAsked);
  }

  #options(options: RunOptions): RunOptions {
    this.events.length = 0;
    return {
      on: "inline",
      stateDirectory: this.state,
      ...options,
      onEvent: (event) => void this.events.push(event),
    } as RunOptions;
  }

  /** Steps that ran, in the order they began, each with the reason. */
  ran(): Record<string, string> {
    return Object.fromEntries(this.of("step-started").map(({ step, why }) => [step!, why]));
  }

  /** The lines of a step's files in the output. */
  step(name: string): string[] {
    return this.lines(name);
  }

  manifest(): { readonly parts: readonly { readonly file: string }[] } {
    return JSON.parse(readFileSync(join(this.output, "_SUCCESS"), "utf8")) as never;
  }
}

/** Words with their counts, and the words of each count. */
export const wordPipeline = (parts: { words?: string; counts?: string; byCount?: string } = {}): string => `
  import { count, from, job, pipeline, sum, text } from "sheaf";
  const words = job({
    input: text(),
    params: { upper: false },
    map(line, emit, ctx) {
      ctx.count("lines");
      ${parts.words ?? ""}
      const told = ctx.params.upper ? line.toUpperCase() : line;
      for (const word of told.split(" ")) emit(word, { length: word.length });
    },
  });
  const counts = job({
    input: from(words),
    map([word, value], emit) {
      if (value.length !== word.length) throw new Error("the value is another");
      ${parts.counts ?? ""}
      emit(word, 1);
    },
    reduce: sum(),
  });
  const byCount = job({
    input: from(counts),
    map([word, n], emit) {
      ${parts.byCount ?? ""}
      emit(n, word);
    },
    reduce: (n: number, all: Iterable<string>) => [...all].sort().join(","),
  });
  export default pipeline({ byCount, words, counts });
`;

export const lines = "the cat sat on the mat\nthe dog\non it\n";
export const byCount = ["1\tcat,dog,it,mat,sat", "2\ton", "3\tthe"];
export const counts = ["cat\t1", "dog\t1", "it\t1", "mat\t1", "on\t2", "sat\t1", "the\t3"];
