import { setTimeout as pause } from "node:timers/promises";
import { SheafError } from "../../../base/errors.ts";
import type { SlurmCommands } from "./commands.ts";
import type { SlurmFiles, Submitted } from "./files.ts";

const lookMs = 500;
/** Beyond the grace time: the pilot's own farewell, and Slurm's. */
const moreMs = 60_000;

export interface SlurmEnd {
  readonly files: SlurmFiles;
  readonly slurm: SlurmCommands;
  readonly force: boolean;
  readonly nowMs: () => number;
}

/**
 * Whether the pilot, or anything it has started, is there: its job, or our steps in a job that is not ours.
 * null when Slurm does not answer.
 */
export async function isKnownToSlurm(slurm: SlurmCommands, submitted: Submitted): Promise<boolean | null> {
  if (submitted.inside) {
    const steps = await stepsOf(slurm, submitted);
    return steps === null ? null : steps.length > 0;
  }
  const { kind } = await slurm.look(submitted);
  return kind === "unknown" ? null : kind === "there";
}

/** Ends all of it at once: Slurm sends SIGTERM, and soon SIGKILL. @throws SheafError PROGRAM_FAILED */
export async function endNow(slurm: SlurmCommands, submitted: Submitted): Promise<void> {
  const { job, cluster, inside } = submitted;
  const what = inside ? await stepsOf(slurm, submitted) : [job];
  if (what === null) {
    throw new SheafError("UNREACHABLE", `Slurm does not say which steps job ${job} has`, {
      hint: `Try again, or end the steps called sheaf and sheaf-agents by hand: squeue --steps --jobs=${job}.`,
    });
  }
  for (const one of what) await slurm.cancel(one, cluster, null);
}

/**
 * Ends a pilot: agents finish what they run within the grace time, unless by `force`. Resolves when nothing
 * of it is there.
 * @returns false when it was gone before
 * @throws SheafError UNREACHABLE when something is left
 */
export async function endPilot({ files, slurm, force, nowMs }: SlurmEnd): Promise<boolean> {
  const submitted = files.known();
  if (submitted === null) return false;
  const { job, cluster, inside, graceMs } = submitted;
  const before = await isKnownToSlurm(slurm, submitted);
  if (before !== false) {
    if (force) await endNow(slurm, submitted);
    else if (inside) files.write("submitted", { ...submitted, stop: true });
    else {
      const look = await slurm.look(submitted);
      // What has not begun hears no signal.
      const signal = look.kind === "there" && look.state === "PENDING" ? null : "TERM";
      await slurm.cancel(job, cluster, signal);
    }
    const endMs = nowMs() + (force ? 0 : graceMs) + moreMs;
    while ((await isKnownToSlurm(slurm, submitted)) !== false) {
      if (nowMs() > endMs) {
        throw new SheafError("UNREACHABLE", `job ${job} is still there`, {
          hint: force ? `Look at it: scontrol show job ${job}.` : "End it at once: sheaf slurm down --force.",
        });
      }
      await pause(lookMs);
    }
  }
  files.write("submitted", null);
  files.write("pilot", null);
  return before !== false;
}

async function stepsOf(slurm: SlurmCommands, submitted: Submitted): Promise<string[] | null> {
  const steps = await slurm.steps(submitted);
  return steps === null
    ? null
    : [...steps].flatMap(([id, name]) => (/^sheaf(?:-agents)?$/.test(name) ? [id] : []));
}
