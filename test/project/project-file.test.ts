import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { findProject, layersOf, resolveJob } from "#src/project/project-file.js";
import { stateDirectory, tempDir } from "../cli/support.js";

const told: string[] = [];
const reading = { stateDirectory, tell: (text: string) => void told.push(text) };

/** A folder with these files, and deep/ below it. */
function folder(t: TestContext, files: Readonly<Record<string, string>>, name = "project"): string {
  const root = join(tempDir(t), name);
  mkdirSync(join(root, "jobs/deep"), { recursive: true });
  writeFileSync(join(root, "jobs/wordcount.ts"), "");
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return root;
}

const project = (t: TestContext, content: string): string => folder(t, { "sheaf.json": content });

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string; hint: string }> {
  const error: unknown = await work.then(
    () => assert.fail("it was taken"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isSheafError(error), String(error));
  return { code: error.code, message: error.message, hint: error.hint ?? "" };
}

test("a registered name is found from any directory below, a path from where one is", async (t) => {
  const root = project(t, '{ "jobs": { "wordcount": "./jobs/wordcount.ts" } }');
  const file = join(root, "jobs/wordcount.ts");
  const found = async (word: string, cwd: string): Promise<object> => {
    const { project: of, ...job } = await resolveJob(word, cwd, reading);
    return { ...job, of: of?.path };
  };
  const of = join(root, "sheaf.json");
  const deep = join(root, "jobs/deep");
  assert.deepEqual(await found("wordcount", deep), { file, name: "wordcount", external: [], of });
  assert.deepEqual(await found("../wordcount.ts", deep), { file, name: undefined, external: [], of });
  assert.deepEqual(await found(file, "/"), { file, name: undefined, external: [], of });
});

test("a misspelt name or file gets a suggestion", async (t) => {
  const root = project(t, '{ "jobs": { "wordcount": "./jobs/wordcount.ts", "visits": "v.ts" } }');
  const hints: readonly (readonly [word: string, hint: string])[] = [
    ["wordcuont", "Did you mean wordcount?"],
    ["jobs/wordcuont.ts", "Did you mean jobs/wordcount.ts?"],
    ["wordcount.ts", "Give the path of a TypeScript or JavaScript file whose default export is job({...})."],
    [
      "qqqqqqqq",
      `${join(root, "sheaf.json")} lists: wordcount, visits. A job may also be given by its path.`,
    ],
  ];
  for (const [word, hint] of hints) {
    const { code, hint: said } = await refusal(resolveJob(word, root, reading));
    assert.deepEqual([code, said], ["USAGE", hint]);
  }
});

test("without a registered name the name of a file beside one is understood as such", async (t) => {
  const root = folder(t, { "sheaf.json": "{}", "count.mts": "" });
  assert.equal((await refusal(resolveJob("count", root, reading))).hint, "Did you mean count.mts?");
  // The project file itself is no job.
  const other = folder(t, { "sheaf.config.js": "export default {}" });
  const { hint } = await refusal(resolveJob("sheaf.confi", other, reading));
  assert.match(hint, /sheaf\.config\.js lists none\./);
});

const wrongJson: readonly (readonly [content: string, message: RegExp, hint?: RegExp])[] = [
  ["{", /JSON/],
  ["[]", /the project is /],
  ['{ "jobs": [] }', /"jobs" is /],
  ['{ "jobs": { "a": 1 } }', /jobs\.a is 1/],
  ['{ "jobs": { "": "a.ts" } }', /without a name/],
  ['{ "jobs": { "a": { "title": "no file" } } }', /jobs\.a\.file is undefined/],
  ['{ "jobs": { "a": { "file": "a.ts", "titel": "x" } } }', /no option jobs\.a\.titel/, /title/],
  ['{ "job": {} }', /no field job/, /Did you mean jobs/],
  ['{ "defaults": { "memroy": "1GiB" } }', /no option defaults\.memroy/, /Did you mean memory/],
  ['{ "defaults": { "memory": null } }', /defaults\.memory is null/, /Leave it out/],
  ['{ "defaults": { "growing": "yes" } }', /defaults\.growing is "yes"/, /true or false/],
  ['{ "defaults": { "speculation": "false" } }', /defaults\.speculation is "false"/, /true or false/],
  ['{ "defaults": { "once": "no" } }', /defaults\.once is "no"/, /true or false/],
  ['{ "defaults": { "workers": "4" } }', /defaults\.workers is "4"/, /a number/],
  ['{ "defaults": { "isolate": "proces" } }', /defaults\.isolate is "proces"/, /"process"/],
  ['{ "defaults": { "external": ["sharp"] } }', /defaults\.external is nothing/, /beside "jobs"/],
  ['{ "defaults": { "signal": 1 } }', /defaults\.signal is nothing/, /one call of run/],
  ['{ "defaults": { "output": "" } }', /defaults\.output is ""/],
  ['{ "defaults": { "inputs": [1] } }', /defaults\.inputs is /, /customers/],
  ['{ "defaults": { "tls": { "ca": "a.pem" } } }', /defaults\.tls is /, /three files/],
  ['{ "profiles": { "p": { "jobs": { "b": {} } } } }', /profiles\.p\.jobs: there is no job "b"/],
  ['{ "profiles": { "p": 3 } }', /profiles\.p is 3/],
  ['{ "external": "sharp" }', /"external" is no list/],
];

test("a project file that is none is refused, naming file and field", async (t) => {
  for (const [content, message, hint = /./] of wrongJson) {
    const root = project(t, content);
    const said = await refusal(findProject(root, reading));
    assert.equal(said.code, "USAGE", content);
    assert.ok(said.message.startsWith(`${root}/sheaf.json: `), said.message);
    assert.match(said.message, message);
    assert.match(said.hint, hint, content);
  }
});

test("two project files in a folder are refused, naming both; a nearer folder wins over one above", async (t) => {
  const root = folder(t, {
    "sheaf.json": "{}",
    "sheaf.config.ts": "export default {}",
    "jobs/deep/sheaf.json": '{ "jobs": { "inner": "inner.ts" } }',
  });
  const { code, message } = await refusal(findProject(join(root, "jobs"), reading));
  assert.equal(code, "USAGE");
  assert.equal(message, `${root} has both sheaf.json and sheaf.config.ts`);
  const nearer = await findProject(join(root, "jobs/deep"), reading);
  assert.deepEqual([...nearer!.jobs.keys()], ["inner"]);
});

test("paths are those of the project's folder; what is no path there stays", async (t) => {
  const content = {
    jobs: {
      one: {
        file: "jobs/wordcount.ts",
        inputs: ["data/a=1.txt", "/abs/b.txt", "-", "agent:/var/log/x", "s3://bucket/key", "logs/*.gz"],
        output: "out/one",
        tokenFile: "prod.token",
        tempDirectory: "tmp",
        materialize: "../kept",
        tls: { ca: "ca.pem", cert: "c.pem", key: "k.pem" },
      },
      join: { file: "jobs/wordcount.ts", inputs: { customers: "c.csv", orders: ["o/*.jsonl", "x=y.jsonl"] } },
    },
  };
  const root = folder(t, { "sheaf.json": JSON.stringify(content) });
  const { jobs } = (await findProject(join(root, "jobs"), reading))!;
  assert.deepEqual(jobs.get("one")!.settings, {
    inputs: [
      `${root}/data/a=1.txt`,
      "/abs/b.txt",
      "-",
      "agent:/var/log/x",
      "s3://bucket/key",
      `${root}/logs/*.gz`,
    ],
    output: `${root}/out/one`,
    tokenFile: `${root}/prod.token`,
    tempDirectory: `${root}/tmp`,
    materialize: join(root, "../kept"),
    tls: { ca: `${root}/ca.pem`, cert: `${root}/c.pem`, key: `${root}/k.pem` },
  });
  assert.deepEqual(jobs.get("join")!.settings.inputs, [
    `customers=${root}/c.csv`,
    `orders=${root}/o/*.jsonl`,
    `orders=${root}/x=y.jsonl`,
  ]);
});

test("a folder whose name has wildcards in it is taken by its name in front of a pattern", async (t) => {
  const content = JSON.stringify({ defaults: { inputs: ["d/*.txt", "d/[1].txt"] } });
  const root = folder(t, { "sheaf.json": content, "d/a.txt": "", "d/[1].txt": "" }, "[x] {a,b}*");
  const { defaults } = (await findProject(root, reading))!;
  const { listInput } = await import("#src/storage/list-input.js");
  const files = await listInput(defaults.inputs as readonly string[]);
  assert.deepEqual(files.map(({ path }) => path).sort(), [`${root}/d/[1].txt`, `${root}/d/a.txt`]);
});

test("a profile that there is not is refused with those there are", async (t) => {
  const found = await findProject(project(t, '{ "profiles": { "prod": {}, "stage": {} } }'), reading);
  assert.throws(() => layersOf(found, undefined, "prd"), {
    message: /has no profile "prd"/,
    hint: "There are: prod, stage. Did you mean prod?",
  });
  const none = await findProject(project(t, "{}"), reading);
  assert.throws(() => layersOf(none, undefined, "prod"), { hint: /sheaf\.json has none\./ });
  assert.throws(() => layersOf(undefined, undefined, "prod"), { message: /no project file here or above/ });
});

test("sheaf.config.ts: imports, awaits, URLs, bigints and what is undefined; what it prints is told", async (t) => {
  const root = folder(t, {
    "settings.ts": "export const cores: number = 6;",
    "sheaf.config.ts": `import { defineConfig } from "sheaf";
      import { cores } from "./settings.ts";
      console.log("printed by the project");
      const year = await Promise.resolve(2024);
      export default defineConfig({
        jobs: { a: { file: new URL("./jobs/wordcount.ts", import.meta.url), params: { year, big: 2n ** 70n } } },
        defaults: { on: process.env["NO_SUCH_VARIABLE_OF_SHEAF"], cores },
      });`,
  });
  const found = (await findProject(root, reading))!;
  assert.equal(found.path, join(root, "sheaf.config.ts"));
  assert.deepEqual(found.jobs.get("a"), {
    file: join(root, "jobs/wordcount.ts"),
    title: null,
    settings: { params: { year: 2024, big: "1180591620717411303424" } },
  });
  assert.deepEqual(found.defaults, { cores: 6 });
  assert.ok(told.includes("printed by the project"));
});

const head = 'import { defineConfig } from "sheaf";\n';
const wrongCode: readonly (readonly [source: string, code: string, message: RegExp, place?: RegExp])[] = [
  ["export default {\n  jobs: ,\n};", "CONFIG_LOAD", /sheaf\.config\.ts:2:9/],
  ["export const a = 1;", "CONFIG_LOAD", /no default export/],
  ['import "./no-such-file.ts";\nexport default {};', "CONFIG_LOAD", /sheaf\.config\.ts:1:8/],
  [
    'const a: number = 1;\nthrow new Error("no token");\nexport default {};',
    "CONFIG_LOAD",
    /no token/,
    /:2:7/,
  ],
  [`${head}export default defineConfig({\n  defualts: {},\n});`, "USAGE", /no field defualts/, /:2:\d+/],
  ["export default { jobs: { a: { file: () => 1 } } };", "CONFIG_LOAD", /no plain data at .*jobs\.a\.file/],
  ["export default { defaults: { sample: 0 / 0 } };", "CONFIG_LOAD", /no plain data at .*sample: NaN/],
  ["const a = {}; a.a = a;\nexport default a;", "CONFIG_LOAD", /contains itself/],
  ["export default () => ({});", "CONFIG_LOAD", /default export is a function/],
  ["export default Promise.resolve({});", "CONFIG_LOAD", /default export is a promise/],
  ["export default undefined;", "CONFIG_LOAD", /no plain data/],
  ["process.exit(0);\nexport default {};", "CONFIG_LOAD", /ended its thread/],
  ["await new Promise(() => {});\nexport default {};", "CONFIG_LOAD", /never settles/],
  ["for (;;);\nexport default {};", "CONFIG_LOAD", /was not loaded within 1 s/],
  ['export default { defaults: { name: "x".repeat(1_000_001) } };', "CONFIG_LOAD", /characters of JSON/],
];

test("a sheaf.config.ts that cannot be had is refused with the place in its source", async (t) => {
  const results = await Promise.all(
    wrongCode.map(async ([source, code, message, place]) => {
      const root = folder(t, { "sheaf.config.ts": source });
      // Only the endless loop comes to its limit.
      const loadMs = source.startsWith("for") ? 1_000 : 60_000;
      const error: unknown = await findProject(root, { ...reading, loadMs }).then(
        () => assert.fail(`taken: ${source}`),
        (thrown: unknown) => thrown,
      );
      assert.ok(isSheafError(error), String(error));
      assert.equal(error.code, code, `${source}\n${error.message}`);
      assert.match(error.message, message);
      assert.match(error.message, /sheaf\.config\.ts/);
      assert.ok((error.hint ?? "").length > 0 || "report" in error, source);
      if (place !== undefined) assert.match(String("report" in error && error.report), place);
      return 1;
    }),
  );
  assert.equal(results.length, wrongCode.length);
});
