import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { StoredFile } from "#src/storage/store.js";
import { addStore } from "#src/storage/stores.js";
import { MemoryStore } from "../storage/memory-store.ts";
import { PipelineBench } from "./support.ts";

let failing: ((what: string, address: string) => void) | null = null;
const store = new MemoryStore({ request: (what, address) => failing?.(what, address) });
addStore("mem", () => Promise.resolve({ createStore: () => store }));

function transferring(from: string, to: string): string {
  return `
    import { count, from, job, pipeline, text, transfer } from "sheaf";
    const load = transfer({ from: ${JSON.stringify(from)}, to: ${JSON.stringify(to)}, as: text() });
    const lines = job({ input: from(load), map: (line) => [[line.length, 1]], reduce: count() });
    export default pipeline({ load, lines });`;
}

test("a transfer from a storage goes on where it was cut off, and copies one version only", async (t) => {
  const bench = new PipelineBench(t);
  const big = "x".repeat(9_000_000);
  store.set("mem://bucket/data/a b.txt", "one\n");
  store.set("mem://bucket/data/below/b.txt", big);
  store.set("mem://bucket/data/empty.txt", "");
  store.set("mem://bucket/data/_hidden.txt", "not one\n");
  let reads = 0;
  failing = (what, address) => {
    if (what === "read" && address.endsWith("/b.txt") && ++reads > 1) throw new Error("it is on fire");
  };
  const pipe = transferring("mem://bucket/data/", "copies");
  const failed = await bench.pipeline(pipe);
  assert.equal(failed.status, "FAILED");
  const parts = readdirSync(join(bench.root, "copies/below"));
  assert.match(parts.join(), /^\.b\.txt\.sheaf-part-[0-9a-f]{16}$/);
  const begun: number[] = [];
  failing = (what, address) =>
    what === "read" && address.endsWith("/b.txt") ? void begun.push(1) : undefined;
  const result = await bench.resume();
  failing = null;
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.equal(readFileSync(join(bench.root, "copies/below/b.txt"), "utf8"), big);
  assert.equal(readFileSync(join(bench.root, "copies/a b.txt"), "utf8"), "one\n");
  assert.deepEqual(readdirSync(join(bench.root, "copies/below")), ["b.txt"]);
  assert.deepEqual(bench.step("lines"), ["3\t1", "9000000\t1"]);
});

test("a transfer into a storage is there whole, with checksums, or not at all", async (t) => {
  const bench = new PipelineBench(t);
  mkdirSync(join(bench.root, "data"));
  bench.file("data/a.txt", "one\n");
  bench.file("data/below/b c.txt", "two two\n");
  const pipe = transferring("data", "mem://bucket/copied");
  let puts = 0;
  failing = (what) => {
    if (what === "put" && ++puts === 2) throw new Error("it is on fire");
  };
  assert.equal((await bench.pipeline(pipe)).status, "FAILED");
  failing = null;
  const names = () =>
    [...store.files.keys()].filter((address) => address.startsWith("mem://bucket/copied/")).toSorted();
  assert.deepEqual(names(), []);
  assert.equal(store.pending.size, 0);
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(names(), [
    "mem://bucket/copied/_SUCCESS",
    "mem://bucket/copied/a.txt",
    "mem://bucket/copied/below/b c.txt",
  ]);
  const success = store.files.get("mem://bucket/copied/_SUCCESS")!.toString();
  assert.match(success, /"file": "below\/b c.txt"/);
  assert.deepEqual(bench.step("lines"), ["3\t1", "7\t1"]);
  // From one storage to another, and over what the earlier one has written.
  const between = transferring("mem://bucket/copied/*.txt", "mem://bucket/copied2/");
  const over = await bench.pipeline(between, { overwrite: true });
  assert.equal(over.status, "SUCCEEDED", over.error?.report);
  assert.equal(store.files.get("mem://bucket/copied2/a.txt")!.toString(), "one\n");
  store.set("mem://bucket/copied2/mine", "mine");
  const refused = await bench.pipeline(between, { overwrite: true });
  assert.match(refused.error!.message, /copied2\/mine/);
});

test("a pipeline writes into a storage what it writes to a directory, whole or not at all", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "a b\nbad\na\n");
  const pipe = `
    import { count, from, job, pipeline, script, sum, text } from "sheaf";
    const words = job({
      input: text(),
      map(line) {
        if (line === "bad") throw new Error("no");
        return line.split(" ").map((word) => [word, 1]);
      },
      reduce: sum(),
    });
    const lengths = job({ input: from(words), map: ([word]) => [[word.length, 1]], reduce: count() });
    const said = script({
      run: ["sh", "-c", 'mkdir "$1" && echo one > "$1/b c.txt" && echo two > "$1/d.txt"', "sh", "{out.all}"],
      out: { all: text() },
    });
    export default pipeline({ words, lengths, said });`;
  const options = { inputs, maxBad: 1 };
  const local = await bench.pipeline(pipe, options);
  assert.equal(local.status, "SUCCEEDED", local.error?.report);
  const output = "mem://bucket/piped";
  const stored = () =>
    Object.fromEntries(
      [...store.files]
        .filter(([address]) => address.startsWith(`${output}/`))
        .map(([address, bytes]) => [address.slice(output.length + 1), bytes.toString()]),
    );
  const here = Object.fromEntries(
    readdirSync(bench.output, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(bench.output.length + 1), readFileSync(path, "utf8")]),
  );
  assert.ok(Object.keys(here).some((name) => name.startsWith("_bad/words/")));
  for (const at of ["put", "commit"]) {
    let count = 0;
    failing = (what) => {
      if (what === at && ++count === (at === "put" ? 3 : 1)) throw new Error("it is on fire");
    };
    assert.equal((await bench.pipeline(pipe, { ...options, output })).status, "FAILED", at);
    failing = null;
    assert.deepEqual([stored(), store.pending.size], [{}, 0], at);
    const resumed = await bench.resume();
    assert.equal(resumed.status, "SUCCEEDED", resumed.error?.report);
    assert.deepEqual([stored(), bench.ran()], [here, {}], at);
    assert.equal(resumed.output, `${output}/`);
    assert.deepEqual(readdirSync(bench.root).toSorted(), ["in.txt", "pipe.ts", "place", "state"]);
    for (const name of Object.keys(here)) store.files.delete(`${output}/${name}`);
  }
  // Killed after the commit, and before anybody heard of it: it is there already, and is no other's.
  store.output = (...of) => {
    const own = MemoryStore.prototype.output.apply(store, of);
    const commit: typeof own.commit = async (...all) => {
      await own.commit(...all);
      throw new Error("nobody hears of it");
    };
    return { ...own, commit };
  };
  const unheard = await bench.pipeline(pipe, { ...options, output });
  Reflect.deleteProperty(store, "output");
  assert.deepEqual([unheard.status, stored()], ["FAILED", here]);
  const again = await bench.resume();
  assert.equal(again.status, "SUCCEEDED", again.error?.report);
  assert.deepEqual([stored(), store.pending.size], [here, 0]);
  // What a job has written is replaced when that was asked for, and nothing else.
  assert.equal((await bench.pipeline(pipe, { ...options, output })).error?.code, "OUTPUT_EXISTS");
  const over = await bench.pipeline(pipe, {
    ...options,
    inputs: bench.file("other.txt", "z\n"),
    output,
    overwrite: true,
  });
  assert.equal(over.status, "SUCCEEDED", over.error?.report);
  assert.equal(stored()["lengths/part-00000.tsv"], "1\t1\n");
  store.set(`${output}/mine`, "mine");
  assert.match(
    (await bench.pipeline(pipe, { ...options, output, overwrite: true })).error!.message,
    /piped\/mine/,
  );
});

test("names that lead out of a directory are not transferred into it", async (t) => {
  const bench = new PipelineBench(t);
  store.set("mem://bucket/evil//out.txt", "out\n");
  const result = await bench.pipeline(transferring("mem://bucket/evil/", "copies"));
  assert.match(result.error!.message, /has a name that no file can have here/);
});

test("files that would become one are refused, from a storage and into one, and nothing is copied", async (t) => {
  const bench = new PipelineBench(t);
  for (const name of ["2024/a.csv", "2025/a.csv", "2025/A.CSV"]) {
    store.set(`mem://bucket/years/${name}`, `${name}\n`);
    bench.file(`years/${name}`, `${name}\n`);
  }
  for (const [from, to] of [
    ["mem://bucket/years/{2024,2025}/*.csv", "in"],
    ["mem://bucket/years/{2024,2025}/*.csv", "mem://bucket/in/"],
    ["years/{2024,2025}/*.csv", "mem://bucket/in/"],
    ["mem://bucket/years/2025/*", "in"],
  ] as const) {
    const { error } = await bench.pipeline(transferring(from, to));
    assert.equal(error?.code, "OUTPUT_UNWRITABLE", `${from} ${to}`);
    assert.match(error!.message, /years\/202[45]\/a\.csv would both be .*\/in\/a\.csv$/i);
  }
  assert.deepEqual(
    [...store.files.keys()].filter((one) => one.startsWith("mem://bucket/in/")),
    [],
  );
  assert.equal(existsSync(join(bench.root, "in")), false);
});

/** Whose versions are a time and a size, as over SFTP. */
class TimedStore extends MemoryStore {
  override async stat(address: string): ReturnType<MemoryStore["stat"]> {
    const found = await super.stat(address);
    return found === null || found === "directory" ? found : timed(found);
  }

  override async *entries(directory: string): ReturnType<MemoryStore["entries"]> {
    for await (const entry of super.entries(directory))
      yield entry.file === undefined ? entry : { ...entry, file: timed(entry.file) };
  }
}

function timed({ exact: _exact, ...file }: StoredFile): StoredFile {
  return file;
}

test("a step that reads what has a time and a size only runs again, and so does what reads it", async (t) => {
  const bench = new PipelineBench(t);
  const inexact = new TimedStore();
  addStore("timed", () => Promise.resolve({ createStore: () => inexact }));
  const pipe = `
    import { count, from, job, pipeline, text } from "sheaf";
    import { existsSync } from "node:fs";
    const a = job({ input: text(), map: (line) => [[line, 1]], reduce: count() });
    const b = job({
      input: from(a),
      map([line]) {
        if (!existsSync(${JSON.stringify(join(bench.root, "go"))})) throw new Error("not yet");
        return [[line.length, 1]];
      },
      reduce: count(),
    });
    export default pipeline({ a, b });`;
  const resumed = async (inputs: string) => {
    rmSync(join(bench.root, "go"), { force: true });
    assert.equal((await bench.pipeline(pipe, { inputs, overwrite: true })).status, "FAILED");
    bench.file("go", "");
    const again = await bench.resume();
    assert.equal(again.status, "SUCCEEDED", again.error?.report);
    return bench.ran();
  };
  inexact.set("timed://host/a.txt", "one\n");
  store.set("mem://bucket/exact/a.txt", "one\n");
  assert.deepEqual(await resumed("timed://host/a.txt"), {
    a: "nobody can tell whether its inputs have changed: timed://host/a.txt",
    b: "it was not done",
  });
  assert.deepEqual(await resumed("mem://bucket/exact/a.txt"), { b: "it was not done" });
});

test("a copy is gone on with only where the version says which bytes it is of", async (t) => {
  const bench = new PipelineBench(t);
  const inexact = new TimedStore();
  addStore("begun", () => Promise.resolve({ createStore: () => inexact }));
  const address = "begun://host/begun.txt";
  inexact.set(address, "right\n");
  const { version, bytes } = (await inexact.stat(address)) as StoredFile;
  const which = createHash("sha256")
    .update(JSON.stringify([address, version, bytes]))
    .digest("hex");
  // Of a transfer that was killed, when the file had other bytes and the same time and size.
  bench.file(`copies/.begun.txt.sheaf-part-${which.slice(0, 16)}`, "wro");
  const result = await bench.pipeline(transferring(address, "copies"));
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.equal(readFileSync(join(bench.root, "copies", "begun.txt"), "utf8"), "right\n");
});

test("what was transferred into a storage is not transferred again when another step failed", async (t) => {
  const bench = new PipelineBench(t);
  bench.file("data/a.txt", "one\n");
  const go = JSON.stringify(join(bench.root, "go"));
  const pipe = `
    import { count, from, job, pipeline, text, transfer } from "sheaf";
    import { existsSync } from "node:fs";
    const load = transfer({ from: "data", to: "mem://bucket/loaded", as: text() });
    const lines = job({
      input: from(load),
      map(line) {
        if (!existsSync(${go})) throw new Error("not yet");
        return [[line.length, 1]];
      },
      reduce: count(),
    });
    export default pipeline({ load, lines });`;
  const resumed = async () => {
    await bench.resume();
    return Object.keys(bench.ran());
  };
  assert.equal((await bench.pipeline(pipe)).status, "FAILED");
  assert.deepEqual(await resumed(), ["lines"]);
  store.set("mem://bucket/loaded/a.txt", "of another size\n");
  assert.deepEqual(await resumed(), ["load", "lines"]);
  assert.equal(store.files.get("mem://bucket/loaded/a.txt")!.toString(), "one\n");
  store.files.delete("mem://bucket/loaded/a.txt");
  bench.file("go", "");
  assert.deepEqual(await resumed(), ["load", "lines"]);
});
