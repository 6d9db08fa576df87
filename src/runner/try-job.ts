import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { SheafError } from "../base/errors.ts";
import { KiB, MiB } from "../base/size.ts";
import type { Forecast } from "../engine/forecast.ts";
import { forecast } from "../engine/forecast.ts";
import { possiblePaths } from "../engine/inputs.ts";
import { openState } from "../engine/job-directory.ts";
import type { LocalRunOptions } from "../engine/options.ts";
import type { JobPlan, TaskTable } from "../engine/plan-job.ts";
import { keepForecast, plannedElsewhere } from "../engine/plan-memory.ts";
import { resolveOptions } from "../engine/resolve-options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Tried, TriedRound } from "../engine/tried.ts";
import type { Job } from "../job/job-plan.ts";
import { type Cuttable, probeSplits, stretchSplits } from "../plan/probe-splits.ts";
import type { Split } from "../task/split.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import type { InputOutline, JobOutline } from "../worker/messages.ts";
import { LocalRun } from "./local-run.ts";
import type { Probe } from "./run-kind.ts";
import { finishRun } from "./run-result.ts";
import { startOf } from "./run.ts";

const STRETCHES = 64;
const STRETCH_BYTES = 64 * KiB;
/** What a task is tried on, at first, and by how much it grows from round to round. */
const FIRST_BYTES = 64 * KiB;
const FIRST_GROWTH = 4;
const GROWTH = 8;
const ROUNDS_MIN = 3;
const TASKS_MIN = 4;
/** Of the input, the most that the last round reads: few plan a job for half of its time. */
const LAST_SHARE = 1 / 8;
/**
 * How long it may take: `lastMs` the maps of the last round, which is as large as that and LAST_SHARE allow,
 * but whatever takes no longer than `freeMs` is done; a task leaves off after `taskMs`, since a map may take
 * long for one record.
 */
export interface TrialLimits {
  readonly lastMs: number;
  readonly freeMs: number;
  readonly taskMs: number;
}

const usualLimits: TrialLimits = { lastMs: 10_000, freeMs: 3000, taskMs: 10_000 };
const SAMPLE_MS = 100;
const PEAK_EVERY_MS = 50;

/** Options that are about what a run leaves, and what else there is. */
const notTried: ReadonlySet<string> = new Set(
  "output overwrite once force after onEvent live materialize incremental explain chaos fail".split(" "),
);

/** What is known after trying. */
export interface TriedJob {
  readonly forecast: Forecast;
  readonly name: string;
  /** Content hash of the bundle; null for a Job object. */
  readonly code: string | null;
}

/**
 * Runs the job's own tasks on parts of its input, writes nothing that stays, and tells what all of it would
 * take.
 * @param elsewhere whether the prediction is for a run on a cluster, which shows it then
 * @throws RunFailure as the job would fail; SheafError USAGE for what cannot be tried
 */
export async function tryJob(
  job: Job | string | URL,
  options: LocalRunOptions,
  limits: TrialLimits = usualLimits,
  elsewhere = false,
): Promise<TriedJob> {
  const { inputs = [] } = options;
  const texts =
    typeof inputs === "object" && !Array.isArray(inputs) ? Object.values(inputs).flat() : [inputs].flat();
  if (texts.flatMap((text) => possiblePaths(String(text))).includes("-")) {
    throw new SheafError("USAGE", "standard input cannot be planned for: it can be read only once", {
      hint: "Write it to a file, and give that.",
    });
  }
  const trial = new Trial(job, options, limits, elsewhere);
  const watch = setInterval(() => trial.look(), PEAK_EVERY_MS).unref();
  try {
    return await trial.run();
  } finally {
    clearInterval(watch);
  }
}

class Trial {
  readonly #job: Job | string | URL;
  readonly #options: LocalRunOptions;
  readonly #limits: TrialLimits;
  readonly #elsewhere: boolean;
  readonly #rounds: TriedRound[] = [];
  #peakBytes = 0;
  #keepsBad: boolean;
  #badExample: string | null = null;
  /** As planned for the whole input. */
  #plan!: JobPlan;
  #outline!: JobOutline;

  constructor(job: Job | string | URL, options: LocalRunOptions, limits: TrialLimits, elsewhere: boolean) {
    this.#job = job;
    this.#elsewhere = elsewhere;
    this.#limits = limits;
    this.#options = options;
    this.#keepsBad = options.maxBad !== undefined;
  }

  look(): void {
    this.#peakBytes = Math.max(this.#peakBytes, process.memoryUsage.rss());
  }

  async run(): Promise<TriedJob> {
    const wide = await this.#try({ ms: SAMPLE_MS, bytes: STRETCH_BYTES }, (plan) => {
      const options = { count: STRETCHES, bytes: STRETCH_BYTES };
      return { sample: stretchSplits(plan.tasks.map, options, this.#inputOf), map: [], reduce: [] };
    });
    const stretches = wide.run.driven!.outputs.sample;
    if (stretches.some(({ stats }) => stats.badRecords > 0)) this.#keepsBad = true;
    await this.#grow();
    if (this.#rounds.at(-1)!.maps.some(({ taken }) => Number.isNaN(taken))) {
      throw new SheafError(
        "USAGE",
        `there was no end of its records within ${this.#limits.taskMs / 1000} s for a task`,
        {
          hint: "What a source makes in all cannot be told from its beginning. Give it fewer, by a param of the job.",
        },
      );
    }
    const { bundle, name, collections } = wide.run.loaded!;
    const tried: Tried = {
      plan: this.#plan,
      collections,
      workers: wide.asked,
      stretches,
      rounds: this.#rounds,
      peakBytes: this.#peakBytes,
      badExample: this.#badExample,
    };
    const made = forecast(tried);
    const { stateDirectory, sample, inputs } = resolveOptions(this.#options, "thread");
    const state = openState(stateDirectory, () => undefined);
    const { params } = wide.run.planned!.settings;
    const code = bundle?.hash ?? null;
    const plan = this.#elsewhere ? plannedElsewhere(inputs, process.cwd(), this.#plan.bytes) : this.#plan;
    if (state !== null) keepForecast(state, { code, params, sample, plan }, made);
    return { forecast: made, name, code };
  }

  /** Rounds of larger and larger parts, until tasks were tried whole or time is up. */
  async #grow(): Promise<void> {
    const largest = Math.max(1, ...this.#plan.tasks.map.map(({ bytes }) => bytes));
    const count = Math.max(TASKS_MIN, this.#workers);
    if (this.#plan.bytes === 0) {
      // Generated tasks cannot be cut: what grows is how many are tried.
      for (const some of [1, count / 2, count]) this.#rounds.push(await this.#round(1, Math.ceil(some)));
      return;
    }
    let bytes = Math.min(FIRST_BYTES, largest);
    for (;;) {
      const round = await this.#round(bytes, count);
      this.#rounds.push(round);
      const { maps } = round;
      const isCut = maps.some(({ split, taken }) => taken < split.bytes * 0.9);
      if (bytes >= largest || isCut || maps.length === 0) return;
      // The quickest tells what the next round takes: small parts are mostly what code takes to get going.
      const rate = Math.max(...maps.map(({ taken, result }) => taken / Math.max(1, result.stats.elapsedMs)));
      const { lastMs, freeMs } = this.#limits;
      const within = (ms: number): number => (ms * rate * this.#workers) / maps.length;
      const share = (this.#plan.bytes * LAST_SHARE) / maps.length;
      const most = Math.min(within(lastMs), Math.max(within(freeMs), share));
      // All of a small input is read once, and not in ever larger parts before that.
      if (maps.length === this.#plan.tasks.map.length && largest <= most) {
        bytes = largest;
        continue;
      }
      const growth = this.#rounds.length < ROUNDS_MIN ? FIRST_GROWTH : Math.min(GROWTH, most / bytes);
      if (growth < 2 && bytes * growth < largest) return;
      bytes = Math.min(largest, Math.ceil(bytes * growth));
    }
  }

  /** No more than there are cores: others would only wait. */
  get #workers(): number {
    return Math.min(this.#options.workers ?? availableParallelism(), availableParallelism());
  }

  async #round(bytes: number, count: number): Promise<TriedRound> {
    const choose = (plan: JobPlan): TaskTable => ({
      ...plan.tasks,
      map: probeSplits(plan.tasks.map, { count, bytes }, this.#inputOf),
    });
    const limit = { ms: this.#limits.taskMs, bytes: Math.max(bytes, MiB) };
    const { run, result } = await this.#tryKept(limit, choose);
    const { planned, driven, events } = run;
    const { map, reduce } = planned!.plan.tasks;
    const beforeMs = events.phases
      .filter(({ phase }) => phase === "load" || phase === "plan" || phase === "sample")
      .reduce((sum, { elapsedMs }) => sum + elapsedMs, 0);
    return {
      maps: driven!.outputs.map.map((result, index) => ({
        split: map[index]!,
        taken: takenOf(map[index]!, result),
        result,
      })),
      reduces: driven!.outputs.reduce.map((one, index) => ({
        collection: reduce[index]!.collection,
        result: one,
      })),
      beforeMs,
      elapsedMs: result.stats.elapsedMs,
    };
  }

  /** A record that is bad fails a run that keeps none: it is then tried with all of them kept. */
  async #tryKept(limit: Probe["limit"], choose: (plan: JobPlan) => TaskTable): Promise<Attempted> {
    if (this.#keepsBad) return this.#try(limit, choose);
    try {
      return await this.#try(limit, choose);
    } catch (error) {
      if (
        !(error instanceof SheafError) ||
        !/^(?:USER_CODE|RECORD_|VALUE_INVALID|KEY_INVALID|INPUT_)/.test(error.code)
      )
        throw error;
      this.#keepsBad = true;
      return this.#try(limit, choose);
    }
  }

  async #try(limit: Probe["limit"], choose: (plan: JobPlan) => TaskTable): Promise<Attempted> {
    const { workers } = this.#options;
    const rest = Object.entries(this.#options).filter(([name]) => !notTried.has(name));
    const options: LocalRunOptions = {
      ...Object.fromEntries(rest),
      ...(workers !== undefined && { workers: this.#workers }),
      ...(this.#keepsBad && { maxBad: "100%" }),
      collect: false,
      stateDirectory: null,
      attempts: 1,
    };
    const { source, resolved, startWorker } = await startOf(this.#job, options);
    const probe: Probe = {
      limit,
      choose: (plan, outline) => {
        this.#plan = plan;
        this.#outline = outline;
        return choose(plan);
      },
    };
    const run = new LocalRun(source, options, resolved, startWorker, { probe });
    const end = await run.run();
    this.look();
    this.#badExample ??= exampleOf(run.driven?.outputs.map ?? []);
    const result = await finishRun(run, end);
    result.throwIfFailed();
    return { run, result, asked: workers ?? resolved.workers };
  }

  /** Of a generated split null. */
  readonly #inputOf = ({ input = 0 }: Split): Cuttable | null => {
    const outline: InputOutline = this.#outline.inputs?.[input]?.input ?? this.#outline.input;
    return "framing" in outline ? outline : null;
  };
}

interface Attempted {
  readonly run: LocalRun;
  readonly result: RunResult;
  /** Workers that the job itself would have. */
  readonly asked: number;
}

/** Bytes on disk; of a generated task 1 when it came to its end, else unknown. */
function takenOf(split: Split, { taken, stats }: TaskSuccess): number {
  if (split.bytes > 0) return taken?.bytes ?? split.bytes;
  return taken?.isWhole === false && stats.recordsIn > 0 ? Number.NaN : 1;
}

/** The error of the first record that was set aside. */
function exampleOf(maps: readonly TaskSuccess[]): string | null {
  for (const { badPath } of maps) {
    if (badPath === null) continue;
    const [line] = readFileSync(badPath, "utf8").split("\n", 1);
    const { path, offset, error } = JSON.parse(line!) as {
      path: string | null;
      offset: number;
      error: string;
    };
    return `${path ?? "generated"} at byte ${offset}: ${error}`;
  }
  return null;
}
