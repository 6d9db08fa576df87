import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SheafError } from "../base/errors.ts";
import { syncPath } from "../storage/atomic-output.ts";
import { ContentChecks } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { openedForWriting } from "../storage/stream-file.ts";
import type { ServedFile } from "./service.ts";

const temporary = "incoming-";

/** Bundles, source maps and side data by the SHA-256 of their content: `<state>/blobs/<hash>`. */
export class Blobs {
  readonly #directory: string;
  readonly #checks = new ContentChecks();

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, "blobs");
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#directory))
      if (name.startsWith(temporary)) rmSync(join(this.#directory, name), { force: true });
  }

  path(hash: string): string {
    if (!/^[0-9a-f]{64}$/.test(hash)) throw missing(hash);
    return join(this.#directory, hash);
  }

  /** Having been asked for it keeps a blob from being taken for unused for a while. */
  has(hash: string, nowMs: number): boolean {
    return this.#checks.used(this.path(hash), nowMs);
  }

  /** As `has`, and it has the content it is named after. One that has not goes: it can be sent again. */
  async isSound(hash: string, nowMs: number): Promise<boolean> {
    if (!this.has(hash, nowMs)) return false;
    const path = this.path(hash);
    if (await this.#checks.isSound(path, hash)) return true;
    await rm(path, { force: true });
    return false;
  }

  /** @throws SheafError NOT_FOUND; BLOCK_CORRUPT when its content was damaged on disk */
  async find(hash: string): Promise<ServedFile> {
    const path = this.path(hash);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) throw missing(hash);
    if (await this.#checks.isSound(path, hash)) return { path, bytes: found.size };
    await rm(path, { force: true });
    throw new SheafError("BLOCK_CORRUPT", `blob ${hash} was damaged on the coordinator's disk`, {
      hint: "It is removed: run or submit the job again, which sends it anew.",
    });
  }

  /**
   * Resolves when the content is on disk under its name.
   * @throws SheafError USAGE when it has another hash, DISK_FULL
   */
  async put(hash: string, content: Readable): Promise<void> {
    const target = this.path(hash);
    const incoming = join(this.#directory, `${temporary}${randomBytes(8).toString("hex")}`);
    const digest = createHash("sha256");
    try {
      await pipeline(
        content,
        tap((chunk) => digest.update(chunk)),
        openedForWriting(incoming),
      );
      const found = digest.digest("hex");
      if (found !== hash) {
        throw new SheafError("USAGE", `the content's SHA-256 is ${found}, it was sent as ${hash}`, {
          hint: "It was cut or changed on its way: send it again.",
          retryable: true,
        });
      }
      await makeLasting(incoming, target, this.#directory);
      this.#checks.made(target);
    } catch (error) {
      throw asSheafError(error, { path: target, doing: "write" });
    } finally {
      await rm(incoming, { force: true });
    }
  }

  /** Removes those that are not in `used` and have not been asked for since `beforeMs`. Never throws. */
  prune(used: ReadonlySet<string>, beforeMs: number): void {
    try {
      for (const name of readdirSync(this.#directory)) {
        const path = join(this.#directory, name);
        if (used.has(name) || name.startsWith(temporary)) continue;
        const found = statSync(path, { throwIfNoEntry: false });
        if (found !== undefined && found.mtimeMs < beforeMs) rmSync(path, { force: true });
      }
    } catch {
      // The next time.
    }
  }
}

/** Passes bytes on and shows them; what `look` throws ends the stream. */
export function tap(look: (chunk: Buffer) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        look(chunk);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

/** Gives a file its final name; it and its name are on disk when this resolves. */
export async function makeLasting(from: string, to: string, directory: string): Promise<void> {
  await syncPath(from);
  await rename(from, to);
  await syncPath(directory);
}

function missing(hash: string): SheafError {
  return new SheafError("NOT_FOUND", `no blob ${hash.slice(0, 100)}`, {
    hint: "Upload it first: PUT /blobs/{sha256}.",
  });
}
