import { chmodSync, copyFileSync, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeThrown, SheafError } from "../base/errors.ts";
import { process } from "../base/own-globals.ts";
import { Program, type ProgramStart, type RunningProgram } from "../exec/program.ts";
import type { StandingHome } from "../exec/standing-program.ts";
import type { ExecPlan } from "../job/exec.ts";
import { workerEnvironment } from "../security/worker-environment.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import type { TaskSetting } from "./task-setting.ts";
import { type JobFile, PROGRESS_CELLS, type TaskSpec } from "./task-spec.ts";

/** Hadoop counts attempts from 0, and its ids have six digits. */
const ID_DIGITS = 6;

/** What a map program reads: a file, or a stretch of one. */
export interface ProgramInput {
  readonly file: string;
  readonly start: number;
  readonly length: number;
}

/** The programs of one attempt, one after the other: each in a directory of its own. */
export class TaskPrograms {
  readonly #setting: TaskSetting<TaskSpec>;
  #started = 0;
  #running: { readonly program: RunningProgram; readonly directory: string } | undefined;

  constructor(setting: TaskSetting<TaskSpec>) {
    this.#setting = setting;
  }

  /**
   * Starts a program.
   * @param take hears what it writes
   * @throws SheafError PROGRAM_UNUSABLE; INPUT_MISSING, INPUT_CHANGED for a file of the job
   */
  async start(
    plan: ExecPlan,
    input: ProgramInput | null,
    take: (chunk: Buffer) => Promise<void> | void,
  ): Promise<RunningProgram> {
    const { spec, settings, services, context, scene, programs } = this.#setting;
    const directory = join(spec.directory, `program-${this.#started++}`);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const file of settings.files ?? []) await placeFile(file, join(directory, file.name));
    const ofTask = { ...taskEnvironment(this.#setting, input), PWD: directory, ...plan.env };
    const start: ProgramStart = {
      plan,
      directory,
      environment: plan.reuse ? ofTask : { ...workerEnvironment(process.env), ...ofTask },
      take,
      moved: () => void (services.progress[PROGRESS_CELLS.beat]! += 1),
      place: () => ({ path: scene.path, offset: scene.offset }),
      reports: {
        count: (name, by) => context.count(name, by),
        status: (text) => {
          context.progress();
          context.log(`status: ${text}`);
        },
        log: (line) => context.log(line),
      },
      signal: services.signal,
    };
    const program = plan.reuse
      ? await programs.begin(plan, start, () => this.#home(plan))
      : new Program(start);
    this.#running = { program, directory };
    return program;
  }

  /** Of a program that outlives the attempt, and goes with the directory of the job's attempts. */
  async #home({ env }: ExecPlan): Promise<StandingHome> {
    const { spec, settings } = this.#setting;
    const directory = mkdtempSync(join(dirname(spec.directory), "program-"));
    for (const file of settings.files ?? []) await placeFile(file, join(directory, file.name));
    return { directory, environment: { ...workerEnvironment(process.env), PWD: directory, ...env } };
  }

  /**
   * Waits for the end of the program that runs, if one does.
   * @throws SheafError as Program.finish; PROGRAM_FAILED when it has changed a file of the job
   */
  async finish(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    await running.program.finish();
    this.#running = undefined;
    for (const file of this.#setting.settings.files ?? []) checkUnchanged(file, running.directory);
    await removeDirectory(running.directory);
  }

  /** Ends what runs. What is in its directory goes with the attempt's. */
  kill(): void {
    this.#running?.program.kill();
  }
}

/** One file of the job in a program's directory: another name of it where that can be, else a copy. */
async function placeFile({ name, path, origin, mode, sha256 }: JobFile, target: string): Promise<void> {
  const isThere = existsSync(path);
  try {
    if (isThere) {
      try {
        return linkSync(path, target);
      } catch {
        // On another file system.
      }
    }
    copyFileSync(isThere ? path : (origin ?? path), target);
    chmodSync(target, mode);
  } catch (cause) {
    throw new SheafError(
      "INPUT_MISSING",
      `files: ${name} cannot be put in its place: ${describeThrown(cause)}`,
      {
        cause,
        hint: "Run the job again; a capsule needs the files of its job as they were.",
        details: { path },
      },
    );
  }
  const found = await sha256OfFile(target);
  if (found.sha256 === sha256) return;
  throw new SheafError("INPUT_CHANGED", `files: ${name} is not what it was when the job began`, {
    hint: "Run the job again, and leave its files as they are meanwhile.",
    details: { path },
  });
}

/** All tasks of the job share a file that is linked: what a program writes into it, others would read. */
function checkUnchanged({ name, path, bytes, mtimeMs }: JobFile, directory: string): void {
  const linked = lstatSync(path, { throwIfNoEntry: false });
  if (linked === undefined || (linked.size === bytes && linked.mtimeMs === mtimeMs)) return;
  const there = lstatSync(join(directory, name), { throwIfNoEntry: false });
  if (there !== undefined && there.ino !== linked.ino) return;
  throw new SheafError("PROGRAM_FAILED", `the program has written to ${name}, a file of the job`, {
    hint: "All tasks share the job's files: let the program copy what it changes to another name first.",
    details: { path },
  });
}

/** The variables that programs of Hadoop Streaming look for, in their names of today and of Hadoop 1. */
function taskEnvironment(
  { job, spec, settings }: TaskSetting<TaskSpec>,
  input: ProgramInput | null,
): Record<string, string> {
  const isMap = spec.kind !== "reduce";
  const index = isMap ? spec.index : spec.partition;
  const number = String(index).padStart(ID_DIGITS, "0");
  const id = settings.jobId.replace(/^job_/, "");
  const task = `task_${id}_${isMap ? "m" : "r"}_${number}`;
  const reduces = settings.partitions.reduce(
    (sum, count, i) => sum + (job.collections[i]?.mapOnly === true ? 0 : count),
    0,
  );
  const told: [today: string, before: string, value: string][] = [
    ["mapreduce_job_id", "mapred_job_id", `job_${id}`],
    ["mapreduce_job_name", "mapred_job_name", settings.name],
    ["mapreduce_task_ismap", "mapred_task_is_map", String(isMap)],
  ];
  const names =
    isMap && job.named ? { SHEAF_COLLECTIONS: job.collections.map(({ name }) => name).join(",") } : {};
  const numbers: typeof told = [
    ["mapreduce_job_reduces", "mapred_reduce_tasks", String(reduces)],
    ["mapreduce_task_id", "mapred_tip_id", task],
    [
      "mapreduce_task_attempt_id",
      "mapred_task_id",
      `attempt_${id}_${isMap ? "m" : "r"}_${number}_${spec.attempt - 1}`,
    ],
    ["mapreduce_task_partition", "mapred_task_partition", String(index)],
  ];
  // What a map makes is taken over by later runs, as a task of another number.
  if (!isMap || settings.keepMaps !== true) told.push(...numbers);
  if (input !== null) {
    told.push(
      ["mapreduce_map_input_file", "map_input_file", input.file],
      ["mapreduce_map_input_start", "map_input_start", String(input.start)],
      ["mapreduce_map_input_length", "map_input_length", String(input.length)],
    );
  }
  const variables = told.flatMap(([today, before, value]) => [today, before].map((name) => [name, value]));
  return { ...names, ...(Object.fromEntries(variables) as Record<string, string>) };
}
