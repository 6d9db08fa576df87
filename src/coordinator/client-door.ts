import { SheafError, isSheafError } from "../base/errors.ts";
import { makeJobId } from "../engine/job-directory.ts";
import type { AttemptView, JobStateText, JobSummary, JobView } from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import type { Assembly } from "./assemble.ts";
import { attemptsOf } from "./attempt-views.ts";
import { checkProtocol, checkSubmission } from "./check-submission.ts";
import { ClusterJob } from "./cluster-job.ts";
import { listenToEnded } from "./job-events.ts";
import type { EventListener } from "./job-events.ts";
import { JobLogs } from "./job-logs.ts";
import { newRow } from "./job-row.ts";
import { summaryOf, viewOf } from "./job-view.ts";
import { briefly } from "./jobs.ts";
import { Results } from "./results.ts";
import type { Caller, JobFilter, StoredFile } from "./service.ts";

/** What clients ask and want done; see CoordinatorService. */
export class ClientDoor {
  readonly #a: Assembly;
  #nextNumber: number;

  constructor(assembly: Assembly) {
    this.#a = assembly;
    this.#nextNumber = assembly.nextNumber;
  }

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
        this.#a.pump.mayAcknowledge();
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

  jobs(filter: JobFilter): { readonly jobs: readonly JobSummary[]; readonly truncated: boolean } {
    this.#a.pump.mayAcknowledge();
    return this.#a.jobs.list(filter, (job) => summaryOf(job, this.#a.clock));
  }

  job(id: string): JobView {
    this.#a.pump.mayAcknowledge();
    const job = this.#a.jobs.get(id);
    if (job === undefined) return this.#a.jobs.findEnded(id).view;
    return viewOf(job, this.#a.scheduler, this.#a.clock, job.waitingFor);
  }

  attempts(id: string): readonly AttemptView[] {
    this.#a.pump.mayAcknowledge();
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
    return this.#a.pump.change(
      () => this.#a.flow.cancel(job, reason),
      () => {
        audit("accepted");
        return this.#summary(id);
      },
    );
  }

  attach(id: string, attached: boolean): JobSummary {
    const job = this.#a.jobs.get(id);
    if (job === undefined) return briefly(this.#a.jobs.findEnded(id).view);
    return this.#a.pump.change(
      () => {
        job.clientMs = this.#a.clock.nowMs();
        if (job.row.attached !== attached) job.update({ attached });
      },
      () => this.#summary(id),
    );
  }

  clientBeat(id: string): JobStateText {
    this.#a.pump.mayAcknowledge();
    const job = this.#a.jobs.get(id);
    if (job === undefined) return this.#a.jobs.findEnded(id).view.state;
    job.clientMs = this.#a.clock.nowMs();
    return job.row.state;
  }

  listen(id: string, after: number, listener: EventListener, done: () => void): () => void {
    const job = this.#a.jobs.get(id);
    if (job !== undefined) return job.events.listen(after, listener, done);
    this.#a.jobs.findEnded(id);
    return listenToEnded(this.#a.jobs.directoryOf(id), after, listener, done);
  }

  logs(id: string, task: string | null, follow: boolean, signal: AbortSignal): AsyncIterable<string> {
    const job = this.#a.jobs.get(id);
    if (job !== undefined) return job.logs.read(task, follow, signal);
    this.#a.jobs.findEnded(id);
    return new JobLogs(this.#a.jobs.directoryOf(id), 0, true).read(task, follow, signal);
  }

  resultFile(id: string, kind: "output" | "collected" | "bad", index: number): StoredFile {
    const { view, files } = this.#a.jobs.isEnded(id)
      ? this.#a.jobs.findEnded(id)
      : { view: this.job(id), files: null };
    const file = files?.[kind][index];
    if (file !== undefined && view.state === "SUCCEEDED") {
      const [attempt = "", name = ""] = file.path.split("/");
      return { path: new Results(this.#a.jobs.directoryOf(id)).path(attempt, name), bytes: file.bytes };
    }
    const count = files?.[kind].length ?? 0;
    throw new SheafError(
      "NOT_FOUND",
      `job ${id} (${view.state}) has ${count} ${kind} files here, none of index ${index}`,
      {
        hint: "Only jobs that succeeded and were submitted without a shared output keep their results here.",
      },
    );
  }

  #accept(submission: Submission, idempotencyKey: string): string {
    const { options, limits, jobs, blobs, clock, pump, store, around, flow } = this.#a;
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
    checkSubmission(submission, options.roots, limits, (hash) => blobs.has(hash, clock.wallMs()));
    pump.mayAcknowledge();
    const id = makeJobId(submission.name, clock.wallMs(), options.random);
    const row = newRow(id, this.#nextNumber++, submission.attached, clock.nowMs());
    const kept = { job: id, idempotencyKey, submission };
    store.put("jobs", id, JSON.stringify(row));
    store.put("submissions", id, JSON.stringify(kept));
    try {
      pump.settle();
    } catch (error) {
      // It must not come to be when the store can be written again: nobody was told of it.
      store.forget(id);
      throw error;
    }
    const job = new ClusterJob(row, kept, around);
    jobs.add(job);
    this.#started(job);
    flow.plan(job);
    pump.settleQuietly();
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
