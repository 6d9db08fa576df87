import { createHash } from "node:crypto";
import { createReadStream, statSync, utimesSync } from "node:fs";

/** The SHA-256 of a file's content, in hex. @throws what reading it throws */
async function sha256OfFile(path: string): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) digest.update(chunk);
  return digest.digest("hex");
}

/**
 * Whether files that are kept under the SHA-256 of their content still have that content. Each is read once
 * by this process, and again when its inode has changed.
 */
export class ContentChecks {
  /** By path: the inode as it was when the content was right. */
  readonly #sound = new Map<string, string>();

  /** False: there is no such file. Sets its times, by which the stores know what was used last. */
  used(path: string, wallMs: number): boolean {
    const before = inodeOf(path);
    if (before === null) return false;
    utimesSync(path, wallMs / 1000, wallMs / 1000);
    if (this.#sound.get(path) === before) this.made(path);
    return true;
  }

  /** The file has just been written, and its content was right. */
  made(path: string): void {
    const inode = inodeOf(path);
    if (inode !== null) this.#sound.set(path, inode);
  }

  /** @throws what reading the file throws */
  async isSound(path: string, sha256: string): Promise<boolean> {
    const inode = inodeOf(path);
    if (inode === null) return false;
    if (this.#sound.get(path) === inode) return true;
    this.#sound.delete(path);
    if ((await sha256OfFile(path)) !== sha256) return false;
    this.#sound.set(path, inode);
    return true;
  }
}

function inodeOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true });
  return found === undefined ? null : `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
}
