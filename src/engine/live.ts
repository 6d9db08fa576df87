import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import type { FoldAnswer, FoldRequest } from "../task/fold-states.ts";
import type { Split } from "../task/split.ts";
import type { LiveSettings, TaskFailure } from "../task/task-spec.ts";
import { failureOfThrown } from "../worker/failure.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { RunEventBody } from "./events.ts";

/** What a map attempt has told of itself. */
export interface ToldStates {
  /** As task/told-states.ts writes them; nothing here looks into them. */
  readonly states: Uint8Array;
  /** Records mapped, */
  readonly records: number;
  /** and records that its source has made. */
  readonly made: number;
}

/** What is wanted of a job's aggregates while it runs. */
export interface LiveWishes {
  /** They are told as `partial` events. */
  readonly shows: boolean;
  /** The source has a stop condition. */
  readonly asks: boolean;
  /** The source is bounded by time. */
  readonly forMs: number | null;
}

/** A stop condition is asked this often, if there is anything new. */
const askEveryMs = 200;
/** Results are shown this often. */
const showEveryMs = 1_000;

/**
 * What is wanted of the job while it runs; null: nothing.
 * @throws SheafError USAGE where results are to be shown and the job has none before its end
 */
export function liveOf(
  { input, collections }: Pick<JobOutline, "input" | "collections">,
  { live: shows, made }: { readonly live: boolean; readonly made: readonly number[] | null },
): LiveWishes | null {
  if (shows && collections.every(({ tells }) => tells !== true)) {
    throw new SheafError("USAGE", "live: the job has no results before its end", {
      hint: "They come of a reduce that is an aggregator, without groupBy: reduce: sum(). Leave out live.",
    });
  }
  const source = "tasks" in input && made === null ? input : null;
  const asks = source?.hasUntil === true;
  const forMs = source?.forMs ?? null;
  return shows || asks || forMs !== null ? { shows, asks, forMs } : null;
}

export function liveSettings(wishes: LiveWishes): LiveSettings {
  const { asks, forMs } = wishes;
  return {
    everyMs: asks || forMs !== null ? askEveryMs : showEveryMs,
    keysMax: looksOn(wishes) ? limits.liveKeysMax : 0,
    bytesMax: limits.liveBytesMax,
  };
}

/** Whether anybody looks at states: a bound of time needs only how many records were made. */
export function looksOn({ shows, asks }: LiveWishes): boolean {
  return shows || asks;
}

export interface LiveSetting extends LiveWishes {
  /** Has a worker merge states. Never rejects. */
  fold(request: FoldRequest): Promise<FoldAnswer | TaskFailure>;
  /** The stop condition is true of so many records of each task. */
  isTrue(made: ReadonlyMap<number, number>): void;
  failed(failure: TaskFailure): void;
  emit(event: RunEventBody): void;
  nowMs(): number;
  /** The task has finished, and this is all that it told: kept until it is merged. Left out: nowhere. */
  keep?(task: number, told: ToldStates): void;
  /** Bytes of states that go into one fold. */
  readonly bytesMax: number;
}

/** What was merged of tasks that have finished. */
export interface MergedStates {
  readonly merged: Uint8Array;
  readonly tasks: readonly (readonly [task: number, done: DoneTask])[];
}

interface DoneTask {
  readonly records: number;
  readonly made: number;
}

/**
 * What map tasks have aggregated so far: of each task that of one attempt, the one that has counted or else
 * the one that is furthest. States are merged, and the stop condition is asked, in a worker; here they are
 * bytes.
 *
 * What is shown never exceeds the result, where a task that runs again does the same again. It goes back
 * only where an attempt that had told of itself is lost.
 */
export class LiveStates {
  readonly #setting: LiveSetting;
  readonly #running = new Map<string, ToldStates & { readonly task: number }>();
  /** Finished and not merged yet, in the order in which they finished. */
  #waiting: { readonly task: number; readonly states: Uint8Array }[] = [];
  #merged: Uint8Array | null = null;
  readonly #inMerged = new Set<number>();
  readonly #done = new Map<number, DoneTask>();
  #doneRecords = 0;
  #isNews = false;
  #folding: Promise<void> | null = null;
  #isOver = false;
  #isTrue = false;
  #beganMs: number | null = null;
  #nextMs = 0;

  constructor(setting: LiveSetting) {
    this.#setting = setting;
  }

  /** A map attempt has begun. */
  began(): void {
    this.#beganMs ??= this.#setting.nowMs();
  }

  /** Since the first one began. */
  get elapsedMs(): number {
    return this.#beganMs === null ? 0 : this.#setting.nowMs() - this.#beganMs;
  }

  /** A map attempt that runs tells of all it has done. */
  told(ref: AttemptRef, told: ToldStates): void {
    if (this.#done.has(ref.task)) return;
    this.#running.set(formatAttempt(ref), { ...told, task: ref.task });
    this.#isNews = true;
  }

  /** The task has finished, by this attempt, whose last word was of all it did. Counts once. */
  finished(ref: AttemptRef): void {
    const last = this.#running.get(formatAttempt(ref));
    if (this.#done.has(ref.task)) return;
    const { records = 0, made = 0, states } = last ?? {};
    this.#done.set(ref.task, { records, made });
    this.#doneRecords += records;
    if (last !== undefined && states !== undefined && looksOn(this.#setting)) {
      this.#waiting.push({ task: ref.task, states });
      this.#setting.keep?.(ref.task, last);
    }
    for (const [name, { task }] of this.#running) if (task === ref.task) this.#running.delete(name);
    this.#isNews = true;
  }

  /** All that is merged of tasks that have finished; null: nothing yet. */
  get merged(): MergedStates | null {
    if (this.#merged === null) return null;
    return { merged: this.#merged, tasks: [...this.#inMerged].map((task) => [task, this.#done.get(task)!]) };
  }

  /**
   * Takes in what was kept by an earlier life of the process; ahead of the tasks that it knows to have
   * finished.
   * @param beganMs when the first map attempt began; null: none has
   */
  restore(
    beganMs: number | null,
    known: MergedStates | null,
    kept: readonly (readonly [task: number, told: ToldStates])[],
  ): void {
    this.#beganMs = beganMs;
    this.#merged = known?.merged ?? null;
    for (const [task, done] of known?.tasks ?? []) {
      this.#inMerged.add(task);
      this.#done.set(task, done);
    }
    for (const [task, { states, records, made }] of kept) {
      if (this.#done.has(task)) continue;
      this.#done.set(task, { records, made });
      this.#waiting.push({ task, states });
    }
    for (const { records } of this.#done.values()) this.#doneRecords += records;
    this.#isNews = this.#done.size > 0;
  }

  /** The attempt has failed, or was ended or lost: what it told of does not count. */
  dropped(ref: AttemptRef): void {
    if (this.#running.delete(formatAttempt(ref))) this.#isNews = true;
  }

  /** Records that each task has made, as far as that was told. */
  get made(): Map<number, number> {
    const made = new Map([...this.#done].map(([task, one]) => [task, one.made] as const));
    for (const [task, one] of this.#furthest()) made.set(task, one.made);
    return made;
  }

  /** Time has passed. */
  look(): void {
    const { nowMs, asks, shows } = this.#setting;
    if (this.#folding !== null || !this.#isNews || this.#isOver) return;
    // What many tasks have told is not left to pile up.
    const isAll = this.#fittingCount(this.#waiting) === this.#waiting.length;
    if (nowMs() < this.#nextMs && isAll) return;
    if (!shows && (!asks || this.#isTrue)) return;
    this.#begin();
  }

  /** Nothing is told any more; `whole`: once again, of all that was done. */
  async end(whole: boolean): Promise<void> {
    await this.#folding;
    while (whole && this.#setting.shows && this.#isNews && !this.#isOver) {
      this.#begin();
      await this.#folding;
    }
    this.#isOver = true;
  }

  #begin(): void {
    this.#folding = this.#fold()
      .catch((error: unknown) => this.#setting.failed(failureOfThrown(error, "until", "INTERNAL", "system")))
      .then(() => void (this.#folding = null));
  }

  async #fold(): Promise<void> {
    const { fold, asks, shows, emit, failed, isTrue, nowMs } = this.#setting;
    this.#isNews = false;
    const finished = this.#takeWaiting();
    const furthest = [...this.#furthest()];
    const running = this.#fitting(furthest.map(([, told]) => told));
    const made = this.made;
    const progress = {
      records: this.#doneRecords + running.reduce((sum, { records }) => sum + records, 0),
      finished: this.#done.size,
      running: furthest.length,
      elapsedMs: Math.round(this.elapsedMs),
    };
    const question = asks && !this.#isTrue;
    const states = running.map((one) => one.states);
    const request = { merged: this.#merged, finished: finished.map((one) => one.states), running: states };
    const answer = await fold({ ...request, progress, asks: question });
    this.#nextMs = shows && !question ? nowMs() + showEveryMs / 2 : 0;
    if (this.#isOver) return;
    if ("kind" in answer) {
      this.#isOver = true;
      return failed(answer);
    }
    this.#merged = answer.merged;
    for (const { task } of finished) this.#inMerged.add(task);
    if (shows) emit({ kind: "partial", ...progress, collections: answer.collections });
    if (!answer.stop || this.#isTrue) return;
    this.#isTrue = true;
    isTrue(made);
  }

  #takeWaiting(): { readonly task: number; readonly states: Uint8Array }[] {
    const count = this.#fittingCount(this.#waiting);
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    if (this.#waiting.length > 0) this.#isNews = true;
    return taken;
  }

  /** Of each task that is not done, the attempt that is furthest; in task order. */
  #furthest(): Map<number, ToldStates> {
    const best = new Map<number, ToldStates>();
    for (const told of this.#running.values()) {
      const other = best.get(told.task);
      if (other === undefined || told.records > other.records) best.set(told.task, told);
    }
    return new Map([...best].sort(([a], [b]) => a - b));
  }

  #fitting(told: readonly ToldStates[]): readonly ToldStates[] {
    return told.slice(0, this.#fittingCount(told));
  }

  #fittingCount(told: readonly { readonly states: Uint8Array }[]): number {
    let bytes = 0;
    let count = 0;
    while (count < told.length && (bytes += told[count]!.states.length) <= this.#setting.bytesMax) count++;
    return count;
  }
}

/** Why a source made no more records, though it had some. */
export type StoppedBy = "time" | "until";

/** How many records each task of a generated source makes, as far as that is settled. */
export class MadeTally {
  readonly #made = new Map<number, number>();
  #stop: { readonly by: StoppedBy; readonly made: ReadonlyMap<number, number> } | null = null;

  get stoppedBy(): StoppedBy | null {
    return this.#stop?.by ?? null;
  }

  /** The source is stopped: a task that runs again makes at least what was counted when that was decided. */
  stop(by: StoppedBy, made: ReadonlyMap<number, number>): void {
    this.#stop ??= { by, made };
  }

  /** The first success of a task counts: made again, it makes the same. */
  finished(task: number, made: number | undefined): void {
    if (made !== undefined && !this.#made.has(task)) this.#made.set(task, made);
  }

  /** What the task reads, with what is known of how much that is. */
  bounded(task: number, split: Split): Split {
    const most = this.#made.get(task) ?? (this.#stop === null ? undefined : (this.#stop.made.get(task) ?? 0));
    if (most === undefined) return split;
    const pieces = split.pieces.map((piece) =>
      piece.kind === "generate"
        ? { ...piece, records: Math.min(most, piece.records ?? Number.POSITIVE_INFINITY) }
        : piece,
    );
    return { ...split, pieces };
  }

  /** Of all tasks that have finished. */
  get records(): number {
    let records = 0;
    for (const made of this.#made.values()) records += made;
    return records;
  }

  /** Of each task, in order. */
  of(tasks: number): number[] {
    return Array.from({ length: tasks }, (_, task) => this.#made.get(task) ?? 0);
  }
}
