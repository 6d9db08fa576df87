import { SheafError } from "../base/errors.ts";
import type { RunResult } from "../engine/options.ts";
import { exitCodeOf, exitCodes } from "./exit-code.ts";
import type { ExitCode } from "./exit-code.ts";
import { errorText } from "./report-error.ts";
import type { ColorWhen } from "./ui/style.ts";
import { styleFor } from "./ui/style.ts";
import { cancelledText, summaryText } from "./ui/summary.ts";
import type { World } from "./world.ts";
import { writeTo } from "./world.ts";

export interface Conclusion {
  readonly flags: {
    readonly output: string | undefined;
    readonly quiet: boolean | undefined;
    readonly json: boolean | undefined;
    readonly debug: boolean | undefined;
    readonly color: ColorWhen | undefined;
  };
  /** False when the output directory is one that the user never sees. */
  readonly showOutput: boolean;
  /** False when the runner does not know how many records were read. Default true. */
  readonly countsRecords?: boolean;
  readonly stoppedBy: string | undefined;
  /** The job that goes on when this command is stopped: it was only looked at. */
  readonly left?: string;
}

/** Says how a run went, and answers how to exit. */
export async function concludeRun(result: RunResult, about: Conclusion, world: World): Promise<ExitCode> {
  const { flags, showOutput, countsRecords = true } = about;
  const style = styleFor(world.stderr, world.env, flags.color);
  const silent = flags.quiet === true || flags.json === true;
  switch (result.status) {
    case "SUCCEEDED":
      if (!silent)
        await writeTo(
          world.stderr,
          summaryText(result, { style, cwd: world.cwd, showOutput, countsRecords }),
        );
      return exitCodes.ok;
    case "CANCELLED":
      if (!silent) {
        const by = about.stoppedBy;
        const text =
          by !== undefined && about.left !== undefined
            ? `left by ${by}; see it again with: sheaf attach --watch ${about.left}\n`
            : by === undefined && result.error !== null
              ? `${result.error.message}\n`
              : cancelledText(result, flags.output, by ?? "request");
        await writeTo(world.stderr, text);
      }
      return exitCodes.cancelled;
    case "FAILED": {
      const error = result.error ?? new SheafError("INTERNAL", "the job failed without a cause");
      await writeTo(world.stderr, errorText(error, flags.debug === true, style));
      return exitCodeOf(error.code);
    }
  }
}
