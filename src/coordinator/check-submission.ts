import { SheafError } from "../base/errors.ts";
import { checkIncremental, checkIncrementalOptions } from "../engine/explain.ts";
import { checkApart } from "../engine/resolve-options.ts";
import type { JobStateText } from "../protocol/job-view.ts";
import type { Submission } from "../protocol/submission.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import { localPath, splitAddress } from "../storage/store.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import { blobsOf } from "./jobs.ts";
import type { Jobs } from "./jobs.ts";
import { agentPrefix, checkInsideRoots, inputPaths, nodesWish } from "./paths.ts";
import type { CoordinatorLimits } from "./settings.ts";

/** @throws SheafError VERSION_MISMATCH naming both */
export function checkProtocol(protocol: number, who: string, version: string): void {
  if (protocol === PROTOCOL_VERSION) return;
  throw new SheafError(
    "VERSION_MISMATCH",
    `${who} speaks protocol ${protocol}, this coordinator (sheaf ${version}) speaks ${PROTOCOL_VERSION}`,
    { hint: "Use the same version of sheaf everywhere." },
  );
}

/**
 * What can be told of a submission before anything is planned.
 * @throws SheafError FORBIDDEN for a path outside the roots, LIMIT_EXCEEDED, USAGE, NOT_FOUND for a blob that
 * was not uploaded
 */
export function checkSubmission(
  submission: Submission,
  roots: readonly string[],
  limits: CoordinatorLimits,
  hasBlob: (hash: string) => boolean,
): void {
  const { output, outline, options } = submission;
  const { shared, own } = inputPaths(submission);
  for (const path of shared) checkInsideRoots(path, roots, "input");
  // Each agent looks at its own roots; by its text alone it must lead nowhere else.
  for (const path of own) checkInsideRoots(path.slice(agentPrefix.length), ["/"], "input");
  if (output.kind === "shared") checkInsideRoots(output.path, roots, "output");
  checkStored(submission);
  checkNodes(submission);
  if (options.partitions.length !== outline.collections.length) {
    throw new SheafError(
      "USAGE",
      `options.partitions has ${options.partitions.length} entries, the job has ${outline.collections.length} collections`,
      { hint: "Give one entry per collection; null where it follows from the input." },
    );
  }
  checkRecordsTarget(submission, roots);
  if (submission.incremental === true) checkIncrementalJob(submission, own);
  const most = options.partitions.reduce<number>((most, one) => Math.max(most, one ?? 0), 0);
  if (most > limits.partitionsMax) {
    throw tooMany(`${most} partitions of one collection, ${limits.partitionsMax} are allowed`, "Use fewer.");
  }
  const tasks = "tasks" in outline.input ? outline.input.tasks : 0;
  if (tasks > limits.tasksMax || (options.mappers ?? 0) > limits.tasksMax) {
    throw tooMany(
      `${Math.max(tasks, options.mappers ?? 0)} map tasks, ${limits.tasksMax} are allowed`,
      "Use fewer.",
    );
  }
  for (const hash of blobsOf(submission)) {
    if (hasBlob(hash)) continue;
    throw new SheafError("NOT_FOUND", `the submission names the blob ${hash}, which was not uploaded`, {
      hint: "Upload it (PUT /blobs/{sha256}), then submit again.",
      retryable: true,
    });
  }
}

/** Each agent looks at its own roots, as at those of its own inputs; what its task gives comes back. */
function checkNodes({ output, outline }: Submission): void {
  const nodes = nodesWish(outline);
  if (nodes === undefined) return;
  for (const path of nodes.paths) checkInsideRoots(path, ["/"], "path");
  if (output.kind === "collect" && outline.inputs === undefined) return;
  throw new SheafError("USAGE", "what a job does on each agent is collected, and it has no other input", {
    hint: "Leave the output out, and give the job one input.",
  });
}

/** To a storage goes nothing but the output. */
function checkStored({ output, materialize }: Submission): void {
  if (output.kind !== "shared" || splitAddress(output.path) === null || materialize === undefined) return;
  throw new SheafError("USAGE", `materialize does not go with an output in a storage (${output.path})`, {
    hint: "Write to a directory that all agents see, or leave it out.",
  });
}

/** Records are kept where the output is: on paths that all agents see, or here. */
function checkRecordsTarget({ output, materialize, once }: Submission, roots: readonly string[]): void {
  if (materialize === undefined) return;
  if ((materialize === null) !== (output.kind === "collect") || once !== undefined) {
    throw new SheafError(
      "USAGE",
      "materialize: the records go where the output goes, and never with `once`",
      {
        hint: "Give a path with a shared output, null with one that is collected.",
      },
    );
  }
  if (materialize === null || output.kind !== "shared") return;
  localPath(materialize, "materialize", "/");
  checkInsideRoots(materialize, roots, "materialize");
  checkApart(materialize, output.path);
}

/** Who plans has to see all of the input and the output, and so has who commits. */
function checkIncrementalJob(submission: Submission, own: readonly string[]): void {
  const { output, outline, options, materialize } = submission;
  if (output.kind !== "shared") {
    throw new SheafError("USAGE", "incremental: on a cluster the output has to be one that all agents see", {
      hint:
        "Give -o a directory below a --root of the agents, and --shared, or an address below such a root. What is " +
        "kept lies in it.",
    });
  }
  if (own.length > 0) {
    const problem = `incremental: ${own[0]!} is a file of each agent's own, which no other can look at`;
    throw new SheafError("USAGE", problem, {
      hint: "Give files that all agents see, or leave incremental out.",
    });
  }
  // A later run would take over what maps of these have made.
  const { sample, live = false } = options;
  checkIncrementalOptions({
    output: output.path,
    sample,
    live,
    ...(materialize !== undefined && { materialize: "" }),
  });
  checkIncremental(outline as Parameters<typeof checkIncremental>[0], { collect: false });
}

/**
 * A job follows only jobs that are there before it: there can be no circle.
 * @throws SheafError NOT_FOUND for a job that is not kept, PREDECESSOR_FAILED for one that will not succeed
 */
export function checkPredecessors(
  { after = [] }: Pick<Submission, "after">,
  jobs: Pick<Jobs, "stateOf">,
): void {
  for (const job of after) {
    const state = jobs.stateOf(job);
    if (state === null) {
      throw new SheafError("NOT_FOUND", `no job "${job}" is kept, which the job is to follow`, {
        hint: "`sheaf jobs` lists the jobs that are kept.",
      });
    }
    const failure = predecessorFailure(job, state);
    if (failure !== null) throw new SheafError(failure.code, failure.message, { hint: failure.hint! });
  }
}

/** Why a job that is to follow that one cannot begin any more; null when it may. `state` null: it is gone. */
export function predecessorFailure(job: string, state: JobStateText | null): TaskFailure | null {
  if (state !== null && state !== "FAILED" && state !== "CANCELLED") return null;
  const what = state === null ? "is not kept any more" : `is ${state}`;
  return taskFailure("PREDECESSOR_FAILED", `the job was to begin when ${job} has succeeded, which ${what}`, {
    phase: "queue",
    blame: "system",
    hint: "Run that one again (`sheaf show` says why it did not succeed), then this one.",
  });
}

function tooMany(what: string, hint: string): SheafError {
  return new SheafError("LIMIT_EXCEEDED", `the job has ${what}`, { hint });
}
