import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { isSheafError } from "#src/base/errors.js";
import { listInput } from "#src/storage/list-input.js";
import type { Store, StoredFile } from "#src/storage/store.js";
import { createStore } from "#src/storage/stores/webhdfs.js";
import { startFaultProxy } from "#src/testing/fault-proxy.js";
import { openOf, readAll, statOf, type StoreSubject } from "#src/testing/store-bench.js";
import { commitAll, content, sampleFiles, successFile } from "#src/testing/store-files.js";
import { RealCluster } from "../cluster/real-cluster.ts";
import { conformance } from "./conformance.ts";
import { type HdfsLab, hdfsMissing, startHdfs } from "./hdfs/lab.ts";

const missing = hdfsMissing();
const env = { HADOOP_USER_NAME: "tester" };
const started: Promise<HdfsLab> | null = missing === null ? startHdfs() : null;
started?.catch(() => undefined);

function storeWith(more: Readonly<Record<string, string>> = {}, scheme = "webhdfs"): Store {
  return createStore(scheme, {
    env: { ...env, ...more },
    fetch: null,
    world: { clock: systemClock, random: () => 0.5 },
  });
}

/** One request, by other means than the store's. */
async function ask(
  method: string,
  url: string,
  body?: Buffer,
): Promise<{ status: number; location: string }> {
  const sent = request(url, { method, headers: { "content-length": body?.length ?? 0 } });
  sent.end(body);
  return new Promise((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (answer) => {
      const { statusCode: status = 0, headers } = answer.resume();
      answer.on("end", () => resolve({ status, location: headers.location ?? "" }));
    });
  });
}

async function byHand(lab: HdfsLab, method: string, path: string, op: string, body?: Buffer): Promise<void> {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  const url = `http://127.0.0.1:${lab.namenodes[0]}/webhdfs/v1/${encoded}?op=${op}&user.name=tester`;
  const { status, location } = await ask(method, url);
  if (body === undefined) assert.equal(status, 200, url);
  else {
    // What Java has made of the name is not what it was: see webhdfs-client.ts.
    const own = location.replace(/\/webhdfs\/v1\/[^?]*/, () => `/webhdfs/v1/${encoded}`);
    assert.equal((await ask(method, own, body)).status, 201, url);
  }
}

async function subject(): Promise<StoreSubject> {
  const lab = await started!;
  const at = (port: number | null): string => `webhdfs://127.0.0.1:${port}/conformance/`;
  // The home of the tests is theirs.
  await ask(
    "PUT",
    `http://127.0.0.1:${lab.namenodes[0]}/webhdfs/v1/?op=SETPERMISSION&permission=777&user.name=${process.env["USER"] ?? "root"}`,
  );
  return {
    scheme: "webhdfs",
    module: { createStore },
    port: lab.namenodes[0],
    env: () => env,
    address: (name, port) => at(port) + name,
    put: (name, bytes) => byHand(lab, "PUT", `conformance/${name}`, "CREATE&overwrite=true", bytes),
    remove: (name) => byHand(lab, "DELETE", `conformance/${name}`, "DELETE"),
    allows: (name) => !name.includes(":"),
    hidden: async () => {
      const names: string[] = [];
      for await (const { name } of storeWith().entries!(`${at(lab.namenodes[0])}out/`, undefined))
        if (name.startsWith(".")) names.push(name);
      return names;
    },
    close: () => Promise.resolve(),
  };
}

if (missing === null) conformance("webhdfs (HDFS)", subject);

describe("HDFS", missing === null ? {} : { skip: missing }, () => {
  let lab!: HdfsLab;
  let root!: string;
  before(async () => {
    lab = await started!;
    root = `webhdfs://127.0.0.1:${lab.namenodes[0]}`;
  });
  after(() => lab.close());

  const put = async (path: string, bytes: Buffer): Promise<StoredFile> => {
    await byHand(lab, "PUT", path, "CREATE&overwrite=true", bytes);
    return statOf(storeWith(), `${root}/${path}`);
  };

  test("the hosts of each block are told", async () => {
    const file = await put("held/large", content(2_500_000));
    const [first, second, third] = await storeWith().locate!(file);
    assert.deepEqual([first!.start, first!.end, second!.end, third!.end], [0, 1 << 20, 2 << 20, 2_500_000]);
    assert.deepEqual(first!.hosts, ["127.0.0.1"]);
    const [listed] = await listInput([`${root}/held/*`]);
    assert.equal(listed!.held?.length, 3);
    const empty = await put("held/empty", Buffer.alloc(0));
    assert.deepEqual(await storeWith().locate!(empty), []);
  });

  test("a file that is being written is refused: how long it is nobody knows", async () => {
    await lab.tell("write /writing/log");
    const store = storeWith();
    const file = await statOf(store, `${root}/writing/log`);
    assert.ok(file.bytes! <= 8);
    await assert.rejects(listInput([`${root}/writing`]), {
      code: "INPUT_UNREADABLE",
      message: /being written/,
    });
    await lab.tell("close");
    const [closed] = await listInput([`${root}/writing`]);
    assert.equal(closed!.bytes, 8);
  });

  test("a nameservice and a pair of hosts follow the active NameNode, in the middle of a read, too", async () => {
    const bytes = content(3_000_000, "pair");
    await put("pair/a", bytes);
    const [one, two] = lab.namenodes;
    const pairs: [Store, string][] = [
      [storeWith(), `webhdfs://127.0.0.1:${two},127.0.0.1:${one}/pair/a`],
      [storeWith({ HADOOP_CONF_DIR: lab.conf }, "hdfs"), "hdfs://lab/pair/a"],
      [storeWith({ HADOOP_CONF_DIR: lab.conf }, "hdfs"), "hdfs:///pair/a"],
    ];
    const ranges = [];
    for (const [store, address] of pairs) {
      const file = await statOf(store, address);
      assert.equal(store.canonical!(address), address.replace("hdfs:///", "hdfs://lab/"));
      const range = await openOf(store, file);
      await range.read(Buffer.alloc(1_000), 0);
      ranges.push(range);
    }
    await lab.tell("active 1");
    for (const range of ranges) {
      const rest = Buffer.alloc(bytes.length - 1_000);
      await range.read(rest, 1_000);
      assert.ok(rest.equals(bytes.subarray(1_000)));
      await range.verify();
      await range.close();
    }
    // Alone it is no help.
    const alone = storeWith().stat(`webhdfs://127.0.0.1:${one}/pair/a`);
    const failure = await alone.then(
      () => null,
      (error: unknown) => error,
    );
    await lab.tell("active 0");
    // It was asked again until then, or has given up.
    if (failure !== null) assert.match(String(failure), /no NameNode is active/);
  });

  test("HttpFS: the same, without a redirect", async () => {
    const store = storeWith();
    const base = `webhdfs://127.0.0.1:${lab.httpfs}/httpfs/`;
    await commitAll(store, `${base}out/`, "job-1", sampleFiles, lab.conf);
    for (const [name, bytes] of sampleFiles)
      assert.ok((await readAll(store, await statOf(store, `${base}out/${name}`))).equals(bytes), name);
    assert.equal(await store.stat(`${base}a:b`), null);
    const file = await put("httpfs/changed", content(100_000, "old"));
    const there = await statOf(store, `${base}changed`);
    await put("httpfs/changed", content(50_000, "new"));
    await assert.rejects(readAll(store, { ...there, bytes: file.bytes }), { code: "INPUT_CHANGED" });
    // It would move the directory into one that has appeared.
    const output = store.output!(`${base}raced/`, "job-2");
    await output.check({});
    const files = [await output.put(Buffer.from(successFile([])), "_SUCCESS", undefined)];
    await byHand(lab, "PUT", "httpfs/raced/mine", "MKDIRS");
    await assert.rejects(output.commit(files, {}), { code: "OUTPUT_EXISTS" });
    await output.abort();
    const names: string[] = [];
    for await (const { name } of store.entries!(base, undefined)) names.push(name);
    assert.deepEqual(names.toSorted(), ["changed", "out", "raced"]);
  });

  test("who may not, and where a name cannot be, is told in the words of the server", async () => {
    const store = storeWith({ HADOOP_USER_NAME: "nobody" });
    await put("mine/a", Buffer.from("a"));
    await byHand(lab, "PUT", "mine/a", "SETPERMISSION&permission=600");
    await byHand(lab, "PUT", "mine", "SETPERMISSION&permission=755");
    await assert.rejects(readAll(store, await statOf(store, `${root}/mine/a`)), {
      code: "INPUT_UNREADABLE",
      message: /AccessControlException: Permission denied: user=nobody/,
      hint: /user nobody; HADOOP_USER_NAME/,
    });
    await assert.rejects(store.output!(`${root}/mine/out/`, "j").check({}), {
      code: "OUTPUT_UNWRITABLE",
      message: /Permission denied/,
    });
    await assert.rejects(storeWith().output!(`${root}/mine/o:ut/`, "j").check({}), {
      code: "OUTPUT_UNWRITABLE",
      hint: /no name with ":"/,
    });
    await assert.rejects(storeWith().output!(`${root}/mine/a/out/`, "j").check({}), {
      code: "OUTPUT_UNWRITABLE",
    });
  });

  test("a DataNode that cannot be reached is named, and how to mend it", async (t) => {
    await put("far/a", content(1_000));
    const proxy = await startFaultProxy(lab.namenodes[0]);
    t.after(() => proxy.close());
    const store = storeWith();
    const file = await statOf(store, `webhdfs://127.0.0.1:${proxy.port}/far/a`);
    proxy.decide(({ url }) =>
      url.includes("op=OPEN")
        ? {
            kind: "answer",
            status: 307,
            headers: { location: "http://dn-1.invalid:9864/webhdfs/v1/far/a?op=OPEN" },
          }
        : null,
    );
    await assert.rejects(readAll(store, file), {
      code: "UNREACHABLE",
      message: /DataNode http:\/\/dn-1\.invalid:9864: this machine knows no host of that name/,
      hint: /dfs\.datanode\.hostname/,
    });
  });

  test("a delegation token is sent instead of a name, and is in no message", async (t) => {
    const proxy = await startFaultProxy(lab.namenodes[0]);
    t.after(() => proxy.close());
    const store = storeWith({ HADOOP_TOKEN: "SECRETTOKEN" });
    const address = `webhdfs://127.0.0.1:${proxy.port}/`;
    await store.stat(address);
    assert.match(proxy.seen[0]!.url, /delegation=SECRETTOKEN/);
    assert.doesNotMatch(proxy.seen[0]!.url, /user\.name/);
    const bodies = [
      `{"RemoteException":{"exception":"InvalidToken","message":"token in delegation=SECRETTOKEN is expired"}}`,
      "no",
    ];
    for (const [i, status] of [403, 401].entries()) {
      proxy.decide(() => ({ kind: "answer", status, body: bodies[i]! }));
      const error = await store.stat(address).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      assert.ok(isSheafError(error));
      assert.equal(error.code, "UNAUTHORIZED");
      assert.doesNotMatch(`${error.stack} ${error.hint} ${JSON.stringify(error)}`, /SECRETTOKEN/);
    }
  });

  test("maps of a cluster run where the blocks lie, and sheaf show says how many did", async (t) => {
    const lines = Array.from({ length: 300_000 }, (_, i) => `w${i % 11}\n`).join("");
    await put("local/words.txt", Buffer.from(lines));
    const directory = mkdtempSync(join(tmpdir(), "sheaf-local-maps-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const job = join(directory, "words.ts");
    writeFileSync(
      job,
      `import { count, job, text } from "sheaf";
      export default job({ input: text(), map: (word) => [[word, 1]], reduce: count() });`,
    );
    const roots = ["--root", "/", "--root", `${root}/local/`];
    const allow = ["--allow-address", "127.0.0.0/8"];
    const cluster = await RealCluster.start(t, {
      agents: 1,
      heartbeatMs: 300,
      leaseMs: 30_000,
      coordinatorFlags: roots,
      // The DataNode is 127.0.0.1: the first agent is on another host, by its address.
      agentFlags: (index) => [...roots, ...allow, "--host", index === 0 ? "127.0.0.2" : "127.0.0.1"],
    });
    const shown = async (): Promise<string> => {
      const args = ["run", job, `${root}/local/`, "--mappers", "2", "-p", "1", "-o", join(directory, "out")];
      const done = await cluster.run([...args, "--overwrite", "--no-speculation"]);
      assert.equal(done.code, 0, done.stderr);
      return (await cluster.run(["show"])).stdout;
    };
    assert.match(await shown(), /^.*0 of 2 maps were local/m);
    await cluster.startAgent(1);
    await cluster.endAgent(0, "SIGTERM");
    assert.match(await shown(), /^.*2 of 2 maps were local/m);
    const counts = readFileSync(join(directory, "out/part-00000.tsv"), "utf8");
    assert.match(counts, /^w0\t27273$/m);
  });

  test("what is no WebHDFS is told from one that is not there", async () => {
    const dataNode = storeWith().stat(`webhdfs://127.0.0.1:1/a`);
    await assert.rejects(dataNode, { code: "UNREACHABLE", message: /nothing listens there/ });
  });
});
