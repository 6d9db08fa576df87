import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { runnableBundle } from "../bundle/portable-bundle.ts";
import { auxCopies } from "../engine/aux-files.ts";
import { readCapsule, saveCapsule } from "../engine/capsule.ts";
import type { Capsule } from "../engine/capsule.ts";
import { checkFileName, copyJobFiles, type FoundFile } from "../engine/job-files.ts";
import { sliceFiles } from "../protocol/slices.ts";
import { replayKept } from "../runner/replay.ts";
import type { ReplayOptions, ReplayResult } from "../runner/replay.ts";
import { checkId } from "../security/ids.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import type { ApiClient } from "./api-client.ts";
import { type Download, saveDownload } from "./download.ts";
import { findClusterJob } from "./find-job.ts";

/**
 * Runs a failed task of a cluster's job again, in this thread, from the capsule that its coordinator keeps.
 * Input files are read at the paths at which the agents have read them.
 * @param handle a job or a task of one, as `findClusterJob`; a job alone means the task that failed it
 * @throws SheafError NOT_FOUND without such a capsule, or for a reduce whose inputs could not be kept;
 * INPUT_MISSING naming a file, and the agent that has it, when it cannot be read here; INPUT_CHANGED
 */
export async function replayOnCluster(
  api: ApiClient,
  handle: string,
  options: Omit<ReplayOptions, "stateDirectory">,
): Promise<ReplayResult> {
  const found = await findClusterJob(api, handle);
  const task = found.task ?? (await failedTask(api, found.job));
  const directory = await makeTempDirectory(tmpdir());
  try {
    checkReadable(await fetchCapsule(api, found.job, task, directory), await api.nodes());
    const { file } = await api.job(found.job);
    return await replayKept(directory, task, { ...options, file });
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function failedTask(api: ApiClient, job: string): Promise<string> {
  const { error, state } = await api.job(job);
  if (error?.task !== null && error?.task !== undefined) return error.task;
  throw new SheafError("NOT_FOUND", `job ${job} has no failed task to replay`, {
    hint: `Its state is ${state}; \`sheaf show\` tells more of it.`,
  });
}

/**
 * Lays out what the coordinator keeps of a failed task as a job directory has it: code, capsule, side data
 * and what a reduce has read. A replay needs nothing else of the cluster then, but the input files of a map.
 * @throws SheafError NOT_FOUND without such a capsule; MESSAGE_INVALID for names that would lead elsewhere;
 * the signal's reason
 */
export async function fetchCapsule(
  api: ApiClient,
  job: string,
  task: string,
  directory: string,
  signal?: AbortSignal,
): Promise<Capsule> {
  const call = signal === undefined ? {} : { signal };
  const save = async (coming: Promise<Download>, path: string): Promise<void> =>
    saveDownload(await coming, path, call);
  // What a coordinator says becomes names of files here.
  const [capsules, app] = [join(directory, "capsules", checkId("task", task)), join(directory, "app")];
  for (const one of [capsules, app]) await mkdir(one, { recursive: true });
  await save(api.capsule(job, task, "capsule", call), join(capsules, "capsule.json"));
  const code = join(app, "job.mjs");
  await save(api.capsule(job, task, "code", call), code);
  await writeFile(code, runnableBundle(await readFile(code, "utf8")));
  try {
    await save(api.capsule(job, task, "sourceMap", call), `${code}.map`);
  } catch (error) {
    // Then places are told as they are in the bundle.
    if (!isSheafError(error) || error.code !== "NOT_FOUND") throw error;
  }
  const fetched = readCapsule(directory, task);
  const auxFiles = await auxCopies(fetched.auxSources ?? [], fetched.aux ?? [], async (hash) => {
    const path = join(capsules, checkId("blob", hash));
    await save(api.blob(hash, call), path);
    return path;
  });
  const found: FoundFile[] = [];
  for (const { name, blob, mode } of fetched.files ?? []) {
    const path = join(capsules, checkId("blob", blob));
    await save(api.blob(blob, call), path);
    found.push({ name: checkFileName(name), path, mode });
  }
  const files = await copyJobFiles(found, join(capsules, "files"), false);
  let { spec } = fetched;
  if (spec.kind === "reduce" && fetched.missingInputs === null && spec.inputs.length > 0) {
    // All that a reduce has read lies in one file.
    const path = join(capsules, sliceFiles.pack);
    await save(api.capsule(job, task, "slices", call), path);
    spec = { ...spec, inputs: spec.inputs.map((input) => ({ ...input, path })) };
  }
  const capsule = { ...fetched, spec, settings: { ...fetched.settings, auxFiles, files } };
  saveCapsule(directory, capsule);
  return capsule;
}

/** Says of the first file that is not here who has it. */
function checkReadable(
  { spec, jobId, task }: Capsule,
  nodes: readonly { readonly agent: string; readonly host: string }[],
): void {
  if (spec.kind === "reduce") return;
  for (const piece of spec.split.pieces) {
    // Whether a storage has it shows when it is read.
    if (piece.kind !== "file" || piece.version !== undefined || existsSync(piece.path)) continue;
    const agent = piece.name.endsWith(`:${piece.path}`) ? piece.name.slice(0, -piece.path.length - 1) : null;
    const host = nodes.find((node) => node.agent === agent)?.host;
    const whose =
      agent === null ? "that the agents read" : `of agent ${agent}${host === undefined ? "" : ` (${host})`}`;
    throw new SheafError("INPUT_MISSING", `${task} of ${jobId} read ${piece.path} ${whose}: it is not here`, {
      hint:
        agent === null
          ? "Mount what holds it at the same path, or run the replay on a machine that has it."
          : "Run the replay on that machine, or copy the file to the same path here, with its time (cp -p).",
      details: { path: piece.path },
    });
  }
}
