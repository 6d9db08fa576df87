import { rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { writeTo } from "../world.ts";
import { agentProcessFlags, nameFlag } from "./agent.ts";

/** A worker keeps its files in a temporary directory. */
export const workerFlags = inCategory("Execution", {
  driver: valueFlag("--driver URL", types.string, "Where `sheaf run --listen` listens: http://host:5000"),
  name: nameFlag,
  ...agentProcessFlags,
});

export const workerCommand: CliCommand<typeof workerFlags> = {
  name: "worker",
  summary: "Run tasks for a `sheaf run --listen` until all is done",
  details: [
    "Asks the driver for tasks, one at a time, and exits when it is told that there will be no more. Start as many as " +
      "there are cores to use, on any machine that sees the input and the output.",
  ],
  arguments: [],
  flags: workerFlags,
  examples: [["sheaf worker --driver http://127.0.0.1:5000 --token-file agent.token", "One worker"]],
  run,
};

/** Longest part of the machine's name that a worker's name takes over. */
const hostLettersMax = 40;

/** A driver that does not answer for so long has ended: it lives no longer than its run. */
const giveUpMs = 30_000;

/** An agent of one slot that leaves when its driver tells it to. */
async function run({ flags, world }: Invocation<typeof workerFlags>): Promise<ExitCode> {
  const [{ agentName }, { runAgent }, { makeTempDirectory }] = await Promise.all([
    import("../../agent/agent-options.ts"),
    import("./agent/process.ts"),
    import("../../storage/temp-directory.ts"),
  ]);
  const host = hostname()
    .slice(0, hostLettersMax)
    .replaceAll(/[^A-Za-z0-9._-]/g, "-");
  const name = agentName(flags.name ?? `${host}-${process.pid}`);
  const stateDirectory = await makeTempDirectory(tmpdir());
  try {
    await runAgent(
      flags,
      {
        join: flags.driver,
        joinFlag: "--driver",
        name,
        slots: 1,
        stateDirectory,
        giveUpMs,
        // What it ends with is thrown where its end is waited for.
        drainOrdered: (agent) => void agent.stop().catch(() => undefined),
      },
      world,
    );
    await writeTo(world.stdout, `sheaf worker ${name}: all is done\n`);
    return exitCodes.ok;
  } finally {
    rmSync(stateDirectory, { recursive: true, force: true });
  }
}
