import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isSheafError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { KiB } from "../base/size.ts";
import { listInput } from "../storage/list-input.ts";
import { listStored } from "../storage/list-stored.ts";
import { type Fault, type Seen, startCutProxy } from "./fault-proxy.ts";
import { type Checks, noHttp, openOf, readAll, statOf, type StoreBench } from "./store-bench.ts";
import { content } from "./store-files.ts";

const SEED = 20261129;
const random = seededRandom(SEED);
const below = (bound: number): number => random.below(bound);

const oddNames = [
  "a b.txt",
  "100%.txt",
  "%41.txt",
  "a+b.txt",
  "a#b.txt",
  "a?b.txt",
  "a&b=c;d.txt",
  "a'b\"c.txt",
  "a\\b.txt",
  "a:b@c.txt",
  "~a!$()*,.txt",
  "[a]{b}.txt",
  "ünïcödé.txt",
  "u\u0308.txt",
  "日本語.txt",
  "😀.txt",
  "x".repeat(200),
  "deep/er/a b/c%20d/e",
];

const tree = [
  "logs/2024/a.log",
  "logs/2024/b.log.gz",
  "logs/2024/_SUCCESS",
  "logs/2024/_tmp/x.log",
  "logs/2025/a.log",
  "logs/2025/.hidden",
  "logs/é.log",
  "logs/😀.log",
  "logs/\uffee.log",
  "logs/a.log",
  "logs/empty",
  "secret/.a",
  "secret/deep/_b",
  "done/_SUCCESS",
];

const asked = [
  "logs",
  "logs/2024",
  "logs/*",
  "logs/*.log",
  "logs/**/*.log",
  "**/a.log",
  "logs/20{24,25}/a.log",
  "logs/2024/{a.log,nothing}",
  "logs/?.log",
  "logs/[a-c].log",
  "logs/2024/_*",
  "secret",
  "done",
  "nothing",
  "logs/2024/a.lgo",
  "nothing/*",
  "logs/x*",
];

/** Listing, looking and reading. */
export const readChecks: Checks = {
  "a file, an empty file, a directory and nothing are told from one another": async (bench) => {
    const { store } = bench;
    const file = await bench.put("stat/a.txt", Buffer.from("hello"));
    assert.equal(file.bytes, 5);
    assert.equal(file.address, bench.at("stat/a.txt"));
    const empty = await bench.put("stat/empty", Buffer.alloc(0));
    assert.equal(empty.bytes, 0);
    assert.equal((await readAll(store, empty)).length, 0);
    assert.equal(await store.stat(bench.at("stat/nothing")), null);
    assert.equal(await store.stat(bench.at("stat/a.tx")), null);
    if (store.entries === undefined) return;
    assert.equal(await store.stat(bench.at("stat")), "directory");
    assert.equal(await store.stat(`${bench.at("stat")}/`), "directory");
    assert.equal(await store.stat(bench.at("sta")), null);
  },

  "names of all kinds are read, and listed": async (bench) => {
    const { store, subject } = bench;
    const names = oddNames.filter((file) => subject.allows?.(file) ?? true);
    for (const file of names) {
      const found = await bench.put(`odd/${file}`, Buffer.from(file));
      assert.equal((await readAll(store, found)).toString(), file);
    }
    if (store.entries === undefined) return;
    const listed = await listStored(store, bench.at("odd"), undefined);
    const addresses = names.map((file) => bench.at(`odd/${file}`));
    assert.deepEqual(listed.map(({ file }) => file.address).toSorted(), addresses.toSorted());
    for (const { file } of listed) {
      assert.equal((await readAll(store, file)).toString(), file.address.slice(bench.at("odd/").length));
    }
  },

  "paths, directories and patterns mean what they mean on this machine": async (bench) => {
    const { store, subject, directory } = bench;
    if (store.entries === undefined) return "it lists nothing";
    for (const file of tree) {
      await subject.put(`tree/${file}`, Buffer.from(file));
      mkdirSync(dirname(join(directory, file)), { recursive: true });
      writeFileSync(join(directory, file), file);
    }
    const told = async (files: Promise<readonly (readonly [string, string | undefined])[]>, root: string) => {
      try {
        // Those that lie alike are told apart later.
        return (await files)
          .map(([path, place]) => [path.replace(root, ""), place!.split("\0")[0]])
          .toSorted();
      } catch (error) {
        if (!isSheafError(error)) throw error;
        const hint = error.hint?.startsWith("Did") === true ? error.hint : "";
        return [error.code, error.message.replace(root, ""), hint.replace(root, "")];
      }
    };
    for (const path of asked) {
      const local = listInput([join(directory, path)]).then((files) =>
        files.map(({ path: found, place }) => [found, place] as const),
      );
      // It is looked at when the other one is there.
      local.catch(() => undefined);
      const stored = listStored(store, bench.at(`tree/${path}`), undefined).then((files) =>
        files.map(({ file, place }) => [file.address, place] as const),
      );
      const both = [told(stored, bench.at("tree/")), told(local, `${directory}/`)];
      const [theirs, ours] = await Promise.all(both);
      assert.deepEqual(theirs, ours, path);
    }
  },

  "ranges are those of the file, wherever they begin and in whatever order": async (bench) => {
    const bytes = content(700 * KiB);
    const range = await openOf(bench.store, await bench.put("ranges", bytes));
    for (let i = 0; i < 40; i++) {
      const from = below(bytes.length);
      const target = Buffer.alloc(Math.min(bytes.length - from, 1 + below(1 + below(200 * KiB))));
      await range.read(target, from);
      assert.ok(target.equals(bytes.subarray(from, from + target.length)), `${from} (seed ${SEED})`);
    }
    await range.verify();
    await range.close();
    await range.close();
  },

  "a large file, read from its beginning to its end in chunks": async (bench) => {
    const bytes = content(9 * KiB * KiB + 17);
    assert.ok((await readAll(bench.store, await bench.put("large", bytes), 300 * KiB)).equals(bytes));
  },

  "a file that was written anew, or is gone, is not read": async (bench) => {
    const { store, subject } = bench;
    const old = content(3 * KiB * KiB, "old");
    const other = content(3 * KiB * KiB, "new");
    const file = await bench.put("changed", old);
    const range = await openOf(store, file);
    await range.read(Buffer.alloc(1_000), 0);
    await subject.put("changed", other);
    await assert.rejects(readAll(store, file), { code: "INPUT_CHANGED" });
    // What was read ahead is of the old one; of the new one there is not a byte.
    const rest = Buffer.alloc(old.length - 1_000);
    const read = await range.read(rest, 1_000).then(
      () => null,
      (error: unknown) => error,
    );
    if (read !== null) assert.equal(isSheafError(read) && read.code, "INPUT_CHANGED", String(read));
    else if (subject.bound === false) await assert.rejects(range.verify(), { code: "INPUT_CHANGED" });
    else assert.ok(rest.equals(old.subarray(1_000)));
    await range.close();
    await subject.put("changed", old.subarray(0, 1_000));
    await assert.rejects(readAll(store, file), { code: "INPUT_CHANGED" });
    await subject.remove("changed");
    await assert.rejects(readAll(store, file), { code: "INPUT_CHANGED" });
    assert.equal(await store.stat(bench.at("changed")), null);
  },
};

const readFaults: Readonly<Record<string, () => (seen: Seen) => Fault | null>> = {
  "answers of 500": () => every(2, { kind: "answer", status: 500 }),
  "answers of 503 that say when to come again": () =>
    every(3, { kind: "answer", status: 503, headers: { "retry-after": "1" }, body: "slow down" }),
  "connections that are cut before an answer": () => every(2, { kind: "cut", afterBytes: -1 }),
  "connections that are cut": () => every(2, { kind: "cut", afterBytes: 70_000 }),
  "bodies that end too early": () => every(2, { kind: "truncate", afterBytes: 70_001 }),
  "bodies without a byte": () => every(3, { kind: "truncate", afterBytes: 0 }),
};

/** Reading when connections and answers are not what they should be. */
export const faultChecks: Checks = {
  "small reads in a row cost no request each": async (bench) => {
    const proxy = await bench.proxy();
    if (proxy === null) return noHttp;
    const bytes = content(100 * KiB);
    await bench.put("small-reads", bytes);
    const store = bench.through(proxy.port);
    const file = await statOf(store, bench.at("small-reads", proxy.port));
    const before = proxy.seen.length;
    const range = await openOf(store, file);
    const target = Buffer.alloc(1_000);
    for (let i = 0; i < 8; i++) {
      await range.read(target, i * 1_000);
      assert.ok(target.equals(bytes.subarray(i * 1_000, (i + 1) * 1_000)));
    }
    await range.close();
    const requests = proxy.seen.length - before;
    assert.ok(requests >= 1 && requests <= 3, `${requests} requests`);
  },

  "what is read is right in spite of connections cut at any byte": async (bench) => {
    const { port, subject } = bench;
    if (port === null || subject.http !== false) return "there is no server, or it speaks HTTP";
    const proxy = await startCutProxy(port);
    bench.later(() => proxy.close());
    const bytes = content(2_000 * KiB);
    await bench.put("cut", bytes);
    const store = bench.through(proxy.port);
    const file = await statOf(store, bench.at("cut", proxy.port));
    for (let i = 0; i < 4; i++) {
      proxy.cutAfter(1 + below(500 * KiB));
      assert.ok((await readAll(store, file, 200 * KiB)).equals(bytes), `seed ${SEED}`);
    }
  },

  ...Object.fromEntries(
    Object.entries(readFaults).map(([what, fault]) => [
      `what is read is right in spite of ${what}`,
      async (bench: StoreBench) => {
        const proxy = await bench.proxy();
        if (proxy === null) return noHttp;
        const bytes = content(1_500 * KiB);
        await bench.put("faults", bytes);
        const store = bench.through(proxy.port);
        const file = await statOf(store, bench.at("faults", proxy.port));
        const before = proxy.seen.length;
        const decide = fault();
        proxy.decide((seen) => (seen.method === "GET" ? decide(seen) : null));
        assert.ok((await readAll(store, file, 200 * KiB)).equals(bytes));
        assert.ok(proxy.seen.length > before + 1, "nothing went wrong");
      },
    ]),
  ),
};

function every(nth: number, fault: Fault): (seen: Seen) => Fault | null {
  let count = 0;
  return () => (++count % nth === 1 ? fault : null);
}
