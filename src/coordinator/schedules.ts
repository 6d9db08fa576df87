import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Due, ScheduleRequest, ScheduleView } from "../protocol/schedule.ts";
import type { Submission } from "../protocol/submission.ts";
import type { Assembly } from "./assemble.ts";
import { CronTimes } from "./cron-times.ts";
import { blobsOf } from "./jobs.ts";
import type { Caller } from "./service.ts";

/** Table `schedules`. Times are of the wall clock, ms, since cron patterns are about that. */
interface ScheduleRow extends ScheduleRequest {
  readonly createdMs: number;
  readonly paused: boolean;
  /** When it is due next; null: never, or it is paused. */
  readonly nextMs: number | null;
  readonly last: Due | null;
  /** Idempotency key of the last job that was started. */
  readonly lastKey: string | null;
  readonly counts: ScheduleView["counts"];
}

/** A run that could not be started within this is missed. */
const lateMsMax = 60_000;
/** Missed times that are counted; there may be more. */
const countedMax = 10_000;

/** What starts a job, and checks one that is to be started later. */
export interface ScheduleJobs {
  /** @throws SheafError as ClientRequests.submit */
  submit(submission: Submission, key: string): string;
  /** @throws SheafError as ClientRequests.submit */
  check(submission: Submission): void;
}

/**
 * Submissions that are made again and again by the clock. What a schedule does at a time is one transaction:
 * the job that it starts, and the time that is next. So no kill makes it start twice, or not at all.
 */
export class Schedules {
  readonly #a: Assembly;
  readonly #jobs: ScheduleJobs;
  readonly #rows = new Map<string, ScheduleRow>();
  readonly #times = new Map<string, CronTimes>();

  constructor(assembly: Assembly, jobs: ScheduleJobs) {
    this.#a = assembly;
    this.#jobs = jobs;
    for (const { text } of assembly.store.all("schedules")) this.#keep(JSON.parse(text) as ScheduleRow);
  }

  /** @throws SheafError USAGE, NAME_TAKEN, LIMIT_EXCEEDED; as a submission that would be made now */
  add(
    request: ScheduleRequest,
    caller: Caller,
  ): { readonly schedule: ScheduleView; readonly isNew: boolean } {
    const { loop, clock } = this.#a;
    const before = this.#rows.get(request.name);
    if (before !== undefined && isSame(before, request)) {
      loop.mayAcknowledge();
      return { schedule: this.#view(before), isNew: false };
    }
    if (before !== undefined) {
      throw new SheafError("NAME_TAKEN", `there is a schedule "${request.name}" already`, {
        hint: `Remove it first (sheaf schedule remove ${request.name}), or give another name (--as NAME).`,
      });
    }
    if (this.#rows.size >= limits.schedulesMax) {
      throw new SheafError("LIMIT_EXCEEDED", `${limits.schedulesMax} schedules are the most`, {
        hint: "Remove some: sheaf schedule list shows them.",
      });
    }
    checkRepeatable(request.submission);
    this.#jobs.check(request.submission);
    const nowMs = clock.wallMs();
    const times = new CronTimes(request.cron, request.timeZone, nowMs);
    const counts = { started: 0, missed: 0, overlapped: 0, refused: 0 };
    const state = { createdMs: nowMs, paused: false, nextMs: times.after(nowMs), last: null, lastKey: null };
    const row: ScheduleRow = { ...request, ...state, counts };
    return loop.change(
      () => this.#put(row),
      () => {
        this.#audit(row, "added", caller);
        return { schedule: this.#view(row), isNew: true };
      },
    );
  }

  list(): readonly ScheduleView[] {
    this.#a.loop.mayAcknowledge();
    const names = [...this.#rows.keys()].sort();
    return names.map((name) => this.#view(this.#rows.get(name)!));
  }

  /** Its jobs stay. @throws SheafError NOT_FOUND */
  remove(name: string, caller: Caller): ScheduleView {
    const row = this.#find(name);
    return this.#a.loop.change(
      () => {
        this.#a.store.put("schedules", name, null);
        this.#rows.delete(name);
        this.#times.delete(name);
        this.#a.jobs.pin(name, null);
      },
      () => {
        this.#audit(row, "removed", caller);
        return this.#view(row);
      },
    );
  }

  /** What is due while it is paused does not count as missed. @throws SheafError NOT_FOUND */
  pause(name: string, paused: boolean, caller: Caller): ScheduleView {
    const row = this.#find(name);
    if (row.paused === paused) {
      this.#a.loop.mayAcknowledge();
      return this.#view(row);
    }
    const nextMs = paused ? null : this.#timesOf(row).after(this.#a.clock.wallMs());
    const changed = { ...row, paused, nextMs };
    return this.#a.loop.change(
      () => this.#put(changed),
      () => {
        this.#audit(changed, paused ? "paused" : "resumed", caller);
        return this.#view(changed);
      },
    );
  }

  /** Starts what is due. */
  tick(): void {
    const nowMs = this.#a.clock.wallMs();
    for (const row of this.#rows.values())
      if (row.nextMs !== null && row.nextMs <= nowMs) this.#due(row, row.nextMs, nowMs);
  }

  #due(row: ScheduleRow, firstMs: number, nowMs: number): void {
    const times = this.#timesOf(row);
    let latestMs = firstMs;
    let passed = 0;
    for (let next = times.after(firstMs); next !== null && next <= nowMs; next = times.after(next)) {
      latestMs = next;
      if (++passed < countedMax) continue;
      latestMs = latestTime(times, nowMs);
      break;
    }
    const isLate = nowMs - latestMs > lateMsMax;
    const missed = passed + (isLate ? 1 : 0);
    if (missed > 0) this.#tellMissed(row, missed, isLate ? latestMs : firstMs);
    const counts = { ...row.counts, missed: row.counts.missed + missed };
    // From now on, and not from then: what was missed is not due any more.
    const next: ScheduleRow = { ...row, counts, nextMs: times.after(nowMs) };
    if (isLate && row.missed === "skip")
      this.#put({ ...next, last: due(latestMs, "missed", null, "the coordinator did not run then") });
    else this.#start(row, next, latestMs);
  }

  #start(before: ScheduleRow, next: ScheduleRow, dueMs: number): void {
    const { jobs, loop } = this.#a;
    const { lastKey, name, overlap, counts, submission, createdMs } = next;
    const lastJob = lastKey === null ? null : (jobs.byKey(lastKey) ?? null);
    if (overlap === "skip" && lastJob !== null && jobs.get(lastJob) !== undefined) {
      const last = due(dueMs, "overlapped", lastJob, `${lastJob} was not over yet`);
      this.#put({ ...next, counts: { ...counts, overlapped: counts.overlapped + 1 }, last });
      this.#log("warn", name, `not started: ${last.message}`);
      return;
    }
    const key = `schedule:${name}:${createdMs}:${dueMs}`;
    const started = { ...next, counts: { ...counts, started: counts.started + 1 }, lastKey: key };
    // In the transaction of the job, whose id is not known before.
    this.#put({ ...started, last: due(dueMs, "started", null, null) });
    try {
      const job = this.#jobs.submit(submission, key);
      this.#put({ ...started, last: due(dueMs, "started", job, null) });
      this.#log("info", name, `started ${job}`, job);
    } catch (error) {
      if (loop.trouble !== null) {
        // Nothing could be written: it is due until something can be.
        this.#put(before);
        return;
      }
      const message = isSheafError(error) ? `${error.message} [${error.code}]` : describeThrown(error);
      const last = due(dueMs, "refused", null, message);
      this.#put({ ...next, counts: { ...counts, refused: counts.refused + 1 }, last });
      this.#log("error", name, `not started: ${message}`);
    }
  }

  #tellMissed({ name, missed }: ScheduleRow, count: number, lastMs: number): void {
    const what = count === 1 ? "a run was missed" : `${count} runs were missed, the last`;
    const then = missed === "run" ? "one is started now" : "none is made up for";
    this.#log("warn", name, `${what} at ${new Date(lastMs).toISOString()}: ${then}`);
  }

  #put(row: ScheduleRow): void {
    this.#keep(row);
    this.#a.store.put("schedules", row.name, JSON.stringify(row));
  }

  #keep(row: ScheduleRow): void {
    this.#rows.set(row.name, row);
    this.#a.jobs.pin(row.name, blobsOf(row.submission));
  }

  #timesOf({ name, cron, timeZone }: ScheduleRow): CronTimes {
    const times = this.#times.get(name) ?? new CronTimes(cron, timeZone, this.#a.clock.wallMs());
    this.#times.set(name, times);
    return times;
  }

  #find(name: string): ScheduleRow {
    const row = this.#rows.get(name);
    if (row !== undefined) return row;
    throw new SheafError("NOT_FOUND", `there is no schedule "${name.slice(0, 100)}"`, {
      hint: "`sheaf schedule list` shows those that there are.",
    });
  }

  #view(row: ScheduleRow): ScheduleView {
    const { name, cron, timeZone, missed, overlap, paused, last, counts, submission } = row;
    const { submitter, host, code, file, inputs, output } = submission;
    return {
      name,
      cron,
      timeZone,
      missed,
      overlap,
      paused,
      createdTime: new Date(row.createdMs).toISOString(),
      nextTime: row.nextMs === null ? null : new Date(row.nextMs).toISOString(),
      last: this.#withJob(row, last),
      counts,
      job: submission.name,
      submitter,
      host,
      code,
      file,
      inputs,
      output: output.kind === "shared" ? output.path : null,
    };
  }

  /** A kill may have come between the job and the note of its id. */
  #withJob({ lastKey }: ScheduleRow, last: Due | null): Due | null {
    if (last?.outcome !== "started" || last.job !== null || lastKey === null) return last;
    return { ...last, job: this.#a.jobs.byKey(lastKey) ?? null };
  }

  #audit({ name, submission }: ScheduleRow, outcome: string, { role, remote }: Caller): void {
    const { submitter, host, code, bundle } = submission;
    const who = { submitter, host, code, bundle, role, remote };
    this.#a.options.log({
      level: "info",
      event: "schedule",
      message: `${outcome}: ${name}`,
      ...who,
      outcome,
    });
  }

  #log(level: "info" | "warn" | "error", name: string, what: string, job: string | null = null): void {
    const message = `schedule ${name}: ${what}`;
    this.#a.options.log({ level, event: "schedule", message, schedule: name, job });
  }
}

function due(ms: number, outcome: Due["outcome"], job: string | null, message: string | null): Due {
  return { time: new Date(ms).toISOString(), outcome, job, message };
}

/** The same was added before: its answer was lost. */
function isSame(row: ScheduleRow, request: ScheduleRequest): boolean {
  const told = ({ name, cron, timeZone, missed, overlap, submission }: ScheduleRequest): string =>
    JSON.stringify([name, cron, timeZone, missed, overlap, submission]);
  return told(row) === told(request);
}

/** @throws SheafError USAGE for what makes sense once only */
function checkRepeatable({ attached, after = [], output, once }: Submission): void {
  const usage = (message: string, hint: string): SheafError => new SheafError("USAGE", message, { hint });
  if (attached)
    throw usage("a scheduled job has no client that it could be attached to", "Submit it detached.");
  if (after.length > 0)
    throw usage(
      "a scheduled job cannot follow others: they will have ended when it runs",
      "Leave `after` out.",
    );
  if (once === "fail") throw usage('a scheduled job cannot have once: "fail"', 'Give once: "run".');
  if (output.kind !== "shared" || output.overwrite) return;
  throw usage(
    `the second run would find ${output.path} of the first, and fail`,
    "Give --overwrite, or leave the output out: results then stay with the coordinator.",
  );
}

/** The latest time up to now, of a pattern that has come often. */
function latestTime(times: CronTimes, nowMs: number): number {
  for (let backMs = lateMsMax; ; backMs *= 2) {
    let latestMs: number | null = null;
    for (let next = times.after(nowMs - backMs); next !== null && next <= nowMs; next = times.after(next))
      latestMs = next;
    if (latestMs !== null) return latestMs;
  }
}
