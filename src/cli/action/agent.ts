import { agentName } from "../../agent/agent-options.ts";
import { runAgent } from "../agent-process.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { agentFlags } from "../flags/agent-flags.ts";
import { agentStateOf } from "../server-state.ts";

export async function run({ flags, world }: Invocation<typeof agentFlags>): Promise<ExitCode> {
  const name = agentName(flags.name);
  const slots = flags.slots === undefined ? {} : { slots: flags.slots };
  const stateDirectory = agentStateOf(world, name, flags.state);
  await runAgent(flags, { join: flags.join, joinFlag: "--join", name, stateDirectory, ...slots }, world);
  return exitCodes.ok;
}
