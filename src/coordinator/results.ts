import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import { openedForWriting } from "../storage/stream-file.ts";
import { makeLasting, tap } from "./blobs.ts";

const attemptName = /^(sample|map|reduce)-\d{5,7}\.\d{1,6}$/;
const fileName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,120}$/;

/**
 * Result files that attempts of one job have handed in: `results/<attempt>/<name>` of its job directory. A
 * file has its name only when it is whole, checked and on disk.
 */
export class ResultFiles {
  readonly #directory: string;

  constructor(jobDirectory: string) {
    this.#directory = join(jobDirectory, "results");
  }

  /**
   * @throws SheafError USAGE for a name that is none, or content that is not what was announced; DISK_FULL
   */
  async put(
    attempt: string,
    name: string,
    expected: { readonly crc32c: number; readonly bytes: number },
    content: Readable,
  ): Promise<void> {
    const target = this.path(attempt, name);
    const directory = dirname(target);
    const incoming = join(directory, `.incoming-${randomBytes(8).toString("hex")}`);
    let bytes = 0;
    let sum = 0;
    const look = (chunk: Buffer): void => {
      bytes += chunk.length;
      sum = crc32c(chunk, sum);
      if (bytes > expected.bytes) throw notAsTold(name, `more than ${expected.bytes} bytes came`);
    };
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      await pipeline(content, tap(look), openedForWriting(incoming));
      if (bytes !== expected.bytes) throw notAsTold(name, `${bytes} of ${expected.bytes} bytes came`);
      if (sum !== expected.crc32c) throw notAsTold(name, "its CRC-32C is another");
      await makeLasting(incoming, target, directory);
    } catch (error) {
      throw asSheafError(error, { path: target, doing: "write" });
    } finally {
      await rm(incoming, { force: true });
    }
  }

  /** @throws SheafError USAGE for names that would lead elsewhere */
  path(attempt: string, name: string): string {
    if (!attemptName.test(attempt) || !fileName.test(name)) {
      throw new SheafError("USAGE", `"${attempt.slice(0, 80)}/${name.slice(0, 150)}" names no result file`, {
        hint: 'Give the attempt as "reduce-00003.1" and a plain file name.',
      });
    }
    return join(this.#directory, attempt, name);
  }

  /** Gives these files, of another job's results, a second name here. False when they are not all there. */
  link(from: ResultFiles, files: readonly { readonly path: string; readonly bytes: number }[]): boolean {
    try {
      for (const { path, bytes } of files) {
        const [attempt = "", name = ""] = path.split("/");
        if (from.bytesOf(attempt, name) !== bytes) return false;
        mkdirSync(join(this.#directory, attempt), { recursive: true, mode: 0o700 });
        linkOrCopy(from.path(attempt, name), this.path(attempt, name));
        // What is there already may be a copy that a kill has cut short.
        if (this.bytesOf(attempt, name) !== bytes) return false;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** null when it was not handed in. */
  bytesOf(attempt: string, name: string): number | null {
    return statSync(this.path(attempt, name), { throwIfNoEntry: false })?.size ?? null;
  }

  /** Never throws. */
  remove(attempt: string): void {
    if (attemptName.test(attempt)) this.#remove(join(this.#directory, attempt));
  }

  /** Removes what attempts have handed in that are not in `attempts`. Never throws. */
  keepOnly(attempts: ReadonlySet<string>): void {
    try {
      for (const name of readdirSync(this.#directory))
        if (!attempts.has(name)) this.#remove(join(this.#directory, name));
    } catch {
      // There are none.
    }
    if (attempts.size === 0) this.#remove(this.#directory);
  }

  #remove(path: string): void {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // Goes with the job directory.
    }
  }
}

function notAsTold(name: string, what: string): SheafError {
  return new SheafError("USAGE", `the result file ${name} is not what was announced: ${what}`, {
    hint: "Send it again.",
    retryable: true,
  });
}
