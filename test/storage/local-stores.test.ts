import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openRange } from "#src/storage/read-range.js";
import type { Store } from "#src/storage/store.js";
import type { Subject } from "./conformance-bench.ts";
import { conformance } from "./conformance.ts";
import { MemoryStore } from "./memory-store.ts";

/*
 * The suite against what needs no server: files of this machine, as they are read everywhere, behind the
 * interface of a store; and the store of tests, whose every word is known.
 */

function localFiles(): Subject {
  const root = mkdtempSync(join(tmpdir(), "sheaf-local-"));
  const pathOf = (address: string): string => address.replace(/^local:\/\//, "").replace(/\/$/, "");
  const store: Store = {
    async *entries(address) {
      for (const entry of await readdir(pathOf(address), { withFileTypes: true }).catch(() => []))
        yield { name: entry.name, kind: entry.isDirectory() ? "directory" : "file" };
    },
    async stat(address) {
      const found = await stat(pathOf(address)).catch(() => null);
      if (found === null || found.isDirectory()) return found && "directory";
      return { address, bytes: found.size, mtimeMs: found.mtimeMs, version: "local" };
    },
    open: ({ address, name, bytes, mtimeMs }) =>
      openRange({ path: pathOf(address), name, fileBytes: bytes, mtimeMs }),
  };
  return {
    scheme: "local",
    module: { createStore: () => store },
    port: null,
    bound: false,
    env: () => ({}),
    address: (name) => `local://${root}/${name}`,
    put: (name, content) => {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), content);
      return Promise.resolve();
    },
    remove: (name) => Promise.resolve(rmSync(join(root, name))),
    close: () => Promise.resolve(rmSync(root, { recursive: true })),
  };
}

function memory(flat: boolean): Subject {
  const store = new MemoryStore({ flat });
  const scheme = flat ? "memflat" : "mem";
  return {
    scheme,
    module: { createStore: () => store },
    port: null,
    env: () => ({}),
    address: (name) => `${scheme}://bucket/${name}`,
    put: (name, content) => Promise.resolve(store.set(`${scheme}://bucket/${name}`, content)),
    remove: (name) => store.remove(`${scheme}://bucket/${name}`),
    hidden: () => Promise.resolve([...store.pending.keys()]),
    close: () => Promise.resolve(),
  };
}

conformance("local files", () => Promise.resolve(localFiles()));
conformance("memory", () => Promise.resolve(memory(false)));
conformance("memory, all at once", () => Promise.resolve(memory(true)));
