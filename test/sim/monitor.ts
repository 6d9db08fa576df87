import { type AttemptRef, formatTask } from "#src/scheduler/ids.js";
import type { Command, SchedulerEvent } from "#src/scheduler/messages.js";
import type { JobState, Task } from "#src/scheduler/state.js";
import { PREEMPTED, timesPreempted } from "#src/scheduler/time.js";
import type { FinishedOutput } from "#src/scheduler/view.js";
import { AdmissionWatch } from "./admission-watch.js";
import { keyOf } from "./attempt-key.js";
import { auditState, auditWorkConserved } from "./audit.js";
import { FailureWatch } from "./failure-watch.js";
import { demand } from "./violation.js";
import type { World } from "./world.js";

type CommandOf<K extends Command["kind"]> = Extract<Command, { kind: K }>;

/**
 * Watches every step from outside, with a memory of its own, and throws a Violation at the first wrong one.
 */
export class Monitor {
  readonly #world: World;
  readonly ended = new Map<string, CommandOf<"jobEnded">>();
  readonly submitted = new Set<string>();
  /** What became of jobs that have ended: their coordinator may know them no more. */
  readonly jobs = new Map<string, JobState>();
  /** Jobs whose commit went through. */
  readonly commits = new Set<string>();
  /** Jobs whose cancellation was heard while they had not begun to commit. */
  readonly cancelledEarly = new Set<string>();
  readonly cancelHeard = new Set<string>();
  /** Attempts that made their output final in the world. */
  readonly #published = new Set<string>();
  /** Attempts that really failed by user code or data. */
  readonly guilty = new Set<string>();
  /** For reduce attempts: what they read. */
  readonly inputs = new Map<string, readonly FinishedOutput[]>();
  /** What each question of a slot was answered with. */
  readonly #answers = new Map<string, string>();
  readonly #granted = new Map<string, AttemptRef[]>();
  /** The attempt that had the right to commit when the report of an attempt of its task came. */
  #holder: AttemptRef | undefined;
  readonly #barred = new Set<string>();
  readonly #admission: AdmissionWatch;
  readonly #failures: FailureWatch;
  readonly #commitOrdered = new Set<string>();
  readonly #samplesReady = new Set<string>();
  attempts = 0;
  commands = 0;

  constructor(world: World) {
    this.#world = world;
    this.#admission = new AdmissionWatch(world);
    this.#failures = new FailureWatch(world);
  }

  before(event: SchedulerEvent): void {
    this.#failures.before(event);
    if (event.kind === "jobSubmitted") this.submitted.add(event.job.id);
    this.#holder = event.kind === "attemptFinished" ? this.#commitHolder(event.attempt) : undefined;
    if (event.kind !== "jobCancelled") return;
    const status = this.#world.scheduler.state.jobs.get(event.job)?.status.kind;
    if (status !== undefined) this.cancelHeard.add(event.job);
    if (status === "RUNNING") this.cancelledEarly.add(event.job);
  }

  after(event: SchedulerEvent, commands: readonly Command[]): void {
    this.commands += commands.length;
    this.#admission.note(event);
    this.#failures.after(event);
    for (const command of commands) this.#check(command);
    if (event.kind === "attemptFinished" && this.#holder !== undefined)
      this.#checkFinish(event.attempt, this.#holder);
    const { steps, plan, scheduler, coordinator, queue } = this.#world;
    const small = plan.size === "small";
    if (steps % (small ? 40 : 20_000) === 0) auditState(scheduler.state);
    if (event.kind === "tick" ? steps % 64 === 0 : small && steps % 4 === 0)
      auditWorkConserved(scheduler.state);
    if (small && steps % 500 === 0) coordinator.audit(queue.nowMs);
  }

  published(attempt: AttemptRef, granted: boolean): void {
    if (this.#world.asksToCommit(attempt))
      demand(granted, () => `${keyOf(attempt)} was published without a grant`);
    this.#published.add(keyOf(attempt));
  }

  isPublished(attempt: AttemptRef): boolean {
    return this.#published.has(keyOf(attempt));
  }

  consumed(attempt: AttemptRef, inputs: readonly FinishedOutput[]): void {
    this.inputs.set(keyOf(attempt), inputs);
  }

  committed(job: string): void {
    demand(!this.commits.has(job), () => `${job} was committed twice`);
    this.commits.add(job);
  }

  /** What a new life of the coordinator begins with. */
  restored(commands: readonly Command[]): void {
    for (const command of commands) {
      const jobs = command.kind === "commitJob" ? this.#commitOrdered : this.#samplesReady;
      const again = (command.kind === "commitJob" || command.kind === "sampleReady") && jobs.has(command.job);
      demand(again, () => `after the restart for the first time: ${JSON.stringify(command)}`);
    }
  }

  #check(command: Command): void {
    switch (command.kind) {
      case "startAttempt":
        return this.#checkStart(command);
      case "grantCommit":
        return this.#checkGrant(command.attempt);
      case "discardOutput": {
        const state = this.#task(command.attempt)?.state;
        const kept = state?.kind === "FINISHED" && state.attempt === command.attempt.attempt;
        demand(!kept, () => `the committed output of ${keyOf(command.attempt)} was discarded`);
        return;
      }
      case "nodeBarred":
        this.#barred.add(`${command.job} ${command.node}`);
        return;
      case "nodeAdmitted":
        this.#barred.delete(`${command.job} ${command.node}`);
        return;
      case "sampleReady":
        demand(!this.#samplesReady.has(command.job), () => `${command.job}: samples were announced twice`);
        this.#samplesReady.add(command.job);
        return;
      case "commitJob":
        demand(!this.#commitOrdered.has(command.job), () => `${command.job}: commit was ordered twice`);
        this.#commitOrdered.add(command.job);
        return;
      case "jobEnded":
        demand(!this.ended.has(command.job), () => `${command.job} ended twice`);
        this.ended.set(command.job, command);
        this.jobs.set(command.job, this.#world.scheduler.state.jobs.get(command.job)!);
        return;
      case "killAttempt":
        if (command.reason.startsWith(PREEMPTED)) this.#checkPreempted(command);
        return;
      case "askAnew":
      case "denyCommit":
      case "fenceNode":
      case "inviteNode":
      case "nodeDrained":
      case "handOver":
        return;
    }
  }

  /** Ended for another job, which is more important and can use the slot; and not always the same task. */
  #checkPreempted({ attempt, node, reason }: CommandOf<"killAttempt">): void {
    const { jobs } = this.#world.scheduler.state;
    const key = keyOf(attempt);
    const taker = jobs.get(reason.slice(reason.lastIndexOf(" ") + 1))!;
    const task = this.#task(attempt)!;
    const { job } = task;
    demand(taker.weight > job.weight, () => `${key} was ended for ${taker.id}, which is not more important`);
    demand(taker.ready > 0 && taker.grants.has(node), () => `${key} was ended for ${taker.id} in vain`);
    const times = timesPreempted(task);
    demand(times <= job.policy.preemptionsMax, () => `${key} was the ${times}th ended for other jobs`);
    this.#admission.checkPreempted(attempt.job, node, key);
    this.#world.log.count("attempt ended for another job");
  }

  #checkStart(command: CommandOf<"startAttempt">): void {
    const { attempt, node, incarnation, slot, ask, backup } = command;
    const { scheduler, nodes } = this.#world;
    const key = keyOf(attempt);
    demand(!this.ended.has(attempt.job), () => `${key} started after its job had ended`);
    const question = `${node}.${incarnation} slot ${slot} ask ${ask}`;
    const answer = this.#answers.get(question);
    if (answer === key) return;
    demand(answer === undefined, () => `${question} was answered with ${answer}, now with ${key}`);
    this.#answers.set(question, key);
    this.attempts++;
    demand(
      slot < nodes.get(node)!.plan.slots,
      () => `${key} started in slot ${slot} of ${node}, which it has not`,
    );
    demand(!this.#barred.has(`${attempt.job} ${node}`), () => `${key} started on ${node}, which is barred`);
    const alive = scheduler.state.nodes.get(node)?.incarnation === incarnation;
    demand(alive, () => `${key} started on ${node}.${incarnation}, which is not alive`);
    const task = this.#task(attempt)!;
    const { pinned } = task;
    this.#admission.checkStart(task, node, key);
    demand(
      pinned.length === 0 || pinned.includes(node),
      () => `${key} started on ${node}, pinned to ${pinned}`,
    );
    demand(
      attempt.attempt === task.attempts.length,
      () => `${key} is not the last of ${task.attempts.length}`,
    );
    this.#checkPhase(task, key);
    const others = task.attempts.filter(
      (a) => a.state.kind === "RUNNING" && a.ref.attempt !== attempt.attempt,
    );
    demand(
      others.length === (backup ? 1 : 0),
      () => `${key} (backup: ${backup}) started beside ${others.length}`,
    );
    if (backup) this.#checkBackup(task, key, others[0]!.startedMs);
  }

  #checkPhase(task: Task, key: string): void {
    const { sample, map, reduce } = task.job.phases;
    const before = task.phase === reduce ? map : task.phase === map ? sample : undefined;
    const open = before?.tasks.every((t) => t.state.kind === "FINISHED" || t.state.kind === "FAILED") ?? true;
    if (this.#world.plan.size === "small")
      demand(open, () => `${key} started before ${before!.name} was done`);
    const announced = task.phase !== map || sample.tasks.length === 0 || this.#samplesReady.has(task.job.id);
    demand(announced, () => `${key} started before sampleReady`);
  }

  /** The rule again, from the history and in the simplest way. */
  #checkBackup(task: Task, key: string, startedMs: number): void {
    const { policy, phases } = task.job;
    const phase = phases[task.phase.name];
    demand(policy.speculation, () => `${key} is a backup although there should be none`);
    const done = phase.tasks.filter((t) => t.state.kind === "FINISHED").length;
    demand(done >= 0.75 * phase.tasks.length, () => `${key} is a backup with only ${done} tasks done`);
    let backups = 0;
    const durations: number[] = [];
    for (const { attempts } of phase.tasks) {
      for (const { state, startedMs: begunMs, backup } of attempts) {
        if (backup) backups++;
        if (state.kind === "SUCCEEDED") durations.push(state.endedMs - begunMs);
      }
    }
    const most = Math.max(1, Math.floor(0.1 * phase.tasks.length));
    demand(backups <= most, () => `${key} is backup number ${backups}, at most ${most} are allowed`);
    durations.sort((a, b) => a - b);
    const median = durations[(durations.length - 1) >> 1]!;
    const elapsedMs = this.#world.queue.nowMs - startedMs;
    demand(elapsedMs > 1.5 * median, () => `${key} is a backup after ${elapsedMs} ms, median ${median}`);
  }

  #checkGrant(attempt: AttemptRef): void {
    const task = this.#task(attempt)!;
    const key = `${attempt.job}/${formatTask(attempt)}`;
    const before = this.#granted.get(key) ?? [];
    for (const earlier of before) {
      if (earlier.attempt === attempt.attempt) return;
      const { state, outputLost } = task.attempts[earlier.attempt - 1]!;
      const gone = state.kind !== "RUNNING" && (state.kind !== "SUCCEEDED" || outputLost !== null);
      demand(gone, () => `${keyOf(attempt)} was granted the commit that ${keyOf(earlier)} has`);
    }
    this.#granted.set(key, [...before, attempt]);
  }

  #commitHolder(ref: AttemptRef): AttemptRef | undefined {
    const granted = this.#granted.get(`${ref.job}/${formatTask(ref)}`) ?? [];
    return granted.find((g) => this.#task(g)!.attempts[g.attempt - 1]!.state.kind === "RUNNING");
  }

  #checkFinish(attempt: AttemptRef, holder: AttemptRef): void {
    const { state } = this.#task(attempt)!;
    const taken = state.kind === "FINISHED" && state.attempt !== holder.attempt;
    demand(!taken, () => `${keyOf(attempt)} was committed while ${keyOf(holder)} had the right to`);
  }

  /** undefined: its job ended in an earlier life of the coordinator. */
  #task(ref: AttemptRef): Task | undefined {
    const job = this.#world.scheduler.state.jobs.get(ref.job) ?? this.jobs.get(ref.job);
    return job?.phases[ref.phase].tasks[ref.task];
  }
}
