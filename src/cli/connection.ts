import { homedir } from "node:os";
import { resolve } from "node:path";
import { isSheafError, SheafError } from "../base/errors.ts";
import type { ApiClient } from "../client/api-client.ts";
import type { ClusterJobHandle } from "../client/find-job.ts";
import { defaultStateDirectory, findJob } from "../engine/job-history.ts";
import type { RunSettings } from "../project/define-config.ts";
import type { LoadConfigOptions } from "../project/load-config.ts";
import type { SettingsLayer } from "../project/project-file.ts";
import { runnerFor } from "../runners/runners.ts";
import type { TlsFiles } from "../security/tls.ts";
import { given } from "./command.ts";
import { type World, say } from "./world.ts";

/** What flags/cluster-flags.ts gives a command. */
export interface ConnectFlags {
  readonly profile: string | undefined;
  readonly on: string | undefined;
  readonly tokenFile: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** How project files are read for a command. */
export function projectReading(world: World): LoadConfigOptions {
  return { stateDirectory: stateDirectoryOf(world), tell: (text) => say(world.stderr, `${text}\n`) };
}

/** One setting over the other, those of the first layer last. `params` are joined by name. */
export function mergeSettings(layers: readonly SettingsLayer[]): RunSettings {
  let merged: RunSettings = {};
  for (const { settings } of layers.toReversed()) {
    const { mappers, splitSize, ...rest } = merged;
    const sizes =
      settings.mappers === undefined && settings.splitSize === undefined ? { mappers, splitSize } : {};
    const params = { ...merged.params, ...settings.params };
    merged = { ...rest, ...given(sizes), ...settings, ...(Object.keys(params).length > 0 && { params }) };
  }
  return merged;
}

/**
 * The flags with what the project says of the coordinator where they say nothing: a profile before the
 * environment, and that before the rest. Credentials of the project are for the coordinator that it names.
 */
export function connectedAs<F extends ConnectFlags>(
  flags: F,
  layers: { readonly asked: readonly SettingsLayer[]; readonly standing: readonly SettingsLayer[] },
  { env }: Pick<World, "env">,
): F {
  const asked = mergeSettings(layers.asked);
  const standing = mergeSettings(layers.standing);
  const isSet = (name: string): boolean => named(env[name]) !== undefined;
  const on = flags.on ?? asked.on ?? (isSet("SHEAF_ON") ? undefined : standing.on);
  const own = asked.on ?? standing.on;
  if (own !== undefined && own !== (on ?? env["SHEAF_ON"])) return { ...flags, on };
  const tokenFile =
    flags.tokenFile ?? asked.tokenFile ?? (isSet("SHEAF_TOKEN_FILE") ? undefined : standing.tokenFile);
  const hasTls = [flags.tlsCa, flags.tlsCert, flags.tlsKey].some((file) => file !== undefined);
  const inEnvironment = ["SHEAF_TLS_CA", "SHEAF_TLS_CERT", "SHEAF_TLS_KEY"].some(isSet);
  const tls = hasTls ? undefined : (asked.tls ?? (inEnvironment ? undefined : standing.tls));
  const files = tls === undefined ? {} : { tlsCa: tls.ca, tlsCert: tls.cert, tlsKey: tls.key };
  return { ...flags, on, tokenFile, ...files };
}

/**
 * The flags of a command that is about no job file, with what the project of the current directory says.
 * @throws SheafError as findProject, and for a profile that there is not
 */
export async function connectedByProject<F extends ConnectFlags>(flags: F, world: World): Promise<F> {
  // What says where it goes needs no project.
  if (flags.profile === undefined && flags.on !== undefined) return flags;
  const { findProject, layersOf } = await import("../project/project-file.ts");
  const project = await findProject(world.cwd, projectReading(world));
  return connectedAs(flags, layersOf(project, undefined, flags.profile), world);
}

/** URL of the coordinator that is meant: --on, else $SHEAF_ON; undefined where they mean no cluster. */
export function clusterUrl(flags: Pick<ConnectFlags, "on">, world: World): string | undefined {
  const given = flags.on ?? world.env["SHEAF_ON"];
  return runnerFor(given) === "cluster" ? given : undefined;
}

/** Whether the main thread of this process is meant by --on or $SHEAF_ON. */
export function meansInline({ on }: Pick<ConnectFlags, "on">, world: World): boolean {
  return (on ?? world.env["SHEAF_ON"]) === "inline";
}

/**
 * Does something with the coordinator that is meant, and closes the connection.
 * @throws SheafError USAGE when none is named
 */
export async function withCluster<T>(
  flags: ConnectFlags,
  world: World,
  work: (api: ApiClient) => Promise<T>,
): Promise<T> {
  const on = clusterUrl(flags, world);
  if (on === undefined) {
    throw new SheafError("USAGE", "this needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON. sheaf cluster up starts one on this machine.",
    });
  }
  const [{ connect }, credentials] = await Promise.all([
    import("../client/connect.ts"),
    credentialsOf(flags, world),
  ]);
  const api = connect({ on, ...credentials }, { env: world.env, home: homedir() });
  try {
    return await work(api);
  } finally {
    await api.close();
  }
}

/**
 * The cluster's job that a handle names.
 * @throws SheafError as findClusterJob; where this machine has such a job, the hint says so
 */
export async function clusterJob(api: ApiClient, handle: string, world: World): Promise<ClusterJobHandle> {
  const { findClusterJob } = await import("../client/find-job.ts");
  try {
    return await findClusterJob(api, handle);
  } catch (error) {
    if (!isSheafError(error) || error.code !== "NOT_FOUND") throw error;
    const own = await findJob(stateDirectoryOf(world), handle).catch(() => null);
    if (own === null) throw error;
    const { jobId } = own.record;
    throw new SheafError("NOT_FOUND", `${error.message} by the cluster`, {
      hint: `${jobId} is in the history of this machine, as all pipelines started here are: add --on local.`,
      cause: error,
    });
  }
}

/** The files that show who one is, found from the command's directory. */
export async function credentialsOf(
  flags: ConnectFlags,
  world: World,
): Promise<{ readonly tokenFile?: string; readonly tls?: TlsFiles }> {
  const { tlsFiles } = await import("../security/tls.ts");
  const path = (given: string): string => resolve(world.cwd, given);
  const { env } = world;
  const tls = tlsFiles({
    ca: flags.tlsCa ?? named(env["SHEAF_TLS_CA"]),
    cert: flags.tlsCert ?? named(env["SHEAF_TLS_CERT"]),
    key: flags.tlsKey ?? named(env["SHEAF_TLS_KEY"]),
  });
  return {
    ...(flags.tokenFile === undefined ? {} : { tokenFile: path(flags.tokenFile) }),
    ...(tls === null ? {} : { tls: { ca: path(tls.ca), cert: path(tls.cert), key: path(tls.key) } }),
  };
}

/** An empty variable names nothing. */
function named(path: string | undefined): string | undefined {
  return path === "" ? undefined : path;
}

/** Where the history of this user's jobs is. */
export function stateDirectoryOf(world: World): string {
  return defaultStateDirectory({ ...world.env }, homedir());
}

/**
 * A handle of a job or task, and what --task said, as one handle.
 * @throws SheafError USAGE when the task is given twice, or is none
 */
export function taskHandle(handle: string, task: string | undefined): string {
  if (task === undefined) return handle;
  if (handle.includes(":")) {
    throw new SheafError("USAGE", `the task is given twice: ${handle} and --task ${task}`, {
      hint: "Give it once.",
    });
  }
  if (!/^(?:sample|map|reduce)-\d+$/.test(task)) {
    throw new SheafError("USAGE", `--task: "${task}" is not a task`, {
      hint: 'Write "map-17" or "reduce-3".',
    });
  }
  return `${handle}:${task}`;
}
