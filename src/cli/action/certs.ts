import { resolve } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { initAuthority, issueInto } from "../../security/certificate-directory.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { certsFlags } from "../flags/certs-flags.ts";
import { displayPath } from "../ui/summary.ts";
import { writeTo } from "../world.ts";

export async function run(invocation: Invocation<typeof certsFlags>): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const [action, given, name] = positionals;
  const directory = resolve(world.cwd, given!);
  const nowMs = world.clock.wallMs();
  checkArguments(action!, name, flags.host);
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
    const ca = resolve(directory, "ca.pem");
    await writeTo(world.stdout, `${JSON.stringify({ kind: "certificate", cert, key, ca })}\n`);
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
