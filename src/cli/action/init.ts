import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../../base/errors.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { initFlags } from "../flags/init-flags.ts";
import { packageVersion } from "../package-version.ts";
import { projectCommands, projectFiles } from "../template/project.ts";
import { displayPath } from "../ui/summary.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof initFlags>): Promise<ExitCode> {
  const directory = resolve(world.cwd, positionals[0] ?? ".");
  const kind = flags.template ?? "wordcount";
  const files = projectFiles(kind, { name: packageName(basename(directory)), sheaf: sheafDependency() });
  const taken = [...files.keys()].filter((file) => existsSync(join(directory, file)));
  if (taken.length > 0) {
    throw new SheafError(
      "OUTPUT_EXISTS",
      `${directory} has ${taken.join(", ")} already; nothing was written`,
      {
        hint: "Give another directory: sheaf init DIR.",
      },
    );
  }
  for (const [file, content] of files) {
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), content, { flag: "wx" });
  }
  if (flags.json === true) {
    await writeTo(
      world.stdout,
      `${JSON.stringify({ kind: "initialised", directory, files: [...files.keys()] })}\n`,
    );
    return exitCodes.ok;
  }
  const shown = directory === world.cwd ? "" : displayPath(directory, world.cwd);
  const steps = [
    ...(shown === "" ? [] : [`cd ${shown}`]),
    "npm install && npm test",
    ...projectCommands(kind),
  ];
  const listed = [...files.keys()].map((file) => `  ${join(shown, file)}`);
  await writeTo(
    world.stderr,
    `wrote\n${listed.join("\n")}\n\nNext:\n${steps.map((step) => `  ${step}`).join("\n")}\n`,
  );
  return exitCodes.ok;
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

/** Installed from a registry, the same version; run from a clone, that clone. */
function sheafDependency(): string {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  return /[/\\]node_modules[/\\]/.test(root) ? `^${packageVersion()}` : `file:${root.replace(/[/\\]$/, "")}`;
}
