import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import { FaultProxy } from "../net/fault-proxy.js";
import type { Content, Machine } from "./support.js";
import {
  ask,
  assertInputs,
  job,
  machine,
  OutputList,
  randomContent,
  shuffleKey,
  tempDir,
} from "./support.js";

const content = (text: string): Content => [[Buffer.from(text)]];

/** Waits until it is so; fails after ten seconds. */
async function until(what: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!what()) {
    assert.ok(performance.now() < end, `never so: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function expect(reader: Machine, maps: number, reduces: readonly number[]): void {
  reader.node.prepared({
    job,
    directory: reader.directory,
    shuffleKey,
    maps,
    expected: reduces.map((partition) => ({ task: partition, collection: 0, partition })),
  });
}

async function agents(
  t: TestContext,
  maps: number,
): Promise<{ list: OutputList; server: Machine; reader: Machine; proxy: FaultProxy }> {
  const list = new OutputList();
  const server = await machine(t, maps, { agent: "b" });
  const proxy = await FaultProxy.start(t, server.node.address);
  const reader = await machine(t, maps, { list });
  return { list, server, reader, proxy };
}

describe("early fetches", () => {
  test("what is expected is fetched as maps finish, and not again when it is ordered", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 3);
    expect(reader, 3, [0, 1]);
    const all: Content[] = [];
    for (const task of [1, 0, 2]) {
      all[task] = content(`map ${task}`);
      server.map(task, 1, [all[task], content("other")]);
      list.put({ task, address: proxy.url });
      reader.node.outputsGrew(job, list.entries.length);
      // One answer for each of the two.
      await until(() => proxy.exchanges === list.entries.length * 2);
    }
    assertInputs(await ask(reader.node, 0, { version: 3 }), all);
    assert.equal((await ask(reader.node, 1, { version: 3, partition: 1 })).kind, "inputs");
    assert.equal(proxy.exchanges, 6);
  });

  test("one that fails early is tried again when it is ordered", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("a")]);
    proxy.plan = () => ({ kind: "cut", after: 0 });
    list.put({ task: 0, address: proxy.url });
    expect(reader, 1, [0]);
    reader.node.outputsGrew(job, 1);
    await until(() => proxy.exchanges === 3);
    proxy.plan = () => ({ kind: "none" });
    assertInputs(await ask(reader.node, 0, { version: 1 }), [content("a")]);
    assert.equal(proxy.exchanges, 4);
  });

  test("many maps that finish together cost few requests", async (t) => {
    const maps = 300;
    const { list, server, reader, proxy } = await agents(t, maps);
    const all = Array.from({ length: maps }, (_, task) => content(`map ${task}`));
    for (const [task, one] of all.entries()) server.map(task, 1, [one]);
    for (let task = 0; task < maps; task++) list.put({ task, address: proxy.url });
    assertInputs(await ask(reader.node, 0, { version: maps }), all);
    assert.ok(proxy.exchanges <= 3, `${proxy.exchanges} requests`);
    const files = readdirSync(join(reader.directory, "fetched"), { recursive: true, withFileTypes: true });
    assert.equal(files.filter((file) => file.isFile()).length, 1);
    for (const file of files.filter((one) => one.isFile()))
      assert.equal(statSync(join(file.parentPath, file.name)).mode & 0o777, 0o600);
  });

  test("what was fetched goes when the reduce has ended, and all of it with the job", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("a"), content("b")]);
    list.put({ task: 0, address: proxy.url });
    await ask(reader.node, 0, { version: 1 });
    await ask(reader.node, 1, { version: 1, partition: 1 });
    const fetched = join(reader.directory, "fetched");
    assert.equal(readdirSync(fetched).length, 2);
    reader.node.reduceEnded(job, 0);
    await until(() => readdirSync(fetched).length === 1);
    const gone = ask(reader.node, 5, { version: 9 }).catch((error: unknown) => error);
    await reader.node.forget(job);
    assert.ok(isSheafError(await gone));
    await assert.rejects(ask(reader.node, 1, { version: 1 }), { code: "NOT_FOUND" });
  });

  test("S15: what a crashed agent left is removed, never used", async (t) => {
    const { reader } = await agents(t, 1);
    const directory = join(tempDir(t), "again");
    mkdirSync(join(directory, "fetched", "reduce-00000-0"), { recursive: true });
    writeFileSync(join(directory, "fetched", "reduce-00000-0", "0.pack"), "stale");
    reader.node.prepared({ job: "job-2", directory, shuffleKey, maps: 1, expected: [] });
    assert.ok(!existsSync(join(directory, "fetched")));
  });
});

describe("the list of map outputs", () => {
  test("a later attempt of a map stands for the earlier one", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 2);
    server.map(0, 1, [content("first")]);
    server.map(0, 2, [content("second")]);
    server.map(1, 1, [content("other")]);
    list.put({ task: 0, address: proxy.url });
    list.put({ task: 1, address: proxy.url });
    assertInputs(await ask(reader.node, 0, { version: 2 }), [content("first"), content("other")]);
    list.put({ task: 0, agent: null, address: null });
    list.put({ task: 0, attempt: 2, address: proxy.url });
    const inputs = await ask(reader.node, 0, { version: 4 });
    assertInputs(inputs, [content("second"), content("other")]);
    assert.deepEqual(inputs.kind === "inputs" && inputs.inputs.map(({ attempt }) => attempt), [2, 1]);
  });

  test("N4: a lost output that was fetched before is used; one that was not is unreadable", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("kept"), content("not fetched")]);
    list.put({ task: 0, address: proxy.url });
    assertInputs(await ask(reader.node, 0, { version: 1 }), [content("kept")]);
    list.put({ task: 0, agent: null, address: null });
    assertInputs(await ask(reader.node, 0, { version: 2 }), [content("kept")]);
    const other = await ask(reader.node, 1, { version: 2, partition: 1 });
    assert.equal(other.kind === "unreadable" && other.task, 0);
  });

  test("a loss while a reduce waits for it ends the waiting", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("a")]);
    proxy.plan = () => ({ kind: "swallow" });
    list.put({ task: 0, address: proxy.url });
    const waiting = ask(reader.node, 0, { version: 1 });
    await until(() => proxy.exchanges === 1);
    list.put({ task: 0, agent: null, address: null });
    reader.node.outputsGrew(job, 2);
    const inputs = await waiting;
    assert.equal(inputs.kind, "unreadable");
  });

  test("own outputs are used where they are; maps without output are left out", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 4);
    const path = reader.map(0, 1, [content("own")]);
    server.map(1, 1, [content("other's")]);
    server.map(2, 1, [[], content("of another partition")]);
    list.put({ task: 0, agent: "a", address: reader.node.address });
    list.put({ task: 1, address: proxy.url });
    list.put({ task: 2, address: proxy.url });
    list.put({ task: 3, address: null });
    const inputs = await ask(reader.node, 0, { version: 4 });
    assertInputs(inputs, [content("own"), content("other's"), [], []]);
    assert.deepEqual(inputs.kind === "inputs" && inputs.inputs.map(({ task }) => task), [0, 1]);
    assert.equal(inputs.kind === "inputs" && inputs.inputs[0]!.path, path);
    reader.node.drop(job, 0, 1);
    const later = await ask(reader.node, 0, { version: 4 });
    assert.equal(later.kind === "unreadable" && later.task, 0);
  });

  test("outputs of an earlier life of this agent are not taken for its own", async (t) => {
    const { list, reader } = await agents(t, 1);
    reader.map(0, 1, [content("own")]);
    list.put({ task: 0, agent: "a", incarnation: 0, address: "http://127.0.0.1:1" });
    assert.equal((await ask(reader.node, 0, { version: 1 })).kind, "unreadable");
  });

  test("a map that the list does not name is never left out in silence", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 2);
    server.map(0, 1, [content("a")]);
    list.put({ task: 0, address: proxy.url });
    await assert.rejects(ask(reader.node, 0, { version: 1 }), { code: "INTERNAL" });
    await assert.rejects(ask(reader.node, 0, { version: 5 }), { code: "INTERNAL" });
  });

  test("is read once for many who wait, and again when it has grown meanwhile", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("a")]);
    list.put({ task: 0, address: proxy.url });
    await Promise.all([0, 1, 2, 3].map((task) => ask(reader.node, task, { version: 1 })));
    assert.equal(list.reads, 1);
    list.put({ task: 0, attempt: 1, address: proxy.url });
    await ask(reader.node, 0, { version: 2 });
    assert.equal(list.reads, 2);
  });
});

describe("this machine", () => {
  test("a reduce that is killed while it waits hears its signal's reason, and leaves what it has", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [content("a")]);
    list.put({ task: 0, address: proxy.url });
    proxy.plan = () => ({ kind: "swallow" });
    const killer = new AbortController();
    const waiting = ask(reader.node, 0, { version: 1, signal: killer.signal });
    await until(() => proxy.exchanges === 1);
    killer.abort(new Error("killed"));
    await assert.rejects(waiting, /killed/);
    await assert.rejects(ask(reader.node, 0, { version: 1, signal: killer.signal }), /killed/);
  });

  test("those who wait hear when bytes arrive", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 1);
    server.map(0, 1, [randomContent(seededRandom(3), 1, 8, 100_000)]);
    list.put({ task: 0, address: proxy.url });
    let moves = 0;
    await ask(reader.node, 0, { version: 1, moved: () => moves++ });
    assert.ok(moves > 1);
  });

  test("S9: a disk that takes no more fails the reduce, naming it, and nothing is lost when there is room", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 2);
    const all = [content("a"), content("b")];
    for (const [task, one] of all.entries()) server.map(task, 1, [one]);
    for (const task of all.keys()) list.put({ task, address: proxy.url });
    // A directory in which nothing can be made: there is a file in its place.
    const fetched = join(reader.directory, "fetched");
    writeFileSync(fetched, "");
    await assert.rejects(ask(reader.node, 0, { version: 2 }), (error) => {
      assert.ok(isSheafError(error));
      assert.match(error.message, /fetched/);
      return true;
    });
    rmSync(fetched);
    assertInputs(await ask(reader.node, 0, { version: 2 }), all);
  });

  test("S9: ENOSPC while slices are written: named, and all are fetched when there is room", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 40);
    const random = seededRandom(5);
    const all = Array.from({ length: 40 }, () => randomContent(random, 1, 2, 60_000));
    for (const [task, one] of all.entries()) server.map(task, 1, [one]);
    for (const task of all.keys()) list.put({ task, address: proxy.url });
    const directory = join(reader.directory, "fetched", "reduce-00000-0");
    mkdirSync(directory, { recursive: true });
    const pack = join(directory, "0.pack");
    symlinkSync("/dev/full", pack);
    await assert.rejects(ask(reader.node, 0, { version: 40 }), (error) => {
      assert.ok(isSheafError(error));
      assert.deepEqual([error.code, error.details["path"]], ["DISK_FULL", pack]);
      assert.equal(error.details["errno"], "ENOSPC");
      return true;
    });
    rmSync(pack);
    assertInputs(await ask(reader.node, 0, { version: 40 }), all);
  });

  test("a pack that turns out damaged here is fetched again, twice; then it is left to the scheduler", async (t) => {
    const { list, server, reader, proxy } = await agents(t, 2);
    const all = [content("a"), content("b")];
    for (const [task, one] of all.entries()) server.map(task, 1, [one]);
    for (const task of all.keys()) list.put({ task, address: proxy.url });
    for (const again of [true, true, false]) {
      const inputs = await ask(reader.node, 0, { version: 2 });
      assertInputs(inputs, all);
      const { path } = (inputs.kind === "inputs" ? inputs.inputs[0] : undefined)!;
      writeFileSync(path!, readFileSync(path!).fill(0));
      assert.equal(reader.node.damaged(job, path!), again);
      assert.equal(reader.node.damaged(job, "/nowhere/x.pack"), false);
    }
    assert.equal(proxy.exchanges, 3);
    const own = reader.map(1, 2, [content("x")]);
    assert.equal(reader.node.damaged(job, own), false);
  });
});
