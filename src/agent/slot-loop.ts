import { describeThrown, isErrorCode, isSheafError } from "../base/errors.ts";
import { cutText } from "../base/print-value.ts";
import { pauseMs, pauseOrAbort } from "../base/retry.ts";
import type { SlotIdentity } from "../client/api-client.ts";
import type { TaskOrder, TaskReport } from "../protocol/task-messages.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { LifeWorld } from "./agent-options.ts";
import { cancelled, failedReport } from "./attempt-report.ts";
import type { AttemptRun } from "./attempt-run.ts";
import type { TaskLogs } from "./task-logs.ts";

export interface SlotSetting {
  readonly world: LifeWorld;
  readonly logs: TaskLogs;
  /** A run of the order, not yet begun; heartbeats tell of it until it is over. */
  begin(order: TaskOrder, slot: number): AttemptRun;
  over(run: AttemptRun): void;
  isLeaving(): boolean;
  /** What the coordinator answers when it does not take this life for one that goes on. */
  refused(error: unknown): void;
  /** The coordinator does not count the attempt: what it wrote is removed. */
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
    const { signal, clock, random } = this.#setting.world;
    let idle = 0;
    while (!signal.aborted) {
      const askedMs = clock.nowMs();
      const answered = await this.#once();
      idle = answered === "worked" || clock.nowMs() - askedMs > promptMs ? 0 : idle + 1;
      const pause = typeof answered === "number" ? answered : idle === 0 ? 0 : pauseMs(idle, random);
      if (pause > 0) await pauseOrAbort(pause, signal);
    }
  }

  /** Asks once and does what comes. A number: it is to be asked again after so many ms. */
  async #once(): Promise<"worked" | "nothing" | number> {
    const { api, signal } = this.#setting.world;
    const identity = this.#identity();
    try {
      const answer = await api.askTask(identity, { signal });
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
    const run = this.#setting.begin(order, this.#slot);
    const report = this.#setting.isLeaving()
      ? cancelled(order.attempt, "the agent is leaving the cluster")
      : await run.run();
    await this.#setting.logs.flush(run.ref.job);
    await this.#report(run, report, identity);
    this.#setting.over(run);
  }

  /**
   * Sends the report until it is answered, so that none is lost; the coordinator counts one that comes twice
   * once. If it refuses what the report says, a short failure is sent instead, once; if it refuses that, too,
   * it ends the attempt when this slot asks for other work.
   */
  async #report(run: AttemptRun, report: TaskReport, identity: SlotIdentity): Promise<void> {
    const { api, signal, log, random } = this.#setting.world;
    const { job, phase, task } = run.ref;
    let told = report;
    for (let refusals = 1; !signal.aborted; refusals++) {
      try {
        const type = TASK_TYPES[phase];
        const { accepted } = await api.report(job, type, task, told, identity, { signal });
        if (!accepted || told !== report) await this.#setting.void(run);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const code = isSheafError(error) ? error.code : "INTERNAL";
        const why = `the report of ${formatAttempt(run.ref)} was refused: ${describeThrown(error)}`;
        log("warn", why, { job });
        if (code === "NOT_FOUND") return this.#setting.void(run);
        this.#setting.refused(error);
        if (code !== "UNAUTHORIZED" && code !== "FENCED") {
          if (told !== report) return this.#setting.void(run);
          told = failedReport(run.ref, inShort(run, report, error));
        }
        await pauseOrAbort(pauseMs(refusals, random), signal);
      }
    }
  }

  #identity(): SlotIdentity {
    const { agent, incarnation } = this.#setting.world;
    return { agent, incarnation, slot: this.#slot, ask: this.#ask, workerPid: process.pid };
  }
}

/**
 * The failure that is sent instead of a report that was refused. A success that the coordinator cannot read
 * becomes a failure too: the task has to run again. A failure keeps its code, and whose fault it was.
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
