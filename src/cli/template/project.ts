import type { templateNames } from "../flags/init-flags.ts";
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
  /** What its package.json asks npm for: "^1.2.3", or "file:..." where sheaf runs from a clone. */
  readonly sheaf: string;
}

/** The files of a starter project, by path. */
export function projectFiles(kind: TemplateName, about: ProjectAbout): ReadonlyMap<string, string> {
  const template = templates[kind];
  return new Map([
    ["package.json", packageFile(about)],
    ["tsconfig.json", TSCONFIG],
    ["sheaf.json", json({ jobs: { [template.job]: `./jobs/${template.job}.ts` } })],
    [`jobs/${template.job}.ts`, template.source],
    [`test/${template.job}.test.ts`, template.test],
    [".gitignore", "node_modules/\nbuild/\nout/\n"],
    ["README.md", readme(template, about)],
  ]);
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

function readme(template: Template, about: ProjectAbout): string {
  const indented = (lines: readonly string[]): string => lines.map((line) => `    ${line}`).join("\n");
  return `# ${about.name}

A [sheaf](https://www.npmjs.com/package/sheaf) project: MapReduce jobs in TypeScript.

\`jobs/${template.job}.ts\`: ${template.about}

Check it and test it:

${indented(["npm install", "npm run check", "npm test"])}

Run it (\`npx sheaf\` where sheaf is not installed globally):

${indented(template.commands)}

Add a job: write \`jobs/NAME.ts\`, and list it in \`sheaf.json\` to run it by its name from any directory below this one.
`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
