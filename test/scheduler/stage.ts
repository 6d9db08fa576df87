import { type Fact, factKey } from "#src/scheduler/facts.js";
import { type AttemptRef, formatAttempt, type Phase } from "#src/scheduler/ids.js";
import type { Command, Grants, ScheduledJob, SchedulerEvent } from "#src/scheduler/messages.js";
import type { SchedulerSettings } from "#src/scheduler/policy.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { viewAttempts, viewJob } from "#src/scheduler/view.js";

type Started = Extract<Command, { kind: "startAttempt" }>;

/** A scheduler with nodes that do what a test says: the words in which scheduler tests are written. */
export class Stage {
  scheduler: Scheduler;
  nowMs = 0;
  readonly #settings: Partial<SchedulerSettings>;
  /** What has been written of the facts. */
  readonly #rows = new Map<string, Fact>();
  /** All commands since the last `take`, as short texts. */
  #said: string[] = [];
  readonly #started = new Map<string, Started>();
  readonly #asks = new Map<string, number>();
  readonly #lives = new Map<string, number>();

  constructor(settings: Partial<SchedulerSettings> = {}) {
    this.#settings = { ...settings, keepFacts: true };
    this.scheduler = new Scheduler(this.#settings);
  }

  tell(event: SchedulerEvent): readonly Command[] {
    return this.#obey(this.scheduler.step(event, this.nowMs));
  }

  /** The driver dies and another takes over what was written; returns the facts that was. */
  restart(): Fact[] {
    const facts = JSON.parse(JSON.stringify([...this.#rows.values()])) as Fact[];
    const { scheduler, commands } = Scheduler.restore(facts, this.nowMs, this.#settings);
    this.scheduler = scheduler;
    this.#obey(commands);
    return facts;
  }

  rows(): Fact[] {
    return [...this.#rows.values()];
  }

  /** The step did not get as far as being written. */
  forget(event: SchedulerEvent): void {
    this.scheduler.step(event, this.nowMs);
    this.restart();
  }

  #obey(commands: readonly Command[]): readonly Command[] {
    for (const fact of this.scheduler.takeFacts()) this.#rows.set(factKey(fact), fact);
    for (const command of commands) {
      if (command.kind === "startAttempt") this.#started.set(name(command.attempt), command);
      this.#said.push(inShort(command));
    }
    return commands;
  }

  /** What was ordered since the last time. */
  take(): string[] {
    return this.#said.splice(0);
  }

  submit(plan: Partial<ScheduledJob> & { maps?: number; reduces?: number; samples?: number } = {}): void {
    const { maps = 0, reduces = 0, samples = 0, ...rest } = plan;
    const some = (count: number): object[] => Array.from({ length: count }, () => ({}));
    this.tell({
      kind: "jobSubmitted",
      job: { id: "j", map: some(maps), reduce: some(reduces), sample: some(samples), ...rest },
    });
  }

  /** A node joins, and the workers of all its slots ask. */
  join(node: string, slots = 1): void {
    const incarnation = (this.#lives.get(node) ?? 0) + 1;
    this.#lives.set(node, incarnation);
    this.tell({ kind: "nodeJoined", node, incarnation, slots });
    for (let slot = 0; slot < slots; slot++) this.ask(node, slot);
  }

  ask(node: string, slot = 0): void {
    const key = `${node} ${slot}`;
    const ask = (this.#asks.get(key) ?? 0) + 1;
    this.#asks.set(key, ask);
    this.tell({ kind: "workerReady", node, incarnation: this.#lives.get(node) ?? 0, slot, ask });
  }

  /** The node's heartbeat: it runs these attempts. */
  heartbeat(node: string, ...running: string[]): void {
    const refs = running.map((attempt) => this.#of(attempt).attempt);
    this.tell({ kind: "nodeHeartbeat", node, incarnation: this.#lives.get(node) ?? 0, running: refs });
  }

  /** The question asked last once more. */
  askAgain(node: string, slot = 0): void {
    const ask = this.#asks.get(`${node} ${slot}`) ?? 0;
    this.tell({ kind: "workerReady", node, incarnation: this.#lives.get(node) ?? 0, slot, ask });
  }

  drain(node: string, draining = true): void {
    this.tell({ kind: "nodeDraining", node, incarnation: this.#lives.get(node) ?? 0, draining });
  }

  grant(grants: Grants | null, job = "j"): void {
    this.tell({ kind: "jobGranted", job, grants });
  }

  lose(node: string): void {
    this.tell({ kind: "nodeLost", node, incarnation: this.#lives.get(node) ?? 0, reason: "cut" });
  }

  /** The attempt reports that it has finished; `again`: and its worker asks for more. */
  finish(
    attempt: string,
    counters: Record<string, number> = {},
    again = true,
    fingerprint?: string,
    more = 0,
  ): void {
    const { node, slot, ...rest } = this.#of(attempt);
    const output = `output of ${attempt}`;
    const print = fingerprint === undefined ? {} : { fingerprint };
    this.tell({ kind: "attemptFinished", ...rest, node, output, counters, more, ...print });
    if (again) this.ask(node, slot);
  }

  /** A map attempt reports that it has finished, and what its output is like. */
  make(attempt: string, fingerprint: string): void {
    this.finish(attempt, {}, true, fingerprint);
  }

  fail(attempt: string, blame: "user" | "data" | "system" = "user", again = true): void {
    const { node, slot, ...rest } = this.#of(attempt);
    const code = blame === "system" ? "DISK_FULL" : "USER_CODE";
    this.tell({ kind: "attemptFailed", ...rest, node, blame, code, message: `${attempt} failed` });
    if (again) this.ask(node, slot);
  }

  /** The attempt reports that its worker is gone; or that it was cancelled, or what else `report` says. */
  loseWorker(
    attempt: string,
    report: Partial<Extract<SchedulerEvent, { kind: "attemptFailed" }>> = {},
    again = true,
  ): void {
    const { node, slot, ...rest } = this.#of(attempt);
    const told = { blame: "system", code: "WORKER_LOST", message: "signal SIGKILL", ...report } as const;
    this.tell({ kind: "attemptFailed", ...rest, node, ...told });
    if (again) this.ask(node, slot);
  }

  /** The worker in whose slot the attempt runs is gone, as its node tells. */
  workerGone(attempt: string): void {
    const { node, slot, incarnation } = this.#of(attempt);
    const ask = this.#asks.get(`${node} ${slot}`) ?? 0;
    this.tell({ kind: "workerGone", node, incarnation, slot, ask, message: "exit code 7" });
    this.ask(node, slot);
  }

  /** User code of the job emits late on the node, in the life it is in now or in `incarnation`. */
  emitLate(node: string, attempt: string | null, incarnation = this.#lives.get(node) ?? 0, job = "j"): void {
    const ref = attempt === null ? null : this.#of(attempt).attempt;
    const what = { code: "EMIT_LATE", blame: "user", message: "emitted late" } as const;
    this.tell({ kind: "lateEmit", job, attempt: ref, node, incarnation, ...what });
  }

  fetchFails(attempt: string, mapTask: number, mapAttempt: number): void {
    const { node, slot, ...rest } = this.#of(attempt);
    this.tell({ kind: "fetchFailed", ...rest, node, mapTask, mapAttempt, message: "HTTP 404" });
    this.ask(node, slot);
  }

  requestCommit(attempt: string): void {
    const { slot: _, ...rest } = this.#of(attempt);
    this.tell({ kind: "commitRequested", ...rest });
  }

  beat(attempt: string, beat: number, fraction = 0): void {
    const { slot: _, ...rest } = this.#of(attempt);
    this.tell({ kind: "attemptProgress", ...rest, beat, fraction });
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.tell({ kind: "tick" });
  }

  /** "2 FINISHED, 1 RUNNING" */
  states(phase: Phase, job = "j"): string {
    const view = viewJob(this.scheduler, job)?.phases.find((p) => p.phase === phase);
    return Object.entries(view?.counts ?? {})
      .filter(([, count]) => count > 0)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(", ");
  }

  status(job = "j"): string | undefined {
    return viewJob(this.scheduler, job)?.status;
  }

  /** "map-00000.1 LOST" ... */
  history(job = "j"): string[] {
    return [...viewAttempts(this.scheduler, job)].map((a) => `${name(a.attempt)} ${a.state.kind}`);
  }

  /** On which node an attempt was started. */
  nodeOf(attempt: string): string {
    return this.#of(attempt).node;
  }

  slotOf(attempt: string): number {
    return this.#of(attempt).slot;
  }

  #of(attempt: string): Pick<Started, "attempt" | "node" | "incarnation" | "slot"> {
    const started = this.#started.get(attempt);
    if (started === undefined) throw new Error(`${attempt} was never started`);
    return {
      attempt: started.attempt,
      node: started.node,
      incarnation: started.incarnation,
      slot: started.slot,
    };
  }
}

/** Attempts of the job "j" by themselves, of others with their job: "map-00000.1", "k/map-00000.1". */
function name(ref: AttemptRef): string {
  return ref.job === "j" ? formatAttempt(ref) : `${ref.job}/${formatAttempt(ref)}`;
}

function inShort(command: Command): string {
  switch (command.kind) {
    case "startAttempt":
      return `start ${name(command.attempt)}${command.backup ? " backup" : ""} on ${command.node}`;
    case "askAnew":
      return `askAnew ${command.node} ${command.slot}`;
    case "handOver":
      return `handOver ${name(command.attempt)}`;
    case "killAttempt":
      return `kill ${name(command.attempt)}`;
    case "grantCommit":
      return `grant ${name(command.attempt)}`;
    case "denyCommit":
      return `deny ${name(command.attempt)}`;
    case "discardOutput":
      return `discard ${name(command.attempt)}`;
    case "fenceNode":
      return `fence ${command.node}.${command.incarnation}`;
    case "inviteNode":
      return `invite ${command.node}.${command.incarnation}`;
    case "nodeDrained":
      return `drained ${command.node}, needed outputs: ${command.neededOutputs}`;
    case "nodeBarred":
      return `bar ${command.node}`;
    case "nodeAdmitted":
      return `admit ${command.node}`;
    case "sampleReady":
    case "commitJob":
      return `${command.kind} ${command.job}`;
    case "jobEnded":
      return [
        `ended ${command.job} ${command.status}`,
        ...(command.cause ? [command.cause.message] : []),
      ].join(": ");
  }
}
