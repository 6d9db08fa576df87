import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { prepareFetch } from "#src/cli/deliver.js";
import { findJob } from "#src/engine/job-history.js";
import { planRetry } from "#src/runner/retry-bad.js";
import { addStore } from "#src/storage/stores.js";
import { sheafHere } from "../cli/support.ts";
import { MemoryStore } from "../storage/memory-store.ts";
import { Bench, wordCount } from "./support.ts";

/* Runs in this thread: the store of tests is nowhere else. */

let told: string[] = [];
let failing: ((what: string) => void) | null = null;
const store = new MemoryStore({
  request: (what) => {
    told.push(what);
    failing?.(what);
  },
});
const spelling = { canonical: (address: string) => address.replace(/^mema:/, "mem:") };
Object.assign(store, spelling);
for (const scheme of ["mem", "mema"]) addStore(scheme, () => Promise.resolve({ createStore: () => store }));

const texts = Array.from({ length: 400 }, (_, i) => `a${i % 7} b c${i % 3}\n`).join("");

function files(prefix: string): Record<string, string> {
  const found = [...store.files].filter(([address]) => address.startsWith(prefix));
  return Object.fromEntries(
    found.map(([address, bytes]) => [address.slice(prefix.length), bytes.toString()]),
  );
}

test("a run from a storage into a storage gives the bytes of one between files", async (t) => {
  const bench = new Bench(t);
  const options = { on: "inline", partitions: 3 } as const;
  const local = await bench.run(wordCount(), { ...options, inputs: bench.file("in.txt", texts + texts) });
  assert.equal(local.status, "SUCCEEDED", local.error?.report);
  store.set("mem://bucket/in/a.txt", texts);
  store.set("mem://bucket/in/b.txt.gz", gzipSync(texts));
  store.set("mem://bucket/in/_left.out", "nobody");
  const output = "mem://bucket/out/words";
  const shared = tmpdir();
  process.env["TMPDIR"] = join(bench.root, "tmp");
  mkdirSync(tmpdir());
  t.after(() => (process.env["TMPDIR"] = shared));
  const stored = await bench.run(wordCount(), { ...options, inputs: "mem://bucket/in/*", output });
  assert.equal(stored.status, "SUCCEEDED", stored.error?.report);
  assert.equal(stored.output, `${output}/`);
  assert.equal(stored.stats.recordsIn, 800);
  const written = files(`${output}/`);
  for (const { file } of stored.parts) {
    assert.equal(written[file], readFileSync(join(bench.output, file), "utf8"), file);
  }
  const manifest = JSON.parse(written["_SUCCESS"]!) as { parts: unknown };
  assert.deepEqual(manifest.parts, stored.parts);
  assert.deepEqual(Object.keys(written).toSorted(), ["_SUCCESS", ...stored.parts.map(({ file }) => file)]);
  assert.equal(store.pending.size, 0);
  assert.deepEqual(readdirSync(tmpdir()), []);
});

test("an output that exists is refused before anything runs, and replaced with overwrite", async (t) => {
  const bench = new Bench(t);
  const output = "mem://bucket/out/twice/";
  const options = { on: "inline", inputs: bench.file("in.txt", texts), output } as const;
  assert.equal((await bench.run(wordCount(), options)).status, "SUCCEEDED");
  const before = files(output);
  told = [];
  const refused = await bench.run(wordCount(), options);
  assert.equal(refused.error?.code, "OUTPUT_EXISTS");
  assert.ok(!told.includes("put"));
  const inside = await bench.run(wordCount(), { ...options, inputs: `${output}*.tsv`, overwrite: true });
  assert.equal(inside.error?.code, "OUTPUT_UNWRITABLE", "it would replace its input");
  assert.deepEqual(files(output), before);
  const other = bench.file("other.txt", "x\n");
  assert.equal(
    (await bench.run(wordCount(), { ...options, inputs: other, overwrite: true })).status,
    "SUCCEEDED",
  );
  assert.deepEqual(Object.keys(files(output)).toSorted(), ["_SUCCESS", "part-00000.tsv"]);
  store.set(`${output}notes.txt`, "mine");
  const foreign = await bench.run(wordCount(), { ...options, overwrite: true });
  assert.equal(foreign.error?.code, "OUTPUT_UNWRITABLE");
  assert.match(foreign.error!.message, /notes\.txt/);
});

test("whatever fails or stops a run, nothing of it is in the storage", async (t) => {
  const bench = new Bench(t);
  const output = "mem://bucket/out/failed/";
  const inputs = bench.file("in.txt", texts);
  const options = { on: "inline", inputs, output, partitions: 2 } as const;
  const thrown = await bench.run(wordCount({ reduce: 'throw new Error("no");' }), options);
  assert.equal(thrown.status, "FAILED");
  for (const at of ["put", "commit"]) {
    let count = 0;
    failing = (what) => {
      if (what === at && ++count === (at === "put" ? 2 : 1)) throw new Error("the server is on fire");
    };
    const failed = await bench.run(wordCount(), options);
    failing = null;
    assert.equal(failed.status, "FAILED", at);
    assert.deepEqual(files(output), {}, at);
    assert.equal(store.pending.size, 0, at);
  }
  const stop = new AbortController();
  failing = (what) => (what === "put" ? stop.abort() : undefined);
  const stopped = await bench.run(wordCount(), { ...options, signal: stop.signal });
  failing = null;
  assert.equal(stopped.status, "CANCELLED");
  assert.deepEqual(files(output), {});
  assert.equal(store.pending.size, 0);
});

test("a file that changes between planning and reading fails the run", async (t) => {
  const bench = new Bench(t);
  store.set("mem://bucket/changing.txt", texts);
  let reads = 0;
  failing = (what) => {
    if (what === "read" && ++reads === 2) store.set("mem://bucket/changing.txt", texts.replaceAll("a", "z"));
  };
  const inputs = "mem://bucket/changing.txt";
  const failed = await bench.run(wordCount(), { on: "inline", inputs, attempts: 2 });
  failing = null;
  assert.equal(failed.error?.code, "INPUT_CHANGED", failed.error?.report);
  assert.match(failed.error!.message, /mem:\/\/bucket\/changing\.txt/);
});

test("an incremental run takes over what has the same version, and reads what has another", async (t) => {
  const bench = new Bench(t);
  for (const name of ["a", "b", "c"]) store.set(`mem://bucket/inc/${name}`, `${name} x\n`);
  const options = { on: "inline", inputs: "mem://bucket/inc/", incremental: true } as const;
  const first = await bench.run(wordCount(), options);
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  store.set("mem://bucket/inc/b", "b y y\n");
  const second = await bench.run(wordCount(), options);
  assert.equal(second.incremental?.kept.tasks, 2);
  assert.equal(second.incremental?.mappedTasks, 1);
  assert.deepEqual(bench.lines(), ["a\t1", "b\t1", "c\t1", "x\t2", "y\t2"]);
});

test("an output in a storage is not made again with once, as long as it is what it was", async (t) => {
  const bench = new Bench(t);
  const output = "mem://bucket/out/once/";
  const inputs = bench.file("in.txt", texts);
  const options = { on: "inline", inputs, output, partitions: 2, once: true } as const;
  const first = await bench.run(wordCount(), options);
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  const again = async (more: object = {}) => bench.run(wordCount(), { ...options, ...more });
  const same = await again();
  assert.equal(same.sameAs, first.jobId, same.error?.report);
  assert.deepEqual([same.parts, same.counters], [first.parts, first.counters]);
  assert.equal((await again({ params: {}, partitions: 1 })).error?.code, "OUTPUT_EXISTS");
  const before = new Map([...store.files].filter(([address]) => address.startsWith(output)));
  const [part] = [...before.keys()].filter((address) => address.endsWith("part-00001.tsv"));
  const bytes = before.get(part!)!;
  const damages: [string, () => void][] = [
    ["a byte", () => store.set(part!, bytes.toString().replace("\t", "\t1").slice(0, bytes.length))],
    ["a size", () => store.set(part!, `${bytes.toString()}x`)],
    ["a file", () => store.files.delete(part!)],
    ["_SUCCESS", () => store.files.delete(`${output}_SUCCESS`)],
  ];
  for (const [what, damage] of damages) {
    damage();
    assert.equal((await again()).error?.code, "OUTPUT_EXISTS", what);
    for (const [address, content] of before) store.set(address, content);
    assert.equal((await again()).sameAs, first.jobId, what);
  }
  for (const address of before.keys()) store.files.delete(address);
  const anew = await again();
  assert.deepEqual([anew.status, anew.sameAs], ["SUCCEEDED", null]);
  assert.equal(files(output)["part-00001.tsv"], bytes.toString());
});

test("an incremental run keeps in a storage what the next one takes over, and both commit as one", async (t) => {
  const bench = new Bench(t);
  const output = "mem://bucket/out/days/";
  const day = (number: number, word: string): void =>
    store.set(`mem://bucket/days/${number}.txt`, `${word} x\n`);
  for (let number = 0; number < 4; number++) day(number, `w${number}`);
  const options = { on: "inline", inputs: "mem://bucket/days/", partitions: 2, maxBad: 9 } as const;
  const job = wordCount({ map: 'if (line.startsWith("bad")) throw new Error("no");' });
  const go = (more: object = {}) => bench.run(job, { ...options, output, incremental: true, ...more });
  const first = await go();
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  assert.match(first.incremental!.full!, /nothing is kept/);
  const asFull = async (): Promise<void> => {
    const full = await bench.run(job, { ...options, overwrite: true });
    assert.equal(full.status, "SUCCEEDED", full.error?.report);
    const { lines } = bench;
    const written = files(output);
    const all = Object.keys(written).filter((name) => name.endsWith(".tsv"));
    assert.deepEqual(
      all.flatMap((name) => written[name]!.split("\n").slice(0, -1)).toSorted(),
      lines.call(bench).toSorted(),
    );
  };
  await asFull();
  day(1, "bad");
  day(4, "w4");
  // Whatever is cut off leaves the output that there was, with what belongs to it.
  const before = files(output);
  for (const at of ["put", "commit"]) {
    failing = (what) => {
      if (what === at) throw new Error("the server is on fire");
    };
    assert.equal((await go()).status, "FAILED", at);
    failing = null;
    assert.deepEqual(files(output), before, at);
  }
  const second = await go();
  assert.deepEqual([second.incremental?.kept.tasks, second.incremental?.mappedTasks], [3, 2]);
  assert.deepEqual([second.incremental?.full, second.badRecords], [null, 1]);
  assert.ok(files(output)["_bad/part-00000.jsonl"]!.includes("bad x"));
  await asFull();
  // A kept map with bad records is taken over with them.
  day(5, "w5");
  const third = await go();
  assert.deepEqual([third.incremental?.kept.tasks, third.badRecords], [5, 1]);
  await asFull();
  // What is damaged, missing or another's is mapped again.
  const runs = Object.keys(files(output)).filter((name) => name.endsWith(".run"));
  assert.equal(runs.length, 5);
  store.set(`${output}${runs[0]}`, store.files.get(`${output}${runs[1]}`)!);
  store.files.delete(`${output}${runs[2]}`);
  const fourth = await go();
  assert.deepEqual([fourth.status, fourth.incremental?.kept.tasks], ["SUCCEEDED", 4]);
  await asFull();
  store.set(`${output}_state/state.json`, "{}");
  const last = await go();
  assert.match(last.incremental!.full!, /what is kept/);
  await asFull();
  assert.equal(store.pending.size, 0);
});

test("what cannot be an output, or goes with none in a storage, is refused by name", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "x\n");
  const cases: [object, RegExp][] = [
    [{ output: "http://localhost:1/out" }, /can only be read/],
    [{ output: "mem://bucket" }, /no directory of the storage/],
    [{ output: "mem://bucket//" }, /no directory of the storage/],
    [{ output: "gs://bucket/out" }, /sheaf knows no gs:\/\//],
    [{ output: "mem://u:secret@bucket/out" }, /with a user and password in it/],
    [{ inputs: "mem://u:secret@bucket/in" }, /with a user and password in it/],
  ];
  for (const [options, message] of cases) {
    const told = await bench.run(wordCount(), { on: "inline", inputs, ...options }).then(
      ({ error }) => error,
      (error: unknown) => error as Error,
    );
    assert.match(String(told?.message), message);
    assert.ok(!JSON.stringify(told).includes("secret"));
  }
});

test("an address is an output, or is refused; it never becomes a directory of this machine", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in/in.txt", texts);
  const file = bench.file("job.ts", wordCount());
  const fetch = { print: undefined, collect: undefined, json: undefined, overwrite: undefined };
  const fetched = await prepareFetch({ ...fetch, output: "mem://bucket/fetched" }, bench.root);
  assert.equal(fetched.output, "mem://bucket/fetched/");
  assert.equal(fetched.wishes.output?.path, "mem://bucket/fetched/");
  store.set("mem://bucket/fetched/x", "there");
  const again = prepareFetch({ ...fetch, output: "mem://bucket/fetched" }, bench.root);
  await assert.rejects(again, { code: "OUTPUT_EXISTS" });
  const there = await prepareFetch({ ...fetch, output: "there" }, bench.root);
  assert.equal(there.output, join(bench.root, "there"));

  for (const option of ["materialize", "tempDirectory", "stateDirectory"] as const) {
    const options = { on: "inline", inputs, [option]: "mem://bucket/kept" } as const;
    const refused = await bench.run(wordCount(), options).catch((error: unknown) => ({ error }));
    const { code, message } = refused.error as { code: string; message: string };
    assert.equal(code, "USAGE", option);
    assert.match(message, new RegExp(`^${option}: mem://bucket/kept is an address`));
  }
  const before = readdirSync(bench.root);
  for (const args of [
    ["watch", "in", file, "-o", "s3://bucket/out", "--drain"],
    ["watch", "in", file, "-o", "s3://bucket/out", "--incremental", "--drain"],
    ["watch", "s3://bucket/in", file, "-o", "out", "--drain"],
    ["gen", "text", "s3://bucket/out", "--size", "1KiB"],
    ["run", file, "in", "-o", "out", "--temp", "s3://bucket/temp"],
    ["verify", file, "in", "--temp", "s3://bucket/temp"],
  ]) {
    const { code, stderr } = await sheafHere(args, { cwd: bench.root });
    assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, /s3:\/\/bucket\/\w+ is an address, and this has to be a path/);
  }
  assert.deepEqual(readdirSync(bench.root), before);
});

test("bad records of a file that is another version by now are not retried", async (t) => {
  const bench = new Bench(t);
  const address = "mem://bucket/bad/in.txt";
  const job = wordCount({ map: 'if (line.startsWith("bad")) throw new Error("no");' });
  store.set(address, "a b\nbad c\n");
  const ran = await bench.run(job, { on: "inline", inputs: "mem://bucket/bad/", maxBad: 1 });
  assert.equal(ran.badRecords, 1, ran.error?.report);
  const kept = await findJob(bench.state, "@");
  const { files: chosen } = (await planRetry(kept, bench.root)).only!;
  assert.deepEqual(
    chosen.map(({ path, offsets }) => [path, offsets]),
    [[address, [4]]],
  );
  store.set(address, "x y\ngood\n");
  const message = `${address} has changed since the job has read it`;
  await assert.rejects(planRetry(kept, bench.root), { code: "INPUT_CHANGED", message });
  store.files.delete(address);
  await assert.rejects(planRetry(kept, bench.root), { code: "INPUT_CHANGED", message: `${address} is gone` });
});

test("an output does not replace its inputs, whichever spelling each has", async (t) => {
  const bench = new Bench(t);
  const first = { on: "inline", inputs: bench.file("in.txt", texts), output: "mema://bucket/both/" } as const;
  assert.equal((await bench.run(wordCount(), first)).status, "SUCCEEDED");
  const before = files("mem://bucket/both/");
  assert.deepEqual(Object.keys(before).length > 1, true);
  for (const [inputs, output] of [
    ["mem://bucket/both/*.tsv", "mema://bucket/both"],
    ["mema://bucket/both/*.tsv", "mem://bucket/both"],
    ["mema://bucket/both/", "mema://bucket/both"],
    // What lies in the output shows when the files are listed.
    ["mem://bucket/b?th/", "mema://bucket/both"],
  ] as const) {
    const options = { on: "inline", inputs, output, overwrite: true } as const;
    const refused = await bench.run(wordCount(), options);
    assert.equal(refused.error?.code, "OUTPUT_UNWRITABLE", `${inputs} ${output}: ${refused.error?.report}`);
    assert.deepEqual(files("mem://bucket/both/"), before);
  }
});
