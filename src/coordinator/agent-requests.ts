import type { Readable } from "node:stream";
import { SheafError } from "../base/errors.ts";
import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import type {
  ErrandResult,
  Heartbeat,
  HeartbeatAnswer,
  Leave,
  Orders,
  OrdersQuestion,
  SplitPage,
} from "../protocol/agent-messages.ts";
import type { Register, Registered } from "../protocol/agent-messages.ts";
import type { LogLines, Preparation } from "../protocol/task-messages.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { Command } from "../scheduler/messages.ts";
import { PROGRESS_BYTES, PROGRESS_CELLS } from "../task/task-spec.ts";
import type { Agents } from "./agents.ts";
import { checkProtocol } from "./check-submission.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { JobFlow } from "./job-flow.ts";
import type { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";
import { OutputList } from "./map-outputs.ts";
import type { CoordinatorTimings } from "./settings.ts";
import { preparationOf } from "./start-job.ts";
import type { TaskPolls } from "./task-polls.ts";

export interface AgentRequestParts {
  readonly scheduler: EngineScheduler<KeptOutput>;
  readonly loop: EventLoop<KeptOutput>;
  readonly agents: Agents;
  readonly jobs: Jobs;
  readonly flow: JobFlow;
  readonly polls: TaskPolls;
  readonly clock: EpochClock;
  readonly version: string;
  readonly timings: CoordinatorTimings;
  readonly coordinator: string;
}

/**
 * What agents say and ask, apart from how attempts went. Every method throws SheafErrors, and answers only
 * what is lasting.
 */
export class AgentRequests {
  readonly #parts: AgentRequestParts;
  readonly #board = new Float64Array(PROGRESS_BYTES / 8);

  constructor(parts: AgentRequestParts) {
    this.#parts = parts;
  }

  register(register: Register): Registered {
    const { loop, agents, scheduler, flow, clock, timings, coordinator, version } = this.#parts;
    const { agent: node, incarnation, slots } = register;
    checkProtocol(register.protocol, `agent ${node} (sheaf ${register.version})`, version);
    loop.mayAcknowledge();
    const { heartbeatMs, leaseMs } = timings;
    if (agents.isOver(incarnation))
      return { coordinator, heartbeatMs, leaseMs, fencedBelow: agents.livesOver };
    const other = agents.namesake(register, scheduler)?.register;
    if (other !== undefined) {
      const taken = { host: other.host, address: other.address };
      return { coordinator, heartbeatMs, leaseMs, fencedBelow: null, taken };
    }
    const before = agents.get(node)?.register.incarnation;
    let standing = "ok" as HeartbeatAnswer["standing"];
    loop.push({ kind: "nodeJoined", node, incarnation, slots }, (commands) => {
      standing = standingOf(commands, node, incarnation);
      if (standing === "ok") agents.registered(register, clock.nowMs());
    });
    loop.after(() => {
      if (standing !== "ok") return;
      if (before !== undefined && before < incarnation) this.#lifeOver(node, before);
      flow.lookAgain();
    });
    loop.settle();
    const known = scheduler.state.incarnations.get(node) ?? incarnation;
    return { coordinator, heartbeatMs, leaseMs, fencedBelow: standing === "ok" ? null : known };
  }

  heartbeat(name: string, heartbeat: Heartbeat): HeartbeatAnswer {
    const { loop, agents, jobs, scheduler, flow, clock } = this.#parts;
    const { incarnation, running, draining } = heartbeat;
    loop.mayAcknowledge();
    if (agents.isOver(incarnation)) return { standing: "fenced", forget: [], outputs: {} };
    const agent = agents.life(name, incarnation);
    const ref = { node: name, incarnation };
    let needed = null as number | null;
    let standing = "ok" as HeartbeatAnswer["standing"];
    loop.push(
      { kind: "nodeHeartbeat", running: running.map(({ attempt }) => attempt), ...ref },
      (commands) => {
        standing = standingOf(commands, name, incarnation);
        needed = neededOf(commands, name, incarnation);
      },
    );
    for (const { attempt, beat, ...progress } of running) {
      loop.push({ kind: "attemptProgress", attempt, beat, fraction: progress.fraction, ...ref });
      for (const [cell, at] of Object.entries(PROGRESS_CELLS))
        this.#board[at] = cell === "beat" ? beat : progress[cell as keyof typeof progress];
      jobs.get(attempt.job)?.planned?.run.progress.look(attempt, this.#board);
    }
    this.#noteGone(name, running);
    const node = scheduler.state.nodes.get(name);
    // Draining is told from either side; what was asked for by hand stands until it is taken back by hand.
    if (draining && node?.draining === false) {
      loop.push({ kind: "nodeDraining", draining, ...ref });
      loop.after(() => flow.granting.changed());
    }
    loop.settle();
    if (agent === undefined)
      return { standing: standing === "ok" ? "join" : standing, forget: [], outputs: {} };
    agents.heard(agent, heartbeat, clock.nowMs());
    const outputs: Record<string, number> = {};
    const forget: string[] = [];
    for (const id of heartbeat.jobs) {
      const job = jobs.get(id);
      if (job === undefined || job.isEnding) forget.push(id);
      else outputs[id] = job.planned?.outputs.version ?? 0;
    }
    const drop = flow.errands.heard(name, heartbeat);
    return { standing, forget, outputs, drop, ...(needed === null ? {} : { needed }) };
  }

  /**
   * The agent goes, on purpose: what it had is given up without waiting for its lease.
   * @throws SheafError FENCED, NOT_FOUND
   */
  leave(name: string, { incarnation }: Leave): void {
    const { loop, flow, agents, scheduler } = this.#parts;
    const work = (): void => {
      agents.checkLife(name, incarnation, scheduler);
      loop.push({ kind: "nodeLost", node: name, incarnation, reason: "it has left the cluster" });
      loop.after(() => {
        this.#lifeOver(name, incarnation);
        flow.lookAgain();
      });
    };
    loop.change(work, () => undefined);
  }

  /** Resolves with what there is to do, or empty after longPollMs or when the signal aborts. */
  async orders(name: string, { incarnation, errands }: OrdersQuestion, signal: AbortSignal): Promise<Orders> {
    const { agents, clock, timings, loop, scheduler } = this.#parts;
    loop.mayAcknowledge();
    agents.checkLife(name, incarnation, scheduler);
    const agent = agents.life(name, incarnation)!;
    const orders = await agent.mailbox.wait(errands, clock.nowMs() + timings.longPollMs, signal);
    return { orders: [...orders] };
  }

  errandDone(errand: string, result: ErrandResult): void {
    const { loop, flow, jobs } = this.#parts;
    const work = (): void => {
      flow.errands.done(errand, result);
      for (const job of jobs.live()) if (job.isEnding) job.dying.look();
    };
    loop.change(work, () => undefined);
  }

  /** A part of an errand's result that comes ahead of it. */
  errandPage(errand: string, page: SplitPage): void {
    this.#parts.loop.mayAcknowledge();
    this.#parts.flow.errands.page(errand, page);
  }

  /** A page of the list of map outputs from entry `after` on: MapOutputs as JSON. */
  outputsPage(job: string, after: number): Buffer {
    this.#parts.loop.mayAcknowledge();
    return (this.#live(job).planned?.outputs ?? new OutputList()).page(after);
  }

  takeLogs(job: string, { lines }: LogLines): void {
    const found = this.#parts.jobs.get(job);
    if (found === undefined) return;
    found.logs.add(lines);
    for (const { task, attempt, stream, text } of lines)
      found.emit({ kind: "log", task, attempt, stream, text });
  }

  /** A result file of an attempt; `name` as the worker called it. Resolves when it is whole and lasting. */
  putResult(
    job: string,
    attempt: string,
    name: string,
    expected: { readonly crc32c: number; readonly bytes: number },
    content: Readable,
  ): Promise<void> {
    return this.#live(job).results.put(attempt, name, expected, content);
  }

  /** The key by which fetches of the job's map outputs are signed; null for a job that does not live. */
  jobKey(job: string): string | null {
    return this.#parts.jobs.get(job)?.row.shuffleKey ?? null;
  }

  preparation(id: string, agent: string): Preparation {
    this.#parts.loop.mayAcknowledge();
    const job = this.#parts.jobs.get(id);
    const planned = job?.planned ?? null;
    if (job === undefined || planned === null || job.isEnding) {
      throw new SheafError("NOT_FOUND", `job ${id} has no tasks to be run`, {
        hint: "It has ended, or has not begun.",
      });
    }
    planned.holders.add(agent);
    return preparationOf(job, planned, agent);
  }

  #live(id: string): ClusterJob {
    const job = this.#parts.jobs.get(id);
    if (job !== undefined) return job;
    this.#parts.jobs.findEnded(id);
    throw new SheafError("NOT_FOUND", `job ${id} has ended`, { hint: "Nothing of it is needed any more." });
  }

  /** Attempts that were told to end, and that the agent runs no more. */
  #noteGone(name: string, running: Heartbeat["running"]): void {
    for (const { id, dying } of this.#parts.jobs.live()) {
      const here = running.filter(({ attempt }) => attempt.job === id);
      dying.runs(name, new Set(here.map(({ attempt }) => formatAttempt(attempt))));
    }
  }

  #lifeOver(name: string, incarnation: number): void {
    this.#parts.polls.drop(name, incarnation);
    this.#parts.flow.errands.lost(name, incarnation);
  }
}

/** What the scheduler says of a node that drains and runs nothing; null when it does not. */
function neededOf(commands: readonly Command[], node: string, incarnation: number): number | null {
  for (const command of commands)
    if (command.kind === "nodeDrained" && command.node === node && command.incarnation === incarnation)
      return command.neededOutputs;
  return null;
}

function standingOf(
  commands: readonly Command[],
  node: string,
  incarnation: number,
): HeartbeatAnswer["standing"] {
  for (const command of commands) {
    if (!("node" in command) || command.node !== node || !("incarnation" in command)) continue;
    if (command.incarnation !== incarnation) continue;
    if (command.kind === "fenceNode") return "fenced";
    if (command.kind === "inviteNode") return "join";
  }
  return "ok";
}
