import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { gzipSync } from "node:zlib";
import { systemClock } from "#src/base/clock.js";
import { isSheafError, type SheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import { listStored } from "#src/storage/list-stored.js";
import { whoIsThis } from "#src/storage/stores/writer.js";
import {
  commitAll,
  content,
  type SampleFiles,
  sampleFiles,
  putAll,
  smallFiles,
  successFile,
} from "#src/testing/store-files.js";
import { Bench, wordCount } from "../runner/support.ts";
import { killWriters } from "./killed-writers.ts";
import {
  asRead,
  BUCKET,
  hastyClock,
  openS3Lab,
  s3Missing,
  type S3Server,
  s3Subject,
  storeWith,
} from "./s3-server.ts";

const skip = s3Missing() ?? false;
const SEED = 3_911;
/** So many requests have answers of which one is lost. */
const EVERY = 4;

const lab = skip === false ? await openS3Lab() : null;

describe("output in S3", { skip }, () => {
  const { server, proxy, store, through, directory } = lab!;

  /** Names, sizes and what they begin with: what a reader of sheaf sees of an output. */
  async function seen(address: string): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for await (const file of store.walk!(address, undefined)) {
      const range = await store.open({ ...asRead(file), from: 0, to: file.bytes! });
      const read = Buffer.alloc(Math.min(file.bytes!, 64));
      await range.read(read, 0);
      await range.close();
      found[file.address.slice(address.length)] = `${file.bytes} ${read.toString()}`;
    }
    return found;
  }

  function told(files: SampleFiles): Record<string, string> {
    return Object.fromEntries(
      files.map(([name, bytes]) => [name, `${bytes.length} ${bytes.subarray(0, 64).toString()}`]),
    );
  }

  async function nothingElse(prefix: string): Promise<void> {
    assert.deepEqual(await server.uploads(prefix), []);
    assert.deepEqual(
      (await server.keys(prefix)).filter((key) => key.includes("_sheaf-")),
      [],
    );
  }

  const newFiles: SampleFiles = [
    ["part-00000.tsv", content(9 * 1024 * 1024, "new")],
    ["part-00002.tsv", Buffer.from("another\n")],
    ["_SUCCESS", Buffer.from(successFile(["part-00000.tsv", "part-00002.tsv"]))],
  ];

  test("a job reads from S3 and writes there what it writes on this machine", async (t) => {
    const bench = new Bench(t);
    const lines = Array.from({ length: 400 }, (_, i) => `a${i % 7} b c${i % 3}\n`).join("");
    const options = { workers: 2, partitions: 3 } as const;
    const local = await bench.run(wordCount(), { ...options, inputs: bench.file("in.txt", lines.repeat(3)) });
    assert.equal(local.status, "SUCCEEDED", local.error?.report);
    await server.put("job/in/a b+%.txt", Buffer.from(lines));
    await server.put("job/in/b.txt.gz", gzipSync(lines));
    // As "aws s3 cp --content-encoding gzip" leaves it, under a name that does not say so.
    await server.client.send(
      new PutObjectCommand({
        Bucket: BUCKET,
        Key: "job/in/c",
        Body: gzipSync(lines),
        ContentEncoding: "gzip",
        Metadata: { "Some-Note": "=?UTF-8?Q?gr=C3=BCn?=" },
      }),
    );
    await server.put("job/in/_hidden", Buffer.from("nobody"));
    // As a user's shell has it: the workers of a run find it there.
    const env = server.env();
    Object.assign(process.env, env);
    t.after(() => {
      for (const name of Object.keys(env)) delete process.env[name];
    });
    const output = `s3a://${BUCKET}/job/out`;
    const stored = await bench.run(wordCount(), { ...options, inputs: `s3a://${BUCKET}/job/in`, output });
    assert.equal(stored.status, "SUCCEEDED", stored.error?.report);
    assert.equal(stored.stats.recordsIn, 1_200);
    const written = await seen(`s3://${BUCKET}/job/out/`);
    const names = ["_SUCCESS", ...stored.parts.map(({ file }) => file)];
    assert.deepEqual(Object.keys(written).toSorted(), names);
    for (const { file, bytes } of local.parts) {
      assert.equal(written[file], `${bytes} ${readFileSync(join(bench.output, file), "utf8").slice(0, 64)}`);
    }
    const again = await bench.run(wordCount(), { ...options, inputs: `s3://${BUCKET}/job/in`, output });
    assert.equal(again.error?.code, "OUTPUT_EXISTS");
    await nothingElse("job/");
  });

  test("an answer that is lost changes nothing, whichever it is", async () => {
    const address = `s3://${BUCKET}/lost/`;
    const small: SampleFiles = newFiles.map(([name, bytes]) => [name, bytes.subarray(0, 1_000)]);
    for (let lost = 0; lost < EVERY; lost++) {
      const first = proxy.seen.length;
      // It is carried out, and nobody hears of it.
      proxy.decide(({ number }) =>
        (number - first) % EVERY === lost ? { kind: "cut", afterBytes: 0 } : null,
      );
      await commitAll(through, address, `lost-${lost}`, small, directory, lost > 0);
      proxy.decide(null);
      assert.ok(proxy.seen.length - first > 20);
      assert.deepEqual(await seen(address), told(small), `every ${EVERY}th from ${lost} on`);
      await nothingElse("lost/");
    }
  });

  test("of jobs that commit the same output at once one has it, and the others say so", async () => {
    const address = `s3://${BUCKET}/raced/`;
    const jobs = await Promise.all(
      ["a", "b", "c", "d"].map(async (job) => {
        const files: SampleFiles = [
          [`part-0000${job.charCodeAt(0) % 3}.tsv`, Buffer.from(job)],
          [`part-0001${job.charCodeAt(0) % 3}.tsv`, Buffer.from(job)],
          ["_SUCCESS", Buffer.from(successFile([]))],
        ];
        const output = store.output!(address, job);
        await output.check({});
        return { output, files, put: await putAll(store, address, job, files, directory) };
      }),
    );
    const done = await Promise.allSettled(jobs.map(({ output, put }) => output.commit(put, {})));
    const won = done.findIndex(({ status }) => status === "fulfilled");
    for (const [i, one] of done.entries()) {
      if (i === won) continue;
      assert.ok(one.status === "rejected");
      assert.equal((one.reason as SheafError).code, "OUTPUT_EXISTS");
      await jobs[i]!.output.abort();
    }
    assert.deepEqual(await seen(address), told(jobs[won]!.files));
    await nothingElse("raced/");
  });

  test("killed at 20 requests: nothing, the earlier or the new output, and nothing left by the next run", async () => {
    const earlier: SampleFiles = [
      ["part-00000.tsv", Buffer.from("old 0\n")],
      ["part-00001.tsv", Buffer.from("old 1\n")],
      ["sub/part-00000.tsv", Buffer.from("old 2\n")],
      ["_SUCCESS", Buffer.from(successFile(["part-00000.tsv", "part-00001.tsv", "sub/part-00000.tsv"]))],
    ];
    const random = seededRandom(SEED);
    const first = proxy.seen.length;
    for (const count of [1, 2])
      await commitAll(through, `s3://${BUCKET}/counted/`, `counted-${count}`, sampleFiles, directory, true);
    const requests = (proxy.seen.length - first) / 2;
    const kills = Array.from({ length: 20 }, (_, i) => ({
      name: `killed-${i}/`,
      point: 1 + random.below(requests),
      isSmall: i % 7 > 0,
    }));
    for (const [i, { name }] of kills.entries())
      if (i % 2 === 1) await commitAll(store, `s3://${BUCKET}/${name}`, `earlier-${i}`, earlier, directory);
    await killWriters(s3Subject(server), directory, kills);
    const said = { refused: 0, none: 0, old: 0 };
    for (const [i, { name, point, isSmall }] of kills.entries()) {
      const address = `s3://${BUCKET}/${name}`;
      const whole = told(isSmall ? smallFiles : sampleFiles);
      const states: object[] = [told(earlier), whole, {}];
      const where = `kill ${i} at request ${point}, seed ${SEED}`;
      const found = await seen(address).catch((error: unknown) => {
        assert.ok(isSheafError(error) && error.code === "INPUT_UNREADABLE", String(error));
        assert.match(error.message, /has not finished writing it/);
        return null;
      });
      const state = found === null ? -1 : states.findIndex((one) => isSame(one, found));
      if (found !== null) assert.ok(state >= 0, `${where}: ${Object.keys(found).join(" ")}`);
      if (found === null) said.refused++;
      else if (state !== 1) said[state === 0 ? "old" : "none"]++;
      // The next run finds the output there, or may write it; either way nothing is left of the killed one.
      await store.output!(address, `next-${i}`)
        .check({})
        .catch((error: unknown) => {
          assert.equal((error as SheafError).code, "OUTPUT_EXISTS", where);
        });
      const now = await seen(address);
      assert.ok(
        states.some((one) => isSame(one, now)),
        `${where}: ${Object.keys(now).join(" ")}`,
      );
      if (found === null) assert.deepEqual(now, whole, where);
      await nothingElse(name);
    }
    // The seed shows each of them.
    for (const [state, count] of Object.entries(said))
      assert.ok(count > 0, `${state}: ${JSON.stringify(said)}`);
  });

  test("uploads of others, of living jobs and of what no job names are left alone", async () => {
    const address = `s3://${BUCKET}/others/`;
    const living = store.output!(address, "living");
    await living.put(Buffer.from("1"), "part-00000.tsv", undefined);
    // No process has that number.
    const dead = `others/_sheaf-run-dead.${whoIsThis().split(".")[0]}.999999999.x`;
    await server.put(dead, Buffer.from("{}"));
    await store.output!(address, "next").check({});
    assert.deepEqual(await server.uploads("others/"), ["others/part-00000.tsv"]);
    await living.abort();
    await nothingElse("others/");
    await server.put(dead, Buffer.from("{}"));
    for (const name of ["movie.mp4", "part-00000.tsv"])
      await server.client.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: `others/${name}` }));
    await store.output!(address, "next").check({});
    assert.deepEqual(await server.uploads("others/"), ["others/movie.mp4"]);
  });

  test("uploads of a killed transfer, whose files have any name, are aborted by the next run", async () => {
    const address = `s3://${BUCKET}/moved/`;
    const output = store.output!(address, "transfer");
    output.expect!(["day 1/a+b.mov"]);
    await output.put(Buffer.from("1"), "day 1/a+b.mov", undefined);
    // Of which nothing was said before.
    await output.put(Buffer.from("2"), "late.mov", undefined);
    await server.client.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: "moved/movie.mp4" }));
    const [record] = await server.keys("moved/_sheaf-run-");
    await server.put(record!.replace(/\.\d+\.\w+$/, ".999999999.x"), await server.get(record!));
    await server.remove(record!);
    await store.output!(address, "next").check({});
    assert.deepEqual(await server.uploads("moved/"), ["moved/movie.mp4"]);
    assert.deepEqual(await server.keys("moved/"), []);
  });

  test("a run on another host is taken for gone after a week", async () => {
    const address = `s3://${BUCKET}/away/`;
    await server.put("away/_sheaf-run-away.00000000.1.x", Buffer.from("{}"));
    await server.client.send(
      new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: "away/part-00000.tsv" }),
    );
    await store.output!(address, "next").check({});
    assert.deepEqual(await server.uploads("away/"), ["away/part-00000.tsv"]);
    const late = { ...systemClock, wallMs: () => systemClock.wallMs() + 8 * 24 * 3_600_000 };
    await storeWith(server.env(), late).output!(address, "next").check({});
    await nothingElse("away/");
  });

  test("killed between the last file and the marker: the same files again replace themselves", async () => {
    const address = `s3://${BUCKET}/same/`;
    await commitAll(store, address, "first", newFiles, directory);
    proxy.decide(({ method, url }) =>
      method === "DELETE" && url.includes("_sheaf-commit") ? { kind: "answer", status: 403 } : null,
    );
    await assert.rejects(commitAll(through, address, "second", newFiles, directory, true));
    proxy.decide(null);
    await assert.rejects(seen(address), { code: "INPUT_UNREADABLE" });
    await storeWith(server.env(), hastyClock()).output!(address, "next").check({ overwrite: true });
    assert.deepEqual(await seen(address), told(newFiles));
    await nothingElse("same/");
  });

  test("what fails for now fails no commit that was decided, and nothing is undone", async () => {
    const address = `s3://${BUCKET}/busy/`;
    const small: SampleFiles = newFiles.map(([name, bytes]) => [name, bytes.subarray(0, 1_000)]);
    const failing = (code: string, times: number, status = 400): void => {
      let left = times;
      const body = `<Error><Code>${code}</Code><Message>no</Message></Error>`;
      const headers = { "content-type": "application/xml" };
      proxy.decide(({ method, url }) =>
        method === "POST" && url.includes("part-00002.tsv?uploadId=") && left-- > 0
          ? { kind: "answer", status, headers, body }
          : null,
      );
    };
    await commitAll(store, address, "first", small, directory);
    // S3 may begin with 200, and find out then (smart_open#381).
    for (const [code, status] of [
      ["RequestTimeout", 400],
      ["InternalError", 400],
      ["InternalError", 200],
    ] as const) {
      failing(code, 1, status);
      await commitAll(through, address, code, small, directory, true);
      assert.deepEqual(await seen(address), told(small), code);
    }
    failing("ExpiredToken", 9);
    await assert.rejects(commitAll(through, address, "expired", small, directory, true), {
      code: "UNAUTHORIZED",
    });
    proxy.decide(null);
    await storeWith(server.env(), hastyClock()).output!(address, "next").check({ overwrite: true });
    assert.deepEqual(await seen(address), told(small));
    await nothingElse("busy/");
  });

  test("a listing in the midst of a commit that ends before anybody looks is refused", async () => {
    const marker = { sheaf: 1, state: "commit", job: "j", who: "0.1.x", nonce: "n", files: [], old: [] };
    const parts = ["a/part-00000.tsv", "part-00000.tsv", "part-00001.tsv"];
    for (const [i, listed] of ["", "a/", "../"].entries()) {
      for (const pattern of listed === "../" ? [false] : [false, true]) {
        const prefix = `midst/${i}${pattern}/out/`;
        await server.put(`${prefix}_sheaf-commit`, Buffer.from(JSON.stringify(marker)));
        await server.put(prefix + parts[0]!, Buffer.from("1"));
        await server.put(prefix + parts[1]!, Buffer.from("1"));
        let isListed = false;
        let done: Promise<void> | null = null;
        const finish = async (): Promise<void> => {
          await server.put(prefix + parts[2]!, Buffer.from("1"));
          await server.put(`${prefix}_SUCCESS`, Buffer.from(successFile([])));
          await server.remove(`${prefix}_sheaf-commit`);
        };
        const below = listed === "../" ? `midst/${i}${pattern}/` : prefix + listed;
        proxy.decide(async ({ url }) => {
          const wasListed = isListed;
          const query = new URL(url, "http://s3").searchParams;
          isListed ||= query.get("prefix") === below && query.has("delimiter") === pattern;
          if (wasListed) await (done ??= finish());
          return null;
        });
        const address = `s3://${BUCKET}/${below}`;
        const list = async (): Promise<void> => {
          if (!pattern) await listStored(through, address, undefined);
          // As patterns look for names.
          else for await (const _ of through.entries!(address, undefined));
        };
        await assert.rejects(
          list(),
          (error: unknown) => isSheafError(error) && error.code === "INPUT_UNREADABLE",
          address,
        );
        proxy.decide(null);
        const found = await listStored(through, address, undefined);
        assert.equal(found.length, listed === "a/" ? 1 : 3);
      }
    }
    proxy.decide(null);
  });

  test("what somebody puts there while a job commits is not removed", async () => {
    const address = `s3://${BUCKET}/meanwhile/`;
    const output = through.output!(address, "job");
    await output.check({});
    const put = await putAll(through, address, "job", sampleFiles, directory);
    let isPut = false;
    proxy.decide(async ({ method, url }) => {
      const isListing = url.includes("list-type=") && !/delimiter=|_sheaf-run-/.test(url);
      if (isPut || method !== "GET" || !(isListing || url.includes("uploadId="))) return null;
      isPut = true;
      await server.put("meanwhile/theirs.txt", Buffer.from("theirs"));
      return null;
    });
    await output.commit(put, {}).catch(() => output.abort());
    proxy.decide(null);
    assert.ok(isPut);
    assert.equal((await seen(address))["theirs.txt"], "6 theirs");
  });

  test("an upload that is gone fails the commit, and nothing is left", async () => {
    const address = `s3://${BUCKET}/gone/`;
    const output = store.output!(address, "job");
    const put = await putAll(store, address, "job", sampleFiles, directory);
    const again = store.output!(address, "job");
    await again.abort();
    await assert.rejects(output.commit(put, {}), (error: unknown) => {
      assert.ok(isSheafError(error));
      assert.equal(error.code, "OUTPUT_UNWRITABLE");
      assert.match(error.message, /the upload of .* to s3:\/\/sheaf-test\/gone\/ is gone/);
      return true;
    });
    await output.abort();
    assert.deepEqual(await server.keys("gone/"), []);
    await nothingElse("gone/");
  });

  test("a commit that was decided, and whose uploads then vanished, ends in nothing", async () => {
    const address = `s3://${BUCKET}/vanished/`;
    const put = await putAll(store, address, "job", sampleFiles, directory);
    // The first completion and all after it are not heard.
    let stopped = false;
    proxy.decide(({ method, url }) => {
      stopped ||= method === "POST" && url.includes("part-00000.tsv?") && url.includes("uploadId=");
      return stopped ? { kind: "answer", status: 500 } : null;
    });
    const hasty = storeWith(server.env(proxy.port), hastyClock());
    await assert.rejects(hasty.output!(address, "job").commit(put, {}), { code: "UNREACHABLE" });
    proxy.decide(null);
    await assert.rejects(listStored(store, address, undefined), { code: "INPUT_UNREADABLE" });
    await assert.rejects(store.stat(`${address}byAge/part-00000.csv`), { code: "INPUT_UNREADABLE" });
    for (const key of await server.uploads("vanished/")) await abortAll(server, key);
    const next = storeWith(server.env(), hastyClock());
    await assert.rejects(next.output!(address, "next").check({}), (error: unknown) => {
      assert.ok(isSheafError(error));
      assert.equal(error.code, "OUTPUT_UNWRITABLE");
      assert.match(error.message, /cannot be finished: the upload of .* is gone/);
      return true;
    });
    assert.deepEqual(await server.keys("vanished/"), []);
    await store.output!(address, "next").check({});
  });
});

function isSame(a: object, b: object): boolean {
  return isDeepStrictEqual(a, b);
}

async function abortAll({ client }: S3Server, key: string): Promise<void> {
  const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: key }));
  for (const { Key, UploadId } of Uploads ?? [])
    await client.send(new AbortMultipartUploadCommand({ Bucket: BUCKET, Key, UploadId }));
}
