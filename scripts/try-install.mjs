// Packs sheaf and installs the tarball with every package manager, each into an empty project: none may warn
// of anything, and what it has installed must run a job. What pnpm has installed must type-check and run on a
// cluster, too.
import { spawn } from "node:child_process";
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
import { join } from "node:path";
import { root } from "./built.mjs";

/** Kept between runs; each manager in a directory of its own, since two of them are called yarn. */
const managersDirectory = join(root, "out/package-managers");
/** Outside the repository: a package that is missing must not be found in its node_modules. */
const scratch = mkdtempSync(join(tmpdir(), "sheaf-install-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** Without what `npm run` and this repository's .npmrc say: scripts, and warnings of them, stayed away. */
const env = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:npm_|NODE_OPTIONS$)/i.test(name)),
  ),
  SHEAF_STATE: join(scratch, "state"),
  YARN_ENABLE_IMMUTABLE_INSTALLS: "false",
  YARN_ENABLE_TELEMETRY: "0",
  YARN_NODE_LINKER: "node-modules",
};

const managers = [
  { name: "npm", package: null, add: ["install"] },
  { name: "pnpm", package: "pnpm@12.21.0", program: "pnpm/bin/pnpm.mjs", add: ["add"] },
  { name: "yarn 1", package: "yarn@1.22.22", program: "yarn/bin/yarn.js", add: ["add"] },
  {
    name: "yarn 4",
    package: "@yarnpkg/cli-dist@4.18.1",
    program: "@yarnpkg/cli-dist/bin/yarn.js",
    add: ["add"],
  },
  { name: "bun", package: "bun@1.4.5", program: null, add: ["add"] },
];

const job = `import { job, sum, text } from "sheaf";

export default job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });
`;
const tsconfig = JSON.stringify({
  // Without skipLibCheck: what sheaf declares must stand by itself.
  compilerOptions: { target: "es2023", module: "nodenext", types: ["node"], strict: true, noEmit: true },
});

/** Where package managers warn, at the start of a line: names of packages may have the word in them. */
const warning =
  /^\W*(?:npm )?(?:warn|error|deprecated)|\bWARN\b|with warnings|ignored build|blocked \d|unmet/im;

/** Runs to the end; with all that was said. */
function run(file, args, cwd) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
    child.on("error", (error) => resolve({ isWell: false, said: error.message }));
    child.on("close", (code) => resolve({ isWell: code === 0, said }));
  });
}

const failures = [];
function expect(isSo, what, said) {
  if (isSo) return true;
  failures.push(
    `${what}\n${said
      .trim()
      .split("\n")
      .slice(-30)
      .map((line) => `    ${line}`)
      .join("\n")}`,
  );
  return false;
}

/** The command of a manager, or null when it cannot be had here. */
async function commandOf(manager) {
  if (manager.package === null) return ["npm"];
  const directory = join(managersDirectory, manager.package.replaceAll(/[/@]+/g, "-"));
  const installed = join(directory, "node_modules");
  if (!existsSync(installed)) {
    mkdirSync(directory, { recursive: true });
    const args = ["install", "--ignore-scripts", "--no-save", "--prefix", directory, manager.package];
    const { isWell, said } = await run("npm", args, directory);
    if (!isWell) {
      console.log(`${manager.name}: skipped, ${manager.package} cannot be had:\n${said}`);
      return null;
    }
  }
  if (manager.program !== null) return [process.execPath, join(installed, manager.program)];
  const [platform] = readdirSync(join(installed, "@oven"));
  return [join(installed, "@oven", platform, "bin/bun")];
}

const packed = await run("npm", ["pack", "--silent", "--pack-destination", scratch], root);
if (!packed.isWell) throw new Error(`npm pack: ${packed.said}`);
const tarball = join(
  scratch,
  readdirSync(scratch).find((name) => name.endsWith(".tgz")),
);

/** @returns whether the manager could be had */
async function tryManager(manager) {
  const command = await commandOf(manager);
  if (command === null) return false;
  const began = performance.now();
  const project = join(scratch, manager.name.replace(" ", ""));
  mkdirSync(project);
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({ name: "try", version: "1.0.0", license: "MIT", private: true, type: "module" }),
  );
  writeFileSync(join(project, "job.ts"), job);
  writeFileSync(join(project, "tsconfig.json"), tsconfig);
  writeFileSync(join(project, "in.txt"), "b\na\nb\n");
  // Yarn 4 takes it for a project of its own by that.
  if (manager.name === "yarn 4") writeFileSync(join(project, "yarn.lock"), "");
  const [file, ...args] = [...command, ...manager.add, tarball];
  const { isWell, said } = await run(file, args, project);
  if (!expect(isWell, `${manager.name} does not install the package`, said)) return true;
  expect(!warning.test(said), `${manager.name} warns`, said);
  const sheaf = join(project, "node_modules/.bin/sheaf");
  const ran = await run(sheaf, ["run", "job.ts", "in.txt", "-o", "out"], project);
  if (!expect(ran.isWell, `${manager.name}: the job fails`, ran.said)) return true;
  const part = readFileSync(join(project, "out/part-00000.tsv"), "utf8");
  expect(part === "a\t1\nb\t2\n", `${manager.name}: the job is wrong`, part);
  console.log(`${manager.name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return true;
}

const tried = (await Promise.all(managers.map(tryManager))).filter(Boolean).length;

// pnpm lets a package see only what it has asked for; its compiler is this repository's.
const strict = join(scratch, "pnpm");
if (existsSync(join(strict, "out/_SUCCESS"))) {
  const sheaf = join(strict, "node_modules/.bin/sheaf");
  const types = join(root, "node_modules/@types");
  const check = [join(root, "node_modules/typescript/bin/tsc"), "--typeRoots", types];
  const checked = await run(process.execPath, check, strict);
  expect(checked.isWell, "the types do not stand by themselves", checked.said);
  const up = await run(sheaf, ["cluster", "up", "--agents", "1", "--port", "0", "--json"], strict);
  if (expect(up.isWell, "no cluster starts", up.said)) {
    const { url } = JSON.parse(up.said);
    const ran = await run(sheaf, ["run", "job.ts", "in.txt", "-o", "far", "--on", url], strict);
    expect(ran.isWell, "the job fails on a cluster", ran.said);
  }
  await run(sheaf, ["cluster", "down", "--force"], strict);
}

for (const failure of failures) console.error(failure);
console.log(`${tried} package managers, ${failures.length} failures`);
process.exitCode = failures.length === 0 && tried > 0 ? 0 : 1;
