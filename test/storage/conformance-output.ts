import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import type { PutFile, Store, StoreOutput } from "#src/storage/store.js";
import { readText } from "#src/storage/stored-output.js";
import { addStore, isStored, setStoreAccess } from "#src/storage/stores.js";
import { commitStaged } from "#src/storage/upload-output.js";
import { type Bench, httpProxy, readAll, statOf, type Tests } from "./conformance-bench.ts";
import { type Fault, startCutProxy, startFaultProxy } from "./fault-proxy.ts";
import { killWriters } from "./killed-writers.ts";
import { commitAll, content, type OutputFiles, outputFiles, putAll, smallFiles } from "./stored-files.ts";
import { successOf } from "./support.ts";

const KiB = 1024;
const SEED = 20261129;
const random = seededRandom(SEED);
const CANNOT = "it is not written";

export const outputTests: Tests = {
  "output is nowhere before its commit, and whole afterwards": async (bench, t) => {
    const { store, directory } = bench;
    if (store.output === undefined) return t.skip(CANNOT);
    const address = bench.at("out/plain/");
    await store.output(address, "job-1").check({});
    const put = await putAll(store, address, "job-1", outputFiles, directory);
    for (const { token } of put) assert.ok(token.length <= 64 * KiB);
    assert.equal(await store.stat(`${address}_SUCCESS`), null);
    assert.deepEqual(await namesIn(store, address), []);
    // By another process, for which it went over a wire.
    const wired = JSON.parse(JSON.stringify(put)) as PutFile[];
    await store.output(address, "job-1").commit(wired, {});
    await assertIs(store, address, outputFiles);
    await bench.nothingLeft();
    // Again, as after a crash of whoever did it.
    await store.output(address, "job-1").commit(wired, {});
    await assertIs(store, address, outputFiles);
    await store.output(address, "job-1").abort();
    await assertIs(store, address, outputFiles);
  },

  "output that exists is refused, or replaced when a job has written it": async (bench, t) => {
    const { store, subject, directory } = bench;
    if (store.output === undefined) return t.skip(CANNOT);
    const address = bench.at("out/replaced/");
    await commitAll(store, address, "job-2", outputFiles, directory);
    const other = store.output(address, "job-3");
    await assert.rejects(other.check({}), { code: "OUTPUT_EXISTS" });
    const keep = [`${address}byAge/part-00000.csv`];
    await assert.rejects(other.check({ overwrite: true, keep }), { code: "OUTPUT_UNWRITABLE" });
    const files: OutputFiles = [
      ["part-00000.csv", content(100, "new")],
      ["_SUCCESS", Buffer.from(successOf(["part-00000.csv"]))],
    ];
    await commitAll(store, address, "job-3", files, directory, true);
    await assertIs(store, address, files);
    await bench.nothingLeft();
    await subject.put("out/replaced/mine.txt", Buffer.from("mine"));
    const foreign = { code: "OUTPUT_UNWRITABLE", message: /mine\.txt/ };
    await assert.rejects(store.output(address, "job-4").check({ overwrite: true }), foreign);
    await subject.remove("out/replaced/mine.txt");
    await store.output(address, "job-4").check({ overwrite: true });
  },

  "output that appeared meanwhile is not replaced": async (bench, t) => {
    const { store, directory } = bench;
    if (store.output === undefined) return t.skip(CANNOT);
    const address = bench.at("out/raced/");
    const output = store.output(address, "job-4");
    await output.check({});
    const put = await putAll(store, address, "job-4", outputFiles, directory);
    const first: OutputFiles = [["_SUCCESS", Buffer.from(successOf([]))]];
    await commitAll(store, address, "job-5", first, directory);
    await assert.rejects(output.commit(put, {}), { code: "OUTPUT_EXISTS" });
    await output.abort();
    await assertIs(store, address, first);
    await bench.nothingLeft();
  },

  "what several processes have staged is placed by one, again after a crash, and the rest goes": async (
    bench,
    t,
  ) => {
    const { store, directory } = bench;
    if (store.output?.(bench.at("out/x/"), "x").stage === undefined) return t.skip("nothing is staged there");
    const address = bench.at("out/staged/");
    const of = (): StoreOutput => store.output!(address, "job-9");
    const local = (name: string, bytes: Buffer): string => {
      const path = join(directory, `stage-${name.replaceAll("/", "-")}`);
      writeFileSync(path, bytes);
      return path;
    };
    await of().check({});
    const files = outputFiles.filter(([name]) => name !== "_SUCCESS");
    const staged = await Promise.all(
      files.map(async ([name, bytes]) => [name, await of().stage!(local(name, bytes), undefined)] as const),
    );
    // Of an attempt that another one was faster than.
    await of().stage!(local("loser", content(70 * KiB)), undefined);
    for (const [, token] of staged) assert.ok(token.includes("job-9") && token.length <= KiB, token);
    assert.deepEqual(await namesIn(store, address), []);
    const success = outputFiles.find(([name]) => name === "_SUCCESS")![1].toString();
    const uploads = staged.map(([name, source]) => ({ name, source }));
    const place = { output: address, job: "job-9", overwrite: false };
    const stopped: string[] = [];
    const crash = (): void => {
      if (stopped.push("step") > 3) throw new Error("killed");
    };
    const { env, port, scheme, module } = bench.subject;
    if (!isStored(address)) addStore(scheme, () => Promise.resolve(module));
    setStoreAccess({ env: { ...process.env, ...env(port) }, fetch: null });
    try {
      await assert.rejects(commitStaged(uploads, success, { ...place, step: crash }), /killed/);
      for (let again = 0; again < 2; again++) {
        await commitStaged(uploads, success, place);
        await assertIs(store, address, outputFiles);
        await bench.nothingLeft();
      }
      const other = store.output!(address, "job-10");
      const [, strange] = staged[0]!;
      await assert.rejects(other.place!(strange, "part-00000.tsv", undefined), { code: "OUTPUT_UNWRITABLE" });
      await other.abort();
    } finally {
      setStoreAccess({ env: process.env, fetch: null });
    }
    // Nothing was committed: nothing is left.
    const given = store.output!(bench.at("out/unstaged/"), "job-11");
    await given.check({});
    await given.stage!(local("lost", content(100)), undefined);
    await store.output!(bench.at("out/unstaged/"), "job-11").abort();
    await bench.nothingLeft();
  },

  "what is given up leaves nothing": async (bench, t) => {
    const { store, directory } = bench;
    if (store.output === undefined) return t.skip(CANNOT);
    const address = bench.at("out/aborted/");
    const output = store.output(address, "job-6");
    await output.check({});
    await putAll(store, address, "job-6", outputFiles, directory);
    await store.output(address, "job-6").abort();
    await output.abort();
    assert.deepEqual(await namesIn(store, address), []);
    await bench.nothingLeft();
    await commitAll(store, address, "job-7", outputFiles, directory);
    await assertIs(store, address, outputFiles);
  },

  "uploads succeed in spite of 500, 503 and cut connections": async (bench, t) => {
    if (bench.store.output === undefined) return t.skip(CANNOT);
    const proxy = await httpProxy(bench, t);
    if (proxy === null) return;
    const kinds: Fault[] = [
      { kind: "answer", status: 500 },
      { kind: "answer", status: 503, headers: { "retry-after": "0" } },
      { kind: "cut", afterBytes: -1 },
    ];
    let number = 0;
    proxy.decide(() => (number++ % 4 === 1 ? kinds[(number >> 2) % 3]! : null));
    const address = bench.at("out/faults/", proxy.port);
    await commitAll(bench.through(proxy.port), address, "job-8", outputFiles, bench.directory);
    await assertIs(bench.store, bench.at("out/faults/"), outputFiles);
    await bench.nothingLeft();
  },

  "whoever is killed at any request leaves all or nothing, and the next one cleans": async (bench, t) => {
    const { store, subject, directory } = bench;
    if (store.output === undefined) return t.skip(CANNOT);
    if (subject.port === null) return t.skip("there is no server");
    const points = await wholeWay(bench, "out/killed/");
    assert.ok(points > 3);
    const kills = Array.from({ length: KILLS }, (_, i) => ({
      name: `out/killed-${i}/`,
      point: 1 + random.below(points),
      isSmall: i % 3 > 0,
    }));
    // Every second one is to replace an output.
    for (const [i, { name, isSmall }] of kills.entries())
      if (i % 2 === 1)
        await commitAll(
          store,
          bench.at(name),
          `job-before-${i}`,
          isSmall ? smallFiles : outputFiles,
          directory,
        );
    await killWriters(subject, directory, kills);
    for (const [i, { name, isSmall }] of kills.entries()) {
      const address = bench.at(name);
      // To whoever looks for _SUCCESS it is the earlier output, the new one (they are the same), or nothing;
      // or it is refused, where many steps make the commit.
      const there = await readText(store, `${address}_SUCCESS`).catch((error: unknown) => {
        if (isSheafError(error) && error.code === "INPUT_UNREADABLE") return null;
        throw error;
      });
      if (there !== null) await assertIs(store, address, isSmall ? smallFiles : outputFiles);
      await commitAll(store, address, `job-after-${i}`, smallFiles, directory, true);
      await assertIs(store, address, smallFiles);
    }
    await bench.nothingLeft();
  },
};

/** Of one storage. */
const KILLS = 6;

/** Commits an output through a proxy. @returns how many requests, or bytes from the server, there were */
async function wholeWay(bench: Bench, name: string): Promise<number> {
  const { subject, store, directory } = bench;
  const proxy =
    subject.http === false ? await startCutProxy(subject.port!) : await startFaultProxy(subject.port!);
  const through = bench.through(proxy.port);
  await commitAll(through, bench.at(name, proxy.port), "job-whole", outputFiles, directory);
  await assertIs(store, bench.at(name), outputFiles);
  const points = "seen" in proxy ? proxy.seen.length : proxy.passed();
  await proxy.close();
  return points;
}

async function assertIs(store: Store, address: string, files: OutputFiles): Promise<void> {
  assert.deepEqual(await namesIn(store, address), files.map(([name]) => name).toSorted());
  for (const [name, bytes] of files) {
    const found = await statOf(store, address + name);
    assert.ok((await readAll(store, found)).equals(bytes), name);
  }
}

/** All names below a directory, hidden ones too. */
async function namesIn(store: Store, address: string, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, kind } of store.entries!(address + prefix, undefined)) {
    if (kind === "file") names.push(prefix + name);
    else names.push(...(await namesIn(store, address, `${prefix}${name}/`)));
  }
  return names.toSorted();
}
