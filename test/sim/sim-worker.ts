import type { ErrorCode } from "#src/base/errors.js";
import type { AttemptRef } from "#src/scheduler/ids.js";
import type { SchedulerEvent } from "#src/scheduler/messages.js";
import type { FinishedOutput } from "#src/scheduler/view.js";
import { keyOf } from "./attempt-key.js";
import type { SimNode } from "./sim-node.js";
import { chance } from "./world-plan.js";

const REPORT_AGAIN_MS = 700;
const REPORTS_MAX = 30;

/**
 * What a worker is doing. Each stage is a fresh object, so that a timer of an earlier one finds that it is
 * over.
 */
interface Stage {
  readonly kind: "IDLE" | "RUNNING" | "COMMITTING" | "REPORTING" | "DEAD";
  readonly attempt: AttemptRef | null;
}

/** One slot of a node: asks, runs what it is given, reports until heard, asks again. */
export class SimWorker {
  readonly #node: SimNode;
  readonly #slot: number;
  readonly #life: number;
  #ask = 0;
  #beat = 0;
  #hung = false;
  #stage: Stage = { kind: "DEAD", attempt: null };

  constructor(node: SimNode, slot: number, incarnation: number) {
    this.#node = node;
    this.#slot = slot;
    this.#life = incarnation;
  }

  get running(): AttemptRef | null {
    return this.#stage.kind === "RUNNING" || this.#stage.kind === "COMMITTING" ? this.#stage.attempt : null;
  }

  /** What it was given and whose end nobody has heard of. */
  get unreported(): AttemptRef | null {
    return this.#stage.attempt;
  }

  get idle(): boolean {
    return this.#stage.kind === "IDLE";
  }

  runs(ref: AttemptRef): boolean {
    const own = this.#stage.attempt;
    return (
      own !== null &&
      own.job === ref.job &&
      own.phase === ref.phase &&
      own.task === ref.task &&
      own.attempt === ref.attempt
    );
  }

  stop(): void {
    this.#enter("DEAD", null);
  }

  ask(): void {
    const { world, random } = this.#node;
    const stage = this.#enter("IDLE", null);
    this.#ask++;
    const request = (): void => {
      this.#node.say({ kind: "workerReady", ...this.#node.ref, slot: this.#slot, ask: this.#ask });
      this.#during(stage, world.plan.askAgainMs * (0.9 + 0.2 * random.next()), request);
    };
    request();
  }

  askAnew(ask: number): void {
    if (this.idle && ask === this.#ask) this.ask();
  }

  start(attempt: AttemptRef, ask: number, inputs: readonly FinishedOutput[]): void {
    if (!this.idle || ask !== this.#ask) return;
    const { world, random, plan } = this.#node;
    const { rates } = world;
    const stage = this.#enter("RUNNING", attempt);
    this.#beat = 0;
    this.#hung = false;
    this.sayProgress();
    const durationMs = world.durationOf(attempt, random) * plan.slowness;
    const someMs = random.next() * durationMs;
    if (plan.bad && world.faulty) {
      this.#during(stage, 5, () => this.#fail(attempt, "system", "bad node"));
    } else if (world.isPoisoned(attempt)) {
      world.log.count("poison record");
      world.monitor.guilty.add(keyOf(attempt));
      this.#during(stage, someMs, () => this.#fail(attempt, "data", "poison"));
    } else if (world.faulty && world.meetsBadRecord(attempt)) {
      world.log.count("record set aside");
      this.#during(stage, someMs, () => this.#setAside(attempt));
    } else if (world.isDeadly(attempt)) {
      world.log.count("deadly task");
      this.#during(stage, someMs, () => this.#die(attempt));
    } else if (chance(random, world.faulty ? rates.workerCrash : 0)) {
      world.log.count("worker crash");
      this.#during(stage, someMs, () => this.#crash());
    } else if (chance(random, world.faulty ? rates.userFailure : 0)) {
      world.log.count("user failure");
      world.monitor.guilty.add(keyOf(attempt));
      this.#during(stage, someMs, () => this.#fail(attempt, "user", "user code threw"));
    } else if (chance(random, world.faulty ? rates.hang : 0)) {
      world.log.count("hang");
      world.monitor.guilty.add(keyOf(attempt));
      this.#during(stage, someMs, () => (this.#hung = true));
    } else {
      this.#fetchAndRun(stage, attempt, inputs, durationMs);
    }
  }

  kill(): void {
    this.#restart();
  }

  granted(): void {
    const attempt = this.#stage.attempt;
    if (this.#stage.kind !== "COMMITTING" || attempt === null) return;
    const { world, random } = this.#node;
    const stage = this.#enter("RUNNING", attempt);
    const takesMs = world.publishMsOf(attempt, random);
    if (chance(random, world.faulty ? world.rates.diskFullInCommit : 0)) {
      world.log.count("disk failure in commit");
      this.#during(stage, takesMs, () => this.#fail(attempt, "system", "ENOSPC"));
    } else {
      this.#during(stage, takesMs, () => this.#finish(attempt, true));
    }
  }

  /** Comes with the node's heartbeat. */
  sayProgress(): void {
    const attempt = this.running;
    if (attempt === null) return;
    if (!this.#hung) this.#beat++;
    this.#node.say({ kind: "attemptProgress", ...this.#node.ref, attempt, beat: this.#beat });
  }

  #fetchAndRun(
    stage: Stage,
    attempt: AttemptRef,
    inputs: readonly FinishedOutput[],
    durationMs: number,
  ): void {
    const { world, random } = this.#node;
    const toEnd = (restMs: number): void =>
      this.#during(stage, restMs, () => {
        if (world.asksToCommit(attempt)) this.#askCommit(attempt);
        else this.#finish(attempt, false);
      });
    if (attempt.phase !== "reduce" || inputs.length === 0) return toEnd(durationMs);
    this.#during(stage, 0.3 * durationMs, () => {
      const missing = inputs.find((input) => !world.canFetch(attempt.job, input));
      const faulty = world.faulty && chance(random, world.rates.fetchFailure);
      if (faulty) world.log.count("fetch failure");
      const victim = missing ?? (faulty ? inputs[random.below(inputs.length)] : undefined);
      if (victim === undefined) {
        world.consumed(attempt, inputs);
        toEnd(0.7 * durationMs);
        return;
      }
      const { task: mapTask, attempt: mapAttempt } = victim;
      this.#report(attempt, {
        kind: "fetchFailed",
        ...this.#node.ref,
        attempt,
        mapTask,
        mapAttempt,
        message: "HTTP 404",
      });
    });
  }

  /** Asks until answered; a kill ends it too. */
  #askCommit(attempt: AttemptRef): void {
    const stage = this.#enter("COMMITTING", attempt);
    const request = (): void => {
      this.#node.say({ kind: "commitRequested", ...this.#node.ref, attempt });
      this.#during(stage, REPORT_AGAIN_MS, request);
    };
    request();
  }

  #finish(attempt: AttemptRef, granted: boolean): void {
    const { world, random } = this.#node;
    world.published(attempt, granted);
    if (attempt.phase === "map") {
      this.#node.keep(attempt);
      if (chance(random, world.faulty ? world.rates.outputVanish : 0)) {
        world.log.count("output vanished");
        const { incarnation } = this.#node;
        this.#node.later(random.next() * 5_000, incarnation, () => this.#node.remove(attempt));
      }
    }
    const counters = world.countersOf(attempt);
    const fingerprint = world.fingerprintOf(attempt);
    this.#report(attempt, {
      kind: "attemptFinished",
      ...this.#node.ref,
      attempt,
      output: attempt.attempt,
      counters,
      ...(fingerprint === null ? {} : { fingerprint }),
    });
  }

  #fail(
    attempt: AttemptRef,
    blame: "user" | "data" | "system",
    message: string,
    code: ErrorCode = blame === "user" ? "USER_CODE" : blame === "data" ? "INPUT_CORRUPT" : "DISK_FULL",
  ): void {
    this.#report(attempt, { kind: "attemptFailed", ...this.#node.ref, attempt, blame, code, message });
  }

  /** A record has ended the attempt, in one way or the other, and is skipped from now on. */
  #setAside(attempt: AttemptRef): void {
    const ends = [
      { blame: "user", code: "USER_CODE" },
      { blame: "data", code: "RECORD_INVALID" },
      { blame: "system", code: "WORKER_LOST" },
      { blame: "system", code: "WORKER_LOST" },
    ] as const;
    const end = ends[this.#node.random.below(ends.length)]!;
    const message = "by a bad record";
    this.#report(attempt, {
      kind: "attemptFailed",
      ...this.#node.ref,
      attempt,
      ...end,
      message,
      setAside: true,
    });
  }

  /** The worker dies, and its agent tells of it in one way or the other; or the agent ends it itself. */
  #die(attempt: AttemptRef): void {
    const way = this.#node.random.below(4);
    if (way === 0) return this.#crash();
    if (way === 1) return this.#fail(attempt, "system", "the agent ended it", "CANCELLED");
    this.#fail(attempt, "system", "signal SIGKILL", "WORKER_LOST");
  }

  /** Code of the attempt emits when it is over. Of some, only the next life of the node tells. */
  #perhapsEmitLate(attempt: AttemptRef): void {
    const { world, random } = this.#node;
    if (world.emitsLate(attempt, random, 10)) this.#node.untold.push(attempt);
    if (!world.emitsLate(attempt, random)) return;
    world.log.count("late emit");
    const isNamed = random.below(4) > 0;
    this.#node.later(random.next() * 5_000, this.#life, () => this.#node.sayLateEmit(attempt, isNamed));
  }

  #report(attempt: AttemptRef, event: SchedulerEvent): void {
    this.#perhapsEmitLate(attempt);
    const stage = this.#enter("REPORTING", attempt);
    const heard = (): void => {
      if (this.#stage === stage) this.ask();
    };
    const send = (left: number): void => {
      if (left === 0) return this.ask();
      this.#node.world.report(event, this.#node, heard);
      this.#during(stage, REPORT_AGAIN_MS, () => send(left - 1));
    };
    send(REPORTS_MAX);
  }

  /** The agent notices that the worker is gone, says so, and starts another. */
  #crash(): void {
    this.#node.say({
      kind: "workerGone",
      ...this.#node.ref,
      slot: this.#slot,
      ask: this.#ask,
      message: "signal SIGKILL",
    });
    this.#restart();
  }

  #restart(): void {
    const stage = this.#enter("DEAD", null);
    this.#during(stage, 100, () => this.ask());
  }

  #enter(kind: Stage["kind"], attempt: AttemptRef | null): Stage {
    this.#stage = { kind, attempt };
    return this.#stage;
  }

  #during(stage: Stage, delayMs: number, then: () => void): void {
    this.#node.later(delayMs, this.#life, () => {
      if (this.#stage === stage) then();
    });
  }
}
