import { basename } from "node:path";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { exitCodes } from "./exit-code.ts";
import type { ExitCode } from "./exit-code.ts";
import { errorText } from "./report-error.ts";
import type { RunFlags } from "./run-options.ts";
import { runSharedDirectory } from "./shared-directory-run.ts";
import { stopOnSignal } from "./stop-on-signal.ts";
import { makeReporter } from "./ui/reporter.ts";
import { styleFor } from "./ui/style.ts";
import type { World } from "./world.ts";
import { writeTo } from "./world.ts";

const workerTimeoutMsDefault = 60_000;

/** `sheaf run NAME IN... -o OUT --listen PORT --intermediate DIR`. */
export async function runForeignWorkers(
  {
    flags,
    name,
    inputs,
  }: { readonly flags: RunFlags; readonly name: string; readonly inputs: readonly string[] },
  world: World,
): Promise<ExitCode> {
  const style = styleFor(world.stderr, world.env, flags.color);
  const isQuiet = flags.quiet === true || flags.json === true;
  const stop = stopOnSignal(makeReporter({ quiet: isQuiet, json: false, style }, world), world);
  try {
    const { status, cause, parts, counters } = await runSharedDirectory(
      {
        name: flags.name ?? basename(name).replace(/\.\w+$/, ""),
        inputs,
        output: flags.output,
        overwrite: flags.overwrite ?? false,
        intermediate: flags.intermediate!,
        mappers: flags.mappers,
        partitions: partitionsOf(flags),
        attempts: flags.attempts ?? limits.attemptsMaxDefault,
        workerTimeoutMs: flags.workerTimeout ?? workerTimeoutMsDefault,
        port: flags.listen!.port,
        host: flags.listen!.host,
        insecure: false,
        isQuiet,
        signal: stop.signal,
      },
      world,
    );
    if (flags.json === true) {
      await writeTo(world.stdout, `${JSON.stringify({ status, cause, parts, counters })}\n`);
    }
    if (status === "CANCELLED") return exitCodes.cancelled;
    if (status === "FAILED") {
      const error = new SheafError("USER_CODE", cause ?? "the job failed", {
        hint: "The worker that reported it has printed more, where it runs.",
      });
      await writeTo(world.stderr, errorText(error, flags.debug === true, style));
      return exitCodes.failed;
    }
    if (!isQuiet) await writeTo(world.stderr, `${parts.length} parts in ${flags.output}\n`);
    return exitCodes.ok;
  } finally {
    stop.release();
  }
}

function partitionsOf({ partitions }: RunFlags): number {
  const [first, ...more] = partitions;
  if (first === undefined) return 1;
  if (more.length === 0 && first.collection === undefined) return first.count;
  throw new SheafError("USAGE", "--partitions: workers in other languages have one collection", {
    hint: "Give one number: --partitions 2.",
  });
}
