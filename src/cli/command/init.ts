import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { shellWord } from "../../base/shell-word.ts";
import { projectFileName } from "../../project/project-file.ts";
import { localPath } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { displayPath } from "../ui/text.ts";
import { writeJson, writeTo } from "../world.ts";
import type { Kind } from "./init/kinds.ts";
import type { PackageManager } from "./init/project.ts";

export const templateNames = ["wordcount", "csv", "logs", "generate"] as const;

export const initFlags = inCategory("Job", {
  template: valueFlag("-t, --template KIND", types.choice(templateNames), "What the first job is", {
    default: "wordcount",
    details:
      "wordcount: words of text files. csv: statistics per group of a CSV column. logs: several outputs from web server " +
      "logs. generate: a simulation that needs no input.",
  }),
  json: jsonFlag,
});

export const initCommand: CliCommand<typeof initFlags> = {
  name: "init",
  summary: "Write a starter project, or one file that shows every option",
  details: [
    "Writes a small commented project to DIR: a job, a test of it, sheaf.json, what TypeScript needs to check them, and " +
      "how VS Code debugs them.",
    "Where DIR has a package.json, only the job is added to that project, with sheaf.json and how to debug it. No file " +
      "that exists is changed: what it lacks is said. The commands that come next are those of the package manager whose " +
      "lock file is there.",
    "sheaf init job, pipeline, script or transfer writes one file that runs as it is, with every option and its default in " +
      "comments: a job, a pipeline, or one with such a step. For a " +
      "project in a directory of such a name: sheaf init ./job.",
  ],
  arguments: [
    {
      name: "DIR",
      doc: "Directory of the project; default the current one. Or job, pipeline, script, transfer: what a single file is to show",
      required: false,
      complete: "path",
    },
    {
      name: "FILE",
      doc: "Behind job, pipeline, script, transfer: the file; default job.ts, and so on",
      required: false,
      complete: "path",
    },
  ],
  flags: initFlags,
  examples: [
    ["sheaf init counts && cd counts && npm install && npm test", "A project, checked and tested"],
    ["sheaf init logs --template logs", "Begin with web server logs"],
    ["sheaf init job jobs/visits.ts", "One job file that shows every option with its default"],
  ],
  run,
};

/** What is to be done by hand, because a file of the user's says it: what to do, and the lines to add. */
interface Chore {
  readonly file: string;
  readonly text: string;
}

async function run(invocation: Invocation<typeof initFlags>): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const { isKind, kinds } = await import("./init/kinds.ts");
  const [first, file] = positionals;
  if (isKind(first)) return writeKind(first, file ?? `${first}.ts`, invocation);
  if (file !== undefined) {
    throw new SheafError("USAGE", `sheaf init: "${file}" is one argument too many`, {
      hint: `A file follows ${Object.keys(kinds).join(", ")}: sheaf init job ${file}`,
    });
  }
  const directory = localPath(positionals[0] ?? ".", "DIR", world.cwd);
  const kind = flags.template ?? "wordcount";
  const isGuest = existsSync(join(directory, "package.json"));
  const project = await import("./init/project.ts");
  const manager = project.packageManagerOf(directory, world.env["npm_config_user_agent"]);
  const about = { name: packageName(basename(directory)), sheaf: project.sheafOrigin(), manager };
  const hasTypes = isGuest && existsSync(join(directory, "tsconfig.json"));
  const files = isGuest ? project.guestFiles(kind, { hasTypes }) : project.projectFiles(kind, about);
  const job = project.jobOf(kind);
  const { file: jobFile } = job;
  if (existsSync(join(directory, jobFile))) {
    throw new SheafError("OUTPUT_EXISTS", `${directory} has ${jobFile} already; nothing was written`, {
      hint: "Give another directory (sheaf init DIR) or another --template.",
    });
  }
  const written: string[] = [];
  const kept: string[] = [];
  for (const [file, content] of files) {
    if (existsSync(join(directory, file))) {
      kept.push(file);
      continue;
    }
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), content, { flag: "wx" });
    written.push(file);
  }
  const chores = await choresOf(directory, job, kept);
  if (flags.json === true) {
    const answer = { kind: "initialised", directory, files: written, kept, toDo: chores };
    await writeJson(world, answer);
    return exitCodes.ok;
  }
  const shown = directory === world.cwd ? "" : displayPath(directory, world.cwd);
  const steps = [
    ...(shown === "" ? [] : [`cd ${shellWord(shown)}`]),
    ...(isGuest ? await additions(directory, about) : [`${manager.install} && ${manager.script} test`]),
    ...project
      .projectCommands(kind)
      .map((command) =>
        command
          .replace(/^sheaf/, `${manager.execute} sheaf`)
          .replace("README.md", existsSync(join(directory, "README.md")) ? "README.md" : jobFile),
      ),
  ];
  const listed = (names: readonly string[]): string =>
    names.map((file) => `  ${join(shown, file)}\n`).join("");
  const parts = [`wrote\n${listed(written)}`];
  if (kept.length > 0) parts.push(`left as they are\n${listed(kept)}`);
  for (const { file, text } of chores) parts.push(`add to ${join(shown, file)}\n${indented(text)}`);
  parts.push(`Next:\n${indented(steps.join("\n"))}`);
  await writeTo(world.stderr, parts.join("\n"));
  return exitCodes.ok;
}

/** One file of a kind, with every option. What else there is stays as it is. */
async function writeKind(
  kind: Kind,
  given: string,
  { flags, world }: Invocation<typeof initFlags>,
): Promise<ExitCode> {
  if (flags.template !== undefined) {
    throw new SheafError("USAGE", `sheaf init ${kind} takes no --template`, {
      hint: `Templates are for whole projects. For one in the directory ${kind}: sheaf init ./${kind} --template ${flags.template}`,
    });
  }
  if (!/\.(?:ts|mts)$/.test(given)) {
    throw new SheafError("USAGE", `sheaf init ${kind}: ${given} is no TypeScript file`, {
      hint: `Give its path: sheaf init ${kind} ${given}.ts`,
    });
  }
  const [{ kinds, nameOfJobFile }, { projectPath }] = await Promise.all([
    import("./init/kinds.ts"),
    import("../../project/project-file.ts"),
  ]);
  const path = localPath(given, "FILE", world.cwd);
  if (existsSync(path)) {
    throw new SheafError("OUTPUT_EXISTS", `${given} exists already; nothing was written`, {
      hint: `Give another file: sheaf init ${kind} FILE.`,
    });
  }
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, kinds[kind].source(given), { flag: "wx" });
  const project = projectPath(dirname(path));
  const chores =
    project === undefined
      ? []
      : [
          {
            file: project,
            text: `in "jobs": "${nameOfJobFile(given)}": "./${relative(dirname(project), path)}"`,
          },
        ];
  if (flags.json === true) {
    await writeJson(world, {
      kind: "initialised",
      directory: dirname(path),
      files: [given],
      kept: [],
      toDo: chores,
    });
    return exitCodes.ok;
  }
  const parts = [`wrote\n  ${given}  (${kinds[kind].about})\n`];
  for (const { file, text } of chores)
    parts.push(`to run it by its name, add to ${displayPath(file, world.cwd)}\n${indented(text)}`);
  parts.push(`Next:\n${indented(`sheaf run ${shellWord(given)} INPUT... -o out`)}`);
  await writeTo(world.stderr, parts.join("\n"));
  return exitCodes.ok;
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `  ${line}\n`)
    .join("");
}

/** What a project that was there before still needs, as commands of its package manager. */
async function additions(
  directory: string,
  about: { readonly sheaf: string; readonly manager: PackageManager },
): Promise<string[]> {
  const manifest = await readFile(join(directory, "package.json"), "utf8");
  if (/"sheaf"\s*:/.test(manifest)) return [];
  return [`${about.manager.add} ${shellWord(`sheaf@${about.sheaf}`)}`];
}

/** Files that were there are never changed: what each of them lacks is said. */
async function choresOf(
  directory: string,
  job: { readonly name: string; readonly file: string },
  kept: readonly string[],
): Promise<Chore[]> {
  const chores: Chore[] = [];
  for (const file of kept) {
    const text = await readFile(join(directory, file), "utf8").catch(() => "");
    if (file === projectFileName && !text.includes(job.file))
      chores.push({ file, text: `in "jobs": "${job.name}": "./${job.file}"` });
    if (file === ".gitignore") {
      const lacking = ["node_modules/", "build/", "out/"].filter(
        (line) => !text.split(/\r?\n/).some((one) => one.replace(/^\/|\/$/g, "") === line.replace(/\/$/, "")),
      );
      if (lacking.length > 0) chores.push({ file, text: lacking.join("\n") });
    }
    if (file === "tsconfig.json")
      chores.push({ file, text: '"jobs" and "test" in "include", "module": "nodenext", "types": ["node"]' });
  }
  return chores;
}

/** A name npm accepts, near the directory's. */
function packageName(directory: string): string {
  const name = directory
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  // A package of the name of its own dependency cannot be installed.
  return name === "" || name === "sheaf" ? "sheaf-jobs" : name;
}
