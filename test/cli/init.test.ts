import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { templateNames } from "#src/cli/command/init.js";
import { kinds } from "#src/cli/command/init/kinds.js";
import { sheafOrigin } from "#src/cli/command/init/project.js";
import { runFlags } from "#src/cli/command/run/flags.js";
import type { Flag } from "#src/cli/flag.js";
import { COLLECTION_FIELDS } from "#src/job/validate-collection.js";
import { JOB_FIELDS } from "#src/job/validate.js";
import { packageRoot, sheafHere, sheafBinary, stateDirectory, tempDir } from "./support.js";

/** Puts in place what `npm install` would, without the network. */
function install(project: string): void {
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  symlinkSync(packageRoot, join(project, "node_modules/sheaf"));
  for (const name of ["@types/node", "undici-types"]) {
    symlinkSync(join(packageRoot, "node_modules", name), join(project, "node_modules", name));
  }
}

for (const template of templateNames) {
  test(`init --template ${template}: a project that type-checks, whose test passes and whose job runs`, async (t) => {
    const cwd = tempDir(t);
    const made = await sheafHere(["init", "first", "--template", template], { cwd });
    assert.equal(made.code, 0, made.stderr);
    assert.equal(made.stdout, "");
    const project = join(cwd, "first");
    install(project);

    const compiler = join(packageRoot, "node_modules/typescript/bin/tsc");
    const checked = spawnSync(process.execPath, [compiler], { cwd: project, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    const tests = readdirSync(join(project, "build/test")).map((file) => join("build/test", file));
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined, SHEAF_STATE: stateDirectory };
    const tested = spawnSync(process.execPath, ["--test", ...tests], { cwd: project, encoding: "utf8", env });
    assert.equal(tested.status, 0, tested.stdout + tested.stderr);

    // The commands it says come next, with less data; and what its editor would run.
    const commands = made.stderr.split("\n").filter((line) => line.startsWith("  npx sheaf "));
    assert.ok(commands.length > 0);
    const { configurations } = JSON.parse(readFileSync(join(project, ".vscode/launch.json"), "utf8")) as {
      readonly configurations: readonly { readonly args?: readonly string[]; readonly program?: string }[];
    };
    const [onOneThread] = configurations;
    assert.equal(onOneThread!.program, "${workspaceFolder}/node_modules/sheaf/dist/cli/main.js");
    commands.push(`  npx sheaf ${onOneThread!.args!.join(" ")}`);
    for (const command of commands) {
      const words = command.trim().replace("10MiB", "20KiB").split(" ").slice(2);
      const ran = spawnSync(process.execPath, [sheafBinary, ...words], {
        cwd: project,
        encoding: "utf8",
        env,
      });
      assert.equal(ran.status, 0, ran.stderr);
    }
    assert.ok(existsSync(join(project, "out/_SUCCESS")));
  });
}

test("init leaves files that exist as they are, and says what they lack", async (t) => {
  const cwd = tempDir(t);
  const mine = { "README.md": "mine", ".gitignore": "/out\nnode_modules", "sheaf.json": '{ "jobs": {} }' };
  for (const [file, text] of Object.entries(mine)) writeFileSync(join(cwd, file), text);
  const { code, stderr } = await sheafHere(["init"], { cwd });
  assert.equal(code, 0, stderr);
  for (const [file, text] of Object.entries(mine)) assert.equal(readFileSync(join(cwd, file), "utf8"), text);
  assert.match(stderr, /^left as they are\n {2}sheaf\.json\n {2}\.gitignore\n {2}README\.md\n/m);
  assert.match(stderr, /^add to sheaf\.json\n {2}in "jobs": "wordcount": "\.\/jobs\/wordcount\.ts"\n/m);
  assert.match(stderr, /^add to \.gitignore\n {2}build\/\n\n/m);
  assert.ok(existsSync(join(cwd, "jobs/wordcount.ts")));
  const again = await sheafHere(["init"], { cwd });
  assert.equal(again.code, 1);
  assert.match(again.stderr, /has jobs\/wordcount\.ts already; nothing was written \[OUTPUT_EXISTS\]/);
});

const guests: readonly (readonly [file: string, content: string, next: RegExp])[] = [
  [
    "package-lock.json",
    "{}",
    /^ {2}npm install sheaf@file:.*\n {2}npx sheaf run wordcount jobs\/wordcount\.ts/m,
  ],
  ["pnpm-lock.yaml", "", /^ {2}pnpm add sheaf@file:.*\n {2}pnpm exec sheaf run/m],
  ["yarn.lock", "", /^ {2}yarn add sheaf@file:.*\n {2}yarn sheaf run/m],
  ["bun.lock", "", /^ {2}bun add sheaf@file:.*\n {2}bunx sheaf run/m],
];

test("init adds a job to a project of somebody's, for whichever package manager it has", async (t) => {
  const cwd = tempDir(t);
  for (const [file, content, next] of guests) {
    const project = join(cwd, file.replace(".", "-"));
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{"name":"mine","dependencies":{}}');
    writeFileSync(join(project, file), content);
    const { code, stderr } = await sheafHere(["init"], { cwd: project });
    assert.equal(code, 0, stderr);
    assert.match(stderr, next);
    assert.equal(readFileSync(join(project, "package.json"), "utf8"), '{"name":"mine","dependencies":{}}');
    const made = readdirSync(project, { recursive: true, encoding: "utf8" }).sort();
    assert.deepEqual(
      made,
      [
        ".vscode",
        ".vscode/launch.json",
        file,
        "jobs",
        "jobs/tsconfig.json",
        "jobs/wordcount.ts",
        "package.json",
        "sheaf.json",
      ].sort(),
    );
    mkdirSync(join(project, "node_modules"));
    symlinkSync(packageRoot, join(project, "node_modules/sheaf"));
    const compiler = join(packageRoot, "node_modules/typescript/bin/tsc");
    const checked = spawnSync(process.execPath, [compiler, "-p", "jobs"], { cwd: project, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout);
  }
  const inside = join(cwd, "yarn-lock/packages/one");
  mkdirSync(inside, { recursive: true });
  writeFileSync(join(inside, "package.json"), '{"dependencies":{"sheaf":"1"}}');
  writeFileSync(join(inside, "tsconfig.json"), "{}");
  const { stderr } = await sheafHere(["init"], { cwd: inside });
  assert.match(stderr, /^Next:\n {2}yarn sheaf run/m);
  assert.ok(!existsSync(join(inside, "jobs/tsconfig.json")));
});

test("a project asks for the sheaf that made it, wherever that one came from", (t) => {
  const cwd = tempDir(t);
  const lies = (place: string, manifest?: object): string => {
    mkdirSync(join(cwd, place), { recursive: true });
    if (manifest !== undefined)
      writeFileSync(join(cwd, place.split("/")[0]!, "package.json"), JSON.stringify(manifest));
    return join(cwd, place);
  };
  const asking = (asked: string, project: string, below = "node_modules/sheaf"): string =>
    sheafOrigin(lies(`${project}/${below}`, { devDependencies: { sheaf: asked } }));
  assert.equal(asking("~0.1.2", "a"), "~0.1.2");
  assert.equal(asking("git+https://example.org/sheaf.git#v1", "b"), "git+https://example.org/sheaf.git#v1");
  assert.equal(asking("file:../sheaf-0.1.0.tgz", "c"), `file:${join(cwd, "sheaf-0.1.0.tgz")}`);
  assert.equal(asking("../x.tgz", "d"), `file:${join(cwd, "x.tgz")}`);
  const inStore = "node_modules/.pnpm/sheaf@file+..+x.tgz/node_modules/sheaf";
  assert.equal(asking("link:/opt/sheaf", "e", inStore), "file:/opt/sheaf");
  assert.match(asking("workspace:*", "f"), /^\^\d+\.\d+\.\d+$/);
  assert.match(sheafOrigin(lies("global/lib/node_modules/sheaf")), /^\^\d+\.\d+\.\d+$/);
  assert.equal(sheafOrigin(lies("clone of mine")), `file:${join(cwd, "clone of mine")}`);
});

/** What each kind's file has to name, as the code that reads it knows it. */
const namesOfKind: Readonly<Record<keyof typeof kinds, readonly string[]>> = {
  job: [...JOB_FIELDS, ...COLLECTION_FIELDS],
  pipeline: fieldsOf("StepOptions", "pipeline.ts"),
  script: fieldsOf("ScriptOptions<O extends Readers>", "script.ts"),
  transfer: fieldsOf("TransferOptions<R>", "script.ts"),
};

function fieldsOf(type: string, file: string): string[] {
  const source = readFileSync(join(packageRoot, "src/steps", file), "utf8");
  const [, text] = source.split(`interface ${type} {`);
  return [...text!.split("\n}", 1)[0]!.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name!);
}

test("init KIND: a file with every option and its default, which type-checks and runs with the defaults or without", async (t) => {
  const cwd = tempDir(t);
  install(cwd);
  writeFileSync(join(cwd, "in.txt"), "the cat\nthe dog\n");
  writeFileSync(join(cwd, "sheaf.json"), "{}");
  const compilerOptions = {
    module: "nodenext",
    target: "es2023",
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  writeFileSync(join(cwd, "package.json"), '{"type":"module"}');
  writeFileSync(join(cwd, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["jobs"] }));
  const files: string[] = [];
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    const file = `jobs/${kind}.ts`;
    const made = await sheafHere(["init", kind, file], { cwd });
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, new RegExp(`add to sheaf.json\n  in "jobs": "${kind}": "./jobs/${kind}.ts"`));
    const text = readFileSync(join(cwd, file), "utf8");
    assert.ok(namesOfKind[kind].length > 2);
    for (const name of namesOfKind[kind])
      assert.match(text, new RegExp(`^ +(?:// +)?${name}\\b[:(]`, "m"), name);
    for (const { name, default: standard, category } of Object.values(
      runFlags as Readonly<Record<string, Flag<unknown>>>,
    )) {
      if (category === "Display") continue;
      const line = text.split("\n").find((one) => new RegExp(`^//   --${name}\\b(?!-)`).test(one));
      assert.ok(
        line?.endsWith(`. Default: ${standard ?? line.replace(/^.*Default: /, "")}`),
        `${name}: ${line}`,
      );
    }
    // What stands in comments by itself is code: with it the file must mean the same.
    const spelledOut = text.replace(/^( +)\/\/ (\w+: .*,)$/gm, "$1$2");
    assert.notEqual(spelledOut, text);
    writeFileSync(join(cwd, `jobs/${kind}-spelled-out.ts`), spelledOut);
    files.push(file, `jobs/${kind}-spelled-out.ts`);
  }
  const compiler = join(packageRoot, "node_modules/typescript/bin/tsc");
  const checked = spawnSync(process.execPath, [compiler], { cwd, encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
  const outputs: string[] = [];
  for (const [index, file] of files.entries()) {
    const ran = await sheafHere(["run", file, "in.txt", "-o", `out${index}`, "-q"], { cwd });
    assert.equal(ran.code, 0, ran.stderr);
    const parts = readdirSync(join(cwd, `out${index}`), { recursive: true, encoding: "utf8" });
    outputs.push(
      parts
        .filter((part) => /part-/.test(part))
        .map((part) => readFileSync(join(cwd, `out${index}`, part), "utf8"))
        .join(""),
    );
  }
  assert.deepEqual(outputs, [
    ...Array.from({ length: 2 }, () => "cat\t1\ndog\t1\nthe\t2\n"),
    ...Array.from({ length: 2 }, () => "1\t2\n2\t1\n"),
    ...Array.from({ length: 2 }, () => "3\t4\n"),
    ...Array.from({ length: 2 }, () => "1\t2\n2\t1\n"),
  ]);
});

test("init KIND leaves what exists, and is told from the directory of a project", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "job.ts"), "mine");
  const refused: readonly (readonly [words: readonly string[], message: RegExp])[] = [
    [["job"], /job\.ts exists already; nothing was written/],
    [["job", "visits"], /visits is no TypeScript file[^]*sheaf init job visits\.ts/],
    [["job", "a.ts", "--template", "csv"], /takes no --template[^]*sheaf init \.\/job --template csv/],
    [["counts", "a.ts"], /"a\.ts" is one argument too many[^]*sheaf init job a\.ts/],
  ];
  for (const [words, message] of refused) {
    const { code, stderr } = await sheafHere(["init", ...words], { cwd });
    assert.notEqual(code, 0);
    assert.match(stderr, message);
  }
  assert.equal(readFileSync(join(cwd, "job.ts"), "utf8"), "mine");
  assert.ok(!existsSync(join(cwd, "a.ts")));
  assert.equal((await sheafHere(["init", "./job"], { cwd })).code, 0);
  assert.ok(existsSync(join(cwd, "job/sheaf.json")));
});
