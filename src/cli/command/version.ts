import { packageVersion } from "../../base/package-places.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { jsonFlag } from "../flags.ts";
import { writeTo } from "../world.ts";

export const versionFlags = { json: jsonFlag };

export const versionCommand: CliCommand<typeof versionFlags> = {
  name: "version",
  summary: "Show the versions of sheaf and Node",
  details: [],
  arguments: [],
  flags: versionFlags,
  examples: [],
  run,
};

async function run({ flags, world }: Invocation<typeof versionFlags>): Promise<ExitCode> {
  const versions = {
    sheaf: packageVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
  const text = `sheaf ${versions.sheaf} (Node ${versions.node}, ${versions.platform})`;
  await writeTo(world.stdout, `${flags.json === true ? JSON.stringify(versions) : text}\n`);
  return exitCodes.ok;
}
