import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { linksOf } from "./links.js";
import { read, root, tree } from "./tree.js";
import { dump, keyTable, partitionTable, valueTable, writeExample } from "./worked-example.js";

const scratch = join(root, "build", "docs");
const pages: ReadonlyMap<string, string> = new Map([
  ...readdirSync(root)
    .filter((name) => name.endsWith(".md"))
    .map((name): [string, string] => [name, read(name)]),
  ...tree(["docs"], ".md"),
]);

/** The fenced blocks of a page in one language, with the lines they begin at. */
function blocks(page: string, language: string): { readonly text: string; readonly line: number }[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm");
  return [...page.matchAll(fence)].map(({ index, 1: text = "" }) => ({
    text,
    line: page.slice(0, index).split("\n").length,
  }));
}

/** The anchors of a page, as GitHub makes them of its headings. */
function anchors(page: string): Set<string> {
  const prose = page.replace(/^```[\s\S]*?^```$/gm, "");
  return new Set(
    [...prose.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{Pc} -]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

test("every relative link of every page leads somewhere, anchors too", () => {
  const broken: string[] = [];
  for (const [path, page] of pages) {
    for (const { file, anchor } of linksOf(page)) {
      const place = join(dirname(path), file === "" ? path.split("/").at(-1)! : file);
      const target = anchor === null ? file : `${file}#${anchor}`;
      if (!existsSync(join(root, place))) broken.push(`${path}: ${target}: no such file`);
      else if (anchor !== null && !anchors(read(place)).has(anchor))
        broken.push(`${path}: ${target}: no such heading`);
    }
    // Tests do not ship, so they are named and not linked.
    for (const [, named = ""] of page.matchAll(/`((?:test|bench|scripts)\/[\w./-]+)`/g))
      if (!existsSync(join(root, named))) broken.push(`${path}: ${named}: no such file`);
  }
  assert.deepEqual(broken, []);
});

test("every test that a page names is there, and every row of the pitfalls names one", () => {
  const missing: string[] = [];
  for (const [path, page] of pages)
    for (const [, name = ""] of page.matchAll(/`(test\/[\w./-]+\.ts)`/g))
      if (!existsSync(join(root, name))) missing.push(`${path}: ${name}`);
  assert.deepEqual(missing, []);
  const rows = read("docs/pitfalls.md")
    .split("\n")
    .filter((line) => line.startsWith("| ") && !/^\| (kind|---) /.test(line));
  assert.ok(rows.length > 80, `${rows.length} rows`);
  assert.deepEqual(
    rows.filter((row) => !/(?:`(?:test|scripts)\/[\w./-]+\.m?[jt]s`[^|]*|\| by hand )\|$/.test(row)),
    [],
  );
});

test("the TypeScript of every page type-checks, and its jobs are jobs", async () => {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  const names: string[] = [];
  for (const [path, page] of pages) {
    for (const { text, line } of blocks(page, "ts")) {
      const name = `${path.replaceAll("/", "-").replace(/\.md$/, "")}-${line}`;
      writeFileSync(join(scratch, `${name}.ts`), text);
      names.push(name);
      // Another one may import it by the name that it says it has.
      const [, own] = /^\/\/ ([\w-]+\.ts)\n/.exec(text) ?? [];
      if (own !== undefined) writeFileSync(join(scratch, own), text);
    }
  }
  assert.ok(names.length > 15, `only ${names.length} examples were found`);
  const config = {
    extends: "../../tsconfig.base.json",
    compilerOptions: { rootDir: ".", outDir: ".", sourceMap: false },
    include: ["*.ts"],
    exclude: [],
  };
  writeFileSync(join(scratch, "tsconfig.json"), JSON.stringify(config));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const done = spawnSync(process.execPath, [compiler, "-p", scratch], { encoding: "utf8" });
  assert.equal(
    done.status,
    0,
    `${done.stdout}${done.stderr}\n(file names end in the block's line of the page)`,
  );
  for (const name of names) {
    const text = readFileSync(join(scratch, `${name}.ts`), "utf8");
    // Those that run jobs would look for their input.
    if (/\bawait run\(/.test(text)) continue;
    if (text.includes('from "node:test"')) {
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const tested = spawnSync(process.execPath, [join(scratch, `${name}.js`)], { encoding: "utf8", env });
      assert.equal(tested.status, 0, `${name}: ${tested.stdout}`);
      continue;
    }
    const module = (await import(pathToFileURL(join(scratch, `${name}.js`)).href)) as {
      readonly default?: unknown;
    };
    const { default: exported } = module;
    const { sheaf: kind, createStore } = (exported ?? {}) as { sheaf?: string; createStore?: unknown };
    // The module of a storage is tried by test/runner/user-stores.test.ts.
    if (exported !== undefined && createStore === undefined)
      assert.match(kind ?? "", /^(?:job|pipeline)$/, name);
  }
});

test("README.md shows examples/wordcount.ts as it is", () => {
  const [first] = blocks(read("README.md"), "ts");
  const code = read("examples/wordcount.ts").replace(/^(\/\/.*\n)+/, "");
  assert.equal(first!.text, `// examples/wordcount.ts\n${code}`);
});

test("the Quick start has two commands, and .ci/run runs them word for word", () => {
  const [, section = ""] = /^## Quick start\n([\s\S]*?)^## /m.exec(read("README.md")) ?? [];
  const commands = blocks(section, "sh");
  assert.equal(commands.length, 2);
  const script = read(".ci/run")
    .split("\n")
    .map((line) => line.trim());
  for (const line of commands.flatMap(({ text }) => text.trim().split("\n"))) {
    assert.ok(
      script.some((step) => step === line || step.includes(` ${line})`)),
      `.ci/run does not run: ${line}`,
    );
  }
});

test("docs/job-api.md names everything sheaf exports", () => {
  const page = read("docs/job-api.md");
  for (const entry of ["src/index.ts", "src/testing.ts"]) {
    const exported = [
      ...read(entry).matchAll(/^export (?:type )?\{([^}]*)\}|^export async function (\w+)/gm),
    ].flatMap(([, list, name]) =>
      (list ?? name!)
        .split(",")
        .map((one) => one.trim())
        .filter((one) => one !== ""),
    );
    assert.ok(exported.length > 2);
    for (const name of exported) {
      const mention = new RegExp(`\`[^\`\n]*\\b${name}\\b[^\`\n]*\``);
      assert.ok(mention.test(page), `docs/job-api.md does not mention ${name}`);
    }
  }
});

test("docs/errors.md says of every error code, and of no other, what to do and the exit code", async () => {
  const { ERROR_CODES: codes } = await import("#src/base/errors.js");
  const rows = new Map(
    [...read("docs/errors.md").matchAll(/^\| `(\w+)` \| (.+) \| (.+) \| (.+) \| (\d) \|$/gm)].map(
      ([, code = "", ...cells]) => [code, cells],
    ),
  );
  assert.deepEqual([...rows.keys()].sort(), [...codes].sort());
  const { exitCodeOf } = await import("#src/cli/command.js");
  for (const [code, cells] of rows) {
    assert.equal(
      Number(cells[3]),
      exitCodeOf(code as Parameters<typeof exitCodeOf>[0]),
      `exit code of ${code}`,
    );
  }
});

test("docs/cli.md and docs/limits.md are what the code says; if not: npm run docs", () => {
  const done = spawnSync(process.execPath, [join(root, "scripts/docs.mjs"), "--check"], { encoding: "utf8" });
  assert.equal(done.stderr, "");
  assert.equal(done.status, 0);
});

test("every number of base/limits.ts stands in docs/limits.md, or in docs/cli.md", async () => {
  const { limits, settings } = await import("#src/base/limits.js");
  const { formatSize } = await import("#src/base/size.js");
  const page = (read("docs/limits.md") + read("docs/cli.md")).replaceAll(",", "");
  const rows = Object.entries(settings).flatMap(([name, numbers]) =>
    Object.values(numbers).map((value) => [name, value] as const),
  );
  for (const [name, value] of [...Object.entries(limits), ...rows]) {
    const shown = name.includes("Bytes")
      ? formatSize(value).replace(/^(\d+) B$/, value === 1 ? "1 byte" : "$1 bytes")
      : name.includes("Ms")
        ? `${value / 1000} s`
        : String(value);
    // Chunks are read by the engine alone, ports are TCP's, and what is "no limit" is no number.
    if (name === "readChunkBytes" || name === "port" || value >= 2 ** 31 - 1 || shown === "0.001 s") continue;
    assert.ok(page.includes(shown), `neither docs/limits.md nor docs/cli.md says ${name}: ${shown}`);
  }
});

test("every flag of every command stands in its section of docs/cli.md", async () => {
  const { commands } = await import("#src/cli/commands.js");
  const sections = read("docs/cli.md").split(/^## /m);
  let count = 0;
  for (const command of await commands.all()) {
    const section = sections.find((text) => text.startsWith(`sheaf ${command.name}\n`)) ?? "";
    for (const { name } of Object.values(command.flags)) {
      assert.ok(
        new RegExp(`\`[^\`\n]*--${name}\\b`).test(section),
        `sheaf ${command.name} --${name}: npm run docs`,
      );
      count++;
    }
  }
  assert.ok(count > 30, `only ${count} flags were found`);
});

for (const [page, least] of [
  ["docs/faults.md", 60],
  ["SECURITY.md", 50],
  ["docs/from-the-seeds.md", 70],
] as const) {
  test(`${page} names tests that there are`, () => {
    let named = 0;
    for (const [, file, texts] of read(page).matchAll(/`(test\/[^`]+\.ts)`: ((?:"[^"]+"(?:, )?)+)/g)) {
      for (const [, text] of texts!.matchAll(/"([^"]+)"/g)) {
        assert.ok(read(file!).includes(text!), `${file} has no test "${text}"`);
        named++;
      }
    }
    assert.ok(named >= least, `only ${named} tests were found`);
  });
}

test("every row of docs/from-the-seeds.md has its test, and what it names is there", async () => {
  const { commands } = await import("#src/cli/commands.js");
  const byName = new Map((await commands.all()).map((one) => [one.name, Object.values(one.flags)]));
  const exported = read("docs/job-api.md");
  const rows = read("docs/from-the-seeds.md")
    .split("\n")
    .filter((line) => /^\| (?!there |--- )/.test(line))
    .map((line) => line.slice(2, -2).split(" | "));
  assert.ok(rows.length > 70, `${rows.length} rows`);
  const wrong: string[] = [];
  for (const [there = "", here = "", tests = "", ...more] of rows) {
    if (more.length > 0 || !/^`test\/[^`]+\.ts`/.test(tests)) wrong.push(`${there}: no test`);
    if (/\b(?:planned|not yet|todo)\b/i.test(here)) wrong.push(`${there}: ${here}`);
    for (const [, span = ""] of here.matchAll(/`([^`]+)`/g)) {
      const [, command] = /^sheaf ([a-z\d]+)/.exec(span) ?? [];
      if (command !== undefined && !byName.has(command)) wrong.push(`${there}: there is no ${span}`);
      const flags = command === undefined ? [...byName.values()].flat() : (byName.get(command) ?? []);
      for (const [, flag] of span.matchAll(/--([a-z][a-z-]*)/g))
        if (!flags.some(({ name }) => name === flag)) wrong.push(`${there}: ${span}: no --${flag}`);
      const [, called] = /^(\w+)\((?!s\):)/.exec(span) ?? [];
      if (called !== undefined && !new RegExp(`\\b${called}\\(`).test(exported))
        wrong.push(`${there}: docs/job-api.md knows no ${called}()`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("docs/formats.md has the bytes the code writes, and its worked example reads as it says", (t) => {
  const path = join(root, "build", "docs-example.run");
  rmSync(path, { force: true });
  t.after(() => rmSync(path, { force: true }));
  writeExample(path);
  const bytes = readFileSync(path);
  const page = read("docs/formats.md");
  const made = {
    "run file": dump(bytes),
    keys: keyTable(),
    values: valueTable(),
    partitions: partitionTable(),
  };
  for (const [name, text] of Object.entries(made)) {
    const [, shown] =
      new RegExp(`<!-- example: ${name} -->\n\`\`\`text\n([\\s\\S]*?)\n\`\`\``).exec(page) ?? [];
    assert.equal(shown, text, `the example "${name}" of docs/formats.md`);
    assert.doesNotMatch(text, /WRONG|another job/);
  }
  assert.ok(page.includes(`${bytes.length} bytes.`));
});
