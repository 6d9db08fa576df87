import { realpathSync } from "node:fs";
import { sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { MapOutput } from "../task/task-spec.ts";

/** Attempts are numbered below this. */
const ATTEMPTS_MAX = 2 ** 20;

/**
 * The map outputs of one job that lie on this machine. Nothing else of the disk is ever served: what is here
 * is real paths, below the job's own directory.
 */
export class JobOutputs {
  readonly #directory: string;
  /** By task and attempt. */
  readonly #paths = new Map<number, string>();

  /** @throws SheafError when the directory is not there */
  constructor(directory: string) {
    this.#directory = realOf(directory);
  }

  /**
   * A map that emitted nothing leaves nothing to serve.
   * @throws SheafError FORBIDDEN for a file outside the job's directory, links followed
   */
  add({ task, attempt, path }: MapOutput): void {
    if (path === null) return;
    const real = realOf(path);
    if (!real.startsWith(this.#directory + sep)) {
      throw new SheafError("FORBIDDEN", `the map output ${path} is not inside ${this.#directory}`, {
        hint: "Map outputs are served from the directory of their job only.",
      });
    }
    this.#paths.set(keyOf(task, attempt), real);
  }

  drop(task: number, attempt: number): void {
    this.#paths.delete(keyOf(task, attempt));
  }

  /** Real path of the run file; null: it is not here. */
  find(task: number, attempt: number): string | null {
    return this.#paths.get(keyOf(task, attempt)) ?? null;
  }

  get size(): number {
    return this.#paths.size;
  }
}

const keyOf = (task: number, attempt: number): number => task * ATTEMPTS_MAX + attempt;

function realOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    throw asSheafError(error, { path, doing: "open" });
  }
}
