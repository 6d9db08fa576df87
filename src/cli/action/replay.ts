import { replay } from "../../runner/replay.ts";
import type { Invocation } from "../command.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { replayFlags } from "../flags/replay-flags.ts";
import { reportText } from "../report-error.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { formatCount, plural } from "../ui/numbers.ts";
import { styleFor } from "../ui/style.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof replayFlags>): Promise<ExitCode> {
  const { stderr } = world;
  const replayed = await replay(positionals[0] ?? "@", {
    stateDirectory: stateDirectoryOf(world),
    inspect: flags.inspect === true,
    onLog: (line) => void stderr.write(`${line}\n`),
    onInspector: (url) =>
      void stderr.write(
        `waiting for a debugger at ${url}\n  Open chrome://inspect, or attach from an editor.\n`,
      ),
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
