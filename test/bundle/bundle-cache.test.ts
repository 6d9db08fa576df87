import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { bundleJob } from "#src/bundle/bundle-job.js";
import { parseVerboseLog } from "#src/bundle/looked-at.js";
import { pass } from "../kit/wait.js";

const root = mkdtempSync(join(tmpdir(), "sheaf-bundle-cache-"));
after(() => rmSync(root, { recursive: true, force: true }));
const outDirectory = join(root, "bundles");
let loads = 0;

function write(path: string, text: string): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function link(path: string, target: string): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  rmSync(file, { force: true });
  symlinkSync(target, file);
}

interface Case {
  readonly what: string;
  /** The job file exports what `before` says, and after `change` what `now` says. */
  readonly job: string;
  readonly files: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
  readonly before: unknown;
  readonly now: unknown;
  change(folder: string): void;
}

const importX = 'import { x } from "./util";\nexport default x;\n';
const two = "export const x = 2;\n";

/** Each by its folder. */
const cases: Readonly<Record<string, Case>> = {
  extended: {
    what: "a tsconfig that another extends, by a list and out of a package",
    job: 'import { x } from "#lib/x";\nexport default x;\n',
    files: {
      "tsconfig.json": '{ "extends": ["./none.json", "base-config/tsconfig.json"] }',
      "none.json": "{ /* nothing */ }",
      "node_modules/base-config/tsconfig.json": '{"compilerOptions":{"paths":{"#lib/*":["../../lib1/*"]}}}',
      "lib1/x.ts": "export const x = 1;\n",
      "lib2/x.ts": two,
    },
    before: 1,
    now: 2,
    change: (folder) =>
      write(
        `${folder}/node_modules/base-config/tsconfig.json`,
        '{"compilerOptions":{"paths":{"#lib/*":["../../lib2/*"]}}}',
      ),
  },
  exported: {
    what: "the exports of a linked package of a scope",
    job: 'import { x } from "@own/part/deep";\nexport default x;\n',
    files: {
      "packages/part/package.json": '{"name":"@own/part","exports":{"./deep":"./one.js"}}',
      "packages/part/one.js": "export const x = 1;\n",
      "packages/part/two.js": two,
    },
    links: { "node_modules/@own/part": "../../packages/part" },
    before: 1,
    now: 2,
    change: (folder) =>
      write(`${folder}/packages/part/package.json`, '{"name":"@own/part","exports":{"./deep":"./two.js"}}'),
  },
  linked: {
    what: "a link that leads elsewhere, to files that are as they were",
    job: 'import { x } from "dep";\nexport default x;\n',
    files: { "v1/index.js": "export const x = 1;\n", "v2/index.js": two },
    links: { "node_modules/dep": "../v1" },
    before: 1,
    now: 2,
    change: (folder) => link(`${folder}/node_modules/dep`, "../v2"),
  },
  neighbour: {
    what: "the tsconfig that appears above an imported file, outside the job's folder",
    job: 'import { x } from "../elsewhere/sub/x.ts";\nexport default x;\n',
    files: {
      "../elsewhere/sub/x.ts": 'import { x as y } from "./deep/x";\nexport const x = y;\n',
      "../elsewhere/sub/deep/x.ts": 'export { x } from "where";\n',
      "../elsewhere/node_modules/where/index.js": "export const x = 1;\n",
      "../elsewhere/other.ts": two,
    },
    before: 1,
    now: 2,
    change: () => write("elsewhere/tsconfig.json", '{"compilerOptions":{"paths":{"where":["./other.ts"]}}}'),
  },
  beside: {
    what: "a util.ts that appears beside util.js",
    job: importX,
    files: { "util.js": "export const x = 1;\n" },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/util.ts`, two),
  },
  folder: {
    what: "a util.ts that appears beside the folder util",
    job: importX,
    files: { "util/index.ts": "export const x = 1;\n" },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/util.ts`, two),
  },
  index: {
    what: "an index.ts that appears beside index.js",
    job: importX,
    files: { "util/index.js": "export const x = 1;\n" },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/util/index.ts`, two),
  },
  main: {
    what: "the package.json that appears in an imported folder",
    job: importX,
    files: { "util/index.js": "export const x = 1;\n", "util/other.js": two },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/util/package.json`, '{"main":"other.js"}'),
  },
  "nearer/jobs": {
    what: "a node_modules that appears nearer to the job file",
    job: 'import { x } from "dep";\nexport default x;\n',
    files: { "../node_modules/dep/index.js": "export const x = 1;\n" },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/node_modules/dep/index.js`, two),
  },
  "present/jobs": {
    what: "a package that appears in a nearer node_modules",
    job: 'import { x } from "dep";\nexport default x;\n',
    files: {
      "../node_modules/dep/index.js": "export const x = 1;\n",
      "node_modules/another/index.js": "",
    },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/node_modules/dep/index.js`, two),
  },
  pattern: {
    what: "a file that a pattern of require() now matches",
    job: 'const name = (n: string) => { try { return require("./lib/" + n).x; } catch { return "none"; } };\nexport default name("two");\n',
    files: { "lib/one.js": "exports.x = 1;\n", "lib/notes.md": "# no code" },
    before: "none",
    now: 2,
    change: (folder) => write(`${folder}/lib/two.js`, "exports.x = 2;\n"),
  },
  deep: {
    what: "a file in a new folder that a pattern of import() now matches",
    job: "const load = async (n: string) => import(`./lib/${n}.ts`).then((m) => m.x, () => 0);\nexport default await load('a/b');\n",
    files: { "lib/one.ts": "export const x = 1;\n" },
    before: 0,
    now: 2,
    change: (folder) => write(`${folder}/lib/a/b.ts`, two),
  },
  alias: {
    what: "the imports of the job's own package.json",
    job: 'import { x } from "#x";\nexport default x;\n',
    files: {
      "package.json": '{"imports":{"#x":"./one.js"}}',
      "one.js": "export const x = 1;\n",
      "two.js": two,
    },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/package.json`, '{"imports":{"#x":"./two.js"}}'),
  },
  json: {
    what: "an imported data file",
    job: 'import x from "./x.json" with { type: "json" };\nexport default x;\n',
    files: { "x.json": "1" },
    before: 1,
    now: 2,
    change: (folder) => write(`${folder}/x.json`, "2"),
  },
};

interface Loaded {
  readonly value: unknown;
  /** Changes whenever the bundle is written. */
  readonly written: bigint;
  readonly path: string;
}

async function load(folder: string, external: readonly string[] = []): Promise<Loaded> {
  const { path } = await bundleJob(join(root, folder, "job.ts"), { outDirectory, external });
  const { default: value } = (await import(`${pathToFileURL(path).href}?${loads++}`)) as { default: unknown };
  return { value, written: statSync(path, { bigint: true }).ino, path };
}

/** The cache distrusts what has just changed. */
async function settle(): Promise<void> {
  await pass(80);
}

test("a bundle is made anew when anything esbuild looked at changes, and only then", async (t) => {
  for (const [folder, { job, files, links = {} }] of Object.entries(cases)) {
    write(`${folder}/job.ts`, job);
    for (const [name, text] of Object.entries(files)) write(join(folder, name), text);
    for (const [name, target] of Object.entries(links)) link(join(folder, name), target);
  }
  await settle();
  for (const [folder, { what, before, now, change }] of Object.entries(cases)) {
    await t.test(what, async () => {
      const first = await load(folder);
      assert.deepEqual(first.value, before);
      // What a run leaves beside its job file is no reason.
      write(`${folder}/out/part-00000.tsv`, "x\t1\n");
      write(`${folder}/notes.txt`, "");
      const second = await load(folder);
      assert.equal(second.written, first.written, "it was not kept");
      change(folder);
      assert.deepEqual((await load(folder)).value, now);
    });
  }
});

test("options and environment have a say in which bundle is used", async () => {
  write("env/job.ts", 'import { x } from "far";\nexport default x;\n');
  write("env/a/far/index.js", "export const x = 1;\n");
  write("env/b/far/index.js", two);
  await settle();
  const before = process.env["NODE_PATH"];
  try {
    process.env["NODE_PATH"] = join(root, "env/a");
    assert.equal((await load("env")).value, 1);
    process.env["NODE_PATH"] = join(root, "env/b");
    assert.equal((await load("env")).value, 2);
  } finally {
    if (before === undefined) delete process.env["NODE_PATH"];
    else process.env["NODE_PATH"] = before;
  }
});

test("a kept bundle that was edited does not run, nor one whose portable form was", async () => {
  write("edited/job.ts", "export default 1;\n");
  await settle();
  const { path, written } = await load("edited");
  assert.equal((await load("edited")).written, written);
  writeFileSync(path, "export default 3;\n");
  assert.equal((await load("edited")).value, 1);
  writeFileSync(join(dirname(path), "portable.mjs"), "export default 4;\n");
  const { portablePath, hash } = await bundleJob(join(root, "edited/job.ts"), { outDirectory });
  assert.equal(hash, path.slice(0, -"/job.mjs".length).split("/").at(-1)!.split(".")[0]);
  assert.notEqual(statSync(portablePath).size, "export default 4;\n".length);
});

test("a log that is not understood tells nothing, so that nothing is kept by it", () => {
  assert.equal(parseVerboseLog(""), null);
  assert.equal(parseVerboseLog("Looking up ./x from /a\n"), null);
});

test("of a log, paths, directories, stems and walked directories are taken", () => {
  const log = `⬥ [VERBOSE] Resolving import "./util" in directory "/a" of type "import-statement"

  Read 3 entries for directory "/a"
  The file "/a/tsconfig.json" exists
  Attempting to load "/a/util" as a file
    Checking for file "util.ts"
  Failed to read directory "/a/q\\"uote"

⬥ [VERBOSE] Resolving glob import require("./lib/**/*") in directory "/a" of type "require-call"

  Read 3 entries for directory "/a"
  Read 1 entry for directory "/a/lib"
  Considering entry "/a/lib/x.js"
`;
  const { paths, directories, stems, walked } = parseVerboseLog(log)!;
  assert.deepEqual([...directories], ["/a", '/a/q"uote', "/a/lib"]);
  assert.deepEqual([...stems], ["/a/util", "/a/lib/"]);
  assert.deepEqual([...walked], ["/a/lib"]);
  assert.ok(["/a/tsconfig.json", "/a/util", "/a/lib/x.js"].every((path) => paths.has(path)));
});
