import { randomUUID, createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import { paramsToWire } from "../base/wire-json.ts";
import { checkEstimates } from "../engine/estimates.ts";
import { checkIncremental } from "../engine/explain.ts";
import { submitter } from "../engine/job-directory.ts";
import { type FoundFile, findJobFiles } from "../engine/job-files.ts";
import { wholeJobHandle } from "../engine/job-history.ts";
import { liveOf } from "../engine/live.ts";
import { checkWholeCode, checkWholePrograms } from "../engine/once.ts";
import type { ClusterRunOptions } from "../engine/options.ts";
import { paramsOf, partitionsOf } from "../engine/outline-options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { afterOf, labelsOf, wholeNumber } from "../engine/resolve-options.ts";
import type { ClusterView } from "../protocol/job-view.ts";
import type { JobOptions, OutputTarget, Submission } from "../protocol/submission.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import type { RunKind } from "../runner/run-kind.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { AuxCopy } from "../task/aux.ts";
import type { ChosenRecords } from "../task/task-spec.ts";
import type { InputOutline, JobOutline } from "../worker/messages.ts";
import type { ApiClient } from "./api-client.ts";
import { inputPlaces } from "./cluster-places.ts";
import { findClusterJob } from "./find-job.ts";
import type { CallOptions, UploadSource } from "./http.ts";
import type { LoadedJob } from "./load-outline.ts";

/** All that a submission is made of. */
export interface JobRequest {
  readonly file: string;
  readonly options: ClusterRunOptions;
  readonly resolved: ResolvedOptions;
  readonly cluster: ClusterView;
  readonly loaded: LoadedJob;
  readonly target: OutputTarget;
  /** As in Submission. */
  readonly materialize: Submission["materialize"];
  readonly attached: boolean;
  /** As in Submission. */
  readonly once: Submission["once"];
  readonly kind: ClusterRunKind;
}

/** What makes a run another one than usual. */
export type ClusterRunKind = Pick<RunKind, "only" | "mends">;

export interface SubmittedJob {
  readonly job: string;
  readonly name: string;
}

/**
 * Submits the job, once, however often the request has to be repeated.
 * @throws SheafError as submissionOf, and what the coordinator refuses
 */
export async function submitJob(
  api: ApiClient,
  request: JobRequest,
  signal: AbortSignal | undefined,
): Promise<SubmittedJob> {
  const submission = await submissionOf(api, request, signal);
  // From here on the job may be there. A cancellation is for who knows its id: the request runs to its end.
  signal?.throwIfAborted();
  const { job } = await api.submit(submission, randomUUID());
  return { job, name: submission.name };
}

/**
 * The submission of a job; what the coordinator does not have of it is uploaded.
 * @throws SheafError USAGE, FORBIDDEN, NOT_FOUND (`after`)
 */
export async function submissionOf(
  api: ApiClient,
  request: JobRequest,
  signal: AbortSignal | undefined,
): Promise<Submission> {
  const { options, resolved, loaded, cluster, target, attached, once, file, materialize, kind } = request;
  const cwd = process.cwd();
  liveOf(loaded.outline, resolved);
  const name = options.name ?? loaded.outline.name ?? basename(file).replace(/\.\w+$/, "");
  const { only, mends = false } = kind;
  const inputs = inputPlaces(resolved.inputs, loaded.outline, cluster.roots, cwd, only !== undefined);
  checkEstimates(loaded.outline, resolved);
  if (resolved.incremental) {
    checkIncremental(loaded.outline, resolved);
    checkWholeCode("incremental", loaded.bundle, resolved.external);
    checkWholePrograms("incremental", loaded.outline.programs);
  }
  const jobOptions = {
    ...jobOptionsOf(options, resolved, loaded),
    ...(only !== undefined && { only: onlyToWire(only) }),
  };
  const after = await predecessors(api, afterOf(options));
  const { blobs, named } = await jobBlobs(loaded, file);
  const call = signal === undefined ? {} : { signal };
  await uploadBlobs(api, blobs, call);
  return {
    protocol: PROTOCOL_VERSION,
    name,
    submitter: submitter(),
    host: hostname(),
    ...labelsOf(options),
    file,
    code: loaded.bundle.hash,
    ...named,
    outline: wireOutline(loaded.outline),
    inputs,
    options: jobOptions,
    output: target,
    attached,
    ...(once !== undefined && { once }),
    ...(resolved.keepMs !== null && { keepMs: resolved.keepMs }),
    ...(options.keepBundle === true && { keepBundle: true }),
    ...(options.once === true && options.force === true && { force: true }),
    ...(after.length > 0 && { after }),
    ...(resolved.incremental && { incremental: true }),
    ...(mends && { mends: true }),
    ...(resolved.explain && { explain: true }),
    ...(materialize !== undefined && { materialize }),
    faults: [...(options.fail ?? [])],
  };
}

/** What schemas imply is not readonly; nobody writes to it. */
function onlyToWire(only: ChosenRecords): NonNullable<JobOptions["only"]> {
  const records = only.files.reduce((sum, { offsets }) => sum + offsets.length, 0);
  if (records <= limits.retriedMax) return only as NonNullable<JobOptions["only"]>;
  throw new SheafError(
    "LIMIT_EXCEEDED",
    `${records} bad records, and ${limits.retriedMax} at most can be tried again alone on a cluster`,
    { hint: "Run the whole job." },
  );
}

/** The ids of jobs that handles name. @throws SheafError USAGE, NOT_FOUND */
async function predecessors(api: ApiClient, handles: readonly string[]): Promise<string[]> {
  const found = handles.map((handle) => findClusterJob(api, wholeJobHandle(handle, "after")));
  return [...new Set((await Promise.all(found)).map(({ job }) => job))];
}

/** Bytes have no form in JSON: a delimiter goes as base64. */
function wireOutline(outlined: JobOutline): Submission["outline"] {
  // Programs outside of the job are looked at before it is sent. Storages are the agents' own.
  const { input, inputs, aux, programs: _, stores: _stores, ...rest } = outlined;
  const several = inputs?.map((one) => ({ name: one.name, input: wireInput(one.input) }));
  const named = aux.map(({ name, file }) => ({ name, file }));
  const outline = {
    ...rest,
    aux: named,
    input: wireInput(input),
    ...(several !== undefined && { inputs: several }),
  };
  // What schemas imply is not readonly; nobody writes to it.
  return outline as Submission["outline"];
}

function wireInput(given: InputOutline): object {
  // Where its records come from is the pipeline's affair.
  const { step: _, ...input } = given as Extract<InputOutline, { framing: unknown }>;
  if (!("framing" in input) || input.framing.kind !== "delimiter") return input;
  const delimiter = Buffer.from(input.framing.delimiter).toString("base64");
  return { ...input, framing: { kind: "delimiter", delimiter } };
}

function jobOptionsOf(
  options: ClusterRunOptions,
  resolved: ResolvedOptions,
  { outline }: LoadedJob,
): JobOptions {
  const { memoryBytes, sample, badBudget, attempts, failedTasksShare, noProgressMs, partBytes } = resolved;
  const given = (name: "cores" | "priority" | "queueTimeoutMs"): number | undefined =>
    options[name] === undefined ? undefined : wholeNumber(options[name], name, settings[name]);
  return {
    partitions: partitionsOf(options, outline),
    splitBytes: resolved.splitBytes,
    mappers: resolved.mappers,
    memoryBytes,
    // Unless it was said, each agent gives its workers their share of its own memory.
    heapBytes: options.heap === undefined ? null : resolved.heapBytes,
    sample,
    ...(resolved.estimate && { estimate: true }),
    ...(resolved.growing && { growing: true }),
    ...(resolved.live && { live: true }),
    ...(resolved.made !== null && { made: [...resolved.made] }),
    params: paramsToWire(paramsOf(options, outline)),
    badBudget,
    attempts,
    failedTasksShare,
    noProgressMs,
    partBytes,
    cores: given("cores") ?? null,
    priority: given("priority") ?? settings.priority.default,
    speculation: options.speculation ?? true,
    queueTimeoutMs: given("queueTimeoutMs") ?? null,
    ...(resolved.chaos !== null && { chaos: resolved.chaos }),
  };
}

/** Uploads at one time. */
const uploadsAtOnce = 4;

/** Content that the coordinator keeps by its hash. */
interface Blob extends UploadSource {
  readonly hash: string;
}

/** What a job needs beside its description, and how the submission names it. */
interface JobBlobs {
  readonly blobs: readonly Blob[];
  readonly named: Pick<Submission, "bundle" | "sourceMap" | "aux" | "files">;
}

/** The bundle, its source map, and the files of the job's side data. */
async function jobBlobs({ bundle, outline, aux }: LoadedJob, jobFile: string): Promise<JobBlobs> {
  const code = inMemory(await readFile(bundle.portablePath));
  const map = inMemory(await readFile(bundle.mapPath));
  const files = Object.entries(aux).flatMap(([path, some]) => some.map((file) => ({ path, file })));
  const programs = await Promise.all(
    findJobFiles(outline.files, jobFile).map(async (file) => ({ ...file, blob: await programBlob(file) })),
  );
  return {
    blobs: [code, map, ...files.map(({ file }) => auxBlob(file)), ...programs.map(({ blob }) => blob)],
    named: {
      bundle: code.hash,
      sourceMap: map.hash,
      aux: files.map(({ path, file: { name, sha256, bytes, place } }) => ({
        path,
        ...(name !== path && { file: name }),
        blob: sha256,
        bytes,
        place,
      })),
      ...(programs.length > 0 && {
        files: programs.map(({ name, mode, blob }) => ({ name, mode, blob: blob.hash, bytes: blob.bytes })),
      }),
    },
  };
}

/** Sends the blobs that the coordinator does not have. */
async function uploadBlobs(api: ApiClient, blobs: readonly Blob[], call: CallOptions): Promise<void> {
  const wanted = [...new Map(blobs.map((blob) => [blob.hash, blob])).values()];
  const next = wanted.values();
  const upload = async (): Promise<void> => {
    for (const blob of next)
      if (!(await api.hasBlob(blob.hash, call))) await api.putBlob(blob.hash, blob, call);
  };
  await Promise.all(Array.from({ length: Math.min(uploadsAtOnce, wanted.length) }, upload));
}

function inMemory(content: Buffer): Blob {
  const hash = createHash("sha256").update(content).digest("hex");
  return { hash, bytes: content.length, open: () => Readable.from([content]) };
}

function auxBlob({ sha256, bytes, path }: AuxCopy): Blob {
  return { hash: sha256, bytes, open: () => createReadStream(path) };
}

async function programBlob({ name, path }: FoundFile): Promise<Blob> {
  try {
    const { sha256, bytes } = await sha256OfFile(path);
    return { hash: sha256, bytes, open: () => createReadStream(path) };
  } catch (cause) {
    const { message } = asSheafError(cause, { path, doing: "read" });
    throw new SheafError("INPUT_MISSING", `files: ${name}: cannot read ${path}: ${message}`, {
      cause,
      hint: "Make it readable, and leave it as it is until the job is submitted.",
      details: { path },
    });
  }
}
