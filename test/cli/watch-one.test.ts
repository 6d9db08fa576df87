import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { updateOutput } from "#src/cli/command/watch/watcher.js";
import type { UpdateDoors, WatchedEnd, WatchNote } from "#src/cli/command/watch/watcher.js";
import { sheafHere, tempDir } from "./support.js";

test("one output is kept up to date: of whole files only, and never without one that it has", async () => {
  const stop = new AbortController();
  const runs: string[] = [];
  const files = new Map<string, number>();
  const notes: WatchNote[] = [];
  let ends: WatchedEnd[] = [];
  const doors: UpdateDoors = {
    look() {
      steps[++looks]?.();
      const seen = [...files].map(
        ([path, version]) =>
          [path, { bytes: 1, signature: `${version}`, identity: `${path}:${version}` }] as const,
      );
      return Promise.resolve({ files: new Map(seen), hidden: new Set<string>() });
    },
    run(paths) {
      const end = ends.shift() ?? "done";
      runs.push(`${paths.map((path) => `${path}${files.get(path)}`).join()} ${end}`);
      return Promise.resolve(end);
    },
    pause: () => Promise.resolve(),
    tell: (note) => void notes.push(note),
  };
  const steps: Record<number, () => unknown> = {
    1: () => files.set("a", 1).set("b", 1),
    // Both are whole at the third look.
    4: () => files.set("c", 1),
    5: () => files.set("c", 2),
    // While b is written to nothing is run, also when c is whole and a gone.
    6: () => files.set("b", 2),
    7: () => files.set("b", 3).delete("a"),
    8: () => files.set("b", 4),
    // Renamed: one run, that has d and has c no more.
    11: () => files.set("d", 2).delete("c"),
    14() {
      ends = ["failed", "done"];
      files.set("e", 1);
    },
    18: () => files.clear(),
    22: () => stop.abort(),
  };
  let looks = 0;
  await updateOutput(doors, { intervalMs: 5_000, drain: false }, stop.signal);
  assert.deepEqual(runs, ["a1,b1 done", "b4,c2 done", "b4,d2 done", "b4,d2,e1 failed", "b4,d2,e1 done"]);
  const told = notes.flatMap((note) => (note.kind === "updating" ? [note] : []));
  const counts = told.map(({ added, changed, removed }) => [added, changed, removed]);
  assert.deepEqual(counts, [
    [2, 0, 0],
    [1, 1, 1],
    [1, 0, 1],
    [1, 0, 0],
    [1, 0, 0],
  ]);
});

test("--drain does not end while a file of the output is missing in one look: it may be on its way", async () => {
  const looks = [["a", "b"], ["a", "b"], ["a"], ["a"]];
  const runs: string[] = [];
  const doors: UpdateDoors = {
    look() {
      const names = looks.shift() ?? ["a"];
      const seen = names.map((name) => [name, { bytes: 1, signature: "1", identity: name }] as const);
      return Promise.resolve({ files: new Map(seen), hidden: new Set<string>() });
    },
    run(paths) {
      runs.push(paths.join());
      return Promise.resolve("done" as const);
    },
    pause: () => Promise.resolve(),
    tell: () => undefined,
  };
  await updateOutput(doors, { intervalMs: 5_000, drain: true }, new AbortController().signal);
  assert.deepEqual(runs, ["a,b", "a"]);
});

test("sheaf watch --incremental: the output is that of a run on all files, and maps what is new", async (t) => {
  const cwd = tempDir(t);
  const put = (name: string, text: string): void => {
    mkdirSync(join(cwd, "in"), { recursive: true });
    writeFileSync(join(cwd, "in", name), text);
  };
  writeFileSync(
    join(cwd, "lines.ts"),
    'import { count, job, text } from "sheaf"; export default job({ input: text(), reduce: count() });',
  );
  put("a.txt", "one\ntwo\n");
  put("b.txt", "two\n");
  const args = ["watch", "in", "lines.ts", "-o", "in/out", "--incremental", "--interval", "20ms", "--drain"];
  const parts = (): string =>
    readdirSync(join(cwd, "in/out"))
      .filter((name) => name.startsWith("part-"))
      .map((name) => readFileSync(join(cwd, "in/out", name), "utf8"))
      .join("");
  const first = await sheafHere(args, { cwd });
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /2 new, 0 changed, 0 removed: 2 files to in\/out/);
  assert.equal(parts(), "one\t1\ntwo\t2\n");
  put("c.txt", "three\n");
  writeFileSync(join(cwd, "in/a.txt"), "one\none\n");
  const second = await sheafHere([...args, "--json"], { cwd });
  const events = second.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.ok(
    events.some(({ kind, files }) => kind === "watch-updating" && files === 3),
    second.stdout,
  );
  const planned = events.find(({ kind }) => kind === "planned") as { incremental: object };
  assert.deepEqual(planned.incremental, { full: null, keptTasks: 1, keptBytes: 4 }, "b.txt is kept");
  assert.equal(parts(), "one\t2\nthree\t1\ntwo\t1\n");
  const refused = [
    [[...args, "--into", "x"], /--into is not for --incremental/],
    [[...args, "--again"], /--again is not for --incremental/],
    [[...args, "--on", "http://127.0.0.1:1"], /sheaf watch --incremental is for runs on this machine/],
    [[...args.slice(0, 4), "in", ...args.slice(5)], /is watched and written to/],
  ] as const;
  const answers = await Promise.all(refused.map(([words]) => sheafHere(words, { cwd })));
  for (const [index, [, message]] of refused.entries()) assert.match(answers[index]!.stderr, message);
});
