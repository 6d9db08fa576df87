import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { Invocation } from "../command.ts";
import type { replayFlags } from "../flags/replay-flags.ts";
import { replay } from "../../runner/replay.ts";
import { formatDuration } from "../duration.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { plural } from "../ui/numbers.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof replayFlags>): Promise<ExitCode> {
  const { stderr } = world;
  const { task, attempt, jobId, result, report } = await replay(positionals[0] ?? "@", {
    stateDirectory: stateDirectoryOf(world),
    inspect: flags.inspect === true,
    onLog: (line) => void stderr.write(`${line}\n`),
    onInspector: (url) =>
      void stderr.write(
        `waiting for a debugger at ${url}\n  Open chrome://inspect, or attach from an editor.\n`,
      ),
  });
  if (result.kind === "failure") {
    await writeTo(
      stderr,
      report === null ? `${result.message}\n` : report.endsWith("\n") ? report : `${report}\n`,
    );
    return exitCodes.failed;
  }
  const { recordsIn, recordsOut, elapsedMs } = result.stats;
  await writeTo(
    stderr,
    `${task} of ${jobId}, attempt ${attempt}: succeeds now, in ${formatDuration(elapsedMs)}: ` +
      `${plural(recordsIn, "record")} in, ${recordsOut} out; nothing was written\n`,
  );
  return exitCodes.ok;
}
