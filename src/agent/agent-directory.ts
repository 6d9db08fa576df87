import { randomUUID } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { bootId, lockFile } from "../storage/file-lock.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { ensurePrivateDirectory } from "../storage/private-directory.ts";
import { removeDirectory } from "../storage/remove-directory.ts";

/*
 * <state>/agent.lock         held while an agent uses the directory
 * <state>/agent.json         {"incarnation": n, "key": k}: the last life that was begun, and whose it was
 * <state>/blobs/<sha256>     bundles and side data, kept between jobs
 * <state>/jobs/<job>/        what the machine has of a job; of an earlier life nothing is of use
 * <state>/logs/<job>/        what its attempts printed
 */

const keyForm = /^[0-9a-f-]{36}$/;

/** A life as it is written down before it is used. */
export interface BegunLife {
  readonly incarnation: number;
  /** Of the life before it; 0: there was none. */
  readonly previous: number;
  /** Made with the first life in this directory. */
  readonly key: string;
}

/** An agent's own directory: one agent at a time. */
export class AgentDirectory {
  readonly path: string;
  readonly blobs: string;
  readonly logs: string;
  readonly #jobs: string;
  readonly #release: () => void;

  /**
   * Makes it when it is missing, with mode 0700.
   * @throws SheafError STATE_LOCKED when an agent uses it; OUTPUT_UNWRITABLE, DISK_FULL
   */
  constructor(path: string) {
    this.path = path;
    this.blobs = join(path, "blobs");
    this.logs = join(path, "logs");
    this.#jobs = join(path, "jobs");
    ensurePrivateDirectory(path, "OUTPUT_UNWRITABLE");
    this.#release = lockFile(join(path, "agent.lock"), `the agent's directory ${path}`);
    try {
      for (const part of [this.blobs, this.logs, this.#jobs])
        ensurePrivateDirectory(part, "OUTPUT_UNWRITABLE");
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** Which directory this is: another one than any copy of it, and than itself after the machine starts. */
  get place(): string {
    const { dev, ino } = statSync(this.path);
    return `${bootId() ?? hostname()}:${dev}:${ino}`;
  }

  /** Directory of a job; `name` is a job id that has been checked. */
  jobPath(job: string): string {
    return join(this.#jobs, job);
  }

  /** Removes what earlier lives have left of jobs. */
  async clearJobs(): Promise<void> {
    for (const name of await readdir(this.#jobs)) await this.removeJob(name);
  }

  /** Never throws: what cannot be removed is tried again at the next start. */
  async removeJob(job: string): Promise<void> {
    await removeDirectory(this.jobPath(job));
  }

  /**
   * Begins a life: a number higher than that of every earlier one and than `above`, on the disk before it is
   * used.
   * @param wallMs keeps the numbers growing even where the directory was lost
   */
  beginLife(wallMs: number, above: number): BegunLife {
    const path = join(this.path, "agent.json");
    const { incarnation: previous, key } = this.#lastLife(path);
    const incarnation = Math.max(Math.floor(wallMs), previous + 1, above + 1);
    const temporary = `${path}.tmp`;
    try {
      rmSync(temporary, { force: true });
      const file = openSync(temporary, "wx", 0o600);
      try {
        writeSync(file, `${JSON.stringify({ incarnation, key })}\n`);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(temporary, path);
    } catch (error) {
      throw asSheafError(error, { path, doing: "write" });
    }
    return { incarnation, previous, key };
  }

  /** Another agent may use it from now on. */
  release(): void {
    this.#release();
  }

  #lastLife(path: string): { incarnation: number; key: string } {
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return { incarnation: 0, key: randomUUID() };
      throw asSheafError(error, { path, doing: "read" });
    }
    const last = parseLife(text);
    if (last !== null) return last;
    throw new SheafError("STATE_CORRUPT", `${path} does not hold the number of the agent's last life`, {
      hint: "Remove the file: the next life is then numbered by the clock.",
      details: { path },
    });
  }
}

function parseLife(text: string): { incarnation: number; key: string } | null {
  try {
    const { incarnation, key = randomUUID() } = JSON.parse(text) as { incarnation?: unknown; key?: unknown };
    const isLife = Number.isSafeInteger(incarnation) && typeof key === "string" && keyForm.test(key);
    return isLife ? { incarnation: incarnation as number, key } : null;
  } catch {
    return null;
  }
}
