import type { Invocation } from "../command.ts";
import type { versionFlags } from "../command/version.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { packageVersion } from "../../base/package-version.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, world }: Invocation<typeof versionFlags>): Promise<ExitCode> {
  const versions = {
    sheaf: packageVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
  const text = `sheaf ${versions.sheaf} (Node ${versions.node}, ${versions.platform})`;
  await writeTo(world.stdout, `${flags.json === true ? JSON.stringify(versions) : text}\n`);
  return exitCodes.ok;
}
