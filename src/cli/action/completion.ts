import { listJobs } from "../../engine/job-history.ts";
import type { Invocation } from "../command.ts";
import { allCommands } from "../commands.ts";
import { completionScript } from "../completion-script.ts";
import type { Shell } from "../completion-script.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { findProjectFile } from "../project-file.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

export async function run({ positionals, world }: Invocation<{}>): Promise<ExitCode> {
  // checkPositionals has held it against the choices.
  const asked = positionals[0] as Shell | "jobs" | "handles";
  if (asked === "jobs" || asked === "handles") {
    const words = asked === "jobs" ? jobNames(world) : await handles(world);
    await writeTo(world.stdout, words.map((word) => `${word}\n`).join(""));
    return exitCodes.ok;
  }
  const shell = asked;
  await writeTo(world.stdout, completionScript(shell, await allCommands()));
  return exitCodes.ok;
}

/** Ids offered, the latest first. */
const idsMax = 20;

function jobNames(world: World): string[] {
  try {
    return [...(findProjectFile(world.cwd)?.jobs.keys() ?? [])].filter(isWord);
  } catch {
    // A shell that completes a word has no place for what is wrong with sheaf.json: sheaf run says it.
    return [];
  }
}

async function handles(world: World): Promise<string[]> {
  const jobs = await listJobs(stateDirectoryOf(world));
  if (jobs.length === 0) return [];
  const names = new Set(jobs.map(({ record }) => `@?${record.name}`));
  return ["@", ...names, ...jobs.slice(0, idsMax).map(({ record }) => record.jobId)].filter(isWord);
}

/** What can stand on a line by itself. */
function isWord(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- these are what must not get into a terminal
  return !/[\x00-\x1f\x7f]/.test(text);
}
