import { replay } from "../../runner/replay.ts";
import { clusterUrl, withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { replayFlags } from "../flags/replay-flags.ts";
import { reportText } from "../report-error.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { formatCount, plural } from "../ui/numbers.ts";
import { styleFor } from "../ui/style.ts";
import { say, writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof replayFlags>): Promise<ExitCode> {
  const { stderr } = world;
  const handle = positionals[0] ?? "@";
  const options = {
    ...(flags.inspect === undefined ? {} : { inspect: flags.inspect }),
    onLog: (line: string) => say(stderr, `${line}\n`),
    onInspector: (url: string) =>
      say(stderr, `waiting for a debugger at ${url}\n  Open chrome://inspect, or attach from an editor.\n`),
  };
  const replayed =
    clusterUrl(flags, world) === undefined
      ? await replay(handle, { stateDirectory: stateDirectoryOf(world), ...options })
      : await withCluster(flags, world, async (api) => {
          const { replayOnCluster } = await import("../../client/replay-cluster.ts");
          return replayOnCluster(api, handle, options);
        });
  const { task, attempt, jobId, result, report } = replayed;
  if (flags.json === true)
    await writeTo(world.stdout, `${JSON.stringify({ kind: "replayed", ...replayed })}\n`);
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
