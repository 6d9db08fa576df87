import { rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { agentName } from "../../agent/agent-options.ts";
import { runAgent } from "../agent-process.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { workerFlags } from "../flags/agent-flags.ts";
import { makeTempDirectory } from "../../runner/work-directory.ts";
import { writeTo } from "../world.ts";

/** Longest part of the machine's name that a worker's name takes over. */
const hostLettersMax = 40;

/** A driver that does not answer for so long has ended: it lives no longer than its run. */
const giveUpMs = 30_000;

/** An agent of one slot that leaves when its driver tells it to. */
export async function run({ flags, world }: Invocation<typeof workerFlags>): Promise<ExitCode> {
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
        drainOrdered: (agent) => void agent.stop(),
      },
      world,
    );
    await writeTo(world.stdout, `sheaf worker ${name}: all is done\n`);
    return exitCodes.ok;
  } finally {
    rmSync(stateDirectory, { recursive: true, force: true });
  }
}
