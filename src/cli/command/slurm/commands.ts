import { execFile } from "node:child_process";
import { SheafError } from "../../../base/errors.ts";

/** A job of Slurm, as `sbatch --parsable` names it: of which cluster, where a site has several. */
export interface SlurmJob {
  readonly job: string;
  readonly cluster: string | null;
}

/** What Slurm says of a job. */
export type SlurmLook =
  | {
      readonly kind: "there";
      /** PENDING, RUNNING, COMPLETING, ...: as Slurm calls it. */
      readonly state: string;
      readonly reason: string | null;
      /** "[D-]HH:MM:SS" or UNLIMITED. */
      readonly runTime: string | null;
      readonly timeLimit: string | null;
      readonly nodes: string | null;
    }
  /** `state`: how it ended, null where Slurm does not know it any more. */
  | { readonly kind: "ended"; readonly state: string | null; readonly exitCode: string | null }
  /** Slurm did not answer, which says nothing of the job: controllers are busy, and are started anew. */
  | { readonly kind: "unknown"; readonly why: string };

const answerMs = 60_000;
const answerBytesMax = 16 * 1024 * 1024;
const unknownJob = /Invalid job id/i;
const over =
  /\b(?:BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|REVOKED|TIMEOUT)\b/;

/** Slurm's commands. Their answers are read, never guessed from exit codes. */
export class SlurmCommands {
  readonly #env: NodeJS.ProcessEnv;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    // Formats that a user has set for squeue are for people.
    const { SQUEUE_FORMAT: _format, SQUEUE_FORMAT2: _format2, SLURM_TIME_FORMAT: _time, ...rest } = env;
    this.#env = { ...rest, LC_ALL: "C" };
  }

  /**
   * @param args of sbatch, the script last
   * @param mark the comment of the job, by which it is found when sbatch does not say what came of it
   * @throws SheafError PROGRAM_FAILED with what sbatch said, PROGRAM_UNUSABLE
   */
  async submit(args: readonly string[], mark: string): Promise<SlurmJob> {
    const { code, stdout, stderr } = await this.#run("sbatch", ["--parsable", ...args]);
    const [, job, cluster = null] = /^(\d+)(?:;(\S+))?\s*$/m.exec(stdout) ?? [];
    if (code === 0 && job !== undefined) return { job, cluster };
    // A controller that is busy may have taken the job and answered too late.
    const found = /timed out|Unable to contact/i.test(stderr) ? await this.#marked(mark) : undefined;
    if (found !== undefined) return { job: found, cluster: null };
    throw new SheafError("PROGRAM_FAILED", `sbatch: ${firstLines(stderr) || "no job id was answered"}`, {
      hint: "What stands behind -- goes to sbatch. sheaf slurm up --print shows the script; sinfo shows partitions.",
    });
  }

  async look({ job, cluster }: SlurmJob): Promise<SlurmLook> {
    const words = ["--oneliner", ...ofCluster(cluster), "show", "job", job];
    const { code, stdout, stderr } = await this.#run("scontrol", words);
    return readJob(code, stdout, stderr);
  }

  /** Steps of a job by their ids, "123.4"; null when Slurm does not answer. */
  async steps({ job, cluster }: SlurmJob): Promise<ReadonlyMap<string, string> | null> {
    const words = [...ofCluster(cluster), "--steps", "--noheader", `--jobs=${job}`, "--format=%i %j"];
    const { code, stdout, stderr } = await this.#run("squeue", words);
    if (unknownJob.test(stderr)) return new Map();
    if (code !== 0 || /error/i.test(stderr)) return null;
    const lines = stdout.split("\n").map((line) => line.trim().split(/\s+/));
    return new Map(
      lines.filter(([id = ""]) => id.startsWith(`${job}.`)).map(([id = "", name = ""]) => [id, name]),
    );
  }

  /**
   * Ends a job or a step at once, or sends it a signal.
   * @param what "123" or "123.4"
   * @param signal to the batch script of a job, or to all of a step; null: end it
   */
  async cancel(what: string, cluster: string | null, signal: "TERM" | null): Promise<void> {
    const batch = what.includes(".") ? [] : ["--batch"];
    const words = signal === null ? [] : [...batch, `--signal=${signal}`];
    const { code, stderr } = await this.#run("scancel", [...ofCluster(cluster), ...words, what]);
    if (code === 0 || unknownJob.test(stderr) || /already completing or completed/i.test(stderr)) return;
    throw new SheafError("PROGRAM_FAILED", `scancel ${what}: ${firstLines(stderr)}`, {
      hint: `Try it by hand: scancel ${what}.`,
    });
  }

  /** Under which address Slurm itself reaches a node; null where it does not say. */
  async nodeAddress(node: string): Promise<string | null> {
    const { stdout } = await this.#run("scontrol", ["--oneliner", "show", "node", node]);
    return /\bNodeAddr=(\S+)/.exec(stdout)?.[1] ?? null;
  }

  async #marked(mark: string): Promise<string | undefined> {
    const user = this.#env["USER"];
    const words = ["--noheader", ...(user === undefined ? [] : [`--user=${user}`]), "--format=%i %k"];
    const { stdout } = await this.#run("squeue", words);
    const line = stdout.split("\n").find((one) => one.trim().endsWith(` ${mark}`));
    return line?.trim().split(" ")[0];
  }

  #run(program: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const limits = { timeout: answerMs, maxBuffer: answerBytesMax, env: this.#env };
    return new Promise((resolve, reject) => {
      execFile(program, args, limits, (error, stdout, stderr) => {
        if ((error as NodeJS.ErrnoException | null)?.code === "ENOENT")
          return reject(missing(program, error));
        const wasSlow = error?.killed === true ? `${program}: no answer within ${answerMs / 1000} s\n` : "";
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr: wasSlow + stderr });
      });
    });
  }
}

/** Reads what `scontrol --oneliner show job` answered. */
export function readJob(code: number, stdout: string, stderr: string): SlurmLook {
  const field = (name: string): string | null => {
    const found = new RegExp(`(?:^|\\s)${name}=(\\S+)`).exec(stdout)?.[1];
    return found === undefined || found === "(null)" || found === "None" ? null : found;
  };
  const state = field("JobState");
  if (state === null) {
    if (unknownJob.test(stderr)) return { kind: "ended", state: null, exitCode: null };
    return { kind: "unknown", why: firstLines(stderr) || `scontrol ended with ${code} and said nothing` };
  }
  // While its processes are being ended, a job counts as there.
  if (over.test(state) && !state.includes("COMPLETING")) {
    return { kind: "ended", state, exitCode: field("ExitCode") };
  }
  return {
    kind: "there",
    state,
    reason: field("Reason"),
    runTime: field("RunTime"),
    timeLimit: field("TimeLimit"),
    nodes: field("NodeList"),
  };
}

function ofCluster(cluster: string | null): string[] {
  return cluster === null ? [] : [`--clusters=${cluster}`];
}

function firstLines(text: string): string {
  return text.trim().split("\n").slice(0, 3).join("; ");
}

function missing(program: string, cause: unknown): SheafError {
  return new SheafError("PROGRAM_UNUSABLE", `there is no ${program} on the PATH`, {
    hint: "Run this where Slurm's commands are: a login node of the cluster, or inside of an allocation.",
    cause,
  });
}
