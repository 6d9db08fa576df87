import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { CommitPlan } from "../engine/commit.ts";
import type { CommandOf, Executor } from "../engine/executor.ts";
import type { JobRun, JobRunListener } from "../engine/job-run.ts";
import type { EventLoop } from "../engine/loop.ts";
import type { TaskTable } from "../engine/plan-job.ts";
import { handOverAfterMs } from "../engine/policy.ts";
import { type AttemptRef, formatAttempt, formatTask, type NodeRef, type Phase } from "../scheduler/ids.ts";
import { viewOutputs } from "../scheduler/view.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import type { Split } from "../task/split.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type {
  KeptMap,
  MapOutput,
  TaskFailure,
  TaskResult,
  TaskSpec,
  TaskSuccess,
} from "../task/task-spec.ts";
import { AttemptWatch } from "../worker/attempt-watch.ts";
import type { Chaos } from "../worker/chaos.ts";
import { endedFailure, failureOfThrown } from "../worker/failure.ts";
import type { InjectedFault } from "../worker/fault-injection.ts";
import type { WorkerPool } from "../worker/pool.ts";
import { tracedPlace } from "../worker/trace.ts";
import type { Trace } from "../worker/trace.ts";
import { MapSplits } from "./map-splits.ts";

/** What runs the attempts of a run that this process coordinates: here, or on an engine. */
export interface TaskExecutor extends Executor {
  /** What it does beside the job's own counts. */
  readonly listener: JobRunListener<TaskSuccess>;
  begin(run: JobRun<TaskSuccess>): void;
  /** Resolves when nothing is being removed any more. */
  settled(): Promise<void>;
  /** Time has passed. */
  tick(): void;
  stopSources(): void;
  ended(slot: number, id: number, result: TaskResult): void;
  /** The running attempt's task and number; null when it runs no more. */
  attemptOf(id: number | null): AttemptRef | null;
  specOf(ref: AttemptRef): TaskSpec;
  results(phase: Phase): TaskSuccess[];
  mapsDone(): { readonly split: Split; readonly result: TaskSuccess }[];
  /** All tasks are done and may be committed: how, where the files lie elsewhere; null: from here. */
  placing?(): Promise<CommitPlan["place"] | null>;
  /** The attempt that has failed the job, as an engine counts; null: none of an engine's has. */
  readonly failedElsewhere?: FailedElsewhere | null;
}

/** An attempt of an engine's that has failed. */
export interface FailedElsewhere {
  /** "map-00007" */
  readonly task: string;
  /** As FailedTask has it. */
  readonly attempt: number;
}

export interface LocalExecutorOptions {
  readonly job: string;
  readonly tasks: TaskTable;
  readonly loop: EventLoop<TaskSuccess>;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  /** Tasks that run at once at most, */
  readonly slots: number;
  /** and so many of them until a map turns out to be slow. */
  readonly slotsAtFirst: number;
  readonly noProgressMs: number;
  /** Directory, existing and the job's own, in which every attempt gets one. */
  readonly workDirectory: string;
  readonly faults: readonly InjectedFault[];
  readonly chaos: Chaos | null;
  /** What an earlier run has kept of a map task. */
  keptOf(task: number): KeptMap | undefined;
  /** There are more map tasks than were planned: so many. */
  rested(mapTasks: number): void;
}

/** An attempt that a worker of this machine has. */
interface LocalAttempt {
  /** Names it in the pool. */
  readonly id: number;
  readonly ref: AttemptRef;
  readonly slot: number;
  readonly spec: TaskSpec;
  readonly trace: Trace | null;
  readonly startedMs: number;
  readonly watch: AttemptWatch;
  board: Readonly<Float64Array>;
}

/** The one node there is. */
export const localNode: NodeRef = { node: "local", incarnation: 1 };
const noBoard = new Float64Array(PROGRESS_BYTES / 8);

/** Runs attempts in the workers of a pool on this machine, each in a directory of its own. */
export class LocalExecutor implements TaskExecutor {
  readonly #options: LocalExecutorOptions;
  readonly #running = new Map<number, LocalAttempt>();
  /** By attempt name, of attempts that may still fail: what a capsule is made of. */
  readonly #specs = new Map<string, TaskSpec>();
  readonly #maps: MapSplits;
  readonly #asks: number[] = [];
  readonly #cleanups = new Set<Promise<void>>();
  /** Of the maps that are finished, in the order of what they read; null: to be put together anew. */
  #finishedMaps: readonly TaskSuccess[] | null = null;
  #nextId = 1;
  #run!: JobRun<TaskSuccess>;

  constructor(options: LocalExecutorOptions) {
    this.#options = options;
    this.#maps = new MapSplits(options.tasks.map);
  }

  readonly listener: JobRunListener<TaskSuccess> = {
    finished: (fact, _output, report) => {
      this.#specs.delete(formatAttempt(fact));
      if (fact.phase === "map") this.#finishedMaps = null;
      if (this.#maps.takeRest(fact.task, report?.rest ?? [])) this.#options.rested(this.#maps.all.length);
    },
    killed: (fact) => void this.#specs.delete(formatAttempt(fact)),
    outputLost: () => (this.#finishedMaps = null),
  };

  /** Joins and offers its slots. */
  begin(run: JobRun<TaskSuccess>): void {
    const { slots, slotsAtFirst, loop } = this.#options;
    this.#run = run;
    loop.dispatch({ kind: "nodeJoined", slots, ...localNode });
    this.offerUpTo(Math.min(slots, slotsAtFirst));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#cleanups);
  }

  start({ attempt: ref, slot }: CommandOf<"startAttempt">): void {
    const { pool, clock, faults, chaos } = this.#options;
    const id = this.#nextId++;
    const directory = this.#directoryOf(ref);
    const spec = this.specOf(ref);
    this.#specs.set(formatAttempt(ref), spec);
    const trace = this.#run.poison.traceOf(spec, id);
    const startedMs = clock.nowMs();
    const watch = new AttemptWatch(startedMs);
    const attempt: LocalAttempt = { id, ref, slot, spec, trace, startedMs, watch, board: noBoard };
    this.#running.set(id, attempt);
    try {
      mkdirSync(directory);
      attempt.board = pool.run(slot, id, spec, { trace, faults, chaos });
      watch.runs(trace, startedMs);
    } catch (error) {
      const failure =
        errnoOf(error) === undefined
          ? failureOfThrown(error, ref.phase, "INTERNAL", "system")
          : failureOfThrown(
              asSheafError(error, { path: directory, doing: "create" }),
              ref.phase,
              "DISK_FULL",
              "system",
            );
      queueMicrotask(() => this.ended(slot, id, failure));
    }
  }

  kill({ attempt: ref }: CommandOf<"killAttempt">): void {
    const attempt = this.#find(ref);
    if (attempt === undefined) return;
    this.#running.delete(attempt.id);
    this.#endWorker(attempt);
  }

  discard(ref: AttemptRef): void {
    this.#later(removeDirectory(this.#directoryOf(ref)));
  }

  handOver({ attempt: ref, parts }: CommandOf<"handOver">): void {
    const attempt = this.#find(ref);
    if (attempt?.trace === null) this.#options.pool.handOver(attempt.slot, attempt.id, parts);
  }

  /** No attempt's source makes more records. */
  stopSources(): void {
    for (const { ref, slot, id } of this.#running.values())
      if (ref.phase === "map") this.#options.pool.stop(slot, id);
  }

  /** What the pool tells; see PoolListener. */
  ended(slot: number, id: number, result: TaskResult): void {
    const attempt = this.#running.get(id);
    if (attempt === undefined || attempt.slot !== slot) return;
    this.#running.delete(id);
    if (result.kind === "success") this.#run.finished(attempt.ref, result, { output: result }, localNode);
    else this.#failed(attempt, result);
    this.offer(slot);
  }

  attemptOf(id: number | null): AttemptRef | null {
    return id === null ? null : (this.#running.get(id)?.ref ?? null);
  }

  /** Time has passed: looks how far attempts are, and ends those that stand still. */
  tick(): void {
    const { clock, loop, slots, noProgressMs } = this.#options;
    const nowMs = clock.nowMs();
    for (const attempt of this.#running.values()) {
      const { ref, watch, board } = attempt;
      // Slots without tasks are offered when a map is slow: what is quick ends on the workers it has.
      if (ref.phase === "map" && nowMs - attempt.startedMs >= handOverAfterMs) this.offerUpTo(slots);
      const stillMs = watch.look(board, nowMs);
      this.#run.progress.look(ref, board);
      loop.push({ kind: "attemptProgress", attempt: ref, beat: watch.moves, ...localNode });
      if (stillMs >= noProgressMs) this.#endStill(attempt, stillMs);
    }
    loop.dispatch({ kind: "tick" });
  }

  /** What an attempt is to do, or what one that has ended was to do. */
  specOf(ref: AttemptRef): TaskSpec {
    const known = this.#specs.get(formatAttempt(ref));
    if (known !== undefined) return known;
    const { tasks } = this.#options;
    const common = { index: ref.task, attempt: ref.attempt };
    const directory = this.#directoryOf(ref);
    switch (ref.phase) {
      case "sample":
        return { kind: "sample", split: tasks.sample[ref.task]!, directory, ...common };
      case "map": {
        // What could not be read once is not tried again.
        const kept = ref.attempt === 1 ? this.#options.keptOf(ref.task) : undefined;
        const split = this.#run.made.bounded(ref.task, this.#maps.of(ref.task));
        return { kind: "map", split, directory, ...common, ...(kept !== undefined && { kept }) };
      }
      case "reduce": {
        const place = tasks.reduce[ref.task]!;
        return { kind: "reduce", ...place, inputs: this.#inputsOf(place), directory, ...common };
      }
    }
  }

  /** Results of the attempts of the phase that count, in the order of what they read. */
  results(phase: Phase): TaskSuccess[] {
    const { loop, job } = this.#options;
    return [...viewOutputs(loop.scheduler, job, phase)].map(({ output }) => output);
  }

  /** The map tasks that have finished, with what each has read, in the order of that. */
  mapsDone(): { readonly split: Split; readonly result: TaskSuccess }[] {
    const { loop, job } = this.#options;
    return [...viewOutputs(loop.scheduler, job, "map")].map(({ task, output }) => {
      return { split: this.#maps.of(task), result: output };
    });
  }

  #failed(attempt: LocalAttempt, failure: TaskFailure): void {
    const { ref, spec, trace, board } = attempt;
    const place = trace === null ? null : tracedPlace(board, trace);
    const unreadable = unreadableMap(spec, failure);
    this.#run.failed(ref, { failure, traced: trace !== null, place, unreadable }, localNode);
    this.discard(ref);
  }

  #endStill(attempt: LocalAttempt, stillMs: number): void {
    const { ref, slot, id } = attempt;
    const tail = this.#options.pool.tail(slot);
    const message = `${formatTask(ref)} finished no record for ${Math.round(stillMs)} ms`;
    this.#running.delete(id);
    this.#failed(attempt, endedFailure("NO_PROGRESS", message, ref.phase, tail));
    this.#endWorker(attempt);
  }

  #endWorker({ slot, ref }: LocalAttempt): void {
    const { pool } = this.#options;
    const ended = pool.kill(slot).then(async () => {
      await removeDirectory(this.#directoryOf(ref));
      this.offer(slot);
    });
    this.#later(ended);
  }

  /** Offers the slots below this one that were not offered yet. */
  offerUpTo(slots: number): void {
    // What an offer leads to may offer more.
    while (this.#asks.length < slots) this.offer(this.#asks.length);
  }

  /** The slot has nothing to do. */
  offer(slot: number): void {
    const ask = (this.#asks[slot] ?? 0) + 1;
    this.#asks[slot] = ask;
    this.#options.loop.dispatch({ kind: "workerReady", slot, ask, ...localNode });
  }

  #find(ref: AttemptRef): LocalAttempt | undefined {
    const name = formatAttempt(ref);
    return [...this.#running.values()].find((one) => formatAttempt(one.ref) === name);
  }

  /** The outputs of those maps that emitted anything for the partition. */
  #inputsOf({ collection, partition }: TaskTable["reduce"][number]): MapOutput[] {
    this.#finishedMaps ??= this.results("map");
    return this.#finishedMaps.flatMap(({ output, partitionBytes }) =>
      output === null || partitionBytes[collection]![partition] === 0 ? [] : [output],
    );
  }

  #directoryOf(ref: AttemptRef): string {
    return join(this.#options.workDirectory, formatAttempt(ref));
  }

  #later(work: Promise<void>): void {
    const over = work
      .catch((error: unknown) => this.#options.loop.bug(error))
      .then(() => void this.#cleanups.delete(over));
    this.#cleanups.add(over);
  }
}

/** The map attempt whose output a reduce could not read: it runs again, the reduce loses no attempt. */
function unreadableMap(spec: TaskSpec, { code, path }: TaskFailure): MapOutput | undefined {
  if (spec.kind !== "reduce" || path === null) return undefined;
  if (code !== "BLOCK_CORRUPT" && code !== "INPUT_MISSING") return undefined;
  return spec.inputs.find((input) => input.path === path);
}
