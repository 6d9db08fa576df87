import { hostname, totalmem } from "node:os";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { pauseMs, pauseOrAbort } from "../base/retry.ts";
import type { HeartbeatAnswer, Identity, Register, Registered, Utility } from "../protocol/agent-messages.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { StartWorker } from "../worker/worker.ts";
import type { AgentOptions, AgentParts, LifeWorld } from "./agent-options.ts";
import { AgentWork } from "./agent-work.ts";
import type { HeartbeatNews, HeartbeatState } from "./heartbeat-thread.ts";

export interface LifeOptions {
  readonly options: AgentOptions;
  readonly parts: AgentParts;
  readonly incarnation: number;
  readonly identity: Identity;
  readonly address: string;
  readonly startWorker: StartWorker;
  measure(): Utility;
  /** Has heartbeats say this from now on. */
  tell(state: HeartbeatState): void;
  /** Called at each registration. */
  joined(): void;
}

/** How a life ended: the agent leaves, for good, or begins another with a number above `above`. */
export type LifeEnd =
  | { readonly kind: "left" }
  | { readonly kind: "fenced"; readonly above: number }
  /** The coordinator does not answer any more. */
  | { readonly kind: "gone"; readonly error: SheafError };

/** What this life is to the coordinator. */
type Membership =
  | { readonly kind: "joining" }
  /** "rejoining": it was forgotten, and has begun to register again. */
  | { readonly kind: "member" | "rejoining"; readonly heartbeatMs: number; readonly leaseMs: number };

/** Whether it takes tasks. */
type Duty =
  | { readonly kind: "working" }
  | {
      readonly kind: "leaving";
      /** The coordinator knows, or is not there to be told. */
      readonly isKnown: boolean;
      /** Something of what is here may still be asked for. */
      readonly isNeeded: boolean;
    };

const lookMs = 250;
/** An agent that leaves waits so long at most for the answers to its last reports, ms. */
const handBackMsMax = 3_000;
/** And for the answer to the message that it leaves, ms. */
const leaveMsMax = 2_000;
/**
 * For so many leases an agent asks again for a name that is taken: an agent that was killed keeps its name
 * until its lease ends.
 */
const leasesWaited = 1.5;

/**
 * One life of an agent, under one incarnation: registers, has its slots ask for tasks, obeys orders. When the
 * coordinator has given it up, everything in it is void.
 */
export class AgentLife {
  readonly #options: LifeOptions;
  readonly #world: LifeWorld;
  readonly #over = new AbortController();
  readonly #work: AgentWork;
  #end!: (end: LifeEnd) => void;
  readonly #ended = new Promise<LifeEnd>((resolve) => (this.#end = resolve));
  #membership: Membership = { kind: "joining" };
  #duty: Duty = { kind: "working" };
  /** Since when the coordinator has not answered; null: it answers. */
  #silentSinceMs: number | null = null;
  /** Since when another agent has its name. */
  #nameTakenMs: number | null = null;
  #waiting: (() => void)[] = [];

  constructor(life: LifeOptions) {
    this.#options = life;
    const { incarnation, options, parts, startWorker } = life;
    const { signal } = this.#over;
    const { roots = [], stores = [], storage = { env: {}, fetch: { roots: [], addresses: [] } } } = options;
    const world = { ...parts.world, agent: parts.name, incarnation, roots, storage, stores, signal };
    this.#world = world;
    this.#work = new AgentWork({
      world,
      options,
      parts,
      startWorker,
      isLeaving: () => this.#duty.kind === "leaving",
      refused: (error) => this.#refused(error),
      changed: () => this.#changed(),
    });
  }

  /**
   * Lives it to its end; then nothing of it is left running.
   * @throws SheafError when the coordinator refuses the first registration: VERSION_MISMATCH, UNAUTHORIZED;
   * NAME_TAKEN
   */
  async run(): Promise<LifeEnd> {
    let working: Promise<void> | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#work.prepare();
      const heartbeatMs = await this.#join();
      if (heartbeatMs !== null) {
        timer = setInterval(() => this.#tick(), Math.min(lookMs, heartbeatMs / 2));
        working = this.#work.run();
      }
      return await this.#ended;
    } finally {
      this.#over.abort();
      this.#options.tell({ heartbeat: null, everyMs: 1_000, silentMsMax: 0, now: false });
      this.#work.cancelAll("this life of the agent is over");
      await working;
      await this.#work.clear();
      clearInterval(timer);
    }
  }

  /** What the heartbeat thread has heard. */
  heard(news: HeartbeatNews): void {
    if (news.incarnation !== this.#world.incarnation || this.#over.signal.aborted) return;
    if (news.kind === "failed") {
      this.#silence(news.code === "UNREACHABLE" ? news.message : null);
      if (news.code === "FENCED") this.#fenced(this.#world.incarnation);
      if (this.#silentSinceMs !== null) this.#leavingIs({ isKnown: true });
      return;
    }
    this.#silence(null);
    if (news.draining) this.#leavingIs({ isKnown: true });
    this.#take(news.answer);
    this.#wake();
  }

  /**
   * Takes no new tasks, and leaves when the running ones are finished and no map output that is here is
   * needed. When `graceMs` are over, what still runs is handed back.
   */
  async drain(graceMs: number): Promise<void> {
    const { clock } = this.#world;
    const endMs = clock.nowMs() + graceMs;
    this.#duty = { kind: "leaving", isKnown: false, isNeeded: true };
    this.#tellHeartbeats(true);
    const isKnown = (): boolean =>
      this.#membership.kind === "joining" || (this.#duty.kind === "leaving" && this.#duty.isKnown);
    await this.#until(() => this.#work.running === 0 && isKnown(), endMs);
    this.#work.cancelAll("the agent is leaving the cluster");
    await this.#until(() => this.#work.running === 0, clock.nowMs() + handBackMsMax);
    const isNeeded = (): boolean =>
      this.#options.parts.shuffle.jobs().length > 0 && (this.#duty.kind !== "leaving" || this.#duty.isNeeded);
    await this.#until(() => !isNeeded() && !this.#work.hasErrands, endMs);
    await this.#tellLeaving();
    this.leave();
  }

  /** Ends everything at once. */
  leave(): void {
    this.#finish({ kind: "left" });
  }

  #finish(end: LifeEnd): void {
    this.#end(end);
    this.#over.abort();
  }

  #fenced(above: number): void {
    const { log, incarnation, signal } = this.#world;
    if (signal.aborted) return;
    const said = "the coordinator gave this agent up: what it had is void, it joins anew";
    log("warn", said, { incarnation });
    this.#finish({ kind: "fenced", above });
  }

  #leavingIs(known: Partial<Extract<Duty, { kind: "leaving" }>>): void {
    if (this.#duty.kind === "leaving") this.#duty = { ...this.#duty, ...known };
  }

  /** So that the coordinator need not wait for the end of the lease. */
  async #tellLeaving(): Promise<void> {
    const { api, agent, incarnation, signal, log } = this.#world;
    if (this.#membership.kind === "joining" || signal.aborted) return;
    const call = { retryMs: 0, timeoutMs: leaveMsMax, signal };
    await api.leave(agent, incarnation, call).catch((error: unknown) => {
      log("warn", `the coordinator was not told that this agent leaves: ${describeThrown(error)}`);
    });
  }

  /** The time between heartbeats; null when the life ends before the coordinator has taken it in. */
  async #join(): Promise<number | null> {
    const { random, signal } = this.#world;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        const heartbeatMs = await this.#register();
        if (heartbeatMs !== null) return heartbeatMs;
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      await pauseOrAbort(pauseMs(tries, random), signal);
    }
    return null;
  }

  /**
   * The time between heartbeats; null when it is fenced, and over, or its name is taken for now.
   * @throws SheafError NAME_TAKEN
   */
  async #register(): Promise<number | null> {
    const { api, incarnation, signal } = this.#world;
    const { giveUpMs = Number.POSITIVE_INFINITY, heartbeatMs: asked } = this.#options.options;
    const answer = await api.register(this.#registration(), { signal, retryMs: giveUpMs });
    const { fencedBelow, taken, leaseMs } = answer;
    if (fencedBelow !== null) this.#fenced(Math.max(fencedBelow, incarnation));
    else if (taken !== undefined) this.#nameIsTaken(taken, leaseMs);
    if (fencedBelow !== null || taken !== undefined) return null;
    const heartbeatMs = asked ?? answer.heartbeatMs;
    this.#membership = { kind: "member", heartbeatMs, leaseMs };
    this.#options.joined();
    this.#tellHeartbeats(true);
    return heartbeatMs;
  }

  #registration(): Register {
    const { options, parts, identity, address } = this.#options;
    const { agent, incarnation, roots } = this.#world;
    return {
      protocol: PROTOCOL_VERSION,
      version: options.version,
      agent,
      incarnation,
      identity,
      host: hostname(),
      pid: process.pid,
      address,
      slots: parts.slots,
      memoryBytes: totalmem(),
      utility: this.#options.measure(),
      roots: [...roots],
    };
  }

  /**
   * While another agent of its name may be alive, the name is asked for again until that one's lease must be
   * over.
   * @throws SheafError NAME_TAKEN when it still is taken then
   */
  #nameIsTaken({ host, address }: NonNullable<Registered["taken"]>, leaseMs: number): void {
    const { agent, clock, log } = this.#world;
    const said = `another agent named "${agent}" is alive, on ${host} (${address})`;
    if (this.#nameTakenMs === null) {
      this.#nameTakenMs = clock.nowMs();
      log("warn", `${said}: this one waits for the end of its lease`, { leaseMs });
    }
    if (clock.nowMs() - this.#nameTakenMs < leasesWaited * leaseMs) return;
    throw new SheafError("NAME_TAKEN", said, {
      hint:
        "Start this one with another --name. If its machine or state directory is a copy of that one's, " +
        `also remove the directory ${this.#options.parts.directory.path}: what is in it is the other agent's.`,
      details: { agent, host, address },
    });
  }

  /** The coordinator does not know this life: it has forgotten, or was never told. */
  #rejoin(): void {
    const { signal, log, random, incarnation } = this.#world;
    const before = this.#membership;
    if (before.kind !== "member") return;
    this.#membership = { ...before, kind: "rejoining" };
    this.#register()
      .catch((error: unknown) => {
        if (signal.aborted) return;
        // The next life asks for the name again, and ends the agent if it does not get it.
        if (isSheafError(error) && error.code === "NAME_TAKEN") return this.#fenced(incarnation);
        log("error", `cannot join again: ${describeThrown(error)}`);
        return pauseOrAbort(pauseMs(5, random), signal);
      })
      .finally(() => {
        if (this.#membership.kind === "rejoining") this.#membership = before;
      });
  }

  #take(answer: HeartbeatAnswer): void {
    if (answer.standing === "fenced") return this.#fenced(this.#world.incarnation);
    if (answer.standing === "join") return this.#rejoin();
    if (answer.needed === 0) this.#leavingIs({ isNeeded: false });
    this.#work.take(answer);
  }

  /** What an answer other than success says about this life. */
  #refused(error: unknown): void {
    const code = isSheafError(error) ? error.code : "INTERNAL";
    if (code === "FENCED") this.#fenced(this.#world.incarnation);
    else if (code === "NOT_FOUND") this.#rejoin();
    else this.#world.log("error", `the coordinator refuses: ${describeThrown(error)}`);
  }

  #tick(): void {
    this.#work.look();
    this.#changed();
  }

  #changed(): void {
    this.#tellHeartbeats(false);
    this.#wake();
  }

  #tellHeartbeats(now: boolean): void {
    if (this.#membership.kind === "joining" || this.#over.signal.aborted) return;
    const { heartbeatMs, leaseMs } = this.#membership;
    this.#options.tell({
      heartbeat: {
        incarnation: this.#world.incarnation,
        ...this.#work.view(),
        utility: this.#options.measure(),
        draining: this.#duty.kind === "leaving",
      },
      everyMs: heartbeatMs,
      silentMsMax: 2 * leaseMs,
      now,
    });
  }

  /** @param message what was said instead of an answer; null: the coordinator answers */
  #silence(message: string | null): void {
    const { clock, log } = this.#world;
    const { giveUpMs = Number.POSITIVE_INFINITY } = this.#options.options;
    const sinceMs = this.#silentSinceMs;
    if (message === null) {
      this.#silentSinceMs = null;
      if (sinceMs !== null) log("info", "the coordinator answers again");
    } else if (sinceMs === null) {
      this.#silentSinceMs = clock.nowMs();
      log("warn", `the coordinator does not answer, work goes on: ${message}`);
    } else if (clock.nowMs() - sinceMs >= giveUpMs) {
      const said = `the coordinator has not answered for ${Math.round(giveUpMs / 1000)} s: ${message}`;
      const error = new SheafError("UNREACHABLE", said, { hint: "It has ended, or cannot be reached." });
      this.#finish({ kind: "gone", error });
    }
  }

  /** Resolves when the condition holds, or when the time is over. */
  async #until(condition: () => boolean, endMs: number): Promise<void> {
    const { clock, signal } = this.#world;
    while (!condition() && clock.nowMs() < endMs && !signal.aborted) {
      const stop = new AbortController();
      this.#waiting.push(() => stop.abort());
      await pauseOrAbort(endMs - clock.nowMs(), AbortSignal.any([stop.signal, signal]));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
