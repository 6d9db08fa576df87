import fc from "fast-check";
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lookAt, wholeFiles } from "#src/cli/command/watch/arrivals.js";
import type { Look } from "#src/cli/command/watch/arrivals.js";
import { Ledger, ledgerName } from "#src/cli/command/watch/ledger.js";
import { watchDirectory } from "#src/cli/command/watch/watcher.js";
import type { WatchedEnd, WatchDoors, WatchNote } from "#src/cli/command/watch/watcher.js";
import { sheafHere, startSheaf, tempDir } from "./support.js";

test("whole is what two looks saw alike, or what was renamed from a name that is ignored", async (t) => {
  const root = tempDir(t);
  const put = (name: string, text: string): void => {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), text);
    utimesSync(join(root, name), 1000, 1000);
  };
  put("old.csv", "a");
  put("growing.csv", "a");
  put("sub/deep.csv", "a");
  put("_sub/hidden.csv", "a");
  put(".part.tmp", "ab");
  put("sub/_part2.tmp", "ab");
  put(".grows.tmp", "a");
  put("empty.csv", "");
  put("touched.csv", "a");
  put("out/result.tsv", "a");
  symlinkSync("nowhere", join(root, "dangling.csv"));
  symlinkSync(".", join(root, "sub/round"));
  symlinkSync("../old.csv", join(root, "sub/link.csv"));
  const look = (): Promise<Look> => lookAt(root, join(root, "out"));
  const first = await look();
  assert.deepEqual(wholeFiles(null, first), []);
  put("growing.csv", "ab");
  put("late.csv", "ab");
  renameSync(join(root, ".part.tmp"), join(root, "part.csv"));
  renameSync(join(root, "sub/_part2.tmp"), join(root, "moved-up.csv"));
  put(".grows.tmp", "abc");
  renameSync(join(root, ".grows.tmp"), join(root, "grows.csv"));
  utimesSync(join(root, "touched.csv"), 1000, 2000);
  const second = await look();
  assert.deepEqual(wholeFiles(first, second), [
    "moved-up.csv",
    "old.csv",
    "part.csv",
    "sub/deep.csv",
    "sub/link.csv",
  ]);
  assert.deepEqual(wholeFiles(second, await look()), [
    "growing.csv",
    "grows.csv",
    "late.csv",
    "moved-up.csv",
    "old.csv",
    "part.csv",
    "sub/deep.csv",
    "sub/link.csv",
    "touched.csv",
  ]);
});

test("the ledger knows after a kill within a line or between two what was said whole before it", (t) => {
  const out = tempDir(t);
  const path = join(out, ledgerName);
  const ledger = new Ledger(out, "/in");
  ledger.begin({ name: "r1", files: [["a", "1:1"]] });
  ledger.end(true);
  ledger.begin({ name: "r2", files: [["b", "1:1"]] });
  ledger.end(false);
  ledger.begin({
    name: "r3",
    files: [
      ["b", "1:1"],
      ["c", "2:1"],
    ],
  });
  ledger.close();
  const whole = readFileSync(path);
  const lineEnds = [...whole.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
  const cuts = lineEnds
    .flatMap((end) => [end - 1, end, end + 1])
    .filter((cut) => cut >= lineEnds[0]! && cut <= whole.length);
  for (const bytes of cuts) {
    writeFileSync(path, whole.subarray(0, bytes));
    const again = new Ledger(out, "/in");
    again.close();
    const lines = lineEnds.filter((end) => end <= bytes).length;
    assert.deepEqual([...again.done], lines >= 3 ? [["a", "1:1"]] : [], `${bytes} bytes`);
    const left = [undefined, "r1", undefined, "r2", undefined, "r3"][lines - 1];
    assert.equal(again.left?.name, left, `${bytes} bytes`);
    // What was rewritten says the same.
    const third = new Ledger(out, "/in");
    third.close();
    assert.deepEqual([...third.done], [...again.done]);
    assert.equal(third.left?.name, left);
  }
  assert.throws(() => new Ledger(out, "/other"), { code: "USAGE", message: /has the results of \/in/ });
  for (const [text, code] of [
    [`${whole.toString().split("\n")[0]}\nrubbish\n`, "STATE_CORRUPT"],
    [`${whole.toString().split("\n")[0]}\n{"end":"r9","done":true}\n`, "STATE_CORRUPT"],
    ['{"sheafWatch":2,"directory":"/in"}\n', "VERSION_MISMATCH"],
  ] as const) {
    writeFileSync(path, text);
    assert.throws(() => new Ledger(out, "/in"), { code });
  }
});

/** A directory that is a table, and a job whose outputs are the files that it read. */
class Stage {
  readonly out: string;
  /** Versions of the files, and the number of looks that saw each as it is. */
  readonly files = new Map<string, number>();
  readonly outputs = new Map<string, readonly string[]>();
  readonly notes: WatchNote[] = [];
  readonly pauses: number[] = [];
  /** Called at every door, with its name: throws to kill. */
  at: (door: string) => void = () => undefined;
  ends: WatchedEnd[] = [];

  constructor(out: string) {
    this.out = out;
  }

  doors(): WatchDoors {
    return {
      look: () => {
        this.at("look");
        const files = [...this.files].map(
          ([path, version]) =>
            [path, { bytes: 1, signature: `${version}`, identity: `${path}:${version}` }] as const,
        );
        return Promise.resolve({ files: new Map(files), hidden: new Set<string>() });
      },
      // Throws at once, as nothing of the watcher's could see a kill.
      run: (name, files) => {
        this.at("before run");
        const end = this.ends.shift() ?? "done";
        if (end !== "failed") {
          assert.ok(!this.outputs.has(name), `${name} is there`);
          this.outputs.set(name, files);
        }
        this.at("after run");
        return Promise.resolve(end);
      },
      isThere: (name) => this.outputs.has(name),
      pause: (ms) => {
        this.pauses.push(ms);
        this.at("pause");
        return Promise.resolve();
      },
      nameOf: (number) => {
        for (let more = 0; ; more++) if (!this.outputs.has(`${number}-${more}`)) return `${number}-${more}`;
      },
      tell: (note) => {
        this.notes.push(note);
        this.at(note.kind);
      },
    };
  }

  async watch(rules: { readonly again?: boolean } = {}): Promise<string> {
    const ledger = new Ledger(this.out, "/in");
    try {
      const all = { intervalMs: 5_000, drain: true, again: false, ...rules };
      return await watchDirectory(ledger, this.doors(), all, new AbortController().signal);
    } finally {
      ledger.close();
    }
  }

  get read(): string[] {
    return [...this.outputs.values()].flat().sort();
  }
}

test("files are taken once; one that changes is told once, or with --again taken again", async (t) => {
  const stage = new Stage(tempDir(t));
  stage.files.set("a", 1).set("b", 1);
  assert.equal(await stage.watch(), "ended");
  assert.deepEqual([...stage.outputs], [["1-0", ["a", "b"]]]);
  stage.files.set("a", 2).set("c", 1);
  stage.notes.length = 0;
  await stage.watch();
  assert.deepEqual([...stage.outputs.values()], [["a", "b"], ["c"]]);
  assert.deepEqual(
    stage.notes.filter(({ kind }) => kind === "changed"),
    [{ kind: "changed", path: "a" }],
  );
  await stage.watch({ again: true });
  assert.deepEqual([...stage.outputs.values()], [["a", "b"], ["c"], ["a"]]);
  await stage.watch({ again: true });
  assert.equal(stage.outputs.size, 3);
});

test("after failures the waits grow to five minutes; what comes meanwhile is in the next try", async (t) => {
  const stage = new Stage(tempDir(t));
  stage.files.set("a", 1);
  stage.ends = Array.from({ length: 8 }, () => "failed");
  stage.at = (door) => {
    if (door === "pause" && stage.ends.length === 4) stage.files.set("b", 1);
  };
  await stage.watch();
  const waits = stage.notes.flatMap((note) => (note.kind === "again" ? [note.afterMs / 1000] : []));
  assert.deepEqual(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
  assert.deepEqual([...stage.outputs.values()], [["a", "b"]]);
  // A look that fails is waited for in the same way, and nothing it saw before counts as seen.
  const other = new Stage(tempDir(t));
  other.files.set("a", 1);
  let looks = 0;
  other.at = (door) => {
    if (door === "look" && ++looks === 2) throw new Error("stale file handle");
  };
  await other.watch();
  assert.ok(other.notes.some((note) => note.kind === "again" && /stale file handle/.test(note.why)));
  assert.equal(looks, 5);
});

test("a run that was stopped or lost is done when its output is there, and open when it is not", async (t) => {
  const stage = new Stage(tempDir(t));
  stage.files.set("a", 1);
  stage.ends = ["lost"];
  assert.equal(await stage.watch(), "ended");
  assert.deepEqual(stage.read, ["a"]);
  stage.files.set("b", 1);
  stage.ends = ["stopped"];
  assert.equal(await stage.watch(), "stopped");
  assert.deepEqual(stage.read, ["a", "b"]);
  await stage.watch();
  assert.deepEqual(stage.read, ["a", "b"]);
});

test("killed anywhere, again and again, every file is in one output", async (t) => {
  const root = tempDir(t);
  let number = 0;
  const doors = ["look", "before run", "after run", "pause", "taking", "watching", "recovered"];
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          comes: fc.integer({ min: 0, max: 3 }),
          door: fc.constantFrom(...doors),
          nth: fc.integer({ min: 1, max: 3 }),
          fails: fc.integer({ min: 0, max: 2 }),
          cut: fc.integer({ min: 0, max: 9 }),
        }),
        { maxLength: 8 },
      ),
      async (lives) => {
        const out = join(root, String(number++));
        mkdirSync(out);
        const stage = new Stage(out);
        let files = 0;
        for (const { comes, door, nth, fails, cut } of lives) {
          for (let i = 0; i < comes; i++) stage.files.set(`f${files++}`, 1);
          stage.ends = Array.from({ length: fails }, () => "failed");
          let seen = 0;
          stage.at = (at) => {
            // No clean-up of the ledger's sees this: the process is gone.
            if (at === door && ++seen === nth) throw new Error("killed");
          };
          await stage.watch().catch((error: unknown) => assert.match(String(error), /killed/));
          // A line that was about to be written.
          if (cut > 0) appendFileSync(join(out, ledgerName), '{"begin":"x"'.slice(0, cut));
        }
        stage.at = () => undefined;
        stage.ends = [];
        await stage.watch();
        assert.deepEqual(stage.read, [...stage.files.keys()].sort());
      },
    ),
    { numRuns: 40 },
  );
});

test("sheaf watch: a run for each batch, a poisoned file told and tried again, killed and gone on with", async (t) => {
  const cwd = tempDir(t);
  const gate = join(cwd, "gate");
  writeFileSync(
    join(cwd, "lines.ts"),
    `import { existsSync } from "node:fs";
    import { count, job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) {
        if (line === "poison") throw new Error("this file is poisoned");
        if (line === "wait" && !existsSync(${JSON.stringify(gate)})) {
          console.log("waiting at the gate");
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        }
        emit(line);
      },
      reduce: count(),
    });`,
  );
  const put = (name: string, text: string): void => {
    mkdirSync(join(cwd, "in"), { recursive: true });
    writeFileSync(join(cwd, "in", `.${name}`), text);
    renameSync(join(cwd, "in", `.${name}`), join(cwd, "in", name));
  };
  const results = (): Record<string, string> =>
    Object.fromEntries(
      readdirSync(join(cwd, "in/out"))
        .filter((name) => existsSync(join(cwd, "in/out", name, "_SUCCESS")))
        .sort()
        .map((name) => [name, readFileSync(join(cwd, "in/out", name, "part-00000.tsv"), "utf8")]),
    );
  // Outputs below the directory that is watched are not taken for input.
  const words = ["watch", "in", "lines.ts", "-o", "in/out", "--interval", "30ms", "--into", "run-{number}"];
  const args = [...words, "--workers", "1", "--attempts", "1"];
  put("a.txt", "one\ntwo\n");
  writeFileSync(join(cwd, "in/_ignored.txt"), "no\n");
  const first = startSheaf(args, { cwd });
  await first.until("done ");
  put("b.txt", "poison\n");
  await first.until("this file is poisoned");
  await first.until("the run failed; trying again in ");
  put("b.txt", "three\n");
  await first.until("to in/out/run-000002");
  await first.until("1 record out");
  put("c.txt", "wait\n");
  await first.until("waiting at the gate");
  const twice = await sheafHere(args, { cwd });
  assert.equal(twice.code, 1);
  assert.match(twice.stderr, /runs already: process \d+ .*\[STATE_LOCKED\]/);
  first.child.kill("SIGKILL");
  await first.done;
  const before = { "run-000001": "one\t1\ntwo\t1\n", "run-000002": "three\t1\n" };
  assert.deepEqual(results(), before);

  writeFileSync(gate, "");
  const second = startSheaf(args, { cwd });
  await second.until("the last watcher left run run-000003 of 1 file; nothing of it was written");
  await second.until("done ");
  second.child.kill("SIGINT");
  const ended = await second.done;
  assert.equal(ended.code, 0, ended.stderr);
  const third = await sheafHere([...args, "--drain", "-q"], { cwd });
  assert.deepEqual([third.code, third.stderr], [0, ""]);
  assert.deepEqual(results(), { ...before, "run-000003": "wait\t1\n" });

  const refused: readonly (readonly [words: readonly string[], message: RegExp])[] = [
    [["watch", "nowhere", "lines.ts", "-o", "o"], /nowhere is no directory/],
    [["watch", "in", "lines.ts"], /none is named/],
    [["watch", "in", "lines.ts", "-o", "in"], /is watched and written to/],
    [["watch", "in", "lines.ts", "x.txt", "-o", "o"], /x\.txt is one argument too many/],
    [["watch", "in", "lines.ts", "-o", "in/out/run-000001"], /is the output of a job/],
    [["watch", "in", "lines.ts", "-o", "o", "--into", "../{time}"], /--into: .* cannot name directories/],
    [["watch", "in", "lines.ts", "-o", "o", "--into", "{day}"], /nothing to put in place of \{day\}/],
  ];
  const answers = await Promise.all(refused.map(([one]) => sheafHere(one, { cwd })));
  for (const [index, [, message]] of refused.entries()) {
    assert.notEqual(answers[index]!.code, 0);
    assert.match(answers[index]!.stderr, message);
  }
});
