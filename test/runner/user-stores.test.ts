import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { nameStore, registerStore } from "#src/engine/user-stores.js";
import { runHere } from "#src/runner/run.js";
import { packageRoot, sheaf, sheafHere } from "../cli/support.js";

/** The module that docs/storage.md shows. */
const shown = /```ts\n\/\/ box-store\.ts\n(.*?)```/s.exec(
  readFileSync(join(packageRoot, "docs", "storage.md"), "utf8"),
)![1]!;

describe("storages of users", () => {
  const root = mkdtempSync(join(tmpdir(), "sheaf-user-stores-"));
  const box = join(root, "box");
  const file = (name: string, content: string): string => {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  const counting = (stores: string): string => `
    import { count, job, text } from "sheaf";
    export default job({
      input: text(),${stores}
      map: (line) => line.split(" ").map((word) => [word, 1]),
      reduce: count(),
    });`;
  const written = (name: string): string[] => readdirSync(join(box, name)).toSorted();
  const counts = (name: string): string => readFileSync(join(box, name, "part-00000.tsv"), "utf8");
  const state = join(root, "state");
  before(() => {
    process.env["BOX_ROOT"] = box;
    file("box/shelf/a.txt", "b a\n");
    file("box/shelf/b.txt", "a c\n");
    file("box/shelf/_hidden.txt", "never\n");
    file("box-store.ts", shown);
  });
  after(() => {
    delete process.env["BOX_ROOT"];
    rmSync(root, { recursive: true, force: true });
  });

  test("that a job file names are read and written by its threads and processes", async () => {
    const job = file("jobs/count.ts", counting('\n      stores: { box: "../box-store.ts" },'));
    for (const isolate of ["thread", "process"] as const) {
      const output = `box://out/${isolate}`;
      const options = { inputs: ["box://shelf/*.txt"], output, isolate, workers: 2, stateDirectory: state };
      const done = await runHere(job, { ...options, partitions: 1, mappers: 2 });
      assert.equal(done.output, `${output}/`);
      assert.deepEqual(written(`out/${isolate}`), ["_SUCCESS", "part-00000.tsv"]);
      assert.equal(counts(`out/${isolate}`), "a\t2\nb\t1\nc\t1\n");
      await assert.rejects(runHere(job, options), { code: "OUTPUT_EXISTS" });
      await runHere(job, { ...options, overwrite: true, partitions: 1 });
      assert.equal(counts(`out/${isolate}`), "a\t2\nb\t1\nc\t1\n");
    }
    assert.deepEqual(readdirSync(join(box, "out")).toSorted(), ["process", "thread"]);
  });

  test("that a project file names are known to the jobs of the project, by any command", async () => {
    file("project/sheaf.config.ts", 'export default { stores: { box: "../box-store.ts" } };');
    const job = file("project/count.ts", counting(""));
    const env = { SHEAF_STATE: state, BOX_ROOT: box };
    const ran = await sheaf(["run", job, "box://shelf/", "-p", "1", "-o", "box://project/"], {
      env,
      cwd: join(root, "project"),
    });
    assert.equal(ran.code, 2, ran.stderr);
    assert.match(ran.stderr, /box:\/\/project\/ is no directory of the storage/);
    const again = await sheaf(["run", job, "box://shelf/", "-p", "1", "-o", "box://project/counts"], { env });
    assert.equal(again.code, 0, again.stderr);
    assert.equal(counts("project/counts"), "a\t2\nb\t1\nc\t1\n");
  });

  test("that are named wrongly are refused, by what is wrong with them", async () => {
    const here = { directory: root };
    assert.throws(() => registerStore("s3", join(root, "box-store.ts")), {
      code: "USAGE",
      message: /there is a storage for s3:\/\/ already/,
    });
    for (const scheme of ["Box", "file", "agent", "", "b x"])
      assert.throws(() => nameStore(scheme, "box-store.ts", here), {
        code: "USAGE",
        message: /is no scheme/,
      });
    assert.throws(() => nameStore("nobox", "none.ts", here), {
      code: "USAGE",
      message: /registerStore: there is no file .*none\.ts/,
    });
    assert.throws(() => nameStore("box", file("other.ts", shown), here), {
      code: "USAGE",
      message: /box:\/\/ is the storage of .*box-store\.ts, and not of .*other\.ts/,
    });
    const job = file("jobs/plain.ts", counting(""));
    const read = (scheme: string): Promise<unknown> =>
      runHere(job, { inputs: [`${scheme}://shelf/a.txt`], collect: true, stateDirectory: state });
    const modules = {
      nodefault: ["export const createStore = 1;", /no default export/],
      nofunction: ["export default { create() {} };", /the default export is none/],
      throwing: ['throw new Error("no credentials");\nexport default {};', /no credentials/],
      unknown: ['import x from "./not-there.ts";\nexport default x;', /not-there/],
    } as const;
    for (const [scheme, [text, message]] of Object.entries(modules)) {
      registerStore(scheme, file(`${scheme}.ts`, text));
      await assert.rejects(read(scheme), { code: "STORE_LOAD", message });
    }
  });

  test("a scheme that nobody knows is no path", async () => {
    const job = file("jobs/plain.ts", counting(""));
    const options = { inputs: [join(box, "shelf", "a.txt")], stateDirectory: state };
    await assert.rejects(runHere(job, { ...options, output: "nowhere://a/b" }), {
      code: "USAGE",
      message: /nowhere:\/\/a\/b.* is an address, and sheaf knows no nowhere:\/\//,
    });
    assert.equal(existsSync("nowhere:"), false);
    const flags: readonly (readonly string[])[] = [
      ["run", job, options.inputs[0]!, "--temp", "box://x/y"],
      ["certs", "init", "s3://bucket/certs"],
      ["init", "s3://bucket/project"],
      ["init", "job", "s3://bucket/job.ts"],
      ["coordinator", "--state", "s3://bucket/state"],
      ["agent", "--join", "http://127.0.0.1:1", "--tls-ca", "sftp://host/ca.pem"],
      ["schedule", "add", job, "@daily", "--on", "http://127.0.0.1:1", "--token-file", "s3://b/token"],
      ["cluster", "up", "--inventory", "https://host/inventory"],
    ];
    for (const words of flags) {
      const refused = await sheafHere(words, { env: { SHEAF_STATE: state } });
      assert.equal(refused.code, 2, `${words.join(" ")}: ${refused.stderr}`);
      assert.match(refused.stderr, /is an address, and this has to be a path/, words.join(" "));
    }
  });
});
