import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { localPath } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { inCategory, repeatedFlag, types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { displayPath } from "../ui/text.ts";
import { writeJson, writeTo } from "../world.ts";

export const certsFlags = inCategory("Output", {
  host: repeatedFlag(
    "--host HOST",
    types.string,
    "A name or address the certificate is for; may be repeated",
  ),
  days: valueFlag("--days N", types.integer(settings.certificateDays), "How long it is valid", {
    default: "365 for a certificate, 3650 for an authority",
  }),
  json: jsonFlag,
});

export const certsCommand: CliCommand<typeof certsFlags> = {
  name: "certs",
  summary: "Make certificates for coordinator, agents and clients",
  details: [
    "`sheaf certs init DIR` makes an authority in DIR. `sheaf certs issue DIR NAME` makes a certificate of it: for a " +
      "coordinator or an agent with a --host for each name or address others reach it by, for a client without.",
    "NAME.pem, NAME.key and ca.pem go to the machine that NAME is for, and are given to its commands with --tls-cert, " +
      "--tls-key and --tls-ca. ca.key stays in DIR: whoever has it can let anybody in. Nothing that exists is overwritten.",
  ],
  arguments: [
    { name: "ACTION", doc: "init or issue", required: true, choices: ["init", "issue"] },
    { name: "DIR", doc: "Directory of the authority", required: true, complete: "path" },
    { name: "NAME", doc: "Machine or user the certificate is for (issue only)", required: false },
  ],
  flags: certsFlags,
  examples: [
    ["sheaf certs init certs", "An authority, once"],
    [
      "sheaf certs issue certs node1 --host node1.example --host 10.0.0.5",
      "A certificate for a machine with two names",
    ],
    ["sheaf certs issue certs alice --days 30", "A certificate for a client, for a month"],
  ],
  run,
};

async function run(invocation: Invocation<typeof certsFlags>): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const [action, given, name] = positionals;
  const directory = localPath(given!, "DIR", world.cwd);
  const nowMs = world.clock.wallMs();
  checkArguments(action!, name, flags.host);
  const { initAuthority, issueInto } = await import("../../security/certificate-directory.ts");
  const { cert, key } =
    action === "init"
      ? await initAuthority(directory, { days: flags.days ?? settings.authorityDays.default, nowMs })
      : await issueInto(directory, {
          name: name!,
          hosts: flags.host,
          days: flags.days ?? settings.certificateDays.default,
          nowMs,
        });
  if (flags.json === true) {
    const ca = join(directory, "ca.pem");
    await writeJson(world, { kind: "certificate", cert, key, ca });
    return exitCodes.ok;
  }
  const shown = (path: string): string => displayPath(path, world.cwd);
  const next =
    action === "init"
      ? `Next: sheaf certs issue ${shown(directory)} NAME --host HOST, for each machine. Keep ${shown(key)} where it is.`
      : `Copy both and ca.pem to ${name}: --tls-cert ${name}.pem --tls-key ${name}.key --tls-ca ca.pem`;
  await writeTo(world.stderr, `wrote\n  ${shown(cert)}\n  ${shown(key)}\n\n${next}\n`);
  return exitCodes.ok;
}

function checkArguments(action: string, name: string | undefined, hosts: readonly string[]): void {
  if (action === "issue" && name === undefined) {
    throw new SheafError("USAGE", "sheaf certs issue: NAME is missing", {
      hint: "Usage: sheaf certs issue DIR NAME [--host HOST]...",
    });
  }
  if (action === "init" && (name !== undefined || hosts.length > 0)) {
    throw new SheafError(
      "USAGE",
      `sheaf certs init takes neither NAME nor --host: an authority is for no host`,
      {
        hint: "Make the authority first, then sheaf certs issue DIR NAME --host HOST.",
      },
    );
  }
}
