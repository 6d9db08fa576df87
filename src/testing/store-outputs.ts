import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KiB } from "../base/size.ts";
import type { PutFile, Store, StoreOutput } from "../storage/store.ts";
import { placeStaged } from "../storage/upload-output.ts";
import type { Fault } from "./fault-proxy.ts";
import { type Checks, noHttp, readAll, statOf } from "./store-bench.ts";
import { commitAll, content, type SampleFiles, sampleFiles, putAll, successFile } from "./store-files.ts";

const CANNOT = "it is not written";

/** Putting, committing, giving up. */
export const outputChecks: Checks = {
  "output is nowhere before its commit, and whole afterwards": async (bench) => {
    const { store, directory } = bench;
    if (store.output === undefined) return CANNOT;
    const address = bench.at("out/plain/");
    await store.output(address, "job-1").check({});
    const put = await putAll(store, address, "job-1", sampleFiles, directory);
    for (const { token } of put) assert.ok(token.length <= 64 * KiB);
    assert.equal(await store.stat(`${address}_SUCCESS`), null);
    assert.deepEqual(await namesIn(store, address), []);
    // By another process, for which it went over a wire.
    const wired = JSON.parse(JSON.stringify(put)) as PutFile[];
    await store.output(address, "job-1").commit(wired, {});
    await assertIs(store, address, sampleFiles);
    await bench.nothingLeft();
    // Again, as after a crash of whoever did it.
    await store.output(address, "job-1").commit(wired, {});
    await assertIs(store, address, sampleFiles);
    await store.output(address, "job-1").abort();
    await assertIs(store, address, sampleFiles);
  },

  "output that exists is refused, or replaced when a job has written it": async (bench) => {
    const { store, subject, directory } = bench;
    if (store.output === undefined) return CANNOT;
    const address = bench.at("out/replaced/");
    await commitAll(store, address, "job-2", sampleFiles, directory);
    const other = store.output(address, "job-3");
    await assert.rejects(other.check({}), { code: "OUTPUT_EXISTS" });
    const keep = [`${address}byAge/part-00000.csv`];
    await assert.rejects(other.check({ overwrite: true, keep }), { code: "OUTPUT_UNWRITABLE" });
    const files: SampleFiles = [
      ["part-00000.csv", content(100, "new")],
      ["_SUCCESS", Buffer.from(successFile(["part-00000.csv"]))],
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

  "output that appeared meanwhile is not replaced": async (bench) => {
    const { store, directory } = bench;
    if (store.output === undefined) return CANNOT;
    const address = bench.at("out/raced/");
    const output = store.output(address, "job-4");
    await output.check({});
    const put = await putAll(store, address, "job-4", sampleFiles, directory);
    const first: SampleFiles = [["_SUCCESS", Buffer.from(successFile([]))]];
    await commitAll(store, address, "job-5", first, directory);
    await assert.rejects(output.commit(put, {}), { code: "OUTPUT_EXISTS" });
    await output.abort();
    await assertIs(store, address, first);
    await bench.nothingLeft();
  },

  "what several processes have staged is placed by one, again after a crash, and the rest goes": async (
    bench,
  ) => {
    const { store, directory } = bench;
    if (store.output?.(bench.at("out/x/"), "x").stage === undefined) return "nothing is staged there";
    const address = bench.at("out/staged/");
    const of = (): StoreOutput => store.output!(address, "job-9");
    const local = (name: string, bytes: Buffer): string => {
      const path = join(directory, `stage-${name.replaceAll("/", "-")}`);
      writeFileSync(path, bytes);
      return path;
    };
    await of().check({});
    const files = sampleFiles.filter(([name]) => name !== "_SUCCESS");
    const staged = await Promise.all(
      files.map(async ([name, bytes]) => [name, await of().stage!(local(name, bytes), undefined)] as const),
    );
    // Of an attempt that another one was faster than.
    await of().stage!(local("loser", content(70 * KiB)), undefined);
    for (const [, token] of staged) assert.ok(token.includes("job-9") && token.length <= KiB, token);
    assert.deepEqual(await namesIn(store, address), []);
    const success = sampleFiles.find(([name]) => name === "_SUCCESS")![1].toString();
    const uploads = staged.map(([name, source]) => ({ name, source }));
    const place = { output: address, job: "job-9", overwrite: false };
    const commit = (step?: () => void): Promise<void> =>
      placeStaged(store, uploads, success, step === undefined ? place : { ...place, step });
    const stopped: string[] = [];
    const crash = (): void => {
      if (stopped.push("step") > 3) throw new Error("killed");
    };
    await assert.rejects(commit(crash), /killed/);
    for (let again = 0; again < 2; again++) {
      await commit();
      await assertIs(store, address, sampleFiles);
      await bench.nothingLeft();
    }
    const other = store.output(address, "job-10");
    const [, strange] = staged[0]!;
    await assert.rejects(other.place!(strange, "part-00000.tsv", undefined), { code: "OUTPUT_UNWRITABLE" });
    await other.abort();
    // Nothing was committed: nothing is left.
    const given = store.output!(bench.at("out/unstaged/"), "job-11");
    await given.check({});
    await given.stage!(local("lost", content(100)), undefined);
    await store.output!(bench.at("out/unstaged/"), "job-11").abort();
    await bench.nothingLeft();
  },

  "notes are for all processes of a job, and go with it": async (bench) => {
    const { store } = bench;
    const of = (job: string, name = "out/noted/"): StoreOutput => store.output!(bench.at(name), job);
    if (store.output === undefined || of("x").note === undefined) return "no notes are kept there";
    await of("job-12").check({});
    const text = "ünïcödé\n".repeat(1_000);
    await of("job-12").note!("notes-1.json", "earlier");
    await of("job-12").note!("notes-1.json", text);
    await of("job-12").note!("empty.json", "");
    assert.equal(await of("job-12").noted!("notes-1.json"), text);
    assert.equal(await of("job-12").noted!("empty.json"), "");
    for (const other of [of("job-12").noted!("notes-2.json"), of("job-13").noted!("notes-1.json")])
      assert.equal(await other, null);
    assert.deepEqual(await namesIn(store, bench.at("out/noted/")), []);
    const success = Buffer.from(successFile([]));
    const put = await of("job-12").put(success, "_SUCCESS", undefined);
    await of("job-12").commit([put], {});
    await assertIs(store, bench.at("out/noted/"), [["_SUCCESS", success]]);
    assert.equal(await of("job-12").noted!("notes-1.json"), null);
    await of("job-14", "out/unnoted/").check({});
    await of("job-14", "out/unnoted/").note!("notes-1.json", text);
    await of("job-14", "out/unnoted/").abort();
    assert.equal(await of("job-14", "out/unnoted/").noted!("notes-1.json"), null);
    await bench.nothingLeft();
  },

  "what is given up leaves nothing": async (bench) => {
    const { store, directory } = bench;
    if (store.output === undefined) return CANNOT;
    const address = bench.at("out/aborted/");
    const output = store.output(address, "job-6");
    await output.check({});
    await putAll(store, address, "job-6", sampleFiles, directory);
    await store.output(address, "job-6").abort();
    await output.abort();
    assert.deepEqual(await namesIn(store, address), []);
    await bench.nothingLeft();
    await commitAll(store, address, "job-7", sampleFiles, directory);
    await assertIs(store, address, sampleFiles);
  },

  "uploads succeed in spite of 500, 503 and cut connections": async (bench) => {
    if (bench.store.output === undefined) return CANNOT;
    const proxy = await bench.proxy();
    if (proxy === null) return noHttp;
    const kinds: Fault[] = [
      { kind: "answer", status: 500 },
      { kind: "answer", status: 503, headers: { "retry-after": "0" } },
      { kind: "cut", afterBytes: -1 },
    ];
    let number = 0;
    proxy.decide(() => (number++ % 4 === 1 ? kinds[(number >> 2) % 3]! : null));
    const address = bench.at("out/faults/", proxy.port);
    await commitAll(bench.through(proxy.port), address, "job-8", sampleFiles, bench.directory);
    await assertIs(bench.store, bench.at("out/faults/"), sampleFiles);
    await bench.nothingLeft();
  },
};

/** The output is these files, and nothing else. */
export async function assertIs(store: Store, address: string, files: SampleFiles): Promise<void> {
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
