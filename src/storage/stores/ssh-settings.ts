import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { process } from "../../base/own-globals.ts";
import { asSheafError, errnoOf, quotePath } from "../fs-error.ts";
import { KnownHosts } from "./known-hosts.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** How a host is reached over SSH, as `ssh` would. */
export interface SshSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The socket of an agent; null: none. */
  readonly agent: string | null;
  /** Private keys that are there. */
  readonly keyFiles: readonly string[];
  /** The name under which its key is known, when it is not its own. */
  readonly keyAlias: string | null;
  readonly knownHosts: KnownHosts;
  /** The first of the files with known keys, to which one may be added. */
  readonly knownHostsFile: string;
}

const KEYS = ["id_ed25519", "id_ecdsa", "id_rsa"];

/**
 * What ~/.ssh/config and the files of the system say of an authority "user@host:port". OpenSSH itself is
 * asked (`ssh -G`), so that it means what it means everywhere; without it there must be no such file.
 * @throws SheafError USAGE for a password in the address and for settings that are not followed
 */
export function sshSettings(authority: string, env: Env): SshSettings {
  const match = /^(?:([^@:]+)(:[^@]*)?@)?(\[[0-9a-f:.%]+\]|[^@:[\]\s-][^@:[\]\s]*)(?::(\d{1,5}))?$/i.exec(
    authority,
  );
  const [, user, password, bracketed = "", port] = match ?? [];
  if (match === null || password !== undefined) {
    const shown = authority.replace(/:[^@]*@/, ":...@");
    throw new SheafError("USAGE", `sftp://${shown} is not of the form sftp://user@host:port/path`, {
      hint:
        password === undefined
          ? "Write the name or address of the host; user and port may be left out."
          : "A password is never given in an address. Use a key: ssh-agent, or IdentityFile in ~/.ssh/config.",
    });
  }
  const host = bracketed.replace(/^\[(.*)\]$/, "$1");
  const home = env["HOME"] || homedir();
  const said = configured({ host, user, port }, home, env);
  const first = (key: string): string | undefined => said.get(key)?.[0];
  for (const key of ["proxyjump", "proxycommand"]) {
    if ((first(key) ?? "none") === "none") continue;
    throw new SheafError("USAGE", `the settings of ssh for ${host} have ${key}, which is not followed here`, {
      hint: `Forward a port (ssh -N -L 2222:localhost:22 ${host}) and give sftp://localhost:2222/..., or mount it with sshfs.`,
    });
  }
  // ssh has put in the home of the user's entry, whatever HOME says.
  const ownHome = homeOfUser();
  const full = (path: string): string => {
    if (ownHome !== null && path.startsWith(`${ownHome}/.ssh/`)) return home + path.slice(ownHome.length);
    return path.replace(/^~(?=\/|$)/, home).replaceAll("%d", home);
  };
  const files = said.get("identityfile") ?? KEYS.map((name) => join(home, ".ssh", name));
  const known = (said.get("userknownhostsfile") ?? [join(home, ".ssh", "known_hosts")])
    .flatMap(words)
    .map(full);
  const system = (said.get("globalknownhostsfile") ?? ["/etc/ssh/ssh_known_hosts"]).flatMap(words);
  const agent = first("identityagent") ?? "SSH_AUTH_SOCK";
  return {
    host: first("hostname") ?? host,
    port: Number(first("port") ?? port ?? 22),
    user: first("user") ?? user ?? userInfo().username,
    agent: agent === "none" ? null : agent === "SSH_AUTH_SOCK" ? env["SSH_AUTH_SOCK"] || null : full(agent),
    keyFiles: files.map(full).filter((path) => existsSync(path)),
    keyAlias: first("hostkeyalias") ?? null,
    knownHosts: new KnownHosts([...known, ...system].map(readOrNothing)),
    knownHostsFile: known[0] ?? join(home, ".ssh", "known_hosts"),
  };
}

interface Asked {
  readonly host: string;
  readonly user: string | undefined;
  readonly port: string | undefined;
}

/** By name in small letters, in the order of the files; nothing where there is no configuration. */
function configured({ host, user, port }: Asked, home: string, env: Env): Map<string, string[]> {
  const said = new Map<string, string[]>();
  const file = join(home, ".ssh", "config");
  const isOwnHome = home === homeOfUser();
  const where = isOwnHome ? [] : ["-F", existsSync(file) ? file : "none"];
  const target = [...(user === undefined ? [] : ["-l", user]), ...(port === undefined ? [] : ["-p", port])];
  let text: string;
  try {
    text = execFileSync("ssh", ["-G", ...where, ...target, "--", host], {
      encoding: "utf8",
      env: { ...env, PATH: process.env["PATH"], HOME: home },
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    if (errnoOf(error) === "ENOENT" && !existsSync(file)) return said;
    const told = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    throw new SheafError(
      "USAGE",
      `${quotePath(file)} cannot be read by ssh -G: ${told.split("\n")[0] ?? ""}`,
      {
        hint:
          errnoOf(error) === "ENOENT"
            ? "Install the client of OpenSSH, which reads it."
            : "Correct that file.",
        cause: error,
      },
    );
  }
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0)
      said.set(line.slice(0, space), [...(said.get(line.slice(0, space)) ?? []), line.slice(space + 1)]);
  }
  return said;
}

function homeOfUser(): string | null {
  try {
    return userInfo().homedir;
  } catch {
    return null;
  }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "" && word !== "none");
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return "";
    throw asSheafError(error, { path, doing: "read" });
  }
}
