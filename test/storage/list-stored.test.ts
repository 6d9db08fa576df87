import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { listInput } from "#src/storage/list-input.js";
import { addStore } from "#src/storage/stores.js";
import { directory } from "../format/support.ts";
import { MemoryStore } from "./memory-store.ts";

const names = [
  "logs/2024/a.log",
  "logs/2024/b.log.gz",
  "logs/2024/_SUCCESS",
  "logs/2024/_tmp/x.log",
  "logs/2025/a.log",
  "logs/2025/.hidden",
  "logs/é.log",
  "logs/😀.log",
  "logs/\uffee.log",
  "logs/a b+c%20#1?.log",
  "logs/[ab].log",
  "logs/a.log",
  "logs/empty",
  "dup",
  "dup.d/x",
  "secret/.a",
  "secret/deep/_b",
  "done/_SUCCESS",
];

/** What is asked for, below the root of either. */
const asked = [
  ["logs"],
  ["logs/"],
  ["logs/2024"],
  ["logs/*"],
  ["logs/*.log"],
  ["logs/**/*.log"],
  ["logs/**"],
  ["**/a.log"],
  ["logs/20{24,25}/a.log"],
  ["logs/2024/{a.log,nothing}"],
  ["logs/{2024,2026}/*"],
  ["logs/[ab].log"],
  ["logs/[[]ab].log"],
  ["logs/a b+c%20#1?.log"],
  ["logs/?.log"],
  ["logs/2024/_*"],
  ["logs/2024/_tmp/*"],
  ["logs/*/a.log", "logs", "logs/2024/a.log"],
  ["d*"],
  ["secret"],
  ["secret/*"],
  ["done"],
  ["nothing"],
  ["logs/2024/a.lgo"],
  ["nothing/*"],
  ["logs/x*"],
];

const stores = { mem: new MemoryStore(), flat: new MemoryStore({ flat: true }) };
for (const [scheme, store] of Object.entries(stores)) {
  addStore(scheme, () => Promise.resolve({ createStore: () => store }));
  for (const name of names) store.set(`${scheme}://bucket/${name}`, name);
}

for (const scheme of ["mem", "flat"]) {
  test(`addresses of ${scheme}:// mean what the same paths mean on this machine`, async (t) => {
    const cwd = directory(t);
    for (const name of names) {
      mkdirSync(join(cwd, name, ".."), { recursive: true });
      writeFileSync(join(cwd, name), name);
    }
    const root = `${scheme}://bucket/`;
    for (const paths of asked) {
      const local = await told(
        paths.map((path) => join(cwd, path.replace(/\/$/, ""))),
        `${cwd}/`,
      );
      const stored = await told(
        paths.map((path) => root + path),
        root,
      );
      assert.deepEqual(stored, local, paths.join(" "));
    }
  });
}

/** Files with the places that they lie at, or the code and message of the error, without the root. */
async function told(paths: readonly string[], root: string): Promise<unknown> {
  try {
    const files = await listInput(paths);
    return files.map(({ path, place, bytes }) => [path.replace(root, ""), place, bytes]);
  } catch (error) {
    if (!isSheafError(error)) throw error;
    const hint = error.code === "INPUT_MISSING" && error.hint?.startsWith("Did") === true ? error.hint : "";
    return [error.code, error.message.replaceAll(root, ""), hint.replaceAll(root, "")];
  }
}

test("what is listed has the version that reads are bound to", async () => {
  const [file] = await listInput(["mem://bucket/dup"]);
  assert.equal(file!.name, "mem://bucket/dup");
  assert.equal(file!.exact, true);
  assert.match(file!.version!, /^[0-9a-f]{32}$/);
});
