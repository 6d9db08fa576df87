import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { SheafError } from "#src/base/errors.js";
import { bundleJob } from "#src/bundle/bundle-job.js";
import { runnableBundle } from "#src/bundle/portable-bundle.js";
import { mapStack } from "#src/bundle/source-map.js";

const root = mkdtempSync(join(tmpdir(), "sheaf-bundle-test-"));
after(() => rmSync(root, { recursive: true, force: true }));
const outDirectory = join(root, "bundles");

function write(path: string, text: string): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

async function bundle(file: string) {
  const bundled = await bundleJob(file, { outDirectory, cache: false });
  return { bundled, code: readFileSync(bundled.path, "utf8") };
}

async function load(file: string): Promise<Record<string, unknown>> {
  const { bundled } = await bundle(file);
  const loaded = (await import(pathToFileURL(bundled.path).href)) as { default: Record<string, unknown> };
  return loaded.default;
}

async function failure(file: string): Promise<SheafError> {
  const error = await bundleJob(file, { outDirectory, cache: false }).then(
    () => assert.fail("it bundled"),
    (thrown: unknown) => thrown as SheafError,
  );
  assert.equal(error.code, "JOB_LOAD");
  return error;
}

test("packages come from the job file's own node_modules, CommonJS ones included", async () => {
  write("a/node_modules/dep/package.json", '{"name":"dep","version":"1.0.0","main":"index.js"}');
  write(
    "a/node_modules/dep/index.js",
    'const path = require("path"); module.exports = (x) => path.join("from-dep", x);',
  );
  const file = write("a/job.ts", 'import dep from "dep";\nexport default { value: dep("x") as string };\n');
  assert.deepEqual(await load(file), { value: join("from-dep", "x") });
});

test("regular expressions stay literals, whatever their flags", async () => {
  const literals = ["/\\p{L}+/gu", "/a.b/s", "/(?<=a)(?<name>b)/d", "/[\\p{L}--[a-z]]/v"];
  const file = write("r/job.ts", `export default [${literals.join(", ")}];\n`);
  const { code } = await bundle(file);
  for (const literal of literals) assert.ok(code.includes(literal), literal);
});

test("each source file keeps its own import.meta.url, __dirname and __filename", async () => {
  write("b/node_modules/where/package.json", '{"name":"where","main":"lib/index.cjs"}');
  write("b/node_modules/where/lib/index.cjs", "module.exports = [__dirname, __filename];");
  const lib = write("b/lib/place.ts", "export const place: string = import.meta.url;\n");
  const file = write(
    "b/job.ts",
    'import { place } from "./lib/place.ts";\nimport where from "where";\n' +
      "export default { place, where, own: import.meta.url };\n",
  );
  assert.deepEqual(await load(file), {
    place: pathToFileURL(lib).href,
    where: [join(root, "b/node_modules/where/lib"), join(root, "b/node_modules/where/lib/index.cjs")],
    own: pathToFileURL(file).href,
  });
});

test("sheaf and sheaf/testing are the running package, whatever the job's project has", async () => {
  write("c/node_modules/sheaf/package.json", '{"name":"sheaf","main":"index.js"}');
  write("c/node_modules/sheaf/index.js", "exports.job = () => 'the wrong one';");
  const file = write(
    "c/job.ts",
    'import { job } from "sheaf";\nimport "sheaf/testing";\nexport default job;\n',
  );
  const { code } = await bundle(file);
  const dist = pathToFileURL(join(import.meta.dirname, "../../../modules")).href;
  assert.match(code, new RegExp(`from "${dist}/index.js"`));
  assert.match(code, new RegExp(`"${dist}/testing.js"`));
  assert.doesNotMatch(code, /the wrong one/);
});

test("a bundle is portable: its hash is that of a text that does not say where sheaf lies", async () => {
  const file = write(
    "portable/job.ts",
    'import { job } from "sheaf";\nimport { testJob } from "sheaf/testing";\nexport * from "sheaf";\n' +
      'const late = () => import("sheaf");\nconst said = "sheaf://package/index.js";\n' +
      "export default { job, testJob, late, said };\n",
  );
  const { bundled, code } = await bundle(file);
  const portable = readFileSync(bundled.portablePath, "utf8");
  const dist = pathToFileURL(join(import.meta.dirname, "../../../modules")).href;
  assert.equal(createHash("sha256").update(portable).digest("hex").slice(0, 16), bundled.hash);
  assert.ok(!portable.includes(dist));
  assert.equal(runnableBundle(portable), code);
  assert.equal(code.split(dist).length - 1, 4);
  assert.equal(portable.split("\n").length, code.split("\n").length);
  const loaded = (await import(pathToFileURL(bundled.path).href)) as {
    default: { job: unknown; said: string; late: () => Promise<{ job: unknown }> };
  };
  const engine = (await import(`${dist}/index.js`)) as { job: unknown };
  assert.equal(loaded.default.job, engine.job);
  assert.equal((await loaded.default.late()).job, engine.job);
  assert.equal(loaded.default.said, "sheaf://package/index.js");
});

test("equal code has an equal hash wherever the bundle is put, other code another", async () => {
  const file = write("d/job.ts", "export default { a: 1 };\n");
  const first = await bundleJob(file, { outDirectory, cache: false });
  const second = await bundleJob(file, { outDirectory: join(root, "elsewhere"), cache: false });
  assert.equal(first.hash, second.hash);
  writeFileSync(file, "export default { a: 2 };\n");
  assert.notEqual((await bundleJob(file, { outDirectory, cache: false })).hash, first.hash);
});

test("a syntax error is told with file, line and column", async () => {
  const error = await failure(write("f/job.ts", "const a = 1;\nexport default { a: };\n"));
  assert.match(error.message, /^job\.ts:2:21: /);
  assert.match(error.message, /2 \| export default \{ a: \};/);
  assert.equal(error.details["line"], 2);
});

test("a missing package is told with how to install it, a missing file with its path", async () => {
  const missing = await failure(write("g/job.ts", 'import "no-such-package";\nexport default {};\n'));
  assert.match(missing.message, /job\.ts:1:8: Could not resolve "no-such-package"/);
  assert.match(missing.hint ?? "", /npm install no-such-package/);
  const file = await failure(write("g/job2.ts", 'import "./nowhere.ts";\nexport default {};\n'));
  assert.match(file.hint ?? "", /\.\/nowhere\.ts/);
});

test("a file without a default export, a directory and nothing at all are refused", async () => {
  const named = await failure(write("h/job.ts", "export const job = {};\n"));
  assert.match(named.message, /no default export \(it exports job\)/);
  assert.match(named.hint ?? "", /export default job/);
  assert.match((await failure(join(root, "h"))).message, /is not a file/);
  assert.match((await failure(join(root, "h/none.ts"))).message, /no such job file/);
  assert.equal(existsSync(join(root, "h/out")), false);
});

test("a stack is mapped to the TypeScript line, with the lines around it", async () => {
  const file = write(
    "i/job.ts",
    "interface Row { readonly name?: { length: number } }\n\nexport default {\n  run(row: Row): number {\n" +
      "    return row.name!.length;\n  },\n};\n",
  );
  const { bundled } = await bundle(file);
  const loaded = (await import(pathToFileURL(bundled.path).href)) as {
    default: { run(row: object): number };
  };
  let thrown: unknown;
  try {
    loaded.default.run({});
  } catch (error) {
    thrown = error;
  }
  const mapped = await mapStack((thrown as Error).stack!, bundled.path);
  assert.deepEqual([mapped.place?.path, mapped.place?.line], [file, 5]);
  assert.deepEqual(
    mapped.place?.excerpt.map(({ line }) => line),
    [3, 4, 5, 6],
  );
  assert.match(mapped.text, /job\.ts:5:/);
});
