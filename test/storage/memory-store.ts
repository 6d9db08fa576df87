import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { systemClock } from "#src/base/clock.js";
import { SheafError } from "#src/base/errors.js";
import { RangedReads } from "#src/storage/ranged-reads.js";
import type {
  FileToRead,
  PutFile,
  Store,
  StoredFile,
  StoreEntry,
  StoreOutput,
  StoreOutputOptions,
} from "#src/storage/store.js";
import { checkFree } from "#src/storage/stored-output.js";

/** What a memory store does beside being one. */
export interface MemoryOptions {
  /** Whether it tells of all files below a directory at once, as object stores do. */
  readonly flat?: boolean;
  /** Called before each request: "read", "list", "stat", "put" ... */
  readonly request?: (what: string, address: string) => void | Promise<void>;
}

/**
 * Files by address, as an object store has them: a directory is what names have in common. What was put for
 * an output is under "pending" until it is committed.
 */
export class MemoryStore implements Store {
  readonly files = new Map<string, Buffer>();
  readonly pending = new Map<string, Buffer>();
  readonly walk?: (directory: string) => AsyncIterable<StoredFile>;
  readonly #options: MemoryOptions;

  constructor(options: MemoryOptions = {}) {
    this.#options = options;
    if (options.flat === true) this.walk = (directory) => this.#walk(directory);
  }

  set(address: string, content: string | Uint8Array): void {
    this.files.set(address, Buffer.from(content));
  }

  async *entries(directory: string): AsyncIterable<StoreEntry> {
    await this.#options.request?.("list", directory);
    const directories = new Set<string>();
    for (const address of this.files.keys()) {
      if (!address.startsWith(directory)) continue;
      const [name, ...rest] = address.slice(directory.length).split("/") as [string, ...string[]];
      if (rest.length === 0) yield { name, kind: "file", file: this.#file(address)! };
      else if (!directories.has(name)) {
        directories.add(name);
        yield { name, kind: "directory" };
      }
    }
  }

  async *#walk(directory: string): AsyncIterable<StoredFile> {
    await this.#options.request?.("list", directory);
    for (const address of this.files.keys()) if (address.startsWith(directory)) yield this.#file(address)!;
  }

  async stat(address: string): Promise<StoredFile | "directory" | null> {
    await this.#options.request?.("stat", address);
    const file = this.#file(address);
    if (file !== null) return file;
    const below = address.endsWith("/") ? address : `${address}/`;
    return [...this.files.keys()].some((one) => one.startsWith(below)) ? "directory" : null;
  }

  #file(address: string): StoredFile | null {
    const content = this.files.get(address);
    if (content === undefined) return null;
    const version = createHash("md5").update(content).digest("hex");
    return { address, bytes: content.length, mtimeMs: 0, version, exact: true };
  }

  open(file: FileToRead): Promise<RangedReads> {
    const { address, name, version } = file;
    const stream = (start: number, end: number) => this.#bytes(address, name, version, start, end);
    return Promise.resolve(new RangedReads(file, stream, { clock: systemClock, random: () => 0.5 }));
  }

  async *#bytes(address: string, name: string, version: string, start: number, end: number) {
    await this.#options.request?.("read", address);
    const now = this.#file(address);
    if (now?.version !== version) {
      throw new SheafError("INPUT_CHANGED", `input ${name} changed while the job ran`, {
        hint: "Run again.",
      });
    }
    yield this.files.get(address)!.subarray(start, end);
  }

  remove(address: string): Promise<void> {
    this.files.delete(address);
    return Promise.resolve();
  }

  output(address: string, job: string): StoreOutput {
    const { files, pending } = this;
    const request = async (what: string): Promise<void> => this.#options.request?.(what, address);
    const prefix = `${job} ${address}`;
    const clear = (): void => {
      for (const key of pending.keys()) if (key.startsWith(prefix)) pending.delete(key);
    };
    return {
      check: async (options: StoreOutputOptions) => {
        await request("check");
        await checkFree(this, address, options);
      },
      put: async (source: string | Uint8Array, name: string): Promise<PutFile> => {
        await request("put");
        const content = Buffer.from(typeof source === "string" ? await readFile(source) : source);
        pending.set(prefix + name, content);
        return { name, bytes: content.length, token: prefix + name };
      },
      stage: async (source: string): Promise<string> => {
        await request("stage");
        const token = `${prefix}\0${randomUUID()}`;
        pending.set(token, await readFile(source));
        return token;
      },
      place: async (token: string, name: string): Promise<PutFile> => {
        await request("place");
        const content = pending.get(token);
        if (content === undefined)
          throw new SheafError("OUTPUT_UNWRITABLE", `${token} was not staged`, { hint: "" });
        pending.set(prefix + name, content);
        return { name, bytes: content.length, token: prefix + name };
      },
      note: async (name: string, text: string) => {
        await request("note");
        pending.set(`${prefix}\0note ${name}`, Buffer.from(text));
      },
      noted: async (name: string) => {
        await request("noted");
        return pending.get(`${prefix}\0note ${name}`)?.toString() ?? null;
      },
      commit: async (put: readonly PutFile[], options: StoreOutputOptions) => {
        await request("commit");
        if (put.every(({ name, token }) => !pending.has(token) && files.has(address + name))) return;
        await checkFree(this, address, options);
        for (const key of files.keys()) if (key.startsWith(address)) files.delete(key);
        for (const { name, token } of put) files.set(address + name, pending.get(token)!);
        clear();
      },
      abort: () => {
        clear();
        return Promise.resolve();
      },
    };
  }
}
