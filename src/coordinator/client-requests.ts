import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { SheafError, isSheafError } from "../base/errors.ts";
import { makeJobId } from "../engine/job-directory.ts";
import type { AttemptView, BadInputs, JobStateText, JobSummary, JobView } from "../protocol/job-view.ts";
import { type CapsuleFile, sliceFiles } from "../protocol/slices.ts";
import type { Submission } from "../protocol/submission.ts";
import type { Assembly } from "./assemble.ts";
import { attemptsOf } from "./attempt-views.ts";
import { badInputsIn } from "./bad-inputs.ts";
import { checkPredecessors, checkProtocol, checkSubmission } from "./check-submission.ts";
import { ClusterJob } from "./cluster-job.ts";
import { endEvent } from "./ending.ts";
import { listenToEnded } from "./job-events.ts";
import type { EventListener } from "./job-events.ts";
import { JobLogs } from "./job-logs.ts";
import { newRow } from "./job-row.ts";
import { summaryOf, viewOf } from "./job-view.ts";
import { briefly } from "./jobs.ts";
import { ResultFiles } from "./results.ts";
import type { Caller, JobFilter, ServedFile } from "./service.ts";

/**
 * What clients ask and want done. Every method throws SheafErrors (NOT_FOUND for an unknown job or blob,
 * FORBIDDEN, LIMIT_EXCEEDED, USAGE) and answers only what is lasting. Jobs are named by their ids.
 */
export class ClientRequests {
  readonly #a: Assembly;
  #nextNumber: number;

  constructor(assembly: Assembly) {
    this.#a = assembly;
    this.#nextNumber = assembly.nextNumber;
  }

  /** The same key again gives the same job. @throws VERSION_MISMATCH, FORBIDDEN, LIMIT_EXCEEDED, USAGE */
  submit(submission: Submission, idempotencyKey: string, caller: Caller): { job: string; isNew: boolean } {
    const audit = (level: "info" | "warn", job: string, outcome: string): void => {
      const { submitter, host, code, bundle, name } = submission;
      const { role, remote } = caller;
      const fields = { job, name, submitter, host, code, bundle, role, remote, outcome };
      this.#a.options.log({ level, event: "submit", message: `${outcome}: ${name}`, ...fields });
    };
    try {
      const before = this.#a.jobs.byKey(idempotencyKey);
      if (before !== undefined) {
        // Said again because the answer was lost: the audit has its line.
        this.#a.loop.mayAcknowledge();
        return { job: before, isNew: false };
      }
      const job = this.#accept(submission, idempotencyKey);
      audit("info", job, "accepted");
      return { job, isNew: true };
    } catch (error) {
      audit("warn", "", `refused (${isSheafError(error) ? error.code : "INTERNAL"})`);
      throw error;
    }
  }

  /** Newest first. */
  jobs(filter: JobFilter): { readonly jobs: readonly JobSummary[]; readonly truncated: boolean } {
    this.#a.loop.mayAcknowledge();
    return this.#a.jobs.list(filter, (job) => summaryOf(job, this.#a.clock));
  }

  job(id: string): JobView {
    this.#a.loop.mayAcknowledge();
    const job = this.#a.jobs.get(id);
    if (job === undefined) return this.#a.jobs.findEnded(id).view;
    return viewOf(job, this.#a.scheduler, this.#a.clock);
  }

  attempts(id: string): readonly AttemptView[] {
    this.#a.loop.mayAcknowledge();
    return attemptsOf(id, this.#a.jobs, this.#a.scheduler, this.#a.store);
  }

  kill(id: string, reason: string, { role, remote }: Caller): JobSummary {
    const audit = (outcome: string): void =>
      this.#a.options.log({
        level: "info",
        event: "cancel",
        message: `${outcome}: ${id}`,
        job: id,
        reason,
        role,
        remote,
        outcome,
      });
    const job = this.#a.jobs.get(id);
    if (job === undefined) {
      const { view } = this.#a.jobs.findEnded(id);
      audit("it had ended");
      return briefly(view);
    }
    return this.#a.loop.change(
      () => this.#a.flow.cancel(job, reason),
      () => {
        audit("accepted");
        return this.#summary(id);
      },
    );
  }

  /** All that is kept of a job that has ended goes, at once. @throws USAGE for one that has not */
  delete(id: string, { role, remote }: Caller): JobSummary {
    const { jobs, loop, options } = this.#a;
    if (jobs.get(id) !== undefined) {
      throw new SheafError("USAGE", `job ${id} has not ended`, {
        hint: `Stop it first (sheaf kill ${id}), or wait for its end.`,
      });
    }
    const summary = briefly(jobs.findEnded(id).view);
    return loop.change(
      () => jobs.forget(id, (work) => loop.after(work)),
      () => {
        const message = `deleted: ${id}`;
        options.log({ level: "info", event: "delete", message, job: id, role, remote });
        return summary;
      },
    );
  }

  attach(id: string, attached: boolean): JobSummary {
    const job = this.#a.jobs.get(id);
    if (job === undefined) return briefly(this.#a.jobs.findEnded(id).view);
    return this.#a.loop.change(
      () => {
        job.clientMs = this.#a.clock.nowMs();
        if (job.row.attached !== attached) job.update({ attached });
      },
      () => this.#summary(id),
    );
  }

  /** The attached client lives. */
  clientBeat(id: string): JobStateText {
    this.#a.loop.mayAcknowledge();
    const job = this.#a.jobs.get(id);
    if (job === undefined) return this.#a.jobs.findEnded(id).view.state;
    job.clientMs = this.#a.clock.nowMs();
    return job.row.state;
  }

  /**
   * Calls `listener` with every event of the job from number `after` + 1 on, the past ones first, as JSON
   * texts, each when the listener has taken the one before. One that takes its time misses what is not kept
   * (progress, printed lines). `done` is called after the last one (job-finished). Returns how to stop
   * listening.
   */
  listen(id: string, after: number, listener: EventListener, done: () => void): () => void {
    const job = this.#a.jobs.get(id);
    if (job !== undefined) return job.events.listen(after, listener, done);
    const { view } = this.#a.jobs.findEnded(id);
    const last = { atMs: view.elapsedMs ?? 0, ...endEvent(view) };
    return listenToEnded(this.#a.jobs.directoryOf(id), after, listener, done, last);
  }

  /** Printed lines, "[map-00003.1 stdout] text"; with `follow` until the job has ended. */
  logs(id: string, task: string | null, follow: boolean, signal: AbortSignal): AsyncIterable<string> {
    const job = this.#a.jobs.get(id);
    if (job !== undefined) return job.logs.read(task, follow, signal);
    this.#a.jobs.findEnded(id);
    return new JobLogs(this.#a.jobs.directoryOf(id), 0, true).read(task, follow, signal);
  }

  resultFile(id: string, kind: "output" | "collected" | "bad" | "records", index: number): ServedFile {
    const { view, files } = this.#a.jobs.isEnded(id)
      ? this.#a.jobs.findEnded(id)
      : { view: this.job(id), files: null };
    const file = files?.[kind]?.[index];
    if (file !== undefined && view.state === "SUCCEEDED") {
      const [attempt = "", name = ""] = file.path.split("/");
      return { path: new ResultFiles(this.#a.jobs.directoryOf(id)).path(attempt, name), bytes: file.bytes };
    }
    const count = files?.[kind]?.length ?? 0;
    throw new SheafError(
      "NOT_FOUND",
      `job ${id} (${view.state}) has ${count} ${kind} files here, none of index ${index}`,
      {
        hint: "Only jobs that succeeded and were submitted without a shared output keep their results here.",
      },
    );
  }

  /** capsule.json of a failed task, its code, or what it read as a reduce. @throws SheafError NOT_FOUND */
  capsuleFile(id: string, task: string, file: CapsuleFile): ServedFile {
    const { jobs } = this.#a;
    if (jobs.get(id) === undefined) jobs.findEnded(id);
    const name = /^(sample|map|reduce)-\d{5,7}$/.test(task) ? task : null;
    if (name !== null) {
      const directory = jobs.directoryOf(id);
      const paths = {
        capsule: join(directory, "capsules", name, "capsule.json"),
        code: join(directory, "app", "job.mjs"),
        sourceMap: join(directory, "app", "job.mjs.map"),
        slices: file === "slices" ? packIn(join(directory, "capsules", name, "inputs")) : "",
      };
      const found = statSync(paths[file], { throwIfNoEntry: false });
      const hasCapsule = statSync(paths.capsule, { throwIfNoEntry: false }) !== undefined;
      if (found !== undefined && hasCapsule) return { path: paths[file], bytes: found.size };
    }
    throw new SheafError("NOT_FOUND", `job ${id} keeps no capsule of "${task.slice(0, 40)}"`, {
      hint: "Only tasks that failed have one; `sheaf show` names them.",
    });
  }

  /** @throws SheafError NOT_FOUND when nothing is kept of it */
  badInputs(id: string): BadInputs {
    const { jobs } = this.#a;
    jobs.findEnded(id);
    return badInputsIn(jobs.directoryOf(id), id);
  }

  hasBlob(hash: string): Promise<boolean> {
    return this.#a.blobs.isSound(hash, this.#a.clock.wallMs());
  }

  /** Resolves when it is whole, checked and lasting. @throws USAGE when the content has another hash */
  putBlob(hash: string, content: Readable): Promise<void> {
    return this.#a.blobs.put(hash, content);
  }

  blob(hash: string): Promise<ServedFile> {
    return this.#a.blobs.find(hash);
  }

  /** What would keep it from being accepted now, apart from how many jobs there are. */
  check(submission: Submission): void {
    const { options, limits, jobs, blobs, clock } = this.#a;
    checkProtocol(submission.protocol, "the client", options.version);
    checkSubmission(submission, options.roots, limits, (hash) => blobs.has(hash, clock.wallMs()));
    checkPredecessors(submission, jobs);
  }

  #accept(submission: Submission, idempotencyKey: string): string {
    const { options, limits, jobs, clock, loop, store, around, flow } = this.#a;
    checkProtocol(submission.protocol, "the client", options.version);
    if (jobs.liveCount >= limits.jobsMax) {
      throw new SheafError(
        "LIMIT_EXCEEDED",
        `${limits.jobsMax} jobs wait or run already, which is the most`,
        {
          hint: "Wait until some have ended, or kill some.",
          retryable: true,
        },
      );
    }
    this.check(submission);
    loop.mayAcknowledge();
    const id = makeJobId(submission.name, clock.wallMs(), options.random);
    const row = newRow(id, this.#nextNumber++, submission, clock.nowMs());
    const kept = { job: id, idempotencyKey, submission };
    store.put("jobs", id, JSON.stringify(row));
    store.put("submissions", id, JSON.stringify(kept));
    try {
      loop.settle();
    } catch (error) {
      // It must not come to be when the store can be written again: nobody was told of it.
      store.forget(id);
      throw error;
    }
    const job = new ClusterJob(row, kept, around);
    jobs.add(job);
    this.#started(job);
    flow.plan(job);
    loop.settleQuietly();
    return id;
  }

  #started(job: ClusterJob): void {
    const { name, file, code, output } = job.submission;
    const where = output.kind === "shared" ? output.path : null;
    const directory = job.directory.path;
    job.emit({
      kind: "job-started",
      jobId: job.id,
      name,
      file,
      code,
      directory,
      output: where,
      isolation: "process",
    });
  }

  #summary(id: string): JobSummary {
    const job = this.#a.jobs.get(id);
    return job === undefined ? briefly(this.#a.jobs.findEnded(id).view) : summaryOf(job, this.#a.clock);
  }
}

/** The one file that a capsule keeps the inputs of a reduce in; it begins with the number of a map task. */
function packIn(directory: string): string {
  try {
    const names = readdirSync(directory);
    return join(directory, names.find((name) => name.endsWith(`-${sliceFiles.pack}`)) ?? sliceFiles.pack);
  } catch {
    return join(directory, sliceFiles.pack);
  }
}
