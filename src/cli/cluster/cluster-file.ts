import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { ensurePrivateDirectory } from "../../storage/private-directory.ts";
import type { TlsFiles } from "../../security/tls.ts";
import type { ProcessMark } from "./background-process.ts";

/** A process that `sheaf cluster up` started. */
export interface ClusterProcess extends ProcessMark {
  /** "coordinator", or the agent's name. */
  readonly name: string;
  /** Machine it was started on by ssh; null: this one. */
  readonly ssh: string | null;
  readonly log: string;
  /** The command it was started with, here; absent on other machines. */
  readonly args?: readonly string[];
}

/** cluster.json: what was started, the coordinator first. */
export interface ClusterRecord {
  readonly version: 1;
  readonly url: string;
  /** Files with which a client of this machine shows who it is; absent without TLS. */
  readonly tls?: TlsFiles;
  readonly processes: readonly ClusterProcess[];
}

/** Where the logs and the record are, in the state directory of a cluster. */
export class ClusterFile {
  readonly directory: string;
  readonly #path: string;

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, "cluster");
    this.#path = join(this.directory, "cluster.json");
  }

  prepare(): void {
    ensurePrivateDirectory(this.directory, "OUTPUT_UNWRITABLE");
  }

  /** Where the certificates are that were made for it. */
  get certificates(): string {
    return join(this.directory, "certs");
  }

  log(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** null when no cluster was started. @throws SheafError STATE_CORRUPT */
  read(): ClusterRecord | null {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    try {
      const record = JSON.parse(text) as ClusterRecord;
      if (record.version === 1 && Array.isArray(record.processes)) return record;
    } catch {
      // Told below.
    }
    throw new SheafError("STATE_CORRUPT", `${this.#path} is not what sheaf cluster up writes`, {
      hint: "End the processes by hand (ps shows them as sheaf coordinator and sheaf agent), and remove the file.",
    });
  }

  write(record: ClusterRecord): void {
    const aside = `${this.#path}.new`;
    writeFileSync(aside, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
    renameSync(aside, this.#path);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}
