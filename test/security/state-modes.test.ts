import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AgentDirectory } from "#src/agent/agent-directory.js";
import { openDatabase } from "#src/coordinator/database.js";
import { startCoordinator } from "#src/rest/start-coordinator.js";
import { directory } from "../format/support.ts";
import { Bench, inputText, wordCount } from "../runner/support.ts";

const modes = process.platform === "win32" ? { skip: "access lists decide there" } : {};

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

function made(path: string, mode: number): string {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
  return path;
}

test(
  "X32: a coordinator closes a state directory that others can read, and the files in it",
  modes,
  async (t) => {
    const state = made(join(directory(t), "state"), 0o755);
    for (const umask of [0o022, 0]) {
      const before = process.umask(umask);
      try {
        const started = await startCoordinator({
          stateDirectory: state,
          port: 0,
          version: "1.0.0",
          logTo: { write: () => true } as unknown as NodeJS.WriteStream,
        });
        try {
          assert.equal(modeOf(state), "700");
          const files = readdirSync(state).filter((name) => statSync(join(state, name)).isFile());
          assert.ok(files.includes("coordinator.db"), files.join());
          assert.ok(files.includes("coordinator.db-wal"), files.join());
          for (const name of files) assert.equal(modeOf(join(state, name)), "600", name);
        } finally {
          await started.stop();
        }
      } finally {
        process.umask(before);
      }
      // As an earlier version, or somebody who copied it, has left it.
      chmodSync(state, 0o755);
      for (const name of readdirSync(state)) {
        if (name.startsWith("coordinator.")) chmodSync(join(state, name), 0o644);
      }
    }
  },
);

test("X32: the database itself refuses a directory that others can change", modes, (t) => {
  const state = made(join(directory(t), "state"), 0o777);
  assert.throws(() => openDatabase(state, 1), {
    code: "OUTPUT_UNWRITABLE",
    message: /can be changed by others?/,
  });
  assert.deepEqual(readdirSync(state), []);
});

test("X32: an agent closes its directory and the parts of it", modes, (t) => {
  const state = made(join(directory(t), "state"), 0o755);
  for (const part of ["blobs", "jobs", "logs"]) made(join(state, part), 0o755);
  const agent = new AgentDirectory(state);
  t.after(() => agent.release());
  for (const part of ["", "blobs", "jobs", "logs"]) assert.equal(modeOf(join(state, part)), "700", part);
});

test("X32: the history of a user is closed to others, also where a link leads to it", modes, async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  const real = made(join(bench.root, "elsewhere"), 0o755);
  symlinkSync(real, bench.state);
  const result = await bench.run(wordCount(), { inputs });
  assert.equal(result.status, "SUCCEEDED");
  assert.equal(modeOf(real), "700");
  assert.ok(result.directory?.startsWith(bench.state));
});

test("X32: a state directory that others can write gives no code and takes no history", modes, async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  made(bench.state, 0o777);
  writeFileSync(join(bench.state, "planted"), "");
  const result = await bench.run(wordCount(), { inputs });
  assert.equal(result.status, "SUCCEEDED");
  assert.equal(result.directory, null);
  assert.deepEqual(readdirSync(bench.state), ["planted"]);
  const warnings = bench.of("warning").map(({ message }) => message);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /no history .*state can be changed by other users \(mode 0777\) \(Run: chmod go-w /,
  );
});
