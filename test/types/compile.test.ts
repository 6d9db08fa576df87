import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Compiles one fixture with the options of the tests and returns the exit code and what tsc says. */
function compile(fixture: string): { status: number | null; output: string } {
  const options = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", "--skipLibCheck"];
  const done = spawnSync(
    process.execPath,
    ["node_modules/typescript/bin/tsc", "--ignoreConfig", ...options, `test/fixtures/types/${fixture}`],
    { cwd: root, encoding: "utf8" },
  );
  return { status: done.status, output: done.stdout + done.stderr };
}

test("a job whose emit fits its reduce compiles", () => {
  const { status, output } = compile("right-emit.ts");
  assert.equal(status, 0, output);
});

test("a job whose emit does not fit its reduce fails to compile, at the emitted value", () => {
  const { status, output } = compile("wrong-emit.ts");
  assert.notEqual(status, 0);
  assert.match(
    output,
    /wrong-emit\.ts\(11,16\): error TS2345: .*'string' is not assignable to parameter of type 'number'/,
  );
});

/** What a user's project needs to compile jobs; every library file is checked. */
const consumerConfig = {
  compilerOptions: {
    strict: true,
    target: "es2022",
    lib: ["es2022"],
    module: "nodenext",
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
    noEmit: true,
    skipLibCheck: false,
  },
  include: ["*.ts"],
};

/** Compiles the project and returns what the compiler says, a line each. */
async function complaints(project: string, compiler: string): Promise<string[]> {
  const compile = [join(root, "node_modules", compiler, "bin/tsc"), "-p", ".", "--pretty", "false"];
  const child = spawn(process.execPath, compile, { cwd: project });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  await new Promise((resolve) => child.once("close", resolve));
  return output.split("\n").filter((line) => line !== "");
}

test("jobs of a project compile with TypeScript 5.6, 5.9, 6 and 7, library files too", async (t) => {
  const project = await mkdtemp(join(tmpdir(), "sheaf-consumer-"));
  t.after(() => rm(project, { recursive: true, force: true }));
  await cp(join(root, "test/fixtures/consumer"), project, { recursive: true });
  await mkdir(join(project, "node_modules"));
  await symlink(root, join(project, "node_modules/sheaf"), "dir");
  await writeFile(join(project, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(project, "tsconfig.json"), JSON.stringify(consumerConfig));
  const compilers = {
    "typescript-5.6": "5.6.",
    "typescript-5.9": "5.9.",
    "typescript-6": "6.",
    typescript: "7.",
  };
  for (const [compiler, version] of Object.entries(compilers)) {
    await t.test(compiler, async () => {
      const manifest = await readFile(join(root, "node_modules", compiler, "package.json"), "utf8");
      assert.ok((JSON.parse(manifest) as { version: string }).version.startsWith(version));
      const lines = await complaints(project, compiler);
      const errors = lines.filter((line) => /: error TS/.test(line));
      assert.deepEqual(
        errors.map((line) => line.replace(/,.*/, "")),
        ["not-annotated.ts(9", "not-annotated.ts(17"],
        lines.join("\n"),
      );
      const told = lines.filter((line) => line.endsWith(`is not assignable to type '${ANNOTATE}'.`));
      assert.ok(told.length >= 2, lines.join("\n"));
    });
  }
});

const ANNOTATE = '"Annotate the parameters of reduce: reduce(key: string, values: Iterable<number>) { ... }"';
