import { describeThrown, isErrorCode, isSheafError } from "../base/errors.ts";
import { cutText } from "../base/print-value.ts";
import type { SlotIdentity } from "../client/api-client.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";
import type { TaskOrder, TaskReport } from "../protocol/task-messages.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import { untilAnswered } from "./agent-options.ts";
import type { AgentWorld } from "./agent-options.ts";
import { cancelled, failed } from "./attempt-report.ts";
import type { AttemptRun } from "./attempt-run.ts";
import type { AttemptTable } from "./attempt-table.ts";
import type { TaskLogs } from "./task-logs.ts";

export interface SlotSetting {
  readonly world: AgentWorld;
  readonly agent: string;
  readonly incarnation: number;
  readonly table: AttemptTable;
  readonly logs: TaskLogs;
  /** Of the agent's life. */
  readonly signal: AbortSignal;
  /** A run of the order, not yet begun. */
  make(order: TaskOrder, slot: number): AttemptRun;
  isDraining(): boolean;
  /** What the coordinator answers when it does not take this life for one that goes on. */
  refused(error: unknown): void;
  /** The attempt was void: nobody will ever ask for what it wrote. */
  void(run: AttemptRun): Promise<void>;
}

const TASK_TYPES = { sample: "sampler", map: "mapper", reduce: "reducer" } as const;
/** An answer that says "later" earlier than this was not waited for: then a pause is made here. */
const promptMs = 100;
const shortCharsMax = 1_000;

/** One slot: asks for a task, runs it, reports it, and asks again, until its life is over. */
export class SlotLoop {
  readonly #slot: number;
  readonly #setting: SlotSetting;
  #ask = 1;

  constructor(slot: number, setting: SlotSetting) {
    this.#slot = slot;
    this.#setting = setting;
  }

  /** Never rejects. */
  async run(): Promise<void> {
    const { signal, world } = this.#setting;
    let idle = 0;
    while (!signal.aborted) {
      const askedMs = world.clock.nowMs();
      const answered = await this.#once();
      idle = answered === "worked" || world.clock.nowMs() - askedMs > promptMs ? 0 : idle + 1;
      const pause = typeof answered === "number" ? answered : idle === 0 ? 0 : pauseMs(idle, world.random);
      if (pause > 0) await pauseFor(pause, signal).catch(() => undefined);
    }
  }

  /** Asks once and does what comes. A number: it is to be asked again after so many ms. */
  async #once(): Promise<"worked" | "nothing" | number> {
    const { world, signal } = this.#setting;
    const identity = this.#identity();
    try {
      const answer = await world.api.askTask(identity, { signal, ...untilAnswered });
      if (answer.order !== null) {
        this.#ask++;
        await this.#work(answer.order, identity);
        return "worked";
      }
      if (answer.ask_anew) {
        this.#ask++;
        return "worked";
      }
      return answer.retry_after_ms ?? "nothing";
    } catch (error) {
      if (!signal.aborted) this.#setting.refused(error);
      return "nothing";
    }
  }

  async #work(order: TaskOrder, identity: SlotIdentity): Promise<void> {
    const { table, logs } = this.#setting;
    const run = this.#setting.make(order, this.#slot);
    table.add(run);
    const report = this.#setting.isDraining()
      ? cancelled(order.attempt, "the agent is leaving the cluster")
      : await run.run();
    await logs.flush(run.ref.job);
    await this.#report(run, report, identity);
    table.remove(run);
  }

  /**
   * Until it is answered: a report is never lost, and told twice it counts once. One that is refused for what
   * it says is told in short, once; if that is refused, too, the coordinator ends the attempt when this slot
   * asks for other work.
   */
  async #report(run: AttemptRun, report: TaskReport, identity: SlotIdentity): Promise<void> {
    const { world, signal } = this.#setting;
    const { job, phase, task } = run.ref;
    let told = report;
    for (let refusals = 1; !signal.aborted; refusals++) {
      try {
        const call = { signal, ...untilAnswered };
        const { accepted } = await world.api.report(job, TASK_TYPES[phase], task, told, identity, call);
        if (!accepted || told !== report) await this.#setting.void(run);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const code = isSheafError(error) ? error.code : "INTERNAL";
        world.log("warn", `the report of ${formatAttempt(run.ref)} was refused: ${describeThrown(error)}`, {
          job,
        });
        if (code === "NOT_FOUND") return this.#setting.void(run);
        this.#setting.refused(error);
        if (code !== "UNAUTHORIZED" && code !== "FENCED") {
          if (told !== report) return this.#setting.void(run);
          told = failed(run.ref, inShort(run, report, error));
        }
        await pauseFor(pauseMs(refusals, world.random), signal).catch(() => undefined);
      }
    }
  }

  #identity(): SlotIdentity {
    const { agent, incarnation } = this.#setting;
    return { agent, incarnation, slot: this.#slot, ask: this.#ask, workerPid: process.pid };
  }
}

/**
 * What is told instead of a report that was refused. A success that the coordinator does not understand is
 * none: the task has to be done another way. A failure keeps its code, and whose fault it was.
 */
function inShort(run: AttemptRun, { result }: TaskReport, refusal: unknown): TaskFailure {
  const { phase } = run.ref;
  const why = cutText(describeThrown(refusal), shortCharsMax);
  if (result?.kind === "failure") {
    const message = `${cutText(result.message, shortCharsMax)} (its full report was refused: ${why})`;
    return taskFailure(isErrorCode(result.code) ? result.code : "USER_CODE", message, {
      phase,
      blame: result.blame,
    });
  }
  const isTooLarge = isSheafError(refusal) && refusal.code === "LIMIT_EXCEEDED";
  const message = `the coordinator did not take the result: ${why}`;
  if (!isTooLarge) return taskFailure("INTERNAL", message, { phase, blame: "system" });
  return taskFailure("LIMIT_EXCEEDED", message, {
    phase,
    hint: "Count under fewer or shorter names, or write fewer output files per task.",
  });
}
