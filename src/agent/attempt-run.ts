import { basename, join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { unlessAborted } from "../base/retry.ts";
import type { ToldStates } from "../engine/live.ts";
import type { ReduceInputs } from "../exchange/fetch-reduce.ts";
import type { ShuffleNode } from "../exchange/shuffle-node.ts";
import type { Running } from "../protocol/agent-messages.ts";
import type { TaskOrder, TaskReport } from "../protocol/task-messages.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import { type AttemptRef, formatAttempt, formatTask } from "../scheduler/ids.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { runDigest } from "../shuffle/run-fingerprint.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { isStored } from "../storage/stores.ts";
import type { Split } from "../task/split.ts";
import { PROGRESS_BYTES, PROGRESS_CELLS } from "../task/task-spec.ts";
import type { ReduceTaskSpec, TaskFailure, TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import { AttemptWatch } from "../worker/attempt-watch.ts";
import { endedFailure, failureOfThrown, taskFailure } from "../worker/failure.ts";
import type { InjectedFault } from "../worker/fault-injection.ts";
import { tracedPlace } from "../worker/trace.ts";
import type { LifeWorld } from "./agent-options.ts";
import { type AttemptPlaces, emptied, makePlaces } from "./attempt-places.ts";
import {
  type Sent,
  cancelled,
  failedReport,
  finished,
  running,
  toldOf,
  unreadable,
  damagedFile,
  damagedInput,
  stageResults,
  uploadResults,
} from "./attempt-report.ts";
import { keepSlices, mayBeLast } from "./keep-slices.ts";
import { noteDone, noteStaged } from "./kept-maps.ts";
import type { NodeJob, NodeJobs } from "./node-jobs.ts";
import { memoryCap, overCap, residentBytes } from "./worker-processes.ts";
import type { WorkerSlots } from "./worker-processes.ts";

/** What an attempt needs of the life it runs in. */
export interface AttemptSetting {
  readonly world: LifeWorld;
  readonly jobs: NodeJobs;
  readonly shuffle: ShuffleNode;
  readonly slots: WorkerSlots;
  /** As in AgentOptions. */
  readonly workerMemoryBytes: number | null;
}

const noBoard = new Float64Array(PROGRESS_BYTES / 8);

/** An attempt with the job it belongs to, while a worker has it. */
interface InWorker {
  readonly job: NodeJob;
  readonly ended: (result: TaskResult | null) => void;
  /** Its worker is being ended. */
  isEnding: boolean;
}

/**
 * One attempt on this machine, from the order to what is to be reported: prepares the job, fetches what a
 * reduce needs, has a worker run it, sends its results. Every way it can end makes one report.
 */
export class AttemptRun {
  readonly ref: AttemptRef;
  readonly slot: number;
  /** Names it in its pool: unique in the agent's process. */
  readonly id: number;
  /** Resolves when nothing of it runs any more. */
  over: Promise<void> = Promise.resolve();
  readonly #order: TaskOrder;
  readonly #setting: AttemptSetting;
  readonly #abort = new AbortController();
  readonly #watch: AttemptWatch;
  #board: Readonly<Float64Array> = noBoard;
  #inWorker: InWorker | null = null;
  #place: ReturnType<typeof tracedPlace> | undefined;
  /** Those it writes to, that on this machine first. */
  readonly #directories: string[] = [];
  /** What its map has told last; whether that is being sent. */
  #told: ToldStates | null = null;
  #telling = false;
  #isStopped = false;

  constructor(order: TaskOrder, slot: number, id: number, setting: AttemptSetting) {
    this.ref = order.attempt;
    this.slot = slot;
    this.id = id;
    this.#order = order;
    this.#setting = setting;
    this.#watch = new AttemptWatch(setting.world.clock.nowMs());
  }

  /** Runs it to its end, whatever that is. Never rejects. */
  run(): Promise<TaskReport> {
    const running = this.#reportOf();
    this.over = running.then(() => undefined);
    return running;
  }

  async #reportOf(): Promise<TaskReport> {
    let report: TaskReport;
    try {
      report = await this.#run();
    } catch (error) {
      report = this.#reportThrown(error);
    }
    if (report.status === TASK_STATUS.CANCELLED && this.ref.phase === "reduce") {
      this.#setting.shuffle.reduceEnded(this.ref.job, this.ref.task);
    }
    if (report.result?.kind !== "success") await this.remove();
    // Of a map that emitted, its output stays here; of others what counts lies elsewhere.
    else if (report.result.output?.path == null)
      for (const local of this.#directories.slice(0, 1)) await removeDirectory(local);
    return report;
  }

  /** Ends it, whatever it is doing: its report then says it was told to. */
  cancel(reason: string): void {
    this.#abort.abort(new SheafError("CANCELLED", reason));
    this.#endWorker(null);
  }

  /** What the pool heard of it. */
  ended(result: TaskResult): void {
    this.#inWorker?.ended(result);
  }

  /** What its map has aggregated so far: the latest goes to the coordinator when it has answered the last. */
  told(told: ToldStates): void {
    this.#told = told;
    if (this.#telling) return;
    this.#telling = true;
    this.#tell()
      .catch(() => undefined)
      .finally(() => (this.#telling = false));
  }

  /** What was told before is not known any more. */
  tellAgain(): void {
    if (this.#told !== null) this.told(this.#told);
  }

  /** Its source makes no more records. */
  stop(): void {
    this.#isStopped = true;
    this.#inWorker?.job.pool.stop(this.slot, this.id);
  }

  /** Never rejects: what is lost is told again, with more. */
  async #tell(): Promise<void> {
    const { api, agent, incarnation, signal } = this.#setting.world;
    const slot = { agent, incarnation, slot: this.slot, ask: 1, workerPid: process.pid };
    const call = { signal: AbortSignal.any([signal, this.#abort.signal]), retryMs: 0 };
    for (let told = this.#told; told !== null && this.#inWorker !== null;) {
      const report = running(this.ref, toldOf(told));
      await api.report(this.ref.job, "mapper", this.ref.task, report, slot, call).catch(() => undefined);
      told = this.#told === told ? null : this.#told;
    }
  }

  /** Removes what it wrote. */
  async remove(): Promise<void> {
    for (const directory of this.#directories) await removeDirectory(directory);
  }

  /** Looks at how far it is, and ends it when it stands still or has too much memory. */
  look(): void {
    const stillMs = this.#watch.look(this.#board, this.#setting.world.clock.nowMs());
    if (this.#inWorker === null || this.#inWorker.isEnding) return;
    const { job } = this.#inWorker;
    const tail = job.pool.tail(this.slot);
    if (stillMs >= job.preparation.noProgressMs) {
      const message = `${formatTask(this.ref)} finished no record for ${Math.round(stillMs)} ms`;
      this.#endWorker(endedFailure("NO_PROGRESS", message, this.ref.phase, tail));
      return;
    }
    const pid = job.pool.pid(this.slot);
    const bytes = pid === undefined ? null : residentBytes(pid);
    const cap = this.#cap(job);
    if (bytes !== null && bytes > cap.bytes) this.#endWorker(overCap(bytes, cap, this.ref.phase, tail));
  }

  /** For the heartbeat. */
  view(): Running {
    // Whoever writes to it may write anything.
    const cell = (at: number): number =>
      this.#board[at]! >= 0 ? Math.min(this.#board[at]!, Number.MAX_SAFE_INTEGER) : 0;
    return {
      attempt: this.ref,
      beat: this.#watch.moves,
      recordsIn: cell(PROGRESS_CELLS.recordsIn),
      bytesIn: cell(PROGRESS_CELLS.bytesIn),
      recordsOut: cell(PROGRESS_CELLS.recordsOut),
      spillBytes: cell(PROGRESS_CELLS.spillBytes),
      fraction: cell(PROGRESS_CELLS.fraction),
    };
  }

  async #run(): Promise<TaskReport> {
    const { ref } = this;
    const preparing = this.#setting.jobs.prepare(ref.job, this.#order.settings);
    const job = await unlessAborted(preparing, this.#abort.signal);
    const places = await makePlaces(job, ref, this.#setting.world.roots, this.#directories);
    for (let again = false; ; again = true) {
      const spec = await this.#specOf(job, places);
      if (spec.kind === "unreadable") return this.#inputsMissing(spec);
      const result = await this.#inSlot(job, spec);
      if (result.kind === "success") return this.#succeeded(job, result, places);
      const path = damagedFile(spec, result);
      if (path === null) {
        if (spec.kind === "reduce" && mayBeLast(ref, result, job.preparation)) await this.#keep(spec);
        return failedReport(ref, result, this.#place);
      }
      const anew = this.#setting.shuffle.damaged(ref.job, path);
      if (!anew || again) return this.#inputDamaged(spec, result);
      for (const directory of this.#directories) await emptied(directory);
    }
  }

  async #specOf(
    node: NodeJob,
    places: AttemptPlaces,
  ): Promise<TaskSpec | Extract<ReduceInputs, { kind: "unreadable" }>> {
    const { work } = this.#order;
    const { task: index, attempt, job } = this.ref;
    if (work.kind !== "reduce") await checkPieces(work.split, this.#setting.world.roots);
    const common = { index, attempt, ...places };
    switch (work.kind) {
      case "sample":
        return { kind: "sample", split: work.split, index, attempt, directory: places.directory };
      case "map": {
        const { jobs, world } = this.#setting;
        const { signal } = this.#abort;
        const step = (): void => {
          signal.throwIfAborted();
          this.#watch.moved(world.clock.nowMs());
        };
        const at = { roots: world.roots, copies: join(places.directory, "kept"), step };
        const kept = await jobs.kept.of(node, work.split, at);
        return { kind: "map", split: work.split, ...common, ...(kept !== undefined && { kept }) };
      }
      case "reduce": {
        const { collection, partition, outputs: version } = work;
        const moved = (): void => this.#watch.moved(this.#setting.world.clock.nowMs());
        const { signal } = this.#abort;
        const question = { job, task: index, collection, partition, version, signal, moved };
        const answer = await this.#setting.shuffle.inputs(question);
        signal.throwIfAborted();
        if (answer.kind === "unreadable") return answer;
        return { kind: "reduce", collection, partition, inputs: answer.inputs, ...common };
      }
    }
  }

  async #inSlot(job: NodeJob, spec: TaskSpec): Promise<TaskResult> {
    await this.#setting.slots.take(this.slot, job.pool);
    this.#abort.signal.throwIfAborted();
    const { work } = this.#order;
    const trace = work.kind === "map" && work.skip !== null ? { id: this.id, skip: work.skip } : null;
    const { clock } = this.#setting.world;
    this.#watch.runs(trace, clock.nowMs());
    let result: TaskResult | null;
    try {
      result = await new Promise<TaskResult | null>((ended) => {
        this.#inWorker = { job, ended, isEnding: false };
        const faults = job.preparation.faults as InjectedFault[];
        const { chaos = null } = job.preparation;
        this.#board = job.pool.run(this.slot, this.id, spec, { trace, faults, chaos });
        if (this.#isStopped) job.pool.stop(this.slot, this.id);
      });
    } finally {
      this.#inWorker = null;
    }
    this.#place = trace === null ? undefined : tracedPlace(this.#board, trace);
    this.#watch.rests(clock.nowMs());
    this.#abort.signal.throwIfAborted();
    return result ?? taskFailure("INTERNAL", "the attempt ended without a result", { blame: "system" });
  }

  /** Ends the worker first, so that nothing is written any more when the attempt is over. */
  #endWorker(failure: TaskFailure | null): void {
    const inWorker = this.#inWorker;
    if (inWorker === null || inWorker.isEnding) return;
    inWorker.isEnding = true;
    const ended = (): void => inWorker.ended(failure);
    inWorker.job.pool.kill(this.slot).then(ended, ended);
  }

  /**
   * What a later run may take over stays beside the output; only its place is told.
   * @param address of an output in a storage, to which the files of the result have gone
   */
  async #noted(
    result: Sent,
    keep: TaskSuccess["keep"],
    {
      address,
      outputDirectory,
    }: { readonly address: string | null } & Pick<AttemptPlaces, "outputDirectory">,
  ): Promise<Sent> {
    const { ref } = this;
    const { work } = this.#order;
    if (keep === undefined || outputDirectory === undefined || work.kind !== "map") return result;
    const all = { ...result, keep };
    if (address === null) {
      await noteDone(outputDirectory, work.split, all);
      return { ...result, unit: basename(outputDirectory) };
    }
    const place = { output: address, job: ref.job, unit: formatAttempt(ref) };
    const unit = await noteStaged(place, work.split, all, () => this.#abort.signal.throwIfAborted());
    await removeDirectory(outputDirectory);
    return { ...result, unit };
  }

  async #succeeded(job: NodeJob, made: TaskSuccess, places: AttemptPlaces): Promise<TaskReport> {
    const { ref } = this;
    const { keep, ...result } = made;
    const { shuffle, world } = this.#setting;
    const { signal } = this.#abort;
    if (ref.phase === "reduce") shuffle.reduceEnded(ref.job, ref.task);
    const { output } = job.preparation;
    const isAddress = output.kind === "shared" && isStored(output.path);
    const address = isAddress ? await insideRoots(output.path, world.roots) : null;
    const uploaded =
      output.kind === "collect"
        ? await uploadResults(world, ref, result, signal)
        : address !== null
          ? await stageResults(address, ref, result, signal)
          : result;
    signal.throwIfAborted();
    const sent = await this.#noted(uploaded, keep, { address, ...places });
    signal.throwIfAborted();
    if (ref.phase !== "map" || result.output === null) return this.#finished(sent, null);
    const { path } = result.output;
    const digest = path === null ? null : runDigest(path);
    signal.throwIfAborted();
    shuffle.add(ref.job, result.output);
    return this.#finished(sent, digest);
  }

  #finished(result: Sent, digest: ReturnType<typeof runDigest> | null): TaskReport {
    const report = finished(this.ref, result, digest);
    return this.#told === null ? report : { ...report, told: toldOf(this.#told) };
  }

  /** That what it has read cannot be kept is no failure of its own. */
  async #keep(spec: ReduceTaskSpec): Promise<void> {
    const { signal } = this.#abort;
    await keepSlices(this.#setting.world, this.ref, spec, signal).catch(() => signal.throwIfAborted());
  }

  #inputsMissing({ task, attempt, message }: Extract<ReduceInputs, { kind: "unreadable" }>): TaskReport {
    const { phase } = this.ref;
    const failure = taskFailure("BLOCK_CORRUPT", message, { phase, blame: "system" });
    return unreadable(this.ref, { task, attempt }, failure);
  }

  /** Whose map is to be made again is told by where the file is damaged; else the attempt goes elsewhere. */
  #inputDamaged(spec: TaskSpec, result: TaskFailure): TaskReport {
    const map = damagedInput(spec, result);
    return map === null
      ? failedReport(this.ref, { ...result, blame: "system" })
      : unreadable(this.ref, map, result);
  }

  #reportThrown(error: unknown): TaskReport {
    const { signal } = this.#abort;
    if (signal.aborted) {
      const { message } = signal.reason as SheafError;
      return cancelled(this.ref, message);
    }
    // The job is over: nobody waits for this.
    if (isSheafError(error) && error.code === "NOT_FOUND") return cancelled(this.ref, error.message);
    return failedReport(this.ref, failureOfThrown(error, this.ref.phase, "INTERNAL", "system"));
  }

  #cap(job: NodeJob) {
    const memoryBytes = Number(job.preparation.settings["memoryBytes"] ?? 0);
    return memoryCap(memoryBytes, job.heapBytes, this.#setting.workerMemoryBytes);
  }
}

/** Another machine may have planned the job, with other roots. @throws SheafError FORBIDDEN */
async function checkPieces(split: Split, roots: readonly string[]): Promise<void> {
  for (const piece of split.pieces) {
    if (piece.kind !== "file" || (piece.version === undefined && roots.includes("/"))) continue;
    await insideRoots(piece.path, roots);
  }
}
