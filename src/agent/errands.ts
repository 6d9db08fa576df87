import { SheafError, describeThrown, unreachable } from "../base/errors.ts";
import { cutText } from "../base/print-value.ts";
import { MiB } from "../base/size.ts";
import { toWireJson } from "../base/wire-json.ts";
import type { ApiClient } from "../client/api-client.ts";
import type { CallOptions } from "../client/http.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { splitsPerPage } from "../protocol/agent-messages.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { splitAddress } from "../storage/store.ts";
import { storedOutput } from "../storage/stores.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import type { LifeWorld } from "./agent-options.ts";
import { commitErrand } from "./commit-errand.ts";
import type { NodeJobs } from "./node-jobs.ts";
import { discardRecords } from "./place-records.ts";
import { planErrand } from "./plan-errand.ts";
import { removeStaging, stagingOf } from "./staging.ts";

interface Pending {
  /** Progress count of the heartbeat protocol: grows with each step. */
  beat: number;
  readonly dropped: AbortController;
}

/** Of no attempt: where one of another job comes next, it ends the worker that is idle there. */
const gateSlot = -1;

/** As `gateSlot`, of its own: a job may be asked for both. */
const foldSlot = -2;

type FoldOrder = Extract<Errand, { kind: "fold" }>["request"];

/** Results kept, for errands that are given again because the answer was lost. */
const resultsKept = 32;

/**
 * An errand is what the coordinator has an agent do for a job beside its tasks: list and cut its input
 * ("plan"), publish its output ("commit"), or remove what it wrote ("discard"). The same errand never runs
 * twice at a time. Its result is sent until the coordinator has taken it; an errand that is given again after
 * that is answered from memory, or done again.
 */
export class ErrandRunner {
  readonly #world: LifeWorld;
  readonly #jobs: NodeJobs;
  readonly #pending = new Map<string, Pending>();
  readonly #results = new Map<string, ErrandResult>();

  constructor(world: LifeWorld, jobs: NodeJobs) {
    this.#world = world;
    this.#jobs = jobs;
  }

  /** Errands it has heard of and not yet answered. */
  get pending(): string[] {
    return [...this.#pending.keys()];
  }

  /** The same with how often each has moved on, for heartbeats. */
  beats(): { id: string; beat: number }[] {
    return [...this.#pending].map(([id, { beat }]) => ({ id, beat }));
  }

  /** Begins the errand, unless it is being done. */
  give(errand: Errand): void {
    if (this.#pending.has(errand.id)) return;
    const pending: Pending = { beat: 1, dropped: new AbortController() };
    this.#pending.set(errand.id, pending);
    this.#carryOut(errand, pending)
      .catch((error: unknown) => {
        const { log } = this.#world;
        log("error", `the errand to ${errand.kind} was given up: ${describeThrown(error)}`, {
          job: errand.job,
        });
      })
      .finally(() => {
        if (this.#pending.get(errand.id) === pending) this.#pending.delete(errand.id);
      });
  }

  /** Nobody waits for it any more: it ends before its next step, and is not answered. */
  drop(errand: string): void {
    const pending = this.#pending.get(errand);
    if (pending === undefined) return;
    this.#pending.delete(errand);
    pending.dropped.abort(
      new SheafError("CANCELLED", "nobody waits for the errand any more", {
        hint: "It made no progress and was given to another agent, or its job is over.",
      }),
    );
  }

  async #carryOut(errand: Errand, pending: Pending): Promise<void> {
    const world = this.#world;
    const signal = AbortSignal.any([world.signal, pending.dropped.signal]);
    const step = (): void => {
      signal.throwIfAborted();
      pending.beat++;
    };
    const result = this.#results.get(errand.id) ?? (await this.#resultOf(errand, step));
    if (signal.aborted) return;
    this.#remember(errand.id, result);
    const call = { signal };
    try {
      const told = await withoutPages(world.api, errand.id, result, call, step);
      await world.api.errandDone(errand.id, told, call);
    } catch (error) {
      if (signal.aborted) return;
      const why = `the coordinator did not take the result of ${errand.kind}: ${describeThrown(error)}`;
      world.log("warn", why, { job: errand.job });
      // The coordinator waits for an answer: say once, in a short one, that the result was refused.
      const refused = failedErrand(
        this.#who,
        taskFailure("INTERNAL", cutText(why, 1_000), { blame: "system" }),
      );
      this.#remember(errand.id, refused);
      await world.api.errandDone(errand.id, refused, call).catch(() => undefined);
    }
  }

  async #resultOf(errand: Errand, step: () => void): Promise<ErrandResult> {
    try {
      return { ...this.#who, ...(await this.#done(errand, step)) };
    } catch (error) {
      const failure = failureOfThrown(error, errand.kind, "INTERNAL", "system");
      this.#world.log("warn", `${errand.kind} failed: ${failure.message}`, { job: errand.job });
      return failedErrand(this.#who, failure);
    }
  }

  get #who(): Pick<ErrandResult, "agent" | "incarnation"> {
    const { agent, incarnation } = this.#world;
    return { agent, incarnation };
  }

  async #done(errand: Errand, step: () => void) {
    const { agent, roots } = this.#world;
    switch (errand.kind) {
      case "plan":
        return planErrand(errand, agent, roots, step);
      case "commit":
        return commitErrand(errand, (counters) => this.#askGate(errand.job, counters), roots, step);
      case "fold":
        return this.#fold(errand.job, errand.request);
      case "discard":
        if (errand.output.kind === "shared") await this.#discard(errand.output.path, errand.job);
        if (errand.materialize !== undefined)
          await discardRecords(await stagingOf(errand.materialize, errand.job, roots));
        return { kind: "discarded" } as const;
      default:
        return unreachable(errand);
    }
  }

  async #discard(output: string, job: string): Promise<void> {
    const { roots } = this.#world;
    if (splitAddress(output) === null) return removeStaging(await stagingOf(output, job, roots));
    await (await storedOutput(await insideRoots(output, roots), job)).abort();
  }

  async #askGate(job: string, counters: Readonly<Record<string, number>>) {
    return (await this.#jobs.prepare(job, 0)).pool.expect(counters, gateSlot);
  }

  async #fold(job: string, { merged, finished, running, ...more }: FoldOrder) {
    const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
    const request = {
      ...more,
      merged: merged === null ? null : bytes(merged),
      finished: finished.map(bytes),
      running: running.map(bytes),
    };
    const answer = await (await this.#jobs.prepare(job, 0)).pool.fold(request, foldSlot);
    if ("kind" in answer) return { kind: "failed" as const, failure: { ...answer, log: [...answer.log] } };
    const collections = answer.collections.map((one) => ({ ...one, top: [...one.top] }));
    const { stop } = answer;
    const all = Buffer.from(answer.merged).toString("base64");
    return { kind: "folded" as const, merged: all, collections, stop };
  }

  #remember(id: string, result: ErrandResult): void {
    this.#results.delete(id);
    this.#results.set(id, result);
    const oldest = this.#results.keys().next().value;
    if (this.#results.size > resultsKept && oldest !== undefined) this.#results.delete(oldest);
  }
}

function failedErrand(who: Pick<ErrandResult, "agent" | "incarnation">, failure: TaskFailure): ErrandResult {
  return { ...who, kind: "failed", failure: { ...failure, log: [...failure.log] } };
}

/** Of a page's JSON text. */
const pageBytes = 2 * MiB;

function bytesOf(splits: readonly unknown[]): number {
  return splits.reduce<number>((sum, split) => sum + Buffer.byteLength(toWireJson(split)), 0);
}

/**
 * Sends the splits of a large plan ahead of it, page by page: no one message keeps its coordinator from
 * others for long. Resolves with the result as it is to be sent then.
 * @param step called before each page
 */
export async function withoutPages(
  api: ApiClient,
  errand: string,
  result: ErrandResult,
  call: CallOptions,
  step: () => void,
): Promise<ErrandResult> {
  if (
    result.kind !== "planned" ||
    (result.splits.length <= splitsPerPage && bytesOf(result.splits) <= pageBytes)
  )
    return result;
  const { agent, incarnation, splits } = result;
  for (let from = 0; from < splits.length;) {
    step();
    // Splits of many small files are long: a page has one at least.
    let bytes = bytesOf([splits[from]!]);
    let to = from + 1;
    while (to < splits.length && to - from < splitsPerPage) {
      bytes += bytesOf([splits[to]!]);
      if (bytes > pageBytes) break;
      to++;
    }
    await api.splits(errand, { agent, incarnation, from, splits: splits.slice(from, to) }, call);
    from = to;
  }
  return { ...result, splits: [], sent: splits.length };
}
