import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../../../base/errors.ts";
import type { TlsFiles } from "../../../security/tls.ts";
import { ensureTokenFile, tokenFilesIn } from "../../../security/token-file.ts";
import { ensurePrivateDirectory } from "../../../storage/private-directory.ts";
import type { SlurmJob } from "./commands.ts";

/** submitted.json: what `sheaf slurm up` has asked Slurm for. */
export interface Submitted extends SlurmJob {
  readonly version: 1;
  /** Started inside of an allocation that was there before: its end is not ours. */
  readonly inside: boolean;
  /** How long its agents may finish what runs. */
  readonly graceMs: number;
  /** The pilot is to end. Only `inside`: a signal to its step would reach the srun below it, which kills. */
  readonly stop: boolean;
}

/** pilot.json: what the pilot says of itself, from the moment its coordinator listens. */
export interface PilotRecord {
  readonly version: 1;
  readonly job: string;
  /** Of the pilot, "123.4"; null: it is the batch script. */
  readonly step: string | null;
  readonly url: string;
  /** Node of the coordinator, as Slurm calls it. */
  readonly node: string;
  /** For clients; absent without TLS. */
  readonly tls?: TlsFiles;
  readonly graceMs: number;
  readonly nodes: number;
  /** Agents that are up. */
  readonly joined: number;
}

/**
 * Where a pilot and those who use it meet: a directory that the login node and all nodes of the allocation
 * have in common.
 */
export class SlurmFiles {
  readonly directory: string;
  readonly tokens: { readonly client: string; readonly agent: string };
  readonly script: string;

  constructor(directory: string) {
    this.directory = directory;
    this.tokens = tokenFilesIn(directory);
    this.script = join(directory, "pilot.sh");
  }

  /** Makes the directory and the tokens, where they are not there. */
  prepare(): void {
    ensurePrivateDirectory(this.directory, "OUTPUT_UNWRITABLE");
    ensureTokenFile(this.tokens.client, "client");
    ensureTokenFile(this.tokens.agent, "agent");
  }

  log(job: string): string {
    return join(this.directory, `slurm-${job}.log`);
  }

  get certificates(): string {
    return join(this.directory, "certs");
  }

  /** null when there was none. @throws SheafError STATE_CORRUPT */
  submitted(): Submitted | null {
    return this.#read<Submitted>("submitted.json");
  }

  /** null until the pilot of this job has said something. @throws SheafError STATE_CORRUPT */
  pilot({ job }: SlurmJob): PilotRecord | null {
    const record = this.#read<PilotRecord>("pilot.json");
    return record?.job === job ? record : null;
  }

  /** What was started last, by `up` or by hand; null: nothing. @throws SheafError STATE_CORRUPT */
  known(): Submitted | null {
    const submitted = this.submitted();
    const record = this.#read<PilotRecord>("pilot.json");
    if (record === null || record.job === submitted?.job) return submitted;
    const { job, step, graceMs } = record;
    return { version: 1, job, cluster: null, inside: step !== null, graceMs, stop: false };
  }

  /**
   * Both are written in place, over a file that is there from the beginning: a network file system may keep
   * for a minute that there is none, or what another inode held, but asks for the content when it is opened.
   */
  write(what: "submitted", value: Submitted | null): void;
  write(what: "pilot", value: PilotRecord | null): void;
  write(what: string, value: Submitted | PilotRecord | null): void {
    const text = value === null ? "" : `${JSON.stringify(value)}\n`;
    writeFileSync(join(this.directory, `${what}.json`), text, { mode: 0o600, flush: true });
  }

  #read<T extends { readonly version: number }>(name: string): T | null {
    const path = join(this.directory, name);
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    // What does not end in a newline is being written.
    if (!text.endsWith("\n")) return null;
    try {
      const value = JSON.parse(text) as T;
      if (value.version === 1) return value;
    } catch {
      // Told below.
    }
    throw new SheafError("STATE_CORRUPT", `${path} is not what sheaf slurm writes`, {
      hint: "Remove the file. squeue --me shows whether a job of it still runs; scancel ends it.",
    });
  }
}
