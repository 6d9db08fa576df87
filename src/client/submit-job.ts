import { randomUUID } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { basename } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { ClusterRunOptions } from "../engine/options.ts";
import { paramsOf, partitionsOf } from "../engine/resolve-options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { ClusterView } from "../protocol/job-view.ts";
import type { JobOptions, OutputTarget, Submission } from "../protocol/submission.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { InputOutline, JobOutline } from "../worker/messages.ts";
import type { ApiClient } from "./api-client.ts";
import { jobBlobs, uploadBlobs } from "./job-blobs.ts";
import { inputPlaces } from "./job-places.ts";
import type { LoadedJob } from "./load-outline.ts";

/** All that a submission is made of. */
export interface JobRequest {
  readonly file: string;
  readonly options: ClusterRunOptions;
  readonly resolved: ResolvedOptions;
  readonly cluster: ClusterView;
  readonly loaded: LoadedJob;
  readonly target: OutputTarget;
  readonly attached: boolean;
}

export interface SubmittedJob {
  readonly job: string;
  readonly name: string;
}

/**
 * Uploads what the coordinator does not have, and submits the job, once, however often the request has to be
 * repeated.
 * @throws SheafError USAGE, FORBIDDEN, INPUT_MISSING (side data), and what the coordinator refuses
 */
export async function submitJob(
  api: ApiClient,
  request: JobRequest,
  signal: AbortSignal | undefined,
): Promise<SubmittedJob> {
  const { options, resolved, loaded, cluster, target, attached, file } = request;
  const cwd = process.cwd();
  const name = options.name ?? loaded.outline.name ?? basename(file).replace(/\.\w+$/, "");
  const inputs = inputPlaces(resolved.inputs, loaded.outline, cluster.roots, cwd);
  const jobOptions = jobOptionsOf(options, resolved, loaded);
  const { blobs, named } = await jobBlobs(loaded, file);
  const call = signal === undefined ? {} : { signal };
  await uploadBlobs(api, blobs, call);
  const submission: Submission = {
    protocol: PROTOCOL_VERSION,
    name,
    submitter: userName(),
    host: hostname(),
    group: options.group ?? null,
    project: options.project ?? null,
    file,
    code: loaded.bundle.hash,
    ...named,
    outline: wireOutline(loaded.outline),
    inputs,
    options: jobOptions,
    output: target,
    attached,
    faults: [...(options.fail ?? [])],
  };
  // From here on the job may be there. A cancellation is for who knows its id: the request runs to its end.
  signal?.throwIfAborted();
  const { job } = await api.submit(submission, randomUUID());
  return { job, name };
}

function wireOutline(outline: JobOutline): Submission["outline"] {
  const { collections, aux, params, input, inputs, ...rest } = outline;
  return {
    ...rest,
    input: wireInput(input),
    ...(inputs === undefined
      ? {}
      : { inputs: inputs.map((one) => ({ name: one.name, input: wireInput(one.input) })) }),
    collections: [...collections],
    aux: [...aux],
    params: { ...params },
  };
}

/** Bytes have no form in JSON: a delimiter goes as base64. */
function wireInput(input: InputOutline): Submission["outline"]["input"] {
  if (!("framing" in input)) return { kind: "generate", tasks: input.tasks };
  const { framing } = input;
  return {
    ...input,
    framing:
      framing.kind === "delimiter"
        ? { kind: "delimiter", delimiter: Buffer.from(framing.delimiter).toString("base64") }
        : framing,
  };
}

function jobOptionsOf(
  options: ClusterRunOptions,
  resolved: ResolvedOptions,
  { outline }: LoadedJob,
): JobOptions {
  const { memoryBytes, sample, badBudget, attempts, failedTasksShare, noProgressMs, partBytes } = resolved;
  return {
    partitions: partitionsOf(options, outline),
    splitBytes: resolved.splitBytes,
    mappers: resolved.mappers,
    memoryBytes,
    // Unless it was said, each agent gives its workers their share of its own memory.
    heapBytes: options.heap === undefined ? null : resolved.heapBytes,
    sample,
    ...(resolved.growing && { growing: true }),
    params: paramsOf(options, outline),
    badBudget,
    attempts,
    failedTasksShare,
    noProgressMs,
    partBytes,
    cores: inRange(options.cores, "cores", 1, 100_000) ?? null,
    priority: inRange(options.priority, "priority", -10, 10) ?? 0,
    speculation: options.speculation ?? true,
    queueTimeoutMs: inRange(options.queueTimeoutMs, "queueTimeoutMs", 1, Number.MAX_SAFE_INTEGER) ?? null,
  };
}

function inRange(value: number | undefined, what: string, least: number, most: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return value;
  throw new SheafError("USAGE", `${what}: ${value} is not a whole number from ${least} to ${most}`, {
    hint: `Give one from ${least} to ${most}, or leave it out.`,
  });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "unknown";
  }
}
