import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { shellWord } from "../../base/shell-word.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { initFlags } from "../flags/init-flags.ts";
import { packageManagerOf } from "../package-manager.ts";
import type { PackageManager } from "../package-manager.ts";
import { projectFileName } from "../project-file.ts";
import { sheafOrigin } from "../sheaf-origin.ts";
import { guestFiles, jobOf, projectCommands, projectFiles } from "../template/project.ts";
import type { TemplateName } from "../template/project.ts";
import { displayPath } from "../ui/summary.ts";
import { writeTo } from "../world.ts";

/** What is to be done by hand, because a file of the user's says it: what to do, and the lines to add. */
interface Chore {
  readonly file: string;
  readonly text: string;
}

export async function run({ flags, positionals, world }: Invocation<typeof initFlags>): Promise<ExitCode> {
  const directory = resolve(world.cwd, positionals[0] ?? ".");
  const kind = flags.template ?? "wordcount";
  const isGuest = existsSync(join(directory, "package.json"));
  const manager = packageManagerOf(directory, world.env["npm_config_user_agent"]);
  const about = { name: packageName(basename(directory)), sheaf: sheafOrigin(), manager };
  const hasTypes = isGuest && existsSync(join(directory, "tsconfig.json"));
  const files = isGuest ? guestFiles(kind, { hasTypes }) : projectFiles(kind, about);
  const { file: jobFile } = jobOf(kind);
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
  const chores = await choresOf(directory, kind, kept);
  if (flags.json === true) {
    const answer = { kind: "initialised", directory, files: written, kept, toDo: chores };
    await writeTo(world.stdout, `${JSON.stringify(answer)}\n`);
    return exitCodes.ok;
  }
  const shown = directory === world.cwd ? "" : displayPath(directory, world.cwd);
  const steps = [
    ...(shown === "" ? [] : [`cd ${shellWord(shown)}`]),
    ...(isGuest ? await additions(directory, about) : [`${manager.install} && ${manager.script} test`]),
    ...projectCommands(kind).map((command) =>
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
async function choresOf(directory: string, kind: TemplateName, kept: readonly string[]): Promise<Chore[]> {
  const chores: Chore[] = [];
  const job = jobOf(kind);
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
