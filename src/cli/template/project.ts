import type { templateNames } from "../flags/init-flags.ts";
import type { PackageManager } from "../package-manager.ts";
import { projectFileName } from "../project-file.ts";
import { csvTemplate } from "./csv.ts";
import { generateTemplate } from "./generate.ts";
import { logs } from "./logs.ts";
import type { Template } from "./template.ts";
import { wordcount } from "./wordcount.ts";

export type TemplateName = (typeof templateNames)[number];

const templates: Readonly<Record<TemplateName, Template>> = {
  wordcount,
  csv: csvTemplate,
  logs,
  generate: generateTemplate,
};

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
