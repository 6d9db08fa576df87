import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkOutput, commitDirectory, jobSibling, putAsideBack } from "#src/storage/atomic-output.js";
import { openRange } from "#src/storage/read-range.js";
import { removeDirectory } from "#src/storage/remove-directory.js";
import type { Store, StoreOutput } from "#src/storage/store.js";
import type { StoreSubject } from "#src/testing/store-bench.js";
import { conformance } from "./conformance.ts";
import { MemoryStore } from "./memory-store.ts";

/*
 * The suite against what needs no server: files of this machine, as they are read and committed everywhere,
 * behind the interface of a store, on two file systems; and the store of tests, whose every word is known.
 */

const pathOf = (address: string): string => address.replace(/^local:\/\//, "").replace(/\/$/, "");

const localStore: Store = {
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
  output: (address, job) => localOutput(pathOf(address), job),
};

/** As a job commits that several machines have a hand in. */
function localOutput(out: string, job: string): StoreOutput {
  const root = jobSibling(out, job);
  const [staging, aside] = [join(root, "out"), join(root, "replaced")];
  return {
    check: ({ overwrite = false, keep = [] }) => checkOutput(out, { overwrite, keep: keep.map(pathOf) }),
    async put(source, name) {
      const path = join(staging, name);
      await mkdir(dirname(path), { recursive: true });
      await (typeof source === "string" ? copyFile(source, path) : writeFile(path, source));
      return { name, bytes: (await stat(path)).size, token: "" };
    },
    async commit(files, { overwrite = false, step }) {
      const whole = files.map(({ name }) => name);
      if (existsSync(staging)) await commitDirectory(staging, out, { overwrite, step, aside, whole });
      await removeDirectory(root);
    },
    async abort() {
      await putAsideBack(aside, out);
      await removeDirectory(root);
    },
  };
}

function localFiles(directory: string): StoreSubject {
  const root = mkdtempSync(join(directory, "sheaf-local-"));
  return {
    scheme: "local",
    module: { createStore: () => localStore },
    bound: false,
    address: (name) => `local://${root}/${name}`,
    put: (name, content) => {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), content);
      return Promise.resolve();
    },
    remove: (name) => Promise.resolve(rmSync(join(root, name))),
    hidden: async () => (await readdir(join(root, "out"))).filter((name) => name.startsWith(".")),
    close: () => Promise.resolve(rmSync(root, { recursive: true })),
  };
}

/** A directory of another file system than temporary ones: of $SHEAF_TEST_MOUNT, else what there is. */
function mounted(): string | null {
  const given = process.env["SHEAF_TEST_MOUNT"];
  if (given !== undefined) return given;
  const own = statSync(tmpdir()).dev;
  const isOther = (path: string): boolean => {
    try {
      accessSync(path, constants.W_OK);
      return statSync(path).dev !== own;
    } catch {
      return false;
    }
  };
  return ["/dev/shm", "/tmp", "/var/tmp", homedir()].find(isOther) ?? null;
}

function memory(flat: boolean): StoreSubject {
  const store = new MemoryStore({ flat });
  const scheme = flat ? "memflat" : "mem";
  return {
    scheme,
    module: { createStore: () => store },
    address: (name) => `${scheme}://bucket/${name}`,
    put: (name, content) => Promise.resolve(store.set(`${scheme}://bucket/${name}`, content)),
    remove: (name) => store.remove(`${scheme}://bucket/${name}`),
    hidden: () => Promise.resolve([...store.pending.keys()]),
  };
}

const mount = mounted();
conformance("local files", () => Promise.resolve(localFiles(tmpdir())));
conformance(
  "files of a mount",
  () => Promise.resolve(localFiles(mount!)),
  mount === null ? "one file system only" : null,
);
conformance("memory", () => Promise.resolve(memory(false)));
conformance("memory, all at once", () => Promise.resolve(memory(true)));
