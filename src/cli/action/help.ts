import type { Invocation } from "../command.ts";
import { allCommands, findCommand } from "../commands.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { helpFlags } from "../flags/help-flags.ts";
import type { HelpLook } from "../help-text.ts";
import { longHelp, overviewText, shortHelp } from "../help-text.ts";
import { packageVersion } from "../../base/package-version.ts";
import { styleFor } from "../ui/style.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof helpFlags>): Promise<ExitCode> {
  if (flags.markdown === true) {
    const { helpMarkdown } = await import("../help-markdown.ts");
    await writeTo(world.stdout, await helpMarkdown(await allCommands()));
  } else {
    await help(positionals[0], "long", world);
  }
  return exitCodes.ok;
}

/** Help for one command, or the overview. */
export async function help(name: string | undefined, length: "short" | "long", world: World): Promise<void> {
  const look: HelpLook = {
    width: Math.min(Math.max(world.stdout.columns ?? 80, 40), 100),
    style: styleFor(world.stdout, world.env),
  };
  if (name === undefined) {
    await writeTo(world.stdout, overviewText(await allCommands(), packageVersion(), look));
    return;
  }
  const command = await findCommand(name);
  await writeTo(world.stdout, length === "short" ? shortHelp(command, look) : await longHelp(command, look));
}
