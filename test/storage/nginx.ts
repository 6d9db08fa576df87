import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, freePort } from "../kit/ports.ts";
import { until } from "../kit/wait.ts";

export interface Nginx {
  readonly port: number;
  /** What it serves. */
  readonly files: string;
  close(): Promise<void>;
}

/** Why there is no nginx here; null: there is. In CI there has to be one. */
export function nginxMissing(): string | null {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" });
    return null;
  } catch {
    if (process.env["CI"] === "true") throw new Error("nginx is missing: apt-get install nginx-light");
    return "NO NGINX HERE: apt-get install nginx-light";
  }
}

/** @param server lines of its configuration, within `server` */
export async function startNginx(server = ""): Promise<Nginx> {
  const lab = mkdtempSync(join(tmpdir(), "sheaf-nginx-"));
  // Its workers are another user's.
  chmodSync(lab, 0o755);
  const files = join(lab, "files");
  mkdirSync(files);
  const port = await freePort();
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    join(lab, "nginx.conf"),
    `daemon off; worker_processes 1; pid ${lab}/pid; error_log stderr crit;
    events { worker_connections 512; }
    http {
      access_log off; sendfile on; default_type application/octet-stream;
      ${places.map((place) => `${place}_temp_path ${lab}/${place};`).join(" ")}
      server { listen 127.0.0.1:${port}; root ${files}; ${server} }
    }`,
  );
  const nginx: ChildProcess = spawn("nginx", ["-c", join(lab, "nginx.conf"), "-e", "stderr"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await until("nginx", () => answers(port));
  return {
    port,
    files,
    close: async () => {
      nginx.kill("SIGTERM");
      if (nginx.exitCode === null) await once(nginx, "exit");
      rmSync(lab, { recursive: true, force: true });
    },
  };
}
