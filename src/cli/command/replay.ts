import { settings } from "../../base/limits.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf, withCluster } from "../connection.ts";
import { inCategory, optionalFlag, repeatedFlag, types } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { styleFor } from "../ui/style.ts";
import { reportText } from "../ui/summary.ts";
import { formatCount, formatDuration, plural } from "../ui/text.ts";
import { say, writeJson, writeTo } from "../world.ts";

export const replayFlags = inCategory("Execution", {
  inspect: optionalFlag(
    "--inspect[=PORT]",
    types.integer(settings.port),
    9229,
    "Wait for a debugger, and stop in the map or reduce at the record or key that failed",
    {
      details:
        "Open chrome://inspect in Chrome, or attach from an editor to port 9229, or to the one given: --inspect=9300. " +
        "Started by a debugger (as by the launch.json that sheaf init writes), it does not wait.",
    },
  ),
  stores: repeatedFlag(
    "--store SCHEME=FILE",
    types.string,
    "The module of a storage that the task reads, for SCHEME://; may be repeated",
    { default: "what the job names" },
  ),
  ...connectFlags,
  json: jsonFlag,
});

export const replayCommand: CliCommand<typeof replayFlags> = {
  name: "replay",
  summary: "Run a failed task again, here, on the same data",
  details: [
    "Every failed task leaves a capsule in its job's directory: the code that ran, and what it ran on. Replay runs that " +
      "one task on the main thread and shows what happens. Nothing is written to the job's output.",
    "HANDLE names the task: @:map-17 is map task 17 of the latest job, @?NAME:map-17 of the latest job of that name, " +
      "ID:map-17 of the job whose id begins so. Without a task it is the first one that failed.",
    "With --on it is a task of a cluster's job: its coordinator has the code, and the input is read here, at the path " +
      "at which the agents have read it. Of a file that is not here it says which agent has it. What a reduce has " +
      "read is kept too, up to 64 MiB of its partition.",
    "A job of a cluster that failed while a command on this machine waited for it is kept in the history here, with " +
      "all of that: it is replayed without --on, also when the cluster is gone.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job, or job:task; default @", required: false, complete: "handle" }],
  flags: replayFlags,
  examples: [
    ["sheaf replay", "The first failed task of the latest job"],
    ["sheaf replay @:map-17 --inspect", "Stop in the debugger at the first line of map task 17"],
    [
      "sheaf replay @:map-17 --on http://10.0.0.1:7077",
      "Map task 17 of the latest job of a cluster, on this machine",
    ],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof replayFlags>): Promise<ExitCode> {
  const { stderr } = world;
  const handle = positionals[0] ?? "@";
  if (flags.stores.length > 0) await (await import("../own-stores.ts")).ownStores(flags.stores, world.cwd);
  const options = {
    ...(flags.inspect === undefined ? {} : { inspect: flags.inspect }),
    onLog: (line: string) => say(stderr, `${line}\n`),
    onInspector: (url: string) =>
      say(stderr, `waiting for a debugger at ${url}\n  Open chrome://inspect, or attach from an editor.\n`),
  };
  const replayed =
    clusterUrl(flags, world) === undefined
      ? await (
          await import("../../runner/replay.ts")
        ).replay(handle, { stateDirectory: stateDirectoryOf(world), ...options })
      : await withCluster(flags, world, async (api) => {
          const { replayOnCluster } = await import("../../client/replay-cluster.ts");
          return replayOnCluster(api, handle, options);
        });
  const { task, attempt, jobId, result, report } = replayed;
  if (flags.json === true) await writeJson(world, { kind: "replayed", ...replayed });
  if (result.kind === "failure") {
    const style = styleFor(stderr, world.env, flags.color);
    await writeTo(stderr, `${reportText(report ?? result.message, result.code, style)}\n`);
    return exitCodes.failed;
  }
  const { recordsIn, recordsOut, elapsedMs } = result.stats;
  await writeTo(
    stderr,
    `${task} of ${jobId} (attempt ${attempt}) succeeds now, in ${formatDuration(elapsedMs)}: ` +
      `${plural(recordsIn, "record")} in, ${formatCount(recordsOut)} out; nothing was written\n`,
  );
  return exitCodes.ok;
}
