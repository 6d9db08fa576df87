import { lstatSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SheafError, isSheafError } from "../../base/errors.ts";
import type { ApiClient } from "../../client/api-client.ts";
import { splitAddress } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf, withCluster } from "../connection.ts";
import { switchFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { type World, writeJson, writeTo } from "../world.ts";

export const deleteFlags = {
  output: switchFlag("--output", "Its output directory, too, if it is still what the job has written", {
    details: "Sizes and checksums of all files are compared first; what the job has not written is left.",
  }),
  ...connectFlags,
  json: jsonFlag,
};

export const deleteCommand: CliCommand<typeof deleteFlags> = {
  name: "delete",
  summary: "Delete what is kept of jobs that have ended",
  details: [
    "The history of a job, its logs and capsules; with --on also the results that the coordinator has of it. Output " +
      "directories stay unless --output is given. Intermediate data goes by itself when a job ends. A job that runs is " +
      "refused: sheaf kill stops it.",
  ],
  arguments: [
    {
      name: "HANDLE",
      doc: "Job: its id, the beginning of one, @ or @?NAME",
      required: true,
      many: true,
      complete: "handle",
    },
  ],
  flags: deleteFlags,
  examples: [
    ["sheaf delete @?try", "The latest job of that name"],
    ["sheaf delete 20260131-12 --output", "A job and its output"],
  ],
  run,
};

/** A job that may be deleted, and how. */
interface Doomed {
  readonly job: string;
  /** null: it has none in a directory. `digest` null: nothing is known of what it has written. */
  readonly output: { readonly path: string; readonly digest: string | null } | null;
  delete(): Promise<void>;
}

async function run({ flags, positionals, world }: Invocation<typeof deleteFlags>): Promise<ExitCode> {
  if (clusterUrl(flags, world) !== undefined) {
    return withCluster(flags, world, async (api) =>
      deleteAll(await Promise.all(positionals.map((handle) => ofCluster(api, handle))), flags, world),
    );
  }
  const doomed = await Promise.all(positionals.map((handle) => ofHere(stateDirectoryOf(world), handle)));
  return deleteAll(doomed, flags, world);
}

/** All handles are understood before anything goes: "@" means something else afterwards. */
async function deleteAll(
  doomed: readonly Doomed[],
  flags: Invocation<typeof deleteFlags>["flags"],
  world: World,
): Promise<ExitCode> {
  const deleted: { job: string; output: string | null }[] = [];
  const each = [...new Map(doomed.map((one) => [one.job, one])).values()];
  // One is refused before it goes; of several, all before the first goes.
  if (flags.output === true && each.length > 1) for (const one of each) await checkOutput(one);
  for (const one of each) {
    const output = flags.output === true ? await deleteOutput(one) : null;
    await one.delete();
    deleted.push({ job: one.job, output });
    if (flags.json !== true) {
      const more = output === null ? "" : ` with its output ${output}`;
      await writeTo(world.stdout, `deleted ${one.job}${more}\n`);
    }
  }
  if (flags.json === true) await writeJson(world, { deleted });
  return exitCodes.ok;
}

async function ofHere(state: string, handle: string): Promise<Doomed> {
  const { findJob, wholeJobHandle } = await import("../../engine/job-history.ts");
  const { directory, record } = await findJob(state, wholeJobHandle(handle, "delete"));
  const { jobId: job, status, output, once } = record;
  if (status === "RUNNING") {
    throw new SheafError("USAGE", `job ${job} has not ended`, {
      hint: "Stop it first (Ctrl-C where it runs), or wait for its end.",
    });
  }
  const isWritten = status === "SUCCEEDED" && output !== null;
  return {
    job,
    output: isWritten ? { path: output, digest: once?.digest ?? null } : null,
    delete: async () => (await import("../../engine/prune-jobs.ts")).removeJob(directory),
  };
}

async function ofCluster(api: ApiClient, handle: string): Promise<Doomed> {
  const [{ findClusterJob }, { wholeJobHandle }, { outputDigest }] = await Promise.all([
    import("../../client/find-job.ts"),
    import("../../engine/job-history.ts"),
    import("../../engine/committed-output.ts"),
  ]);
  const { job } = await findClusterJob(api, wholeJobHandle(handle, "delete"));
  const view = await api.job(job);
  const isShared = view.state === "SUCCEEDED" && view.output !== null;
  return {
    job,
    output: isShared ? { path: view.output!, digest: outputDigest(view) } : null,
    async delete() {
      try {
        await api.delete(job);
      } catch (error) {
        // Its answer was lost, or somebody else was first.
        if (!isSheafError(error) || error.code !== "NOT_FOUND") throw error;
      }
    },
  };
}

/** @throws SheafError OUTPUT_UNWRITABLE when what is there is not what the job has written */
async function checkOutput({ job, output }: Doomed): Promise<boolean> {
  if (output === null) return false;
  if (splitAddress(output.path) !== null) {
    throw new SheafError("USAGE", `${output.path} lies in a storage, and --output deletes directories only`, {
      hint: "Nothing was deleted. Leave --output out to delete the job alone, and remove the output yourself.",
      details: { path: output.path },
    });
  }
  const { committedDigest } = await import("../../engine/committed-output.ts");
  const there = await committedDigest(output.path);
  if (there === undefined) return false;
  if (there !== output.digest) {
    const what =
      output.digest === null
        ? `nothing is known of what ${job} has written to ${output.path}`
        : `${output.path} is not, or no longer, what ${job} has written`;
    throw new SheafError("OUTPUT_UNWRITABLE", what, {
      hint: "Nothing was deleted. Leave --output out to delete the job alone, or remove the directory yourself.",
    });
  }
  const { checkOwnOutput } = await import("../../storage/own-output.ts");
  await checkOwnOutput(output.path, output.path);
  return true;
}

/** @returns its path; null when there was none */
async function deleteOutput(doomed: Doomed): Promise<string | null> {
  if (!(await checkOutput(doomed))) return null;
  const { path } = doomed.output!;
  const { removeDirectory } = await import("../../storage/remove-directory.ts");
  // First of all: what is left when this is killed is no whole output.
  await rm(join(path, "_SUCCESS"));
  await removeDirectory(path);
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw new SheafError("OUTPUT_UNWRITABLE", `${path} could not be removed whole`, {
      hint: "The job is still kept. Remove what is left yourself, then delete the job.",
      details: { path },
    });
  }
  return path;
}
