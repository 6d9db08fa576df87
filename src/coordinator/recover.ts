import { lstatSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../base/crc32.ts";
import { jobFailure } from "../engine/failure-log.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { taskFailure } from "../worker/failure.ts";
import { newRow } from "./job-row.ts";
import type { EndedJob, JobEnd, JobRow, SubmissionRow } from "./job-row.ts";
import type { StateStore } from "./store.ts";

/*
 * A database that is damaged at its end, cut, missing or put back from a copy opens as what it was earlier.
 * The store knows how many writes are gone. Then the directories of the jobs tell what the database has
 * forgotten: each holds its submission, and how it ended when it has.
 *
 * Agents know of things that never were by the state of now: attempts, map outputs, lists of them. Mixed with
 * what happens from here on they could make a wrong output. So all lives of agents of before are over.
 */

const submissionFile = "submission.json";
const endFile = "ended.json";
const day = 24 * 3_600_000;

/** What a job's directory keeps of it in case the database loses it. */
export interface KeptSubmission extends SubmissionRow {
  readonly submittedMs: number;
}

/** What has become of a job whose last changes are lost. */
export type Recovered =
  | { readonly job: string; readonly kind: "goes on" }
  | { readonly job: string; readonly kind: "had ended"; readonly state: string }
  | { readonly job: string; readonly kind: "lost"; readonly why: string };

export interface Recovery {
  /** Writes of the database that are gone. */
  readonly writesLost: number;
  readonly jobs: readonly Recovered[];
}

/** When the state lost something last (EpochClock); null: never. */
export function recoveredMs(store: StateStore): number | null {
  const text = store.get("meta", "recovered");
  return text === null ? null : Number(text);
}

/**
 * Lives of agents with this number or a lower one are over. It leaves room for clocks of agents that are
 * ahead, since they number their lives by them.
 */
export function livesOver(store: StateStore): number {
  const ms = recoveredMs(store);
  return ms === null ? -1 : Math.floor(ms) + day;
}

/**
 * To be called before anything is restored. Makes the store whole again: jobs that it has forgotten are there
 * as ended ones, as they had ended or as lost.
 * @returns null when nothing is lost
 */
export function recoverState(store: StateStore, stateDirectory: string, nowMs: number): Recovery | null {
  const places = join(stateDirectory, "jobs");
  const names = directoriesIn(places);
  const { writesLost } = store;
  if (writesLost === 0) {
    for (const name of names) removeForgotten(store, places, name);
    return null;
  }
  const rows = [...store.all("jobs")].map(({ text }) => JSON.parse(text) as JobRow);
  const known = new Map(rows.map((row) => [row.job, row]));
  let number = rows.reduce((most, row) => Math.max(most, row.number + 1), 0);
  const jobs: Recovered[] = [];
  for (const name of names) {
    const kept = unsealed<KeptSubmission>(join(places, name, submissionFile));
    const row = known.get(name);
    if (kept?.job !== name || (row !== undefined && row.endedMs !== null)) continue;
    const ended = unsealed<EndedJob>(join(places, name, endFile));
    const why = row === undefined ? "it is gone from there" : hiddenCommit(row, join(places, name));
    if (ended === null && why === null) {
      jobs.push({ job: name, kind: "goes on" });
      continue;
    }
    // Whatever the database has of it is of an earlier moment.
    store.forget(name);
    const { job, idempotencyKey, submission, submittedMs } = kept;
    const anew = row ?? newRow(job, number++, { attached: false }, submittedMs);
    store.put("submissions", job, JSON.stringify({ job, idempotencyKey, submission }));
    store.put(
      "jobs",
      job,
      JSON.stringify(ended === null ? lostRow(anew, kept, why!) : endedRow(anew, ended)),
    );
    if (ended === null) jobs.push({ job, kind: "lost", why: why! });
    else {
      store.put("views", job, JSON.stringify(ended));
      jobs.push({ job, kind: "had ended", state: ended.view.state });
    }
  }
  store.put("meta", "recovered", String(nowMs));
  store.flushWhole();
  return { writesLost, jobs };
}

/** For the log, and for the history of those jobs that go on. */
export function describeRecovery({ writesLost }: Recovery): string {
  return (
    `the coordinator's state lacks its last ${writesLost} writes (coordinator.db or coordinator.db-wal was ` +
    "damaged, removed, or put back from a copy)"
  );
}

export function describeRecovered(one: Recovered): string {
  switch (one.kind) {
    case "goes on":
      return "goes on from an earlier moment: tasks that are not known to have finished run again";
    case "had ended":
      return `had ended ${one.state}, which its directory tells; the list of its attempts is lost`;
    case "lost":
      return `is lost: ${one.why}; it is told as FAILED, and what it left is removed`;
  }
}

/** Beside the database, for the case that it forgets. @throws what the file system throws */
export function keepSubmission(directory: string, kept: KeptSubmission): void {
  const path = join(directory, submissionFile);
  if (unsealed(path) === null) writeFileSync(path, sealed(kept), { mode: 0o600 });
}

/** As keepSubmission, how the job has ended. */
export function keepEnd(directory: string, kept: EndedJob): void {
  writeFileSync(join(directory, endFile), sealed(kept), { mode: 0o600 });
}

/**
 * A commit that had begun may be done, half done or not; which of them, only agents knew that are given up.
 * Null: none had begun that the row does not know of.
 */
function hiddenCommit({ state }: JobRow, directory: string): string | null {
  if (state === "COMMITTING") return null;
  const begun = readText(join(directory, "events.jsonl"))?.includes('"phase":"commit"') === true;
  return begun ? "its commit had begun, and whether its output is in its place is not known" : null;
}

function lostRow(row: JobRow, { submission }: KeptSubmission, why: string): JobRow {
  const shared = submission.output.kind === "shared" ? submission.output.path : null;
  const look = shared === null ? "" : `If ${shared} is there, it is whole. `;
  const failure = taskFailure(
    "STATE_CORRUPT",
    `the coordinator's state was damaged, and the job is lost: ${why}`,
    { phase: "commit", blame: "system", hint: `${look}Run the job again.` },
  );
  const end: JobEnd = { status: "FAILED", cause: jobFailure(failure), counters: {}, failedTasks: [] };
  return { ...row, state: "QUEUED", end, staging: shared !== null, commit: null, committed: null };
}

function endedRow(row: JobRow, { view }: EndedJob): JobRow {
  const endedMs = view.endTime === null ? row.submittedMs : Date.parse(view.endTime);
  return { ...row, state: view.state, endedMs };
}

/** The row of a job that is no longer kept went first; then the coordinator was killed. */
function removeForgotten(store: StateStore, places: string, name: string): void {
  if (store.get("jobs", name) !== null) return;
  if (unsealed<KeptSubmission>(join(places, name, submissionFile))?.job !== name) return;
  removeDirectory(join(places, name)).catch(() => undefined);
}

function directoriesIn(place: string): string[] {
  try {
    const entries = readdirSync(place, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

function sealed(value: unknown): string {
  const text = JSON.stringify(value);
  return `${crc32c(text)} ${text}\n`;
}

/** null when there is no such file, or it is not what was written. */
function unsealed<T>(path: string): T | null {
  const text = readText(path);
  const space = text?.indexOf(" ") ?? -1;
  if (text === null || space < 0 || !text.endsWith("\n")) return null;
  const json = text.slice(space + 1, -1);
  return text.slice(0, space) === String(crc32c(json)) ? (JSON.parse(json) as T) : null;
}

/** Of a file: no link is followed. */
function readText(path: string): string | null {
  try {
    return lstatSync(path).isFile() ? readFileSync(path, "utf8") : null;
  } catch {
    return null;
  }
}
