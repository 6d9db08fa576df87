import type { ClusterView, NodeView } from "../protocol/job-view.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { Assembly } from "./assemble.ts";
import type { Jobs } from "./jobs.ts";
import type { Gauges, Totals } from "./service.ts";

/** What operators ask of a cluster, and want done with its agents. */
export class Operations {
  readonly #a: Assembly;

  constructor(assembly: Assembly) {
    this.#a = assembly;
  }

  cluster(): ClusterView {
    const { options, timings, name, clock, startedMs, scheduler, jobs } = this.#a;
    const { nodes, busySlots } = scheduler.state;
    return {
      protocol: PROTOCOL_VERSION,
      coordinator: name,
      version: options.version,
      startTime: clock.text(startedMs),
      heartbeatMs: timings.heartbeatMs,
      agents: nodes.size,
      slots: this.#slots(),
      busy: busySlots,
      jobs: countJobs(jobs),
      roots: [...options.roots],
    };
  }

  nodes(): readonly NodeView[] {
    const views = [...this.#a.agents.all()].map(({ name }) => this.#node(name));
    return views.sort((a, b) => (a.agent < b.agent ? -1 : 1));
  }

  bar(agent: string, reason: string): NodeView {
    const { agents, loop, flow } = this.#a;
    agents.find(agent);
    const work = (): void => {
      loop.push({ kind: "nodeBarredByHand", node: agent, reason });
      loop.after(() => flow.granting.changed());
    };
    return loop.change(work, () => this.#node(agent));
  }

  admit(agent: string): NodeView {
    const { agents, loop, flow } = this.#a;
    agents.find(agent);
    const work = (): void => {
      loop.push({ kind: "nodeAdmittedByHand", node: agent });
      loop.after(() => flow.lookAgain());
    };
    return loop.change(work, () => this.#node(agent));
  }

  drain(agent: string, draining: boolean): NodeView {
    const { agents, loop, flow } = this.#a;
    const { register, mailbox } = agents.find(agent);
    const { incarnation } = register;
    const work = (): void => {
      loop.push({ kind: "nodeDraining", node: agent, incarnation, draining });
      loop.after(() => {
        mailbox.post({ kind: "drain", draining });
        flow.lookAgain();
      });
    };
    return loop.change(work, () => this.#node(agent));
  }

  gauges(): Gauges {
    const { scheduler, jobs, agents, clock } = this.#a;
    const { nodes, busySlots, active } = scheduler.state;
    const nowMs = clock.nowMs();
    let [silentMs, ready, running] = [0, 0, 0];
    for (const { id } of nodes.values())
      silentMs = Math.max(silentMs, nowMs - (agents.get(id)?.heardMs ?? nowMs));
    for (const job of active) {
      ready += job.ready;
      running += job.running;
    }
    return {
      ...countJobs(jobs),
      agents: nodes.size,
      slots: this.#slots(),
      busySlots,
      tasksReady: ready,
      tasksRunning: running,
      heartbeatAgeMsMax: silentMs,
    };
  }

  totals(): Totals {
    return { ...this.#a.tallies };
  }

  #slots(): number {
    let slots = 0;
    for (const node of this.#a.scheduler.state.nodes.values()) slots += node.slots.length;
    return slots;
  }

  #node(name: string): NodeView {
    const { agents, scheduler, clock } = this.#a;
    return agents.view(agents.find(name), scheduler, clock.nowMs());
  }
}

function countJobs(jobs: Jobs): { queued: number; running: number } {
  let queued = 0;
  for (const { row } of jobs.live()) if (row.state === "QUEUED" || row.state === "PLANNING") queued++;
  return { queued, running: jobs.liveCount - queued };
}
