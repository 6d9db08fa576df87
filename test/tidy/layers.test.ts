import assert from "node:assert/strict";
import { test } from "node:test";
import { forwardRows, layerViolations, readLayers } from "./layers.js";
import { importsOf, read, sources } from "./tree.js";

const layers = readLayers(read("ARCHITECTURE.md"));

/** Loads what job files will import ahead of them; see "Layers" in ARCHITECTURE.md. */
const ENTRIES = ["src/worker/task-host.ts src/index.ts"];

test("a row of the layers table names only rows above it, so that no circle is possible", () => {
  assert.ok(layers.size > 10, `only ${layers.size} rows were read`);
  assert.deepEqual(forwardRows(layers), []);
});

test("every folder of src/ has a row, and every row a folder", () => {
  const folders = new Set<string>();
  for (const path of sources().keys()) {
    const [, folder = "", ...rest] = path.split("/");
    if (rest.length > 0) folders.add(folder);
  }
  assert.deepEqual([...layers.keys()].sort(), [...folders].sort());
});

test("every import in src/ follows the layers table", () => {
  assert.deepEqual(layerViolations(sources(), layers, ENTRIES), []);
});

test("every folder a row names is really imported: the table allows no more than is used", () => {
  const used = new Set<string>();
  for (const [path, text] of sources()) {
    const [, from = ""] = path.split("/");
    for (const { specifier } of importsOf(text)) {
      const to = /^(?:\.\.\/)+([\w-]+)\//.exec(specifier)?.[1];
      if (to !== undefined) used.add(`${from} ${to}`);
    }
  }
  const idle = [...layers].flatMap(([folder, allowed]) =>
    [...allowed.keys()]
      .filter((name) => !used.has(`${folder} ${name}`))
      .map((name) => `${folder}/ and ${name}`),
  );
  assert.deepEqual(idle, []);
});

test("packages that src/ imports are dependencies, but for those built in; ARCHITECTURE.md argues each", () => {
  interface Package {
    readonly dependencies: Readonly<Record<string, string>>;
    readonly devDependencies: Readonly<Record<string, string>>;
    /** Loaded only when they are needed, and told of where they are not there. */
    readonly peerDependencies: Readonly<Record<string, string>>;
  }
  const { dependencies, devDependencies, peerDependencies } = JSON.parse(read("package.json")) as Package;
  const imported = new Set<string>();
  const builtIn = new Set<string>();
  for (const [path, text] of sources()) {
    for (const { specifier } of importsOf(text)) {
      const name = /^(?:@[\w-]+\/)?[\w-]+/.exec(specifier)?.[0];
      // "sheaf" stands in the templates of `sheaf init`.
      if (name === undefined || name === "node" || name === "sheaf") continue;
      (path.startsWith("src/vendor/") ? builtIn : imported).add(name);
    }
  }
  assert.deepEqual([...imported].sort(), Object.keys({ ...dependencies, ...peerDependencies }).sort());
  assert.deepEqual(
    [...builtIn].filter((name) => devDependencies[name] === undefined),
    [],
  );
  const argued = read("ARCHITECTURE.md").split("## Dependencies")[1]!;
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
    assert.ok(argued.includes(`\`${name}\``), `argue ${name} in the dependency tables of ARCHITECTURE.md`);
  }
});

test("the check finds what it is there for, in a tree made to break every rule", () => {
  const table = readLayers(`
| folder | may import |
| --- | --- |
| \`base/\` | |
| \`plan/\` | base, task (types) |
| \`task/\` | base |
`);
  assert.deepEqual(forwardRows(table), ["plan/ names task/, which has no row above it"]);
  const made = new Map([
    ["src/index.ts", 'export { anything } from "./task/run.ts";'],
    ["src/base/clock.ts", 'import { run } from "../task/run.ts";\n// from "../plan/plan.ts"\n'],
    ["src/base/late.ts", 'export const late = () => import("../plan/plan.ts");\n'],
    ["src/base/again.ts", 'export type { Run } from "../task/run.ts";\n'],
    ["src/base/top.ts", 'import { anything } from "../index.ts";\n'],
    [
      "src/plan/plan.ts",
      'import type { Run } from "../task/run.ts";\nimport {\n  run,\n} from "../task/run.ts";\n',
    ],
    ["src/task/run.ts", 'import { clock } from "../base/clock.ts";\nimport "../plan/plan.ts";\n'],
    [
      "src/task/deep/er.ts",
      'import { clock } from "../../base/clock.ts";\nimport { run } from "../run.ts";\n',
    ],
    ["src/other/x.ts", ""],
  ]);
  assert.deepEqual(layerViolations(made, table, []), [
    "src/base/clock.ts:1: base/ may not import task/ (../task/run.ts)",
    "src/base/late.ts:1: base/ may not import plan/ (../plan/plan.ts)",
    "src/base/again.ts:1: base/ may not import task/ (../task/run.ts)",
    "src/base/top.ts:1: imports src/index.ts; take what you need from the folder that has it",
    "src/plan/plan.ts:2: plan/ may import only types of task/ (../task/run.ts)",
    "src/task/run.ts:2: task/ may not import plan/ (../plan/plan.ts)",
    "src/other/x.ts: other/ has no row in the layers table of ARCHITECTURE.md",
  ]);
  assert.deepEqual(
    layerViolations(new Map([["src/base/top.ts", 'import "../index.ts";']]), table, [
      "src/base/top.ts src/index.ts",
    ]),
    [],
  );
});
