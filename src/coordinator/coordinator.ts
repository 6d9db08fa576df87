import { AgentRequests } from "./agent-requests.ts";
import { assemble } from "./assemble.ts";
import type { Assembly } from "./assemble.ts";
import { ClientRequests } from "./client-requests.ts";
import { Operations } from "./operations.ts";
import { Schedules } from "./schedules.ts";
import type { CoordinatorOptions } from "./settings.ts";
import { TaskRequests } from "./task-requests.ts";

/**
 * One cluster's coordinator, without its HTTP. Made from a state directory, it knows all that its earlier
 * lives have acknowledged, and goes on. `tick` is to be called a few times a second.
 * @throws SheafError STATE_LOCKED, STATE_CORRUPT, DISK_FULL, OUTPUT_UNWRITABLE
 */
export class Coordinator {
  readonly clients: ClientRequests;
  /** What agents ask, apart from tasks. */
  readonly agents: AgentRequests;
  readonly operations: Operations;
  readonly tasks: TaskRequests;
  readonly schedules: Schedules;
  readonly #a: Assembly;

  constructor(options: CoordinatorOptions) {
    const a = assemble(options);
    this.#a = a;
    this.clients = new ClientRequests(a);
    this.agents = new AgentRequests({ ...a, version: options.version, coordinator: a.name });
    this.operations = new Operations(a);
    this.tasks = new TaskRequests(a);
    const { clients } = this;
    const caller = { role: "schedule", remote: "" };
    this.schedules = new Schedules(a, {
      submit: (submission, key) => clients.submit(submission, key, caller).job,
      check: (submission) => clients.check(submission),
    });
  }

  /** Lets the state directory go. Nothing may be called after it. */
  close(): void {
    const { polls, agents, jobs, store, loop } = this.#a;
    loop.close();
    polls.close();
    for (const { mailbox } of agents.all()) mailbox.close();
    for (const job of jobs.live()) job.directory.flush();
    store.close();
  }

  /** Time has passed: leases, time limits, long polls, absent clients, progress. A few times a second. */
  tick(): void {
    const { clock, polls, agents, loop, watch } = this.#a;
    const nowMs = clock.nowMs();
    polls.tick(nowMs);
    agents.tick(nowMs);
    // What could not be written is tried again before anything is added to it.
    if (loop.isClosed || (loop.trouble !== null && loop.settleQuietly() !== null)) return;
    const absentMs = watch.absentMs(nowMs);
    loop.push({ kind: "tick", absentMs });
    watch.tick(absentMs);
    this.schedules.tick();
    loop.settleQuietly();
  }
}
