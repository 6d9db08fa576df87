import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { formatSize } from "../base/size.ts";
import type { CommitPlan } from "../engine/commit.ts";
import type { CommandOf } from "../engine/executor.ts";
import type { JobRun } from "../engine/job-run.ts";
import type { HostedRunOptions } from "../engine/options.ts";
import { variablesMissed } from "../engine/surroundings.ts";
import { localNode } from "../runner/local-executor.ts";
import type { FailedElsewhere, LocalExecutor, TaskExecutor } from "../runner/local-executor.ts";
import type { ElsewhereAbout } from "../runner/local-tasks.ts";
import { type AttemptRef, type Phase, formatAttempt, formatTask, isFinal } from "../scheduler/ids.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { Split } from "../task/split.ts";
import type { TaskFailure, TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import { failureOfThrown, noProgressSetting, taskFailure } from "../worker/failure.ts";
import type { HostEnd, HostEngine, HostFailure, HostFiles, HostJob, NoProgress } from "./host-engine.ts";
import {
  addSent,
  checkedSuccess,
  checkReceived,
  damaged,
  movesOf,
  readReports,
  successBelow,
} from "./read-reports.ts";
import { localFiles, sendInputs } from "./send-inputs.ts";
import { stageHome } from "./stage.ts";
import type { StageRequest } from "./stage.ts";

/** A task whose turn has come here, while the engine decides when it is really run. */
interface WaitingTask {
  readonly ref: AttemptRef;
  readonly slot: number;
}

/** Whether the job is still to be given to the engine, runs there, or has ended. */
type Stage =
  | { readonly kind: "waiting" }
  | { readonly kind: "running" }
  | { readonly kind: "done"; readonly files: HostFiles; readonly reports: ReadonlyMap<string, TaskSuccess> }
  | { readonly kind: "failed" };

/**
 * Has an engine run the map and reduce tasks of a job, all of them as one job of its own, and reports their
 * attempts when that is done: the engine schedules, tries again and commits, and what it says is the end.
 * Samples are taken on this machine.
 */
export class HostedExecutor implements TaskExecutor {
  readonly #engine: HostEngine;
  readonly #local: LocalExecutor;
  readonly #about: ElsewhereAbout;
  readonly #print: HostedRunOptions["printCommand"];
  readonly #cancel = new AbortController();
  /** What no other attempt can mend: the engine was told to end the job. null: nothing yet. */
  #final: HostFailure | null = null;
  /** By attempt name, the tasks that wait for the engine. */
  readonly #tasks = new Map<string, WaitingTask>();
  /** Map tasks whose turn has come. */
  #maps = 0;
  #stage: Stage = { kind: "waiting" };
  #files: HostFiles | null = null;
  failedElsewhere: FailedElsewhere | null = null;
  #run!: JobRun<TaskSuccess>;
  #work: Promise<void> = Promise.resolve();

  constructor(
    engine: HostEngine,
    local: LocalExecutor,
    about: ElsewhereAbout,
    print: HostedRunOptions["printCommand"],
  ) {
    this.#print = print;
    this.#engine = engine;
    this.#local = local;
    this.#about = about;
  }

  get listener(): LocalExecutor["listener"] {
    return this.#local.listener;
  }

  begin(run: JobRun<TaskSuccess>): void {
    this.#run = run;
    this.#local.begin(run);
  }

  async settled(): Promise<void> {
    await this.#work;
    await this.#local.settled();
    await this.#files?.remove();
  }

  start(order: CommandOf<"startAttempt">): void {
    const { attempt: ref, slot } = order;
    if (ref.phase === "sample") return this.#local.start(order);
    this.#tasks.set(formatAttempt(ref), { ref, slot });
    if (ref.phase === "map") this.#maps++;
    const { slots, tasks } = this.#about.options;
    // The engine has room for all of them, or sees to it that they wait.
    this.#local.offerUpTo(slots);
    if (this.#stage.kind === "done") return queueMicrotask(() => this.#report());
    if (this.#stage.kind === "waiting" && this.#maps === tasks.map.length) this.#begin();
  }

  kill(order: CommandOf<"killAttempt">): void {
    const { attempt: ref } = order;
    if (ref.phase === "sample") return this.#local.kill(order);
    if (!this.#tasks.delete(formatAttempt(ref))) return;
    if (this.#stage.kind === "running") this.#cancel.abort();
  }

  discard(ref: AttemptRef): void {
    this.#local.discard(ref);
  }

  tick(): void {
    this.#local.tick();
  }

  stopSources(): void {
    this.#local.stopSources();
  }

  ended(slot: number, id: number, result: TaskResult): void {
    this.#local.ended(slot, id, result);
  }

  attemptOf(id: number | null): AttemptRef | null {
    return this.#local.attemptOf(id);
  }

  specOf(ref: AttemptRef): TaskSpec {
    return this.#local.specOf(ref);
  }

  results(phase: Phase): TaskSuccess[] {
    return this.#local.results(phase);
  }

  mapsDone(): ReturnType<LocalExecutor["mapsDone"]> {
    return this.#local.mapsDone();
  }

  async placing(): Promise<CommitPlan["place"] | null> {
    const { output, overwrite } = this.#about.resolved;
    // A job that has neither map nor reduce tasks was not given to the engine; its output is made there, too.
    if (this.#stage.kind === "waiting") await this.#give();
    const stage = this.#stage;
    if (stage.kind !== "done" || output === null || !stage.files.canPlace(output)) return null;
    const directories = this.#about.loaded.collections.filter((name) => name !== "");
    return async (files, success) => {
      const moves = files.map(({ source, name, bytes = -1 }) => ({ from: source, to: name, bytes }));
      await stage.files.place(moves, success, { output, overwrite, directories });
    };
  }

  #begin(): void {
    this.#work = this.#give().catch((error: unknown) => this.#failed(ofNoTask(failureOf(error))));
  }

  /** Gives the job to the engine, and waits until it has ended there. */
  async #give(): Promise<void> {
    this.#stage = { kind: "running" };
    const job = await this.#stageJob();
    if (this.#print !== undefined) return this.#printed(await this.#engine.print(job));
    const end = await this.#engine.run(job, this.#hears(), this.#cancel.signal);
    await this.#take(end);
    this.#report();
  }

  /** Nothing is run: the job ends here. */
  #printed(words: readonly string[]): void {
    this.#print!(words);
    this.#stage = { kind: "failed" };
    const { options, loaded } = this.#about;
    options.loop.dispatch({ kind: "jobCancelled", job: loaded.jobId, reason: "its command was printed" });
  }

  async #stageJob(): Promise<HostJob> {
    const { loaded, planned, resolved, options, settings, events } = this.#about;
    const missed = variablesMissed(readFileSync(loaded.bundle!.portablePath, "utf8"), this.#engine.name);
    if (missed !== null) events.emit({ kind: "warning", message: missed });
    return stageJob(this.#engine, {
      jobId: loaded.jobId,
      name: loaded.name,
      bundle: loaded.bundle!.path,
      directory: join(planned.work.attempts, "hosted"),
      settings: settings(),
      tasks: { ...options.tasks, map: await this.#reachable() },
      output: resolved.output,
      attempts: resolved.attempts,
      heapBytes: resolved.heapBytes,
      memoryBytes: resolved.memoryBytes,
      noProgress: this.#noProgress(resolved.noProgressMs),
    });
  }

  /** The shorter one of the run's limit and the engine's. */
  #noProgress(ms: number): NoProgress {
    const ofEngine = this.#engine.noProgress ?? null;
    return ofEngine !== null && ofEngine.ms < ms ? ofEngine : { ms, setting: noProgressSetting };
  }

  /** The splits as tasks can read them. */
  async #reachable(): Promise<readonly Split[]> {
    const { loaded, options, events, signal } = this.#about;
    const { map } = options.tasks;
    const address = this.#engine.isLocal ? null : (this.#engine.inputPlace?.(loaded.jobId) ?? null);
    const files = address === null ? [] : localFiles(map);
    if (address === null || files.length === 0) return map;
    const bytes = formatSize(files.reduce((sum, { fileBytes }) => sum + fileBytes, 0));
    const message = `input of this machine (${bytes}) is copied to ${address}, where tasks can read it`;
    events.emit({ kind: "warning", message });
    const step = (): void => signal?.throwIfAborted();
    return sendInputs(map, { address, job: loaded.jobId, step });
  }

  #hears(): Parameters<HostEngine["run"]>[1] {
    const { events } = this.#about;
    const warn = (message: string): void => events.emit({ kind: "warning", message });
    return {
      progress: (phase, share) => this.#progress(phase, share),
      attemptFailed: (told) => {
        const { task, failure } = told;
        if (this.#final !== null) return;
        if (!isFinal(failure))
          return warn(`${task ?? "a task"} failed and is tried again: ${failure.message}`);
        this.#final = told;
        this.#cancel.abort();
      },
      tracking: (id, url) => events.emit({ kind: "hosted", engine: this.#engine.name, id, url }),
      placed: ({ local, rack, other }) => {
        // Of inputs that are nowhere near anything it says nothing.
        if (!this.#about.options.tasks.map.some(({ hosts = [] }) => hosts.length > 0)) return;
        events.emit({ kind: "maps-placed", maps: local + rack + other, local, rack });
      },
      log: (text) => events.emit({ kind: "log", task: "", attempt: 0, stream: "stderr", text }),
      warn,
    };
  }

  /** Maps are reported when all is done, but it is known when the reduces begin. */
  #progress(phase: "map" | "reduce", share: number): void {
    const { phases, options } = this.#about;
    this.#run.progress.tellShare(phase, share);
    const reduces = options.tasks.reduce.length;
    if (phase !== "map" || share < 1 || reduces === 0) return;
    this.#run.tellProgress(options.pool.running);
    phases.enter("reduce", reduces);
  }

  async #take(end: HostEnd): Promise<void> {
    switch (end.kind) {
      case "done":
        this.#files = end.files;
        this.#stage = { kind: "done", files: end.files, reports: await this.#reports(end.files) };
        return;
      case "failed":
        return this.#failed(end);
      case "cancelled":
        if (this.#final !== null) return this.#failed(this.#final);
        this.#stage = { kind: "failed" };
        if (this.#cancel.signal.aborted) return;
        this.#failed(ofNoTask(stopped(this.#engine.name)));
    }
  }

  /** Tells of the tasks that are done, as far as their turn has come. */
  #report(): void {
    const stage = this.#stage;
    if (stage.kind !== "done") return;
    for (const [name, { ref, slot }] of this.#tasks) {
      // There is one of each task, or the job would have failed.
      const success = stage.reports.get(formatTask(ref))!;
      this.#tasks.delete(name);
      this.#run.finished(ref, success, { output: success }, localNode);
      this.#local.offer(slot);
    }
  }

  #failed({ task, attempt, failure }: HostFailure): void {
    this.#stage = { kind: "failed" };
    if (task !== null && this.#isTask(task)) this.failedElsewhere = { task, attempt };
    const found = [...this.#tasks.values()].find(({ ref }) => formatTask(ref) === task);
    if (found === undefined) {
      // It was no task; or a reduce, whose turn has not come here, since its maps were not reported.
      this.#tasks.clear();
      this.#run.fail(failure);
    } else {
      this.#tasks.delete(formatAttempt(found.ref));
      this.#run.failed(found.ref, { failure, traced: false, place: null }, localNode);
    }
    this.#about.options.loop.settleQuietly();
  }

  #isTask(name: string): boolean {
    const [, phase = "", index = ""] = /^(map|reduce)-(\d{5,})$/.exec(name) ?? [];
    return Number(index) < (this.#about.options.tasks[phase as "map" | "reduce"]?.length ?? 0);
  }

  /** By task, what the tasks have reported, with where their files are. @throws SheafError MESSAGE_INVALID */
  async #reports(files: HostFiles): Promise<Map<string, TaskSuccess>> {
    const { tasks } = this.#about.options;
    const { name } = this.#engine;
    const found = await readReports(join(files.reports, "reports"));
    const job = this.#about.loaded.jobId;
    const successes = new Map<string, TaskSuccess>();
    const sums = tasks.reduce.map(() => ({ maps: 0, bytes: 0 }));
    const base = files.local ?? (await this.#fetchPlace(files));
    for (const phase of ["map", "reduce"] as const) {
      for (let task = 0; task < tasks[phase].length; task++) {
        const ref: AttemptRef = { job, phase, task, attempt: 1 };
        const report = found.get(formatTask(ref));
        if (report === undefined) throw damaged(`${name} has no report of ${formatTask(ref)}`);
        if (phase === "map") addSent(sums, report);
        else checkReceived(report, sums[task]!);
        const success = checkedSuccess(this.specOf(ref), report);
        successes.set(report.task, base === null ? success : successBelow(base, success));
      }
    }
    if (files.local === null && base !== null) {
      const moves = [...successes.values()].flatMap((success) => movesOf(success, base));
      for (const directory of new Set(moves.map(({ to }) => dirname(to))))
        await mkdir(directory, { recursive: true });
      await files.fetch(moves);
    }
    return successes;
  }

  /** Where files of an engine's file system are copied to; null: they stay there. */
  async #fetchPlace(files: HostFiles): Promise<string | null> {
    const { planned, resolved } = this.#about;
    const { output, collect } = resolved;
    if (output !== null && !collect && files.canPlace(output)) return null;
    const directory = join(planned.work.attempts, "fetched");
    await mkdir(directory);
    return directory;
  }
}

export interface JobToStage
  extends
    Pick<HostJob, "jobId" | "name" | "output" | "attempts" | "heapBytes" | "memoryBytes">,
    Pick<StageRequest, "bundle" | "settings" | "tasks" | "noProgress"> {
  /** Is made. */
  readonly directory: string;
}

/** Puts together what an engine needs of a job. */
export async function stageJob(engine: HostEngine, request: JobToStage): Promise<HostJob> {
  const { bundle, directory, settings, tasks, noProgress, ...about } = request;
  const [home, scratch] = [join(directory, "home"), join(directory, "scratch")];
  try {
    for (const one of [home, scratch]) await mkdir(one, { recursive: true });
  } catch (error) {
    throw asSheafError(error, { path: directory, doing: "create" });
  }
  const { nodeBin, isLocal, inputForm, hadoopConf } = engine;
  const { heapBytes } = about;
  const place = {
    home,
    bundle,
    settings,
    tasks,
    heapBytes,
    ...(noProgress !== undefined && { noProgress }),
  };
  const staged = await stageHome({ ...place, nodeBin, isLocal, inputForm, hadoopConf });
  return { ...about, home, scratch, ...staged };
}

function ofNoTask(failure: TaskFailure): HostFailure {
  return { task: null, attempt: 0, failure };
}

function stopped(engine: string): TaskFailure {
  const message = `the job was stopped on ${engine}, by somebody else`;
  const hint = "Run it again, or ask who administers the cluster; the engine's page of the job says more.";
  return taskFailure("WORKER_LOST", message, { phase: "map", blame: "system", hint });
}

function failureOf(error: unknown): TaskFailure {
  const known = isSheafError(error) ? error : new SheafError("INTERNAL", String(error), { cause: error });
  return failureOfThrown(known, "map", known.code, "system");
}
