import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { wordCount } from "../runner/support.ts";
import { writeOutput } from "../storage/support.ts";
import { assertFailed, Place } from "./support.ts";

describe("S12: an output that exists", () => {
  for (const [what, make] of [
    ["a file", (path: string) => writeFileSync(path, "precious")],
    ["a link to a directory", (path: string) => symlinkSync("elsewhere", path)],
    ["a link to nothing", (path: string) => symlinkSync("nowhere", path)],
  ] as const) {
    test(`S12: ${what} is refused before any task, with --overwrite too`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount({ map: 'console.log("a task");' }));
      place.file("in.txt", "a b\n");
      place.file("elsewhere/precious", "x");
      make(place.path("out"));
      const before = lstatSync(place.path("out")).ino;
      const args = ["run", "job.ts", "in.txt", "-o", "out"];
      const refused = await place.here(args);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /\[OUTPUT_EXISTS\]\n.*--overwrite/);
      assert.ok(!refused.stderr.includes("a task"));
      assert.equal(lstatSync(place.path("out")).ino, before);
      const kept = await place.here([...args, "--overwrite"]);
      assert.equal(kept.code, 1);
      assert.match(kept.stderr, /would replace a (file|symbolic link).*\[OUTPUT_UNWRITABLE\]/);
      assert.ok(!kept.stderr.includes("a task"));
      assert.equal(lstatSync(place.path("out")).ino, before);
      assert.deepEqual(readdirSync(place.path("elsewhere")), ["precious"]);
    });
  }

  test("S12: --overwrite of a full directory shows the old output until the new one is there", async (t) => {
    const place = new Place(t);
    place.file(
      "job.ts",
      wordCount({ reduce: 'console.log("at work");' + waitFor("gate/open"), top: gateImport }),
    );
    place.file("in.txt", "a b\n");
    place.file("gate/x", "");
    writeOutput(place.path("out"), { "part-00000.tsv": "old\t1\n" });
    const run = place.start(["run", "job.ts", "in.txt", "-o", "out", "--overwrite"]);
    await run.until("at work");
    assert.deepEqual(place.lines(), ["old\t1"]);
    place.file("gate/open", "");
    assert.equal((await run.done).code, 0);
    assert.deepEqual(
      readdirSync(place.root).filter((name) => name.startsWith(".")),
      [],
    );
    assert.deepEqual(place.lines(), ["a\t1", "b\t1"]);
  });

  test("S12: --overwrite does not remove what the job reads, nor the directory one stands in", async (t) => {
    const place = new Place(t);
    place.file("data/job.ts", wordCount());
    place.file("data/in.txt", "a b\n");
    place.file("away/job.ts", wordCount());
    for (const args of [
      ["run", "away/job.ts", "data/in.txt", "-o", "data"],
      ["run", "data/job.ts", "data/in.txt", "-o", "data"],
      ["run", "away/job.ts", "data/in.txt", "-o", "."],
    ]) {
      const result = await place.here([...args, "--overwrite"]);
      await assertFailed(place, result, "OUTPUT_UNWRITABLE", /would remove/);
    }
    assert.deepEqual(readdirSync(place.path("data")).sort(), ["in.txt", "job.ts"]);
  });
});

const gateImport = 'import { existsSync } from "node:fs";';

/** Statements that wait, at work all the while, until the file is there. */
function waitFor(path: string): string {
  return `while (!existsSync(${JSON.stringify(path)})) ctx.progress();`;
}

describe("S13: what changes while the job runs", () => {
  const lines = Array.from({ length: 20_000 }, (_, i) => `word${i % 100} other${i}`);
  const plain = Buffer.from(lines.map((line) => `${line}\n`).join(""));
  /** Larger than what is read ahead while the first record waits. */
  const large = Buffer.concat(Array.from({ length: 24 }, () => plain));
  const rewrite = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[bytes.length - 2]! ^= 1;
    writeFileSync(path, bytes);
  };

  for (const [what, name, content, change] of [
    ["cut short", "in.txt", large, (path: string) => truncateSync(path, 100_000)],
    ["emptied", "in.txt", large, (path: string) => truncateSync(path, 0)],
    ["appended to", "in.txt", plain, (path: string) => appendFileSync(path, "more\n")],
    ["written over with as many bytes", "in.txt", plain, rewrite],
    ["cut short, compressed", "in.gz", gzipSync(large), (path: string) => truncateSync(path, 50_000)],
    [
      "appended to, compressed",
      "in.gz",
      gzipSync(plain),
      (path: string) => appendFileSync(path, gzipSync("x\n")),
    ],
  ] as const) {
    test(`S13: an input that is ${what} in the middle of its map is an error that names it`, async (t) => {
      const place = new Place(t);
      const map = `if (ctx.offset === 0) { console.log("at work"); ${waitFor("gate/open")} }`;
      place.file("job.ts", wordCount({ map, top: gateImport }));
      const input = place.file(name, content);
      // Whatever the clock of the file system: a change now is a change.
      utimesSync(input, new Date(1e12), new Date(1e12));
      place.file("gate/x", "");
      const run = place.start(["run", "job.ts", name, "-o", "out", "--attempts", "1", "--max-bad", "100%"]);
      await run.until("at work");
      change(input);
      place.file("gate/open", "");
      await assertFailed(
        place,
        await run.done,
        "INPUT_CHANGED",
        new RegExp(`${name}.*changed while the job ran`),
      );
    });
  }

  test("S13: an input that is removed, or replaced, before a later map reads it", async (t) => {
    for (const change of [
      (path: string) => rmSync(path),
      (path: string) => renameSync(`${path}.new`, path),
    ]) {
      const place = new Place(t);
      const map = `if (line === "first") { console.log("at work"); ${waitFor("gate/open")} }`;
      place.file("job.ts", wordCount({ map, top: gateImport }));
      place.file("a.txt", "first\n");
      const later = place.file("b.txt", "second\n");
      place.file("b.txt.new", "seventh\n");
      place.file("gate/x", "");
      const run = place.start([
        "run",
        "job.ts",
        "a.txt",
        "b.txt",
        "-o",
        "out",
        "-w",
        "1",
        "--split-size",
        "1KiB",
      ]);
      await run.until("at work");
      change(later);
      place.file("gate/open", "");
      await assertFailed(place, await run.done, "INPUT_CHANGED", /b\.txt.*changed while the job ran/);
    }
  });

  for (const [what, phase] of [
    ["map", "map"],
    ["reduce", "reduce"],
  ] as const) {
    test(`S13: a temporary directory that is removed during the ${what} fails the job, or it is not needed`, async (t) => {
      const place = new Place(t);
      const wait = `console.log("at work"); ${waitFor("gate/open")}`;
      place.file(
        "job.ts",
        wordCount({ [phase]: `if (!existsSync("gate/open")) { ${wait} }`, top: gateImport }),
      );
      place.file("in.txt", "a b\nc d\n");
      place.file("gate/x", "");
      const args = ["run", "job.ts", "in.txt", "-o", "out", "--temp", "scratch", "--split-size", "4"];
      const run = place.start(args);
      await run.until("at work");
      rmSync(place.path("scratch"), { recursive: true });
      place.file("gate/open", "");
      const result = await run.done;
      assert.deepEqual(
        place.left().filter((name) => name !== "out"),
        [],
      );
      if (result.code === 0) assert.deepEqual(place.lines(), ["a\t1", "b\t1", "c\t1", "d\t1"]);
      else await assertFailed(place, result, "(OUTPUT_UNWRITABLE|BLOCK_CORRUPT)", /scratch/);
    });
  }
});

describe("S15: what a killed run leaves", () => {
  const killing = wordCount({ reduce: 'process.kill(process.pid, "SIGKILL");' });

  for (const [what, where, args] of [
    ["beside the output", "", ["-o", "out"]],
    ["beside an output that is replaced", "", ["-o", "out", "--overwrite"]],
    ["in --temp", "scratch", ["-o", "out", "--temp", "scratch"]],
    ["in the system's temporary directory", "tmp", []],
    ["in the system's temporary directory, with results to print", "tmp", ["--print", "1"]],
  ] as const) {
    test(`S15: ${what} is removed by the next run, and never served`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", killing);
      place.file("in.txt", "a b\n");
      if (args.includes("--overwrite" as never))
        writeOutput(place.path("out"), { "part-00000.tsv": "old\t1\n" });
      place.own("scratch");
      mkdirSync(place.path("scratch"));
      const stale = (): string[] => readdirSync(place.path(where)).filter((name) => name.includes("sheaf-"));
      const killed = await place.sheaf(["run", "job.ts", "in.txt", ...args]);
      assert.equal(killed.signal, "SIGKILL");
      assert.ok(stale().length > 0, "nothing was left: the test tests nothing");
      if (existsSync(place.path("out"))) assert.deepEqual(place.lines(), ["old\t1"]);
      place.file("job.ts", wordCount());
      const next = await place.here(["run", "job.ts", "in.txt", ...args]);
      assert.equal(next.code, 0, next.stderr);
      assert.deepEqual(stale(), []);
      assert.deepEqual(
        place.left().filter((name) => name !== "out"),
        [],
      );
      if (args.includes("-o" as never)) assert.deepEqual(place.lines(), ["a\t1", "b\t1"]);
      else assert.match(next.stdout, /^a\t1\n/);
    });
  }

  test("S15: what a run that is alive works on is left alone", async (t) => {
    const place = new Place(t);
    const map = `if (line === "slow") { console.log("at work"); ${waitFor("gate/open")} }`;
    place.file("job.ts", wordCount({ map, top: gateImport }));
    place.file("slow.txt", "slow\n");
    place.file("in.txt", "a b\n");
    place.file("gate/x", "");
    const args = ["-o", "out", "--overwrite", "--temp", "scratch"];
    const slow = place.start(["run", "job.ts", "slow.txt", ...args]);
    await slow.until("at work");
    assert.equal((await place.here(["run", "job.ts", "in.txt", ...args])).code, 0);
    assert.deepEqual(place.lines(), ["a\t1", "b\t1"]);
    place.file("gate/open", "");
    assert.equal((await slow.done).code, 0);
    assert.deepEqual(place.lines(), ["slow\t1"]);
    assert.deepEqual(readdirSync(place.path("scratch")), []);
  });
});
