import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { RangeReader, Store, StoredFile, StoreModule } from "../storage/store.ts";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";

/** A storage as its checks see it, and how they reach its files by other means. */
export interface StoreSubject {
  /** Of its addresses, without "://". */
  readonly scheme: string;
  readonly module: StoreModule;
  /**
   * The address of a name; of "" that of the directory that is the checks' own, ending in "/".
   * @param port as in `env`
   */
  address(name: string, port: number | null): string;
  /** Writes a file by other means than the store; one that is there gets another version by that. */
  put(name: string, content: Buffer): Promise<void>;
  /** Removes a file by other means than the store. */
  remove(name: string): Promise<void>;
  /** Of its server on 127.0.0.1. Default null: faults between it and the store are not tried. */
  readonly port?: number | null;
  /** Whether the server speaks HTTP. Default true; else connections are cut, and nothing more. */
  readonly http?: boolean;
  /**
   * What the store finds in its environment, beside this process's, to reach the server at a port: its own,
   * or that of a proxy before it. Default: nothing.
   */
  env?(port: number | null): Readonly<Record<string, string>>;
  /** Whether the storage can have a file of that name. Default: it can. */
  allows?(name: string): boolean;
  /** False: that a file is not the version any more shows only when `verify` is called. Default true. */
  readonly bound?: boolean;
  /** What lies there that no listing tells of: uploads that were begun, temporary names. Default: nothing. */
  hidden?(): Promise<readonly string[]>;
  /** Called when all checks are over. */
  close?(): Promise<void>;
}

/** What the checks of one storage work with. */
export class StoreBench {
  readonly subject: StoreSubject;
  readonly store: Store;
  readonly port: number | null;
  readonly directory = mkdtempSync(join(tmpdir(), "sheaf-store-checks-"));
  readonly #later: (() => Promise<void>)[] = [];

  constructor(subject: StoreSubject) {
    this.subject = subject;
    this.port = subject.port ?? null;
    this.store = this.through(this.port);
  }

  env(port: number | null): Readonly<Record<string, string>> {
    return this.subject.env?.(port) ?? {};
  }

  /** A store made anew, which finds the server at the port. */
  through(port: number | null): Store {
    const { scheme, module } = this.subject;
    const world = { clock: systemClock, random: () => 0.5 };
    const env = { ...process.env, ...this.env(port) };
    return module.createStore(scheme, { env, fetch: null, world });
  }

  at(name: string, port = this.port): string {
    return this.subject.address(name, port);
  }

  async put(name: string, bytes: Buffer): Promise<StoredFile> {
    await this.subject.put(name, bytes);
    return statOf(this.store, this.at(name));
  }

  async nothingLeft(): Promise<void> {
    if (this.subject.hidden !== undefined) assert.deepEqual(await this.subject.hidden(), []);
  }

  /** Before its server, until the check is over; null when it speaks no HTTP, or there is none. */
  async proxy(): Promise<FaultProxy | null> {
    if (this.port === null || this.subject.http === false) return null;
    const proxy = await startFaultProxy(this.port);
    this.later(() => proxy.close());
    return proxy;
  }

  /** Done when the check is over. */
  later(work: () => Promise<void>): void {
    this.#later.push(work);
  }

  async over(): Promise<void> {
    for (const work of this.#later.splice(0).toReversed()) await work();
  }

  async close(): Promise<void> {
    rmSync(this.directory, { recursive: true, force: true });
    await this.subject.close?.();
  }
}

/** Checks by their titles. What one returns says why it was left out. */
export type Checks = Readonly<Record<string, (bench: StoreBench) => Promise<string | void>>>;

export const noHttp = "no server that speaks HTTP";

export async function statOf(store: Store, address: string): Promise<StoredFile> {
  const found = await store.stat(address);
  assert.ok(found !== null && found !== "directory", `${address}: ${String(found)}`);
  return found;
}

export function openOf(store: Store, { address, bytes, mtimeMs, version }: StoredFile): Promise<RangeReader> {
  assert.ok(bytes !== null && version !== null);
  return store.open({ address, name: address, bytes, mtimeMs, version, from: 0, to: bytes });
}

export async function readAll(store: Store, file: StoredFile, chunkBytes = 1_000_000): Promise<Buffer> {
  const range = await openOf(store, file);
  try {
    const bytes = Buffer.alloc(file.bytes!);
    for (let from = 0; from < bytes.length; from += chunkBytes)
      await range.read(bytes.subarray(from, from + chunkBytes), from);
    await range.verify();
    return bytes;
  } finally {
    await range.close();
  }
}
