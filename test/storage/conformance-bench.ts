import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { systemClock } from "#src/base/clock.js";
import type { RangeReader, Store, StoredFile, StoreModule } from "#src/storage/store.js";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";

/** A storage whose server runs, as the suite sees it. */
export interface Subject {
  readonly scheme: string;
  readonly module: StoreModule;
  /** The port of its server on 127.0.0.1; null: there is none, and no faults are tried. */
  readonly port: number | null;
  /** Whether the server speaks HTTP. Default true; else connections are cut, nothing more. */
  readonly http?: boolean;
  /** What the store finds in its environment to reach the server at a port: its own, or that of a proxy. */
  env(port: number | null): Readonly<Record<string, string>>;
  /** The address of a name ("" is their directory, with "/" at its end), when the server has this port. */
  address(name: string, port: number | null): string;
  /** Writes a file by other means than the store. */
  put(name: string, content: Buffer): Promise<void>;
  remove(name: string): Promise<void>;
  /** Whether it may have a file of the name. Default: all. */
  allows?(name: string): boolean;
  /** false: what is not the version any more shows only when `verify` is called, as of local files. */
  readonly bound?: boolean;
  /** What lies on the server that no listing tells of: uploads that were begun, temporary names. */
  hidden?(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** What the tests of one storage work with. */
export class Bench {
  readonly subject: Subject;
  readonly store: Store;
  readonly directory = mkdtempSync(join(tmpdir(), "sheaf-conformance-"));

  private constructor(subject: Subject) {
    this.subject = subject;
    this.store = this.through(subject.port);
  }

  static open(subject: Subject): Promise<Bench> {
    return Promise.resolve(new Bench(subject));
  }

  /** A store made anew, which finds the server at the port. */
  through(port: number | null): Store {
    const { scheme, module, env } = this.subject;
    const world = { clock: systemClock, random: () => 0.5 };
    return module.createStore(scheme, { env: { ...process.env, ...env(port) }, fetch: null, world });
  }

  at(name: string, port = this.subject.port): string {
    return this.subject.address(name, port);
  }

  async put(name: string, bytes: Buffer): Promise<StoredFile> {
    await this.subject.put(name, bytes);
    return statOf(this.store, this.at(name));
  }

  async nothingLeft(): Promise<void> {
    if (this.subject.hidden !== undefined) assert.deepEqual(await this.subject.hidden(), []);
  }

  async close(): Promise<void> {
    await this.subject.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type Tests = Record<string, (bench: Bench, t: TestContext) => Promise<void>>;

/** null: its server speaks no HTTP, and the test is skipped. */
export async function httpProxy({ subject }: Bench, t: TestContext): Promise<FaultProxy | null> {
  const { port, http = true } = subject;
  if (port === null || !http) {
    t.skip("it speaks no HTTP");
    return null;
  }
  const proxy = await startFaultProxy(port);
  t.after(() => proxy.close());
  return proxy;
}

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
