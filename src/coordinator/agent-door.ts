import { SheafError } from "../base/errors.ts";
import type { Heartbeat, HeartbeatAnswer, Orders, OrdersQuestion } from "../protocol/agent-messages.ts";
import type { Register, Registered } from "../protocol/agent-messages.ts";
import type { Preparation, TaskAnswer } from "../protocol/task-messages.ts";
import type { Command } from "../scheduler/commands.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { PROGRESS_BYTES, PROGRESS_CELLS } from "../task/task-spec.ts";
import type { Agents } from "./agents.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { JobFlow } from "./job-flow.ts";
import type { Jobs } from "./jobs.ts";
import type { Pump } from "./pump.ts";
import type { Asker } from "./service.ts";
import type { CoordinatorTimings } from "./settings.ts";
import { preparationOf } from "./start-job.ts";
import type { TaskPolls } from "./task-polls.ts";

export interface DoorParts {
  readonly scheduler: Scheduler;
  readonly pump: Pump;
  readonly agents: Agents;
  readonly jobs: Jobs;
  readonly flow: JobFlow;
  readonly polls: TaskPolls;
  readonly clock: EpochClock;
  readonly timings: CoordinatorTimings;
  readonly coordinator: string;
}

/** What agents say and ask, apart from how attempts went. */
export class AgentDoor {
  readonly #parts: DoorParts;
  readonly #board = new Float64Array(PROGRESS_BYTES / 8);

  constructor(parts: DoorParts) {
    this.#parts = parts;
  }

  register(register: Register): Registered {
    const { pump, agents, scheduler, flow, clock, timings, coordinator } = this.#parts;
    const { agent: node, incarnation, slots } = register;
    const { heartbeatMs, leaseMs } = timings;
    const other = agents.namesake(register, scheduler)?.register;
    if (other !== undefined) {
      const taken = { host: other.host, address: other.address };
      return { coordinator, heartbeatMs, leaseMs, fencedBelow: null, taken };
    }
    const before = agents.get(node)?.register.incarnation;
    let standing = "ok" as HeartbeatAnswer["standing"];
    pump.push({ kind: "nodeJoined", node, incarnation, slots }, (commands) => {
      standing = standingOf(commands, node, incarnation);
      if (standing === "ok") agents.registered(register, clock.nowMs());
    });
    pump.after(() => {
      if (standing !== "ok") return;
      if (before !== undefined && before < incarnation) this.#lifeOver(node, before);
      flow.lookAgain();
    });
    pump.settle();
    const known = scheduler.state.incarnations.get(node) ?? incarnation;
    return { coordinator, heartbeatMs, leaseMs, fencedBelow: standing === "ok" ? null : known };
  }

  heartbeat(name: string, heartbeat: Heartbeat): HeartbeatAnswer {
    const { pump, agents, jobs, scheduler, flow, clock } = this.#parts;
    const { incarnation, running, draining } = heartbeat;
    const agent = agents.life(name, incarnation);
    const ref = { node: name, incarnation };
    let needed = null as number | null;
    let standing = "ok" as HeartbeatAnswer["standing"];
    pump.push(
      { kind: "nodeHeartbeat", running: running.map(({ attempt }) => attempt), ...ref },
      (commands) => {
        standing = standingOf(commands, name, incarnation);
        needed = neededOf(commands, name, incarnation);
      },
    );
    for (const { attempt, beat, ...progress } of running) {
      pump.push({ kind: "attemptProgress", attempt, beat, fraction: progress.fraction, ...ref });
      for (const [cell, at] of Object.entries(PROGRESS_CELLS))
        this.#board[at] = cell === "beat" ? beat : progress[cell as keyof typeof progress];
      jobs.get(attempt.job)?.progress.look(attempt, this.#board);
    }
    this.#noteGone(name, running);
    const node = scheduler.state.nodes.get(name);
    // Draining is told from either side; what was asked for by hand stands until it is taken back by hand.
    if (draining && node?.draining === false) {
      pump.push({ kind: "nodeDraining", draining, ...ref });
      pump.after(() => flow.granting.changed());
    }
    pump.settle();
    if (agent === undefined)
      return { standing: standing === "ok" ? "join" : standing, forget: [], outputs: {} };
    agents.heard(agent, heartbeat, clock.nowMs());
    const outputs: Record<string, number> = {};
    const forget: string[] = [];
    for (const id of heartbeat.jobs) {
      const job = jobs.get(id);
      if (job === undefined || job.isEnding) forget.push(id);
      else outputs[id] = job.outputs.version;
    }
    const drop = flow.errands.heard(name, heartbeat);
    return { standing, forget, outputs, drop, ...(needed === null ? {} : { needed }) };
  }

  /**
   * The agent goes, on purpose: what it had is given up without waiting for its lease.
   * @throws SheafError FENCED, NOT_FOUND
   */
  leave(name: string, incarnation: number): void {
    const { pump, flow } = this.#parts;
    this.#checkLife(name, incarnation);
    pump.push({ kind: "nodeLost", node: name, incarnation, reason: "it has left the cluster" });
    pump.after(() => {
      this.#lifeOver(name, incarnation);
      flow.lookAgain();
    });
  }

  async orders(name: string, { incarnation, errands }: OrdersQuestion, signal: AbortSignal): Promise<Orders> {
    const { agents, clock, timings } = this.#parts;
    this.#checkLife(name, incarnation);
    const agent = agents.life(name, incarnation)!;
    const orders = await agent.mailbox.wait(errands, clock.nowMs() + timings.longPollMs, signal);
    return { orders: [...orders] };
  }

  async askTask(asker: Asker, signal: AbortSignal): Promise<TaskAnswer> {
    const { pump, polls, clock, timings } = this.#parts;
    const { agent: node, incarnation, slot, ask } = asker;
    this.#checkLife(node, incarnation);
    const answer = polls.wait(asker, clock.nowMs() + timings.longPollMs, signal);
    pump.push({ kind: "workerReady", node, incarnation, slot, ask });
    await pump.settled();
    return answer;
  }

  preparation(id: string, agent: string): Preparation {
    const job = this.#parts.jobs.get(id);
    if (job === undefined || job.plan === null || job.isEnding) {
      throw new SheafError("NOT_FOUND", `job ${id} has no tasks to be run`, {
        hint: "It has ended, or has not begun.",
      });
    }
    job.holders.add(agent);
    return preparationOf(job, agent);
  }

  /** @throws SheafError FENCED for a life that is over */
  refuseFenced(name: string, incarnation: number): void {
    const { incarnations, nodes } = this.#parts.scheduler.state;
    const known = incarnations.get(name);
    if (known === undefined || incarnation > known || nodes.get(name)?.incarnation === incarnation) return;
    throw new SheafError("FENCED", `life ${incarnation} of agent ${name} is over`, {
      hint: `Register with an incarnation above ${known}.`,
    });
  }

  /** @throws SheafError FENCED for a life that is over, NOT_FOUND for an agent that has not joined */
  #checkLife(name: string, incarnation: number): void {
    const { scheduler, agents } = this.#parts;
    this.refuseFenced(name, incarnation);
    const alive = scheduler.state.nodes.get(name)?.incarnation === incarnation;
    if (alive && agents.life(name, incarnation) !== undefined) return;
    throw new SheafError("NOT_FOUND", `agent ${name} (${incarnation}) has not joined`, {
      hint: "Register first: POST /agents.",
    });
  }

  /** Attempts that were told to end, and that the agent runs no more. */
  #noteGone(name: string, running: Heartbeat["running"]): void {
    for (const job of this.#parts.jobs.live()) {
      if (job.dying.size === 0) continue;
      const here = new Set(
        running.map(({ attempt }) => (attempt.job === job.id ? formatAttempt(attempt) : "")),
      );
      for (const [attempt, agent] of job.dying) {
        if (agent === name && !here.has(attempt)) job.dying.delete(attempt);
      }
      job.lookQuiet();
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
