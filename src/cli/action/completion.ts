import type { Invocation } from "../command.ts";
import { allCommands } from "../commands.ts";
import { completionScript } from "../completion-script.ts";
import type { Shell } from "../completion-script.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { writeTo } from "../world.ts";

export async function run({ positionals, world }: Invocation<{}>): Promise<ExitCode> {
  // checkPositionals has held it against the choices.
  const shell = positionals[0] as Shell;
  await writeTo(world.stdout, completionScript(shell, await allCommands()));
  return exitCodes.ok;
}
