import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { bundleJob } from "#src/bundle/bundle-job.js";
import { mapStack } from "#src/bundle/source-map.js";

const root = mkdtempSync(join(tmpdir(), "sheaf-own-places-"));
after(() => rmSync(root, { recursive: true, force: true }));
const outDirectory = join(root, "bundles");

function write(path: string, text: string): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

async function load(file: string, external: readonly string[] = []): Promise<unknown> {
  const { path } = await bundleJob(file, { outDirectory, cache: false, external });
  const { default: value } = (await import(pathToFileURL(path).href)) as { default: unknown };
  return value;
}

/** What Node itself makes of the file, which must be one it can run as it is. */
function byNode(file: string): unknown {
  const print =
    "import(process.argv[1]).then((m) => process.stdout.write(JSON.stringify(m.default ?? null)))";
  const output = execFileSync(process.execPath, ["-e", print, pathToFileURL(file).href], {
    encoding: "utf8",
  });
  return JSON.parse(output);
}

/** Source of ES modules; each exports as default what it says of its place. */
const modules: Readonly<Record<string, string>> = {
  "members of import.meta":
    "export default [import.meta.url, import.meta.dirname, import.meta.filename, typeof import.meta.resolve];",
  "import.meta taken apart": "const { url, dirname: d } = import.meta; export default [url, d];",
  "import.meta handed on":
    "const meta = import.meta; const say = (m) => m.url; export default [say(meta), meta === import.meta, 'url' in meta];",
  "import.meta across lines and comments": "export default [import /* of */ .\n meta // this\n .url];",
  "names that CommonJS has, declared": [
    'import { dirname, join } from "node:path"; import { fileURLToPath } from "node:url";',
    "const __filename = fileURLToPath(import.meta.url), __dirname = dirname(__filename);",
    "function inner(__dirname) { return [__dirname, import.meta.dirname]; }",
    'export default [__filename, __dirname, inner("mine"), ((__filename) => __filename)(1)];',
  ].join("\n"),
  "names in strings, templates, comments and regular expressions":
    "/* import.meta.url __dirname */ export default ['import.meta.url', `__dirname ${import.meta.url}`, /import(x)/.source, 'import(\"x\")', `${'__require'}`];",
  "a function that is called before its file has run":
    'import { seen } from "./cycle.mjs"; export function place() { return import.meta.url; } export default seen;',
  "names like those made up":
    "const $z00000000meta = 1, $zof = 2, $x00000 = 3; export default [$z00000000meta, $zof, $x00000, '$z0000', import.meta.url];",
  createRequire:
    'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);\nexport default [require("./data.json"), require.resolve("./data.json"), require("./old.cjs").dirname];',
  "import() of a variable":
    "const names = ['./late.mjs', new URL('./late.mjs', import.meta.url).href, 'node:path', 'dep'];\nconst found = []; for (const name of names) found.push(Object.keys(await import(name)).length); export default found;",
  "import() of a variable, with attributes":
    "const name = './data.json'; const { default: data } = await import(name, { with: { type: 'json' } }); export default data;",
  "import() of what is not there":
    "const name = './nowhere.mjs'; export default [await import(name).catch((error) => error.code), await import('dep/' + name.slice(2)).catch((error) => error.code)];",
  "import() of a pattern":
    "const load = (name) => import(`./plugins/${name}.mjs`).then((m) => m.default, (error) => error instanceof Error); export default [await load('a'), await load('b')];",
  "statements that begin with import() and import.meta":
    "const name = './late.mjs'; import.meta.own = 1;\n  import(name);\n{ import(name).then(() => 1); }\n(await import(name)).a; import.meta.resolve(name); export default [import.meta.own, (await import(name)).b];",
  "import.meta.resolve":
    "export default [import.meta.resolve('./late.mjs'), import.meta.resolve('./nowhere'), import.meta.resolve('fs'), import.meta.resolve('node:fs'), import.meta.resolve('dep'), import.meta.resolve('both')];",
  "a file of another folder": 'export { default } from "./plugins/place.mjs";',
  "a package that has another main for bundlers": 'export { default } from "dual";',
  "a package": 'export { default } from "placed";',
  "two on a line, and astral letters before":
    "export default ['😀é', import.meta.url, '😀', import.meta.filename];",
  "a # line": "#!/usr/bin/env node\nexport default import.meta.url;",
};

/** Source of CommonJS modules. */
const scripts: Readonly<Record<string, string>> = {
  "__dirname and __filename": "module.exports = [__dirname, __filename, typeof __dirname, { __dirname }];",
  "strict code with places":
    '"use strict"; module.exports = [__dirname, (function () { return this === undefined; })()];',
  "require of a variable, and its members":
    'const name = "./data.json"; const r = require; module.exports = [require(name), r("dep").length, require.resolve(name), require.resolve("dep"), require.main === module, typeof require.cache, typeof require];',
  "require of what may not be there":
    'let found; try { found = require("no-such-package"); } catch (error) { found = error.code; }\nlet other; try { other = require.resolve("no-such-package"); } catch (error) { other = error.code; } module.exports = [found, other];',
  "statements that begin with require or import()":
    'require.extensions[".none"] = 1; require("./data.json");\n  require.resolve("./data.json"); const name = "./data.json";\nif (name) { require(name); import(name, { with: { type: "json" } });\n  import("node:" + "fs") }\n(require)(name), (0, require)(name), !require(name); new (require("dep").constructor)(); module.exports = [".none" in require.extensions, require(name)];',
  "require as a parameter":
    'module.exports = (function (require) { return require("x"); })((name) => name + "!");',
  "a pattern without endings":
    'const load = (name) => require("./old/" + name); module.exports = [load("a"), load("b"), load("c.js")];\ntry { load("none"); } catch (error) { module.exports.push(error.code); }',
  "import() in a script": 'const name = "./late.mjs"; module.exports = typeof import(name).then;',
};

test("what a file sees of its place is what Node shows it", async (t) => {
  write("p/data.json", '{"a":1}');
  write("p/late.mjs", "export const a = 1, b = 2;");
  write("p/old.cjs", "exports.dirname = __dirname;");
  write(
    "p/cycle.mjs",
    'import { place } from "./a-function-that-is-called-before-its-file-has-run.mjs"; export const seen = place();',
  );
  write("p/plugins/a.mjs", "export default [import.meta.url, 'a'];");
  write("p/plugins/place.mjs", "export default [import.meta.url, import.meta.dirname];");
  write("p/old/a.js", "module.exports = __filename;");
  write("p/old/b/index.js", "module.exports = __dirname;");
  write("p/old/c.js", "module.exports = 'c';");
  write("p/old/README.md", "# old");
  write("p/old/LICENSE", "free");
  write("p/node_modules/dep/package.json", '{"name":"dep","main":"main.cjs"}');
  write("p/node_modules/dep/main.cjs", "module.exports = [1, 2];");
  write(
    "p/node_modules/both/package.json",
    '{"name":"both","exports":{"import":"./esm.mjs","require":"./cjs.cjs"}}',
  );
  write("p/node_modules/dual/package.json", '{"name":"dual","main":"main.js","module":"other.js"}');
  write("p/node_modules/dual/main.js", "module.exports = 'main';");
  write("p/node_modules/dual/other.js", "export default 'module';");
  write("p/node_modules/both/esm.mjs", "");
  write("p/node_modules/both/cjs.cjs", "");
  write("p/node_modules/placed/package.json", '{"name":"placed","main":"lib/main.cjs"}');
  write("p/node_modules/placed/lib/main.cjs", "module.exports = [__dirname, require('./' + 'part')];");
  write(
    "p/node_modules/placed/lib/part.js",
    "module.exports = [__filename, require.resolve('../package.json')];",
  );
  const sources = [
    ...Object.entries(modules).map(([what, text]) => [what, ".mjs", text] as const),
    ...Object.entries(scripts).map(([what, text]) => [what, ".cjs", text] as const),
  ];
  for (const [what, ending, text] of sources) {
    await t.test(what, async () => {
      const file = write(`p/${what.replaceAll(/[^A-Za-z]+/g, "-")}${ending}`, text);
      const found = JSON.parse(JSON.stringify(await load(file))) as unknown;
      assert.deepEqual(found, byNode(file));
    });
  }
});

test("a TypeScript module sees the names of both kinds of modules", async () => {
  const file = write(
    "ts/job.mts",
    'import fs = require("node:fs");\ndeclare const __dirname: string;\ninterface A { readonly url: string }\n' +
      "const meta = import.meta as A;\nexport default [meta.url, __dirname, import.meta!.filename satisfies string, typeof fs.readFileSync];\n",
  );
  assert.deepEqual(await load(file), [pathToFileURL(file).href, dirname(file), file, "function"]);
});

test("places do not move lines or columns of the source map", async () => {
  const file = write(
    "map/job.ts",
    "const here: string = import.meta.url; export default { run() { return [import.meta.dirname, here, (undefined as any).x]; } };\n",
  );
  const { path } = await bundleJob(file, { outDirectory, cache: false });
  const { default: job } = (await import(pathToFileURL(path).href)) as { default: { run(): void } };
  const error = await Promise.resolve()
    .then(() => job.run())
    .catch((thrown: unknown) => thrown as Error);
  const { place } = await mapStack((error as Error).stack!, path);
  assert.deepEqual([place?.line, place?.column], [1, readFileSync(file, "utf8").indexOf(".x]") + 2]);
});

test("a file that names its source map has its own place, not that of what it was made of", async () => {
  const map = (source: string, content: string | null): string => {
    const text = JSON.stringify({
      version: 3,
      sources: [source],
      sourcesContent: [content],
      names: [],
      mappings: "AAAA",
    });
    return `//# sourceMappingURL=data:application/json;base64,${Buffer.from(text).toString("base64")}\n`;
  };
  const file = write(
    "mapped/job.js",
    `${'import dep from "dep"; export default [import.meta.url, ...dep];\n'}${map("../src/job.ts", null)}`,
  );
  write("mapped/node_modules/dep/package.json", '{"main":"dist/main.js"}');
  write("mapped/node_modules/dep/dist/data.json", "7");
  const dep = write(
    "mapped/node_modules/dep/dist/main.js",
    `const name = "./data.json"; module.exports = [__dirname, require(name), "sourceMappingURL=x"];\n${map("../src/main.ts", "one line")}`,
  );
  assert.deepEqual(await load(file), [pathToFileURL(file).href, dirname(dep), 7, "sourceMappingURL=x"]);
});

test("the text of a bundle that asks for no place names none", async () => {
  const file = write("plain/job.ts", 'import { join } from "node:path";\nexport default join("a", "b");\n');
  const { portablePath } = await bundleJob(file, { outDirectory, cache: false });
  assert.ok(!readFileSync(portablePath, "utf8").includes(root));
});

test("jobs in CommonJS, TSX and what was compiled to CommonJS export their job", async () => {
  const sheaf = 'const { job, text } = require("sheaf"); const { testJob } = require("sheaf/testing");';
  const made = "job({ name: typeof testJob, input: text(), map: (line, emit) => emit(line, 1) })";
  const files = {
    "cjs/a.cjs": `${sheaf} module.exports = ${made};`,
    "cjs/b.js": `"use strict"; ${sheaf} module.exports = ${made};`,
    "cjs/c.cts": `import sheaf = require("sheaf"); import kit = require("sheaf/testing"); const { job, text } = sheaf, { testJob } = kit; export = ${made};`,
    "cjs/d.tsx": `import { job, text } from "sheaf"; import { testJob } from "sheaf/testing"; export default ${made};`,
  };
  for (const [name, text] of Object.entries(files)) {
    const value = (await load(write(name, text))) as { sheaf: string; name: string };
    assert.deepEqual([value.sheaf, value.name], ["job", "function"], name);
  }
});

test("an addon is loaded from where it lies, however it is found", async () => {
  const [native] = execFileSync("find", [
    join(import.meta.dirname, "../../../node_modules/@node-rs"),
    "-name",
    "*.node",
  ])
    .toString()
    .split("\n");
  const at = "addon/node_modules/native";
  mkdirSync(join(root, at, "build/Release"), { recursive: true });
  cpSync(native!, join(root, at, "build/Release/native.node"));
  write(`${at}/package.json`, '{"name":"native","main":"index.js"}');
  write(
    `${at}/index.js`,
    'const path = require("path"); module.exports = [require("./build/Release/native.node"), require("./build/Release/native"), ' +
      'require("bindings")("native"), require(path.join(__dirname, "build/Release/native.node"))].map((found) => found.crc32c("x"));',
  );
  // As the package `bindings`: it asks the stack who calls.
  write("addon/node_modules/bindings/package.json", '{"name":"bindings","main":"bindings.js"}');
  write(
    "addon/node_modules/bindings/bindings.js",
    'const path = require("path"); module.exports = (options) => { if (!options.module_root) throw new Error("no root"); ' +
      'return require(path.join(options.module_root, "build", "Release", options.bindings + ".node")); };',
  );
  const file = write("addon/job.ts", 'import sums from "native";\nexport default sums;\n');
  const sums = (await load(file)) as number[];
  assert.equal(sums.length, 4);
  assert.equal(new Set(sums).size, 1);
});

test("decorators that would carry metadata are warned of, with the tsconfig that asks for it", async () => {
  const base = write(
    "decorated/base.json",
    '{ "compilerOptions": { /* types */ "emitDecoratorMetadata": true } }',
  );
  write(
    "decorated/tsconfig.json",
    '{ "extends": "./base.json", "compilerOptions": { "experimentalDecorators": true } }',
  );
  const seen = "const seen = (_target: object, _name: string): void => {};";
  const decorated = write("decorated/job.ts", `${seen}\nclass A { @seen name = ""; }\nexport default A;\n`);
  const plain = write("decorated/plain.ts", `${seen}\nexport default seen;\n`);
  for (const cache of [false, true]) {
    const { warnings } = await bundleJob(decorated, { outDirectory, cache });
    assert.deepEqual(
      warnings.map((warning) => warning.startsWith(`${base}: "emitDecoratorMetadata" has no effect`)),
      [true],
    );
    assert.deepEqual((await bundleJob(plain, { outDirectory, cache })).warnings, []);
  }
});
