import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { bundleWithExport } from "../bundle/step-bundle.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import { resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import { choiceExport, goOn, recordsCounter, roundCounter, type StepChoice } from "../steps/step-choice.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { emptyStats, type TaskStats } from "../task/task-spec.ts";
import { WorkerPool } from "../worker/pool.ts";
import { startWorkerThread } from "../worker/worker-thread.ts";
import { countBadOfRounds, keepBadOfRound } from "./bad-records.ts";
import type { Forms } from "./state.ts";
import { completeRecords, formsIn, manifestOfStep, placeForm, writeRecords } from "./step-output.ts";

export interface LoopRun {
  readonly name: string;
  /** Of this run of the loop. */
  readonly directory: string;
  readonly forms: Forms;
  readonly rounds: { readonly max: number; readonly hasUntil: boolean };
  readonly bundle: BundledJob;
  /** Where the bundle of its condition is put. */
  readonly place: string;
  readonly noProgressMs: number;
  /** Runs the job of one round. @param previous directory of the records of the round before */
  round(output: string, previous: string | null, collect: boolean): Promise<RunResult>;
  warn(message: string): void;
  log(stream: "log" | "stdout" | "stderr", text: string): void;
}

/** What a round has left, in its directory: as a step's run has it, records always among it. */
interface RoundDone {
  readonly counters: Readonly<Record<string, number>>;
  readonly recordsOut: number;
}

/**
 * Runs the rounds of a loop. Rounds that are whole are not done again: it goes on behind the last of them.
 * The result is that of the last round, its counters with the number of rounds as `rounds`.
 */
export async function runLoop(loop: LoopRun): Promise<RunResult> {
  const { directory, rounds, forms, name } = loop;
  const roundDirectory = (round: number): string => join(directory, "rounds", String(round));
  const condition = rounds.hasUntil ? new Condition(loop) : null;
  const stats = { ...emptyStats };
  const keepBad = async (round: number): Promise<void> => {
    const from = join(roundDirectory(round), forms.files ? "files" : "records");
    const { badRecords = 0 } = (await manifestOfStep(from)) ?? {};
    await keepBadOfRound(directory, round, { from, badRecords });
  };
  try {
    let round = 0;
    let done: RoundDone | null = null;
    for (const known of await roundsIn(join(directory, "rounds"))) {
      if (known > rounds.max || done !== null) continue;
      done = await wholeRound(roundDirectory(known), forms);
      if (done === null) continue;
      round = known;
      // It may have been killed before that.
      await completeRecords(join(roundDirectory(known), "records"), [""]);
      await keepBad(known);
    }
    while (round < rounds.max && (done === null || !((await condition?.isTrue(round, done)) ?? false))) {
      const before = round === 0 ? null : join(roundDirectory(round), "records");
      const result = await oneRound(loop, roundDirectory(++round), before);
      addStats(stats, result.stats);
      await result.dispose();
      if (result.status !== "SUCCEEDED") return result;
      done = await wholeRound(roundDirectory(round), forms);
      await keepBad(round);
      if (round > 1) await removeDirectory(roundDirectory(round - 1));
    }
    const isOver = condition === null || (done !== null && (await condition.isTrue(round, done)));
    if (!isOver) loop.warn(`loop ${name} ended after ${round} rounds, its most, and until was never true`);
    const last = roundDirectory(round);
    const { parts, ...made } = (await manifestOfStep(join(last, forms.files ? "files" : "records")))!;
    const counters = { ...made.counters, rounds: round };
    const badRecords = await countBadOfRounds(directory);
    for (const form of ["files", "records"] as const)
      if (forms[form])
        await placeForm(join(last, form), join(directory, form), { name, counters, badRecords });
    stats.recordsOut = done?.recordsOut ?? 0;
    await removeDirectory(join(directory, "rounds"));
    const known = { status: "SUCCEEDED", jobId: "", name, stats, parts, badRecords } as const;
    return resultOf({ ...known, counters });
  } catch (error) {
    if (!(error instanceof SheafError)) throw error;
    return resultOf({ status: "FAILED", jobId: "", name, stats, error: failureOutsideTasks(error) });
  } finally {
    await condition?.close();
  }
}

async function oneRound(loop: LoopRun, directory: string, previous: string | null): Promise<RunResult> {
  const { forms } = loop;
  // What was cut off in it is done again.
  await removeDirectory(directory);
  const output = join(directory, forms.files ? "files" : "records");
  const result = await loop.round(output, previous, forms.files);
  if (result.status !== "SUCCEEDED") return result;
  if (forms.files) await writeRecords(result, [""], join(directory, "records"));
  await completeRecords(join(directory, "records"), [""]);
  return result;
}

async function wholeRound(directory: string, forms: Forms): Promise<RoundDone | null> {
  const there = await formsIn(directory);
  if (!there.records || (forms.files && !there.files)) return null;
  const manifest = await manifestOfStep(join(directory, "records"));
  if (manifest === null) return null;
  return {
    counters: manifest.counters,
    recordsOut: manifest.parts.reduce((sum, { records }) => sum + records, 0),
  };
}

/** The rounds that have begun, the last first. */
async function roundsIn(directory: string): Promise<number[]> {
  const names = await readdir(directory).catch(() => []);
  return names
    .map(Number)
    .filter(Number.isInteger)
    .toSorted((a, b) => b - a);
}

function addStats(sum: { -readonly [N in keyof TaskStats]: TaskStats[N] }, one: TaskStats): void {
  sum.recordsIn += one.recordsIn;
  sum.bytesIn += one.bytesIn;
  sum.bytesOut += one.bytesOut;
  sum.elapsedMs += one.elapsedMs;
  sum.cpuMs += one.cpuMs;
}

/** `until` of a loop, which is user code: it runs in a worker. */
class Condition {
  readonly #pool: WorkerPool;
  readonly #loop: LoopRun;
  #loaded = false;
  #last: { readonly round: number; readonly verdict: boolean } | null = null;

  constructor(loop: LoopRun) {
    this.#loop = loop;
    this.#pool = new WorkerPool({
      startWorker: startWorkerThread,
      isolation: "thread",
      heapBytes: null,
      noProgressMs: loop.noProgressMs,
      clock: systemClock,
      listener: {
        attemptEnded: () => undefined,
        log: (_id, stream, text) => loop.log(stream, text),
        stray: () => undefined,
      },
    });
  }

  async isTrue(round: number, { counters, recordsOut }: RoundDone): Promise<boolean> {
    if (this.#last?.round === round) return this.#last.verdict;
    const { name, bundle, place } = this.#loop;
    if (!this.#loaded) {
      const value: StepChoice = { name, writes: "records", until: true };
      const { path } = bundleWithExport(bundle, { name: choiceExport, value }, place);
      const answer = await this.#pool.load(pathToFileURL(path).href, 1);
      if ("failure" in answer)
        throw new SheafError(answer.failure.code, answer.failure.message, {
          hint: answer.failure.hint ?? "Look at its file.",
        });
      this.#loaded = true;
    }
    const answer = await this.#pool.expect({
      ...counters,
      [roundCounter]: round,
      [recordsCounter]: recordsOut,
    });
    if (answer !== null && answer !== goOn) {
      const why = typeof answer === "string" ? answer : answer.message;
      throw new SheafError("USER_CODE", `until of round ${round}: ${why}`, {
        hint: "Correct it; the rounds that are done stay done.",
      });
    }
    this.#last = { round, verdict: answer === null };
    return answer === null;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
