import { fromWireValue } from "../base/wire-json.ts";
import { newRecord } from "../engine/job-directory.ts";
import type { JobRecord } from "../engine/job-directory.ts";
import type { Submission } from "../protocol/submission.ts";

/** job.json as it begins. */
export function recordOfNew(jobId: string, submission: Submission, startTime: string): JobRecord {
  const { name, submitter, host, file, code, inputs, output, options, group, project } = submission;
  return newRecord({
    jobId,
    name,
    submitter,
    host,
    file,
    code,
    inputs,
    output: output.kind === "shared" ? output.path : null,
    startTime,
    currentPhase: "queue",
    group,
    project,
    settings: { ...options, params: printableParams(options.params) },
  });
}

/** JSON has no bigint; it is shown as a text. */
function printableParams(params: Readonly<Record<string, unknown>>): unknown {
  return JSON.parse(
    JSON.stringify(fromWireValue(params), (_name, one: unknown) =>
      typeof one === "bigint" ? String(one) : one,
    ),
  );
}
