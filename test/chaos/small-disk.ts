import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync } from "node:fs";

const roomBytes = 512 * 1024 * 1024;

/** A disk of its own under a directory, which can be made full and empty again; root may make one. */
export class SmallDisk {
  readonly #path: string;
  #isFull = false;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @returns why there cannot be one, where that is so */
  static mount(path: string): SmallDisk | string {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    try {
      mount("-t", "tmpfs", "-o", `size=${roomBytes},mode=700`, "tmpfs", path);
      return new SmallDisk(path);
    } catch (error) {
      return `no file system can be mounted here (${(error as Error).message.split("\n")[0]})`;
    }
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** Hardly a byte more than what is there fits from now on. False: it could not be had. */
  fill(): boolean {
    // It is refused when more has been written since the look.
    for (let more = 0; more < 8 && !this.#isFull; more++) {
      const { blocks, bfree, bsize } = statfsSync(this.#path);
      try {
        mount("-o", `remount,size=${(blocks - bfree + more) * bsize}`, this.#path);
        this.#isFull = true;
      } catch {
        // Once more.
      }
    }
    return this.#isFull;
  }

  free(): void {
    if (this.#isFull) mount("-o", `remount,size=${roomBytes}`, this.#path);
    this.#isFull = false;
  }

  unmount(): void {
    execFileSync("umount", ["-l", this.#path], { stdio: "ignore" });
  }
}

function mount(...args: readonly string[]): void {
  execFileSync("mount", args, { stdio: ["ignore", "ignore", "pipe"] });
}
