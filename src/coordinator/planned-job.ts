import type { RunEventBody } from "../engine/events.ts";
import { JobRun } from "../engine/job-run.ts";
import type { JobRunListener } from "../engine/job-run.ts";
import type { EventLoop } from "../engine/loop.ts";
import type { Addition, KeptSums } from "../engine/shuffle-tally.ts";
import type { AttemptFact } from "../scheduler/facts.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import { viewAttempts } from "../scheduler/view.ts";
import type { TaskSpec } from "../task/task-spec.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { Plan } from "./job-row.ts";
import type { KeptOutput } from "./kept-output.ts";
import { OutputList } from "./map-outputs.ts";
import type { OutputEntry } from "./map-outputs.ts";
import type { Row, Store } from "./store.ts";
import type { Tallies } from "./service.ts";

/** What planned jobs need of their coordinator. */
export interface PlannedJobParts {
  readonly loop: EventLoop;
  readonly store: Store;
  readonly agents: Agents;
  readonly tallies: Tallies;
}

/** A row of table `outputs`: the entry with its place in the list. */
export interface KeptEntry {
  readonly number: number;
  readonly entry: OutputEntry;
}

/** The tasks of a job on a cluster: how they go, where map outputs lie, and who has files of the job. */
export class PlannedJob {
  readonly plan: Plan;
  readonly run: JobRun<KeptOutput>;
  readonly outputs = new OutputList();
  /** Names of the agents that may have files of it. */
  readonly holders = new Set<string>();
  /** Agents on whose disks alone some of its input lies. */
  readonly pinnedAgents: ReadonlySet<string>;
  /** Attempts that ran at one time, at most. */
  coresUsed: number;
  readonly #job: ClusterJob;
  readonly #parts: PlannedJobParts;
  /** Keys of table `added`: what the written sums do not hold yet. */
  #added: string[];
  /** Map outputs were added or withdrawn, and agents have not been told. */
  #hasNews = false;

  /** @param known what an earlier life of the coordinator has kept of its sums */
  constructor(
    job: ClusterJob,
    plan: Plan,
    parts: PlannedJobParts,
    known: { readonly sums: KeptSums | null; readonly added: readonly Row[] } = { sums: null, added: [] },
  ) {
    this.plan = plan;
    this.#job = job;
    this.#parts = parts;
    this.pinnedAgents = new Set(plan.mapAgents.filter((agent) => agent !== null));
    this.coresUsed = job.row.bidding?.used ?? 0;
    this.#added = known.added.map(({ key }) => key);
    this.run = new JobRun<KeptOutput>({
      job: job.id,
      loop: parts.loop,
      phases: job.phases,
      collections: job.collections,
      tasks: plan,
      partitions: plan.partitions,
      badBudget: job.submission.options.badBudget,
      known: {
        poison: job.row.poison,
        sums: known.sums,
        added: known.added.map(({ text }) => JSON.parse(text) as Addition),
      },
      emit: (event: RunEventBody) => job.emit(event),
      specOf: (ref) => this.#specOf(ref),
      listener: this.#listener,
    });
    const [mapTasks, reduceTasks] = [plan.map.length, plan.reduce.length];
    job.directory.update({ mapTasks, reduceTasks, currentPhase: "map" });
  }

  /** Takes in what happened before the coordinator was started; tells nobody. */
  restore(): void {
    const { loop, store } = this.#parts;
    for (const { state, node } of viewAttempts(loop.scheduler, this.#job.id))
      if (state.kind === "RUNNING" || state.kind === "SUCCEEDED") this.holders.add(node);
    this.run.restore(viewAttempts(loop.scheduler, this.#job.id));
    const rows = [...store.of("outputs", this.#job.id)].map(({ text }) => JSON.parse(text) as KeptEntry);
    for (const { entry } of rows.sort((a, b) => a.number - b.number)) this.outputs.add(entry);
  }

  /** Writes the sums in place of all that was added to them one by one. */
  keepSums(): void {
    if (this.#added.length === 0) return;
    const { store } = this.#parts;
    store.put("sums", this.#job.id, JSON.stringify(this.run.shuffled.kept));
    for (const key of this.#added) store.putOf("added", this.#job.id, key, null);
    this.#added = [];
  }

  /** Tells agents that there are new map outputs, or that some are gone. */
  tellOutputs(): void {
    if (!this.#hasNews) return;
    this.#hasNews = false;
    const order = { kind: "outputs", job: this.#job.id, version: this.outputs.version } as const;
    for (const name of this.holders) this.#parts.agents.get(name)?.mailbox.post(order);
  }

  readonly #listener: JobRunListener<KeptOutput> = {
    started: (fact) => {
      this.holders.add(fact.node);
      this.coresUsed = Math.max(this.coresUsed, this.run.running.size);
      if (this.#job.row.startedMs === null) this.#job.update({ startedMs: fact.startedMs });
    },
    finished: (fact, output) => {
      const { tallies } = this.#parts;
      tallies.attemptsFinished++;
      tallies.shuffleBytes += output.stats.shuffleBytes;
      tallies.outputBytes += output.parts.reduce((sum, { bytes }) => sum + bytes, 0);
      if (fact.phase !== "map") return;
      tallies.inputBytes += output.stats.bytesIn;
      if (this.plan.reduce.length > 0) this.#offer(fact, output);
    },
    failed: ({ state }) => {
      if (state.kind === "FAILED") this.#parts.tallies.attemptsFailed++;
      else this.#parts.tallies.attemptsLost++;
    },
    fetchFailed: () => this.#parts.tallies.fetchFailures++,
    killed: (fact) => this.#job.dying.add(formatAttempt(fact), fact.node),
    outputLost: ({ task, attempt, incarnation }) => {
      if (!this.outputs.has(task, attempt)) return;
      this.#add({ task, attempt, agent: null, incarnation, address: null, bytes: 0 });
    },
    summed: (task, addition) => {
      const key = `${this.#job.id} ${task}`;
      this.#added.push(key);
      this.#parts.store.putOf("added", this.#job.id, key, JSON.stringify(addition));
    },
    suspected: (poison) => this.#job.update({ poison }),
  };

  #offer(fact: AttemptFact, { bytes }: KeptOutput): void {
    const { task, attempt, node: agent, incarnation } = fact;
    const { agents } = this.#parts;
    const life = agents.life(agent, incarnation) ?? agents.get(agent);
    const address = bytes === null ? null : (life?.register.address ?? null);
    this.#add({ task, attempt, agent, incarnation, address, bytes: bytes ?? 0 });
  }

  #add(entry: OutputEntry): void {
    const number = this.outputs.version;
    this.outputs.add(entry);
    this.#hasNews = true;
    const kept: KeptEntry = { number, entry };
    this.#parts.store.putOf("outputs", this.#job.id, `${this.#job.id} ${number}`, JSON.stringify(kept));
  }

  /** What the attempt is to do, as far as it can be told without the agent. */
  #specOf({ phase, task, attempt }: AttemptRef): TaskSpec {
    const { plan } = this;
    const common = { index: task, attempt };
    switch (phase) {
      case "sample":
        return { kind: "sample", split: plan.sample.at(task), ...common };
      case "map":
        return { kind: "map", split: plan.map.at(task), directory: "", ...common };
      case "reduce":
        return { kind: "reduce", ...plan.reduce[task]!, inputs: [], directory: "", ...common };
    }
  }
}
