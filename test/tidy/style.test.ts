import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { banned, idleExceptions, longLines, orphans, withoutHint } from "./style.js";
import type { Tree } from "./tree.js";
import { ASSEMBLY, read, root, sources, tree } from "./tree.js";

const COLUMNS = 110;
const LINES = 400;

const code: Tree = new Map([
  ...[...tree(["src", "test", "examples"], ".ts")].filter(([path]) => !path.startsWith("test/fixtures/")),
  ...tree(["bench", "scripts"], ".mjs"),
  ...tree(["bench"], ".ts"),
]);
const everything: Tree = new Map([
  ...code,
  ...tree(["docs"], ".md"),
  ...[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "STYLE.md",
    "CHANGELOG.md",
    ".ci/run",
    "package.json",
  ].map((path): [string, string] => [path, read(path)]),
]);

test(`no line of code is longer than ${COLUMNS} columns (npm run format breaks most of them)`, () => {
  // The files that sheaf init writes have lines of their own.
  const ours = new Map([...code].filter(([path]) => !path.startsWith("src/cli/command/init/")));
  assert.deepEqual(longLines(ours, COLUMNS), []);
});

test("nothing banned stands anywhere; the message says what to write instead", () => {
  assert.deepEqual(banned(everything), []);
});

test("every exception from a ban still excuses something", () => {
  assert.deepEqual(idleExceptions(code), []);
});

test("every error says what to do about it", () => {
  const excused = [
    "src/codec/key-codec.ts", // bytes behind a right checksum: those that read the block say what to do
    "src/codec/value-codec.ts", // likewise
    "src/worker/injected-fault.ts", // made for tests
    "src/bundle/make-bundle.ts", // esbuild's own message says it
  ];
  assert.deepEqual(withoutHint(sources(), excused), []);
});

test(`no file of src/ has more than ${LINES} lines (split it by concept)`, () => {
  const lines = (text: string): number => text.split("\n").length - 1;
  const long = [...tree(["src"], ".ts")].filter(([, text]) => lines(text) > LINES);
  assert.deepEqual(
    long.map(([path, text]) => `${path}: ${lines(text)}`),
    [],
  );
});

test("file names are in kebab-case", () => {
  assert.deepEqual(
    [...code.keys()].filter((path) => !/^([a-z0-9-]+\/)+[a-z0-9-]+(\.test|\.test-d)?\.(ts|mjs)$/.test(path)),
    [],
  );
});

test("every file of src/ is imported somewhere; if not, remove it", () => {
  // The last is what run.sh starts.
  const entries = ["src/index.ts", "src/testing.ts", "src/cli/main.ts", "src/hosted/task-entry.ts"];
  assert.deepEqual(orphans(sources(), entries), []);
  const kernels = tree([ASSEMBLY.slice(0, -1)], ".ts");
  const named = new Map(
    [...kernels].map(([path, text]) => [path, text.replaceAll(/(from "[^"]+?)(\.ts)?"/g, '$1.ts"')]),
  );
  assert.deepEqual(orphans(named, [`${ASSEMBLY}index.ts`]), []);
});

test("what src/ looks for beside itself lies where both builds have it: below builtUrl", () => {
  // Hints of messages show a job or a pipeline beside the user's file.
  const places = [...sources()].filter(([, text]) =>
    /new URL\((?!"\.\/(?:job|pipeline)\.ts")[^)]*, import\.meta\.url\)/.test(text),
  );
  assert.deepEqual(
    places.map(([path]) => path),
    ["src/base/package-places.ts"],
  );
  const started = [...sources().values()].flatMap((text) =>
    [...text.matchAll(/new URL\("([^"]+\.js)", builtUrl\)/g)].map(([, file]) => file!),
  );
  assert.ok(started.length >= 6);
  for (const file of started)
    for (const built of ["dist", "modules"])
      assert.ok(existsSync(join(root, built, file)), `${built}/${file}`);
});

test("the checks find what they are there for", () => {
  const made: Tree = new Map([
    ["src/plan/a.ts", "// Date.now() in a comment is fine\nconst at = Date.now();\n"],
    ["src/plan/b.ts", "setTimeout(() => Math.random(), 5);\n"],
    ["src/task/c.ts", 'console.log("x");\n'],
    ["src/cli/d.ts", 'console.log("x");\nenum A { b }\n'],
    ["src/cli/e.ts", "// FIXME later\nexport default 1;\n"],
    ["test/a/g.ts", "await new Promise((resolve) => setTimeout(resolve, 20));\n"],
    ["test/a/h.ts", 'import { setTimeout as pause } from "node:timers/promises";\n'],
    ["src/runner/f.ts", 'import "../cli/d.ts";\nconst home = "/home/me/x";\nsetTimeout(x, 1);\n'],
  ]);
  const found = banned(made).map((line) => line.split(": ").slice(0, 2).join(": "));
  assert.deepEqual(found, [
    "src/plan/a.ts:2: Date.now(",
    "src/plan/b.ts:1: Math.random",
    "src/plan/b.ts:1: setTimeout(",
    "src/task/c.ts:1: console.",
    "src/cli/d.ts:2: enum",
    "src/cli/e.ts:2: export default",
    "src/cli/e.ts:1: FIXME",
    "test/a/g.ts:1: => setTimeout(resolve, 20))",
    'test/a/h.ts:1: setTimeout as pause } from "node:timers/promises"',
    'src/runner/f.ts:2: "/home/m',
  ]);
  assert.deepEqual(orphans(made, ["src/runner/f.ts"]), [
    "src/plan/a.ts",
    "src/plan/b.ts",
    "src/task/c.ts",
    "src/cli/e.ts",
    "test/a/g.ts",
    "test/a/h.ts",
  ]);
  assert.deepEqual(longLines(new Map([["a.ts", `${"x".repeat(111)}\n${"x".repeat(110)}`]]), 110), [
    "a.ts:1: 111 columns, 110 is the most",
  ]);
  assert.deepEqual(longLines(new Map([["a.ts", `const text = "${"x".repeat(111)}";`]]), 110), []);
  assert.equal(longLines(new Map([["a.ts", `// it's ${"x".repeat(111)} it's`]]), 110).length, 1);
  const thrown =
    'throw new SheafError("USAGE", f("a)b"), { hint: "x" });\nthrow new SheafError("USAGE", `${a}`);';
  assert.deepEqual(withoutHint(new Map([["a.ts", thrown]]), []), [
    "a.ts:2: an error without a hint; say what to do about it",
  ]);
});

test("an exported name has one meaning", () => {
  // The kernels are there twice, in AssemblyScript and in TypeScript; each kind of store has its own maker.
  const excused = /^src\/kernel\//;
  const places = new Map<string, string[]>();
  for (const [path, text] of tree(["src"], ".ts")) {
    if (excused.test(path)) continue;
    for (const [, name] of text.matchAll(EXPORTED)) {
      const found = places.get(name!) ?? [];
      if (!found.includes(path)) places.set(name!, [...found, path]);
    }
  }
  const several = [...places].filter(([name, paths]) => name !== "createStore" && paths.length > 1);
  assert.deepEqual(several, []);
});

const EXPORTED = /^export (?:abstract |async )*(?:class|interface|type|function\*?|const) (\w+)/gm;
