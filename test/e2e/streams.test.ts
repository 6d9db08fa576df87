import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { job, run, text } from "sheaf";
import { listInput } from "#src/storage/list-input.js";
import { sheafBinary, tempDir } from "../cli/support.ts";

const lines = job({ input: text(), map: (line, emit) => emit(line), output: text() });
const onLinux = { skip: process.platform !== "linux" };

async function linesOf(inputs: string | string[]): Promise<string[]> {
  const result = await run(lines, { inputs, stateDirectory: null, splitSize: 5 });
  const keys: string[] = [];
  for await (const [key] of result.records()) keys.push(String(key));
  await result.dispose();
  return keys;
}

test("a FIFO is read once, to its end, and beside files", onLinux, async (t) => {
  const root = tempDir(t);
  const fifo = join(root, "fifo");
  execFileSync("mkfifo", [fifo]);
  writeFileSync(join(root, "file"), "of the file\n");
  const writer = spawn("sh", ["-c", 'seq 2000 > "$1"', "sh", fifo]);
  const found = await linesOf([fifo, join(root, "file")]);
  assert.deepEqual(found, [...Array.from({ length: 2000 }, (_, i) => String(i + 1)), "of the file"]);
  assert.equal(writer.exitCode ?? 0, 0);
  // Where it would have to be read on another machine it is refused.
  await assert.rejects(listInput([fifo]), { code: "INPUT_UNREADABLE", message: /is a FIFO/ });
});

test("a job that waits for a FIFO's writer can be cancelled", onLinux, async (t) => {
  const fifo = join(tempDir(t), "fifo");
  execFileSync("mkfifo", [fifo]);
  const abort = new AbortController();
  const running = run(lines, {
    inputs: fifo,
    stateDirectory: null,
    signal: abort.signal,
    onEvent: (event) => {
      if (event.kind === "job-started") setImmediate(() => abort.abort());
    },
  });
  await assert.rejects(running, { code: "CANCELLED" });
});

test("what a shell makes of <(command), 5< file and /dev/stdin is read", onLinux, (t) => {
  const root = tempDir(t);
  writeFileSync(join(root, "file"), "redirected\n");
  writeFileSync(
    join(root, "job.ts"),
    'import { job, text } from "sheaf";\nexport default job({ input: text(), map: (line, emit) => emit(line), output: text() });\n',
  );
  const script = '"$0" "$1" run job.ts <(echo one) <(seq 3) /dev/fd/5 /dev/stdin -q 5< file <<< here';
  const printed = execFileSync("bash", ["-c", script, process.execPath, sheafBinary], {
    cwd: root,
    encoding: "utf8",
  });
  assert.deepEqual(printed.trim().split("\n").toSorted(), ["1", "2", "3", "here", "one", "redirected"]);
});

test("standard input that is given twice is read once, as any file; each of two inputs reads it", (t) => {
  const root = tempDir(t);
  const output = (name: string, body: string): string => {
    const head = 'import { job, text } from "sheaf";\nexport default job(';
    writeFileSync(join(root, name), `${head}${body});\n`);
    return name;
  };
  const runs = (args: readonly string[]): string =>
    execFileSync(process.execPath, [sheafBinary, "run", ...args, "-q"], {
      cwd: root,
      encoding: "utf8",
      input: "a\nb\n",
    });
  const one = output("one.ts", "{ input: text(), map: (line, emit) => emit(line), output: text() }");
  assert.equal(runs([one, "-", "-"]), "a\nb\n");
  const map = "{ x: (line, emit) => emit(`x${line}`), y: (line, emit) => emit(`y${line}`) }";
  const two = output("two.ts", `{ inputs: { x: text(), y: text() }, map: ${map}, output: text() }`);
  assert.equal(runs([two, "x=-", "y=-", "x=-"]), "xa\nxb\nya\nyb\n");
});

test("files of /proc and /sys, whose sizes say nothing, are read to their end", onLinux, async () => {
  const size = "/sys/kernel/mm/transparent_hugepage/enabled";
  for (const path of ["/proc/version", "/proc/filesystems", size]) {
    if (!existsSync(path)) continue;
    const expected = readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
    assert.deepEqual(
      (await linesOf(path)).filter((line) => line !== ""),
      expected,
      path,
    );
  }
});

test("an empty file is empty", async (t) => {
  const path = join(tempDir(t), "empty");
  writeFileSync(path, "");
  assert.deepEqual(await linesOf(path), []);
});
