import { createHash } from "node:crypto";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";
import { GiB } from "../base/size.ts";
import { saveDownload } from "../client/download.ts";
import { ContentChecks } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { LifeWorld } from "./agent-options.ts";

/** What is kept between jobs at most; what was used last stays. */
const keptBytesMax = 4 * GiB;
const tries = 3;

/** Bundles and side data on this machine, by the SHA-256 of their content: each is fetched once. */
export class BlobStore {
  readonly #world: LifeWorld;
  readonly #directory: string;
  readonly #fetching = new Map<string, Promise<string>>();
  readonly #checks = new ContentChecks();

  constructor(world: LifeWorld, directory: string) {
    this.#world = world;
    this.#directory = directory;
  }

  /**
   * Path of the blob's file, fetched when it is not there or no longer has its content.
   * @param hash 64 hex digits
   * @throws SheafError NOT_FOUND; BLOCK_CORRUPT when it came damaged several times; DISK_FULL; the signal's
   * reason
   */
  async path(hash: string): Promise<string> {
    const path = join(this.#directory, hash);
    if (!this.#fetching.has(hash) && (await this.#isHere(hash, path))) return path;
    let fetching = this.#fetching.get(hash);
    if (fetching === undefined) {
      fetching = this.#fetch(hash, path).finally(() => this.#fetching.delete(hash));
      this.#fetching.set(hash, fetching);
    }
    return fetching;
  }

  /** Removes what was not used for longest, until the rest is small enough. Never throws. */
  async prune(bytesMax: number = keptBytesMax): Promise<void> {
    const files: { path: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name);
      const status = await stat(path).catch(() => null);
      if (status !== null) files.push({ path, bytes: status.size, usedMs: status.mtimeMs });
    }
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.toSorted((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= bytesMax) return;
      await rm(file.path, { force: true }).catch(() => undefined);
      bytes -= file.bytes;
    }
  }

  /** One whose content is no longer what its name says goes: it is fetched again. */
  async #isHere(hash: string, path: string): Promise<boolean> {
    try {
      if (!this.#checks.used(path, this.#world.clock.wallMs())) return false;
      if (await this.#checks.isSound(path, hash)) return true;
    } catch {
      // It cannot be read: as if it were damaged.
    }
    this.#world.log("warn", `blob ${hash} is damaged on this disk and is fetched again`);
    await rm(path, { recursive: true, force: true });
    return false;
  }

  async #fetch(hash: string, path: string): Promise<string> {
    const { signal, random } = this.#world;
    const temporary = `${path}.part`;
    for (let wrong = 0, cut = 0; ;) {
      try {
        const found = await this.#download(hash, temporary);
        if (found === hash) {
          await rename(temporary, path);
          this.#checks.made(path);
          return path;
        }
        wrong++;
        if (wrong >= tries) throw damaged(hash, found);
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => undefined);
        signal.throwIfAborted();
        if (!isSheafError(error)) throw asSheafError(error, { path: temporary, doing: "write" });
        if (!error.retryable || error.code !== "UNREACHABLE") throw error;
        // Cut in the middle: the coordinator will be back, or the signal aborts.
        cut++;
        await pauseFor(pauseMs(cut, random), signal);
      }
    }
  }

  async #download(hash: string, path: string): Promise<string> {
    const { api, signal } = this.#world;
    const digest = createHash("sha256");
    const download = await api.blob(hash, { signal });
    await saveDownload(download, path, { signal, each: (chunk) => digest.update(chunk) });
    return digest.digest("hex");
  }
}

function damaged(hash: string, found: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", `blob ${hash} came with other content (${found}) ${tries} times`, {
    hint: "Something on the way changes what is sent, or the coordinator's disk is damaged.",
  });
}
