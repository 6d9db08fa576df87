import type { Readable } from "node:stream";
import { SheafError } from "../base/errors.ts";
import type {
  ErrandResult,
  Heartbeat,
  HeartbeatAnswer,
  Leave,
  Orders,
  OrdersQuestion,
} from "../protocol/agent-messages.ts";
import type { Register, Registered, SplitPage } from "../protocol/agent-messages.ts";
import type {
  AttemptView,
  ClusterView,
  JobStateText,
  JobSummary,
  JobView,
  NodeView,
} from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import type { LogLines, Preparation, Stray, TaskAnswer } from "../protocol/task-messages.ts";
import type { TaskReport, TaskReportAnswer } from "../protocol/task-messages.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import { assemble } from "./assemble.ts";
import type { Assembly } from "./assemble.ts";
import { capsuleFileOf } from "./capsule-file.ts";
import { checkProtocol } from "./check-submission.ts";
import { ClientDoor } from "./client-door.ts";
import type { ClusterJob } from "./cluster-job.ts";
import { clusterView, gaugesOf } from "./cluster-view.ts";
import { findTask, phaseOf, statusOf } from "./reports.ts";
import type {
  Asker,
  Caller,
  CoordinatorService,
  Gauges,
  JobFilter,
  StoredFile,
  TaskType,
  Totals,
} from "./service.ts";
import type { CoordinatorOptions } from "./settings.ts";
import type { EventListener } from "./job-events.ts";

/**
 * One cluster's coordinator, without its HTTP. Made from a state directory, it knows all that its earlier
 * lives have acknowledged, and goes on. `tick` is to be called a few times a second.
 * @throws SheafError STATE_LOCKED, STATE_CORRUPT, DISK_FULL, OUTPUT_UNWRITABLE
 */
export class Coordinator implements CoordinatorService {
  readonly #a: Assembly;
  readonly #clients: ClientDoor;

  constructor(options: CoordinatorOptions) {
    this.#a = assemble(options);
    this.#clients = new ClientDoor(this.#a);
  }

  /** Lets the state directory go. Nothing may be called after it. */
  close(): void {
    const { polls, agents, jobs, store, pump } = this.#a;
    pump.close();
    polls.close();
    for (const { mailbox } of agents.all()) mailbox.close();
    for (const job of jobs.live()) job.directory.flush();
    store.close();
  }

  /** Time has passed: leases, time limits, long polls, absent clients, progress. A few times a second. */
  tick(): void {
    const { clock, polls, agents, pump, watch } = this.#a;
    const nowMs = clock.nowMs();
    polls.tick(nowMs);
    agents.tick(nowMs);
    // What could not be written is tried again before anything is added to it.
    if (pump.isClosed || (pump.trouble !== null && pump.settleQuietly() !== null)) return;
    const absentMs = watch.absentMs(nowMs);
    pump.push({ kind: "tick", absentMs });
    watch.tick(absentMs);
    pump.settleQuietly();
  }

  cluster(): ClusterView {
    const { options, timings, name, clock, startedMs, scheduler, jobs } = this.#a;
    const { version, roots } = options;
    const startTime = clock.text(startedMs);
    return clusterView({
      scheduler,
      jobs,
      coordinator: name,
      version,
      startTime,
      roots,
      heartbeatMs: timings.heartbeatMs,
    });
  }

  nodes(): readonly NodeView[] {
    const views = [...this.#a.agents.all()].map((agent) => this.#node(agent.name));
    return views.sort((a, b) => (a.agent < b.agent ? -1 : 1));
  }

  bar(agent: string, reason: string): NodeView {
    const { agents, pump, flow } = this.#a;
    agents.find(agent);
    const work = (): void => {
      pump.push({ kind: "nodeBarredByHand", node: agent, reason });
      pump.after(() => flow.granting.changed());
    };
    return pump.change(work, () => this.#node(agent));
  }

  admit(agent: string): NodeView {
    const { agents, pump, flow } = this.#a;
    agents.find(agent);
    const work = (): void => {
      pump.push({ kind: "nodeAdmittedByHand", node: agent });
      pump.after(() => flow.lookAgain());
    };
    return pump.change(work, () => this.#node(agent));
  }

  drain(agent: string, draining: boolean): NodeView {
    const { agents, pump, flow } = this.#a;
    const { register, mailbox } = agents.find(agent);
    const work = (): void => {
      pump.push({ kind: "nodeDraining", node: agent, incarnation: register.incarnation, draining });
      pump.after(() => {
        mailbox.post({ kind: "drain", draining });
        flow.lookAgain();
      });
    };
    return pump.change(work, () => this.#node(agent));
  }

  submit(submission: Submission, idempotencyKey: string, caller: Caller): { job: string; isNew: boolean } {
    return this.#clients.submit(submission, idempotencyKey, caller);
  }

  jobs(filter: JobFilter): { readonly jobs: readonly JobSummary[]; readonly truncated: boolean } {
    return this.#clients.jobs(filter);
  }

  job(job: string): JobView {
    return this.#clients.job(job);
  }

  attempts(job: string): readonly AttemptView[] {
    return this.#clients.attempts(job);
  }

  kill(job: string, reason: string, caller: Caller): JobSummary {
    return this.#clients.kill(job, reason, caller);
  }

  attach(job: string, attached: boolean): JobSummary {
    return this.#clients.attach(job, attached);
  }

  clientBeat(job: string): JobStateText {
    return this.#clients.clientBeat(job);
  }

  listen(job: string, after: number, listener: EventListener, done: () => void): () => void {
    return this.#clients.listen(job, after, listener, done);
  }

  logs(job: string, task: string | null, follow: boolean, signal: AbortSignal): AsyncIterable<string> {
    return this.#clients.logs(job, task, follow, signal);
  }

  resultFile(job: string, kind: "output" | "collected" | "bad", index: number): StoredFile {
    return this.#clients.resultFile(job, kind, index);
  }

  capsuleFile(job: string, task: string, file: "capsule" | "code" | "sourceMap"): StoredFile {
    return capsuleFileOf(this.#a.jobs, job, task, file);
  }

  hasBlob(hash: string): Promise<boolean> {
    return this.#a.blobs.isSound(hash, this.#a.clock.wallMs());
  }

  async putBlob(hash: string, content: Readable): Promise<void> {
    await this.#a.blobs.put(hash, content);
  }

  blob(hash: string): Promise<StoredFile> {
    return this.#a.blobs.find(hash);
  }

  register(register: Register): Registered {
    const { agent, version, protocol } = register;
    checkProtocol(protocol, `agent ${agent} (sheaf ${version})`, this.#a.options.version);
    this.#a.pump.mayAcknowledge();
    return this.#a.door.register(register);
  }

  heartbeat(agent: string, heartbeat: Heartbeat): HeartbeatAnswer {
    this.#a.pump.mayAcknowledge();
    return this.#a.door.heartbeat(agent, heartbeat);
  }

  async orders(agent: string, question: OrdersQuestion, signal: AbortSignal): Promise<Orders> {
    this.#a.pump.mayAcknowledge();
    return this.#a.door.orders(agent, question, signal);
  }

  errandDone(errand: string, result: ErrandResult): void {
    const { pump, flow, jobs } = this.#a;
    const work = (): void => {
      flow.errands.done(errand, result);
      for (const job of jobs.live()) if (job.isEnding) job.lookQuiet();
    };
    pump.change(work, () => undefined);
  }

  errandPage(errand: string, page: SplitPage): void {
    this.#a.pump.mayAcknowledge();
    this.#a.flow.errands.page(errand, page);
  }

  leave(agent: string, { incarnation }: Leave): void {
    const { pump, door } = this.#a;
    pump.change(
      () => door.leave(agent, incarnation),
      () => undefined,
    );
  }

  async askTask(asker: Asker, signal: AbortSignal): Promise<TaskAnswer> {
    this.#a.pump.mayAcknowledge();
    return this.#a.door.askTask(asker, signal);
  }

  async report(
    job: string | null,
    type: TaskType,
    task: number,
    report: TaskReport,
    asker: Asker,
  ): Promise<TaskReportAnswer> {
    const { pump, jobs, reports, door } = this.#a;
    pump.mayAcknowledge();
    door.refuseFenced(asker.agent, asker.incarnation);
    const id = job ?? this.#onlyJob();
    const found = jobs.get(id);
    if (found !== undefined && found.plan !== null)
      return reports.take(found, phaseOf[type], task, report, asker);
    if (found === undefined) jobs.findEnded(id);
    return { status: TASK_STATUS.CANCELLED, accepted: false };
  }

  taskStatus(job: string | null, type: TaskType, task: number): { status: number } {
    this.#a.pump.mayAcknowledge();
    const id = job ?? this.#onlyJob();
    const found = findTask(this.#a.scheduler, id, phaseOf[type], task);
    if (found !== undefined) return { status: statusOf(found) };
    throw new SheafError("NOT_FOUND", `job ${id} has no ${type} ${task} that is to be done`, {
      hint: "Tasks are numbered from 0; those of a job that has ended are in its attempts.",
    });
  }

  preparation(job: string, agent: string): Preparation {
    this.#a.pump.mayAcknowledge();
    return this.#a.door.preparation(job, agent);
  }

  outputsPage(job: string, after: number): Buffer {
    this.#a.pump.mayAcknowledge();
    return this.#live(job).outputs.page(after);
  }

  stray(job: string, stray: Stray): boolean {
    const { pump, jobs, reports } = this.#a;
    const found = jobs.get(job);
    if (found === undefined) jobs.findEnded(job);
    let failed = false;
    const work = (): void => void (failed = found !== undefined && reports.stray(found, stray));
    return pump.change(work, () => failed);
  }

  takeLogs(job: string, _agent: string, { lines }: LogLines): void {
    const found = this.#a.jobs.get(job);
    if (found === undefined) return;
    found.logs.add(lines);
    for (const { task, attempt, stream, text } of lines)
      found.emit({ kind: "log", task, attempt, stream, text });
  }

  async putResult(
    job: string,
    attempt: string,
    name: string,
    expected: { readonly crc32c: number; readonly bytes: number },
    content: Readable,
  ): Promise<void> {
    await this.#live(job).results.put(attempt, name, expected, content);
  }

  gauges(): Gauges {
    const { scheduler, jobs, agents, clock } = this.#a;
    return gaugesOf(scheduler, jobs, agents, clock.nowMs());
  }

  totals(): Totals {
    return { ...this.#a.tallies };
  }

  /** The key by which fetches of the job's map outputs are signed; null for a job that does not live. */
  jobKey(job: string): string | null {
    return this.#a.jobs.get(job)?.row.shuffleKey ?? null;
  }

  #node(name: string): NodeView {
    const { agents, scheduler, clock } = this.#a;
    return agents.view(agents.find(name), scheduler, clock.nowMs());
  }

  #live(id: string): ClusterJob {
    const job = this.#a.jobs.get(id);
    if (job !== undefined) return job;
    this.#a.jobs.findEnded(id);
    throw new SheafError("NOT_FOUND", `job ${id} has ended`, { hint: "Nothing of it is needed any more." });
  }

  #onlyJob(): string {
    const [job, ...more] = this.#a.jobs.live();
    if (job !== undefined && more.length === 0) return job.id;
    const count = this.#a.jobs.liveCount;
    throw new SheafError("NOT_FOUND", `${count} jobs are not over: which one is meant?`, {
      hint: "Use the address with the job: /jobs/{job}/task/...",
    });
  }
}
