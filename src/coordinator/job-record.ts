import type { JobRecord } from "../engine/job-directory.ts";
import type { Submission } from "../protocol/submission.ts";
import { fromWireValue } from "../protocol/wire-json.ts";

/** job.json as it begins. */
export function newRecord(job: string, submission: Submission, startTime: string): JobRecord {
  const { name, submitter, host, file, code, inputs, output, options, group, project } = submission;
  return {
    jobId: job,
    name,
    status: "RUNNING",
    submitter,
    host,
    pid: process.pid,
    file,
    code,
    inputs,
    output: output.kind === "shared" ? output.path : null,
    startTime,
    endTime: null,
    elapsedMs: null,
    currentPhase: "queue",
    counters: {},
    mapTasks: 0,
    reduceTasks: 0,
    recordsIn: 0,
    recordsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    badRecords: 0,
    exception: null,
    capsules: [],
    settings: { ...options, params: printableParams(options.params), group, project },
  };
}

/** JSON has no bigint; it is shown as a text. */
function printableParams(params: Readonly<Record<string, unknown>>): unknown {
  return JSON.parse(
    JSON.stringify(fromWireValue(params), (_name, one: unknown) =>
      typeof one === "bigint" ? String(one) : one,
    ),
  );
}
