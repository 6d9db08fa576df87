import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import type { PutFile, Store } from "#src/storage/store.js";
import { readText } from "#src/storage/stored-output.js";
import { type Bench, httpProxy, readAll, statOf, type Tests } from "./conformance-bench.ts";
import { type Fault, startCutProxy, startFaultProxy } from "./fault-proxy.ts";
import { commitAll, content, type OutputFiles, outputFiles, putAll } from "./stored-files.ts";
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
    const address = bench.at("out/killed/");
    const requests = await killedAt(bench, null);
    assert.ok(requests > 3);
    await assertIs(store, address, outputFiles);
    for (let i = 0; i < KILLS; i++) {
      const point = 1 + random.below(requests);
      await killedAt(bench, point);
      // To whoever looks for _SUCCESS it is the earlier output, the new one (they are the same), or nothing;
      // or it is refused, where many steps make the commit.
      const there = await readText(store, `${address}_SUCCESS`).catch((error: unknown) => {
        if (isSheafError(error) && error.code === "INPUT_UNREADABLE") return null;
        throw error;
      });
      if (there !== null) await assertIs(store, address, outputFiles);
      await commitAll(store, address, `job-after-${i}`, outputFiles, directory, true);
      await assertIs(store, address, outputFiles);
      await bench.nothingLeft();
    }
  },
};

/** Of one storage; each starts a process. */
const KILLS = 6;

/**
 * A process commits an output, and is killed at a request, or at a byte where the server speaks no HTTP.
 * @param point null: it is not killed
 * @returns how many requests, or bytes, there were
 */
async function killedAt({ subject, directory }: Bench, point: number | null): Promise<number> {
  const job = `job-killed-${point ?? "never"}`;
  const start = (port: number): ChildProcess =>
    spawn(
      process.execPath,
      [
        "--enable-source-maps",
        fileURLToPath(new URL("./commit-process.js", import.meta.url)),
        subject.address("out/killed/", port),
        job,
        directory,
      ],
      { env: { ...process.env, ...subject.env(port) }, stdio: ["ignore", "ignore", "inherit"] },
    );
  if (subject.http === false) {
    const proxy = await startCutProxy(subject.port!);
    const child = start(proxy.port);
    if (point !== null) proxy.cutAfter(point, () => child.kill("SIGKILL"));
    await once(child, "exit");
    await proxy.close();
    return proxy.passed();
  }
  const proxy = await startFaultProxy(subject.port!);
  const child = start(proxy.port);
  proxy.decide(({ number }) => {
    if (point === null || number < point) return null;
    child.kill("SIGKILL");
    return { kind: "cut", afterBytes: -1 };
  });
  const [code] = (await once(child, "exit")) as [number | null];
  await proxy.close();
  if (point === null) assert.equal(code, 0);
  return proxy.seen.length;
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
