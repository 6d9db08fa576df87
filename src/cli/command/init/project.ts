import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { packageUrl, packageVersion } from "../../../base/package-places.ts";
import { projectFileName } from "../../../project/project-file.ts";
import { type Template, type TemplateName, templates } from "./templates.ts";

export interface ProjectAbout {
  /** Name of the npm package. */
  readonly name: string;
  /** What its package.json asks for: "^1.2.3", or "file:..." where sheaf runs from a clone. */
  readonly sheaf: string;
  readonly manager: PackageManager;
}

/** The files of a starter project, by path. */
export function projectFiles(kind: TemplateName, about: ProjectAbout): ReadonlyMap<string, string> {
  const template = templates[kind];
  return new Map([
    ["package.json", packageFile(about)],
    ["tsconfig.json", TSCONFIG],
    [projectFileName, projectFile(template)],
    [jobFileOf(kind), template.source],
    [`test/${template.job}.test.ts`, template.test],
    [".gitignore", "node_modules/\nbuild/\nout/\n"],
    ["README.md", readme(template, about)],
    [launchFile, launch(template)],
  ]);
}

/**
 * What is added to a project that was there before: no more than a job needs.
 * @param has whether the project has a tsconfig.json, which is then to be the job's, too
 */
export function guestFiles(
  kind: TemplateName,
  has: { readonly hasTypes: boolean },
): ReadonlyMap<string, string> {
  const template = templates[kind];
  return new Map([
    [projectFileName, projectFile(template)],
    [jobFileOf(kind), template.source],
    ...(has.hasTypes ? [] : [["jobs/tsconfig.json", GUEST_TSCONFIG] as const]),
    [launchFile, launch(template)],
  ]);
}

/** The job's name, and its file. */
export function jobOf(kind: TemplateName): { readonly name: string; readonly file: string } {
  return { name: templates[kind].job, file: jobFileOf(kind) };
}

const launchFile = ".vscode/launch.json";

function jobFileOf(kind: TemplateName): string {
  return `jobs/${templates[kind].job}.ts`;
}

function projectFile(template: Template): string {
  return json({ jobs: { [template.job]: `./jobs/${template.job}.ts` } });
}

export function projectCommands(kind: TemplateName): readonly string[] {
  return templates[kind].commands;
}

function packageFile(about: ProjectAbout): string {
  return json({
    name: about.name,
    version: "0.0.0",
    private: true,
    type: "module",
    scripts: { check: "tsc --noEmit", test: "tsc && node --test build/test/*.test.js" },
    dependencies: { sheaf: about.sheaf },
    devDependencies: { "@types/node": "^20.19.0", typescript: "^7.0.2" },
  });
}

const TSCONFIG = `{
  "compilerOptions": {
    // Jobs run without being compiled first: sheaf bundles them. This is for tsc, editors and the tests.
    "target": "es2023",
    "module": "nodenext",
    "types": ["node"],
    "strict": true,
    "noUncheckedIndexedAccess": true,
    "skipLibCheck": true,
    "rewriteRelativeImportExtensions": true,
    "rootDir": ".",
    "outDir": "build"
  },
  "include": ["jobs", "test"]
}
`;

/** For a job in a project that has no types of its own: for editors. */
const GUEST_TSCONFIG = `{
  "compilerOptions": {
    // Jobs run without being compiled: sheaf bundles them. This is for editors.
    "target": "es2023",
    "module": "preserve",
    "strict": true,
    "noUncheckedIndexedAccess": true,
    "skipLibCheck": true,
    "allowImportingTsExtensions": true,
    "noEmit": true
  },
  "include": ["."]
}
`;

/** For VS Code and editors like it: the job on one thread, and the last failure, in the debugger. */
function launch(template: Template): string {
  const run = template.commands.find((command) => command.startsWith("sheaf run "))!;
  const [, ...words] = run.replace(/ -o \S+/, "").split(" ");
  const common = {
    type: "node",
    cwd: "${workspaceFolder}",
    // The code that runs is a bundle outside the workspace.
    resolveSourceMapLocations: ["**"],
    skipFiles: ["<node_internals>/**", "**/node_modules/**"],
  };
  const sheaf = {
    ...common,
    request: "launch",
    program: "${workspaceFolder}/node_modules/sheaf/dist/cli/main.js",
    console: "integratedTerminal",
  };
  return json({
    version: "0.2.0",
    configurations: [
      { name: `${template.job} on one thread`, ...sheaf, args: [...words, "--inline", "--print", "10"] },
      { name: "The last failed task again", ...sheaf, args: ["replay", "--inspect"] },
      { name: "Attach to sheaf replay --inspect", ...common, request: "attach", port: 9229 },
    ],
  });
}

function readme(template: Template, { name, manager }: ProjectAbout): string {
  const indented = (lines: readonly string[]): string => lines.map((line) => `    ${line}`).join("\n");
  return `# ${name}

A [sheaf](https://www.npmjs.com/package/sheaf) project: MapReduce jobs in TypeScript.

\`jobs/${template.job}.ts\`: ${template.about}

Check it and test it:

${indented([manager.install, `${manager.script} check`, `${manager.script} test`])}

Run it:

${indented(template.commands.map((command) => command.replace(/^sheaf/, `${manager.execute} sheaf`)))}

In VS Code, F5 runs it under the debugger (\`.vscode/launch.json\`): set a breakpoint in \`map\`.

Add a job: write \`jobs/NAME.ts\`, and list it in \`sheaf.json\` to run it by its name from any directory below this one.
`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** How a package manager is told to do what `sheaf init` says comes next. */
export interface PackageManager {
  readonly name: "npm" | "pnpm" | "yarn" | "bun";
  readonly install: string;
  /** Followed by NAME@WHERE. */
  readonly add: string;
  /** Followed by the name of a script. */
  readonly script: string;
  /** Followed by a command of a package that is installed. */
  readonly execute: string;
}

const managers: Readonly<Record<PackageManager["name"], PackageManager>> = {
  npm: { name: "npm", install: "npm install", add: "npm install", script: "npm run", execute: "npx" },
  pnpm: { name: "pnpm", install: "pnpm install", add: "pnpm add", script: "pnpm run", execute: "pnpm exec" },
  yarn: { name: "yarn", install: "yarn install", add: "yarn add", script: "yarn run", execute: "yarn" },
  bun: { name: "bun", install: "bun install", add: "bun add", script: "bun run", execute: "bunx" },
};

/** By file name, the nearest directory first. */
const locks: readonly (readonly [file: string, name: PackageManager["name"]])[] = [
  ["package-lock.json", "npm"],
  ["npm-shrinkwrap.json", "npm"],
  ["pnpm-lock.yaml", "pnpm"],
  ["pnpm-workspace.yaml", "pnpm"],
  ["yarn.lock", "yarn"],
  ["bun.lock", "bun"],
  ["bun.lockb", "bun"],
];

/**
 * The package manager of a directory: the one its package.json names, or whose lock file lies there or above;
 * else the one that runs this command; else npm.
 * @param userAgent $npm_config_user_agent: "pnpm/9.1.0 npm/? node/v22.1.0 linux x64"
 */
export function packageManagerOf(directory: string, userAgent: string | undefined): PackageManager {
  for (let at = directory; ; at = dirname(at)) {
    const named = namedIn(join(at, "package.json"));
    if (named !== undefined) return managers[named];
    for (const [file, name] of locks) if (existsSync(join(at, file))) return managers[name];
    if (dirname(at) === at) break;
  }
  return managers[nameAt(userAgent ?? "") ?? "npm"];
}

/** The field that corepack reads: "pnpm@9.1.0+sha512.abc". */
function namedIn(path: string): PackageManager["name"] | undefined {
  try {
    const { packageManager } = JSON.parse(readFileSync(path, "utf8")) as {
      readonly packageManager?: unknown;
    };
    return typeof packageManager === "string" ? nameAt(packageManager) : undefined;
  } catch {
    return undefined;
  }
}

function nameAt(text: string): PackageManager["name"] | undefined {
  return (["npm", "pnpm", "yarn", "bun"] as const).find((name) => new RegExp(`^${name}[@/]`).test(text));
}

/**
 * What another project asks its package manager for to get this very sheaf: the range, tarball, git address
 * or directory that the project asked for in which it is installed; "file:DIR" where it runs from a clone or
 * is linked.
 */
export function sheafOrigin(root: string = fileURLToPath(packageUrl).replace(/[/\\]$/, "")): string {
  let inModules = false;
  for (let directory = root; dirname(directory) !== directory; directory = dirname(directory)) {
    if (basename(directory) !== "node_modules") continue;
    inModules = true;
    const project = dirname(directory);
    const asked = askedFor(project);
    if (asked !== undefined) return fromElsewhere(asked, project);
  }
  // Global installations of npm have no package.json.
  return inModules ? `^${packageVersion()}` : `file:${root}`;
}

/** What the package.json of a directory asks for under the name sheaf. */
function askedFor(project: string): string | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as Readonly<
      Record<string, Readonly<Record<string, unknown>> | undefined>
    >;
    for (const field of ["dependencies", "devDependencies", "optionalDependencies"]) {
      const asked = manifest[field]?.["sheaf"];
      if (typeof asked === "string") return asked;
    }
  } catch {
    // No project, or none that can be read.
  }
  return undefined;
}

/** A dependency as it is written in a package.json that lies elsewhere. */
function fromElsewhere(asked: string, project: string): string {
  const path =
    /^(?:file|link|portal):(.*)$/.exec(asked)?.[1] ?? (/^(?:\.{0,2}|~)\//.test(asked) ? asked : undefined);
  if (path !== undefined) return `file:${resolve(project, path.replace(/^~(?=\/)/, homedir()))}`;
  // Words that only their own workspace knows.
  return /^(?:workspace|catalog|patch):/.test(asked) ? `^${packageVersion()}` : asked;
}
