import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { answers, freePort } from "../kit/ports.ts";
import { until } from "../kit/wait.ts";

const sshd = "/usr/sbin/sshd";

/** An SSH server of this machine's user, with a home of its own for whoever connects. */
export interface Sshd {
  readonly port: number;
  /** A directory for what it serves: any path will do, as it serves all files. */
  readonly files: string;
  /** HOME of clients: .ssh/config names the key, and the host "test-host" for 127.0.0.1 at each port. */
  readonly home: string;
  /** The public key of the host, "ssh-ed25519 AAAA...". */
  readonly hostKey: string;
  close(): Promise<void>;
}

/** Why there is none here; null: there is. In CI there has to be one. */
export function sshdMissing(): string | null {
  if (existsSync(sshd) && process.getuid?.() === 0) return null;
  if (process.env["CI"] === "true") throw new Error("sshd is missing: apt-get install openssh-server");
  return "NO SSHD HERE, it needs root and: apt-get install openssh-server";
}

export function makeKey(path: string, passphrase = ""): void {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path]);
}

export async function startSshd(): Promise<Sshd> {
  const lab = mkdtempSync(join(tmpdir(), "sheaf-sshd-"));
  const home = join(lab, "home");
  const files = join(lab, "files");
  for (const directory of [files, join(home, ".ssh"), "/run/sshd"]) mkdirSync(directory, { recursive: true });
  makeKey(join(lab, "host"));
  makeKey(join(home, ".ssh", "key"));
  const hostKey = readFileSync(join(lab, "host.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  writeFileSync(join(lab, "authorized"), readFileSync(join(home, ".ssh", "key.pub")));
  writeFileSync(
    join(home, ".ssh", "config"),
    `Host 127.*\n  HostKeyAlias test-host\n  User ${userInfo().username}\n  IdentityFile ~/.ssh/key\n`,
  );
  writeFileSync(join(home, ".ssh", "known_hosts"), `test-host ${hostKey}\n`);
  const port = await freePort();
  writeFileSync(
    join(lab, "config"),
    `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${lab}/host\nPidFile none\nAuthorizedKeysFile ${lab}/authorized\n` +
      "StrictModes no\nPasswordAuthentication no\nUsePAM no\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
  );
  const server: ChildProcess = spawn(sshd, ["-D", "-f", join(lab, "config")], { stdio: "ignore" });
  await until("sshd", () => answers(port));
  return {
    port,
    files,
    home,
    hostKey,
    close: async () => {
      server.kill("SIGTERM");
      if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
      rmSync(lab, { recursive: true, force: true });
    },
  };
}
