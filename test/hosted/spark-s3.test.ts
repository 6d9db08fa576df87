import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setStoreAccess } from "#src/storage/stores.js";
import { BUCKET, s3Missing, type S3Server, startS3 } from "../storage/s3-server.ts";
import { everything, filesOf, inputsOf, OnSpark, programsOf } from "./on-spark.ts";
import { sparkMissing } from "./spark-lab.ts";

const version = "4.3.0";
const isAsked = process.env["SHEAF_TEST_ENGINES"] === "all";
const skip = isAsked
  ? (sparkMissing(version) ?? s3Missing() ?? false)
  : "only with npm run test:engines -- all";

describe(`addresses of s3a:// on Spark ${version}`, { skip, timeout: 900_000 }, () => {
  let s3: S3Server;
  const former = { ...process.env };
  before(async () => {
    s3 = await startS3();
    Object.assign(process.env, s3.env());
    setStoreAccess({ env: process.env, fetch: null });
  });
  after(async () => {
    for (const name of Object.keys(s3.env())) delete process.env[name];
    Object.assign(process.env, former);
    setStoreAccess({ env: process.env, fetch: null });
    await s3.close();
  });

  // Tasks read by sheaf's own client: of Hadoop's (hadoop-aws) nothing is there.
  it("are read and written as those of s3://, with the bytes and the counters of one thread", async (t) => {
    const spark = new OnSpark(t, version, "local[2,4]", everything);
    const paths = inputsOf(spark);
    for (const path of paths) await s3.put(path.slice(path.indexOf("/in/") + 1), readFileSync(path));
    const result = await spark.run({
      inputs: `s3a://${BUCKET}/in/*`,
      output: `s3a://${BUCKET}/out`,
      mappers: 4,
    });
    result.throwIfFailed();
    const inline = await spark.inline({ inputs: paths, mappers: 4 });
    assert.deepEqual(result.counters, inline.counters);
    const wanted = filesOf(spark.here);
    const keys = await s3.keys("");
    assert.deepEqual(
      keys.filter((key) => !key.startsWith("in/")),
      Object.keys(wanted).map((name) => `out/${name}`),
    );
    for (const [name, content] of Object.entries(wanted).filter(([one]) => one !== "_SUCCESS"))
      assert.equal((await s3.get(`out/${name}`)).toString("latin1"), content, name);
    assert.deepEqual(await s3.uploads(), []);
    assert.deepEqual(programsOf(spark), []);
    const again = await spark.run({
      inputs: join(spark.bench.root, "in/a.txt"),
      output: `s3a://${BUCKET}/out`,
    });
    assert.equal(again.error?.code, "OUTPUT_EXISTS");
  });
});
