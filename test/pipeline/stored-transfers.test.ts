import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { registerStore } from "#src/storage/stores.js";
import { MemoryStore } from "../storage/memory-store.ts";
import { PipelineBench } from "./support.ts";

let failing: ((what: string, address: string) => void) | null = null;
const store = new MemoryStore({ request: (what, address) => failing?.(what, address) });
registerStore("mem", () => Promise.resolve({ createStore: () => store }));

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

test("names that lead out of a directory are not transferred into it", async (t) => {
  const bench = new PipelineBench(t);
  store.set("mem://bucket/evil//out.txt", "out\n");
  const result = await bench.pipeline(transferring("mem://bucket/evil/", "copies"));
  assert.match(result.error!.message, /has a name that no file can have here/);
});
