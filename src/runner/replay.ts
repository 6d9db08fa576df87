import { existsSync, mkdirSync, realpathSync, rmSync, statSync } from "node:fs";
import type * as inspectorModule from "node:inspector";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { SheafError } from "../base/errors.ts";
import { readCapsule } from "../engine/capsule.ts";
import type { Capsule } from "../engine/capsule.ts";
import { formatFailure, mapFailure } from "../engine/error-report.ts";
import { findJob } from "../engine/job-history.ts";
import { nameStores } from "../engine/user-stores.ts";
import type { TaskContext } from "../job/context.ts";
import { jobOfInput } from "../job/define.ts";
import type { Job } from "../job/job-plan.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { splitAddress } from "../storage/store.ts";
import { isStrange } from "../storage/stores.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { TaskResult, TaskSpec } from "../task/task-spec.ts";
import { jobOfModule, withDefaultParams } from "../worker/task-host.ts";

export interface ReplayOptions {
  readonly stateDirectory: string;
  /**
   * Opens the inspector on this port of the loopback address (0: any), waits for a debugger and stops in the
   * user's map or reduce at the record or key that failed. Where a debugger has started this process, that
   * one stops. Absent: runs through.
   */
  readonly inspect?: number;
  /** What the task prints and logs, line by line. */
  readonly onLog?: (line: string) => void;
  /** Told the inspector's address once it listens. */
  readonly onInspector?: (url: string) => void;
}

export interface ReplayResult {
  readonly jobId: string;
  readonly task: string;
  /** The attempt the capsule was made of, and which the replay pretends to be. */
  readonly attempt: number;
  readonly result: TaskResult;
  /** The one-screen report when it failed again, null when it succeeded. */
  readonly report: string | null;
}

/**
 * Runs a failed task again on this thread, from its capsule: the saved bundle, settings and split, the same
 * attempt
 * number. Its output goes to a temporary directory that is removed. `handle` names a job or a task of one; a
 * job alone
 * means its first capsule.
 * @throws SheafError NOT_FOUND without such a capsule, INPUT_CHANGED when its input or side data is no longer
 * what it was.
 */
export async function replay(handle: string, options: ReplayOptions): Promise<ReplayResult> {
  const found = await findJob(options.stateDirectory, handle);
  const task = found.task ?? found.record.capsules[0];
  if (task === undefined) {
    throw new SheafError("NOT_FOUND", `job ${found.record.jobId} has no failed task to replay`, {
      hint: `It ${found.record.status === "SUCCEEDED" ? "succeeded" : "did not fail in a task"}.`,
    });
  }
  return replayKept(found.directory, task, { ...options, file: found.record.file });
}

/** What a replay of a capsule that lies in a job directory may be told. */
export interface KeptReplayOptions extends Omit<ReplayOptions, "stateDirectory"> {
  /** Of the job, if it is known: beside it are the storages that the job names. */
  readonly file: string | null;
}

/** The same from a job directory. @throws SheafError NOT_FOUND, INPUT_CHANGED */
export async function replayKept(
  directory: string,
  task: string,
  options: KeptReplayOptions,
): Promise<ReplayResult> {
  const capsule = readCapsule(directory, task);
  checkInputs(capsule);
  await checkAux(capsule);
  const bundle = join(directory, "app", "job.mjs");
  if (!existsSync(bundle)) {
    throw new SheafError("NOT_FOUND", `${bundle}: the code of the job is not kept`, {
      hint: "Only jobs that were run from a file can be replayed.",
    });
  }
  const debugging = options.inspect === undefined ? null : await openInspector(options.inspect, options);
  const job = jobOfModule(
    (await import(pathToFileURL(bundle).href)) as { readonly default?: unknown },
  ) as Job;
  nameStoresRead(job, capsule, options.file);
  const result = await runCapsule(
    debugging === null ? job : stoppingAt(job, capsule, debugging),
    capsule,
    options,
  );
  const { jobId, attempt } = capsule;
  return { jobId, task, attempt, result, report: await reportOf(result, capsule, bundle) };
}

async function runCapsule(job: Job, capsule: Capsule, options: KeptReplayOptions): Promise<TaskResult> {
  const { createTaskRunner } = await import("../task/task-runner.ts");
  const directory = await makeTempDirectory(tmpdir());
  const runner = createTaskRunner(job, withDefaultParams(job, capsule.settings));
  try {
    mkdirSync(join(directory, "attempt"));
    const spec: TaskSpec = { ...capsule.spec, directory: join(directory, "attempt") };
    return await runner.run(spec, {
      progress: new Float64Array(PROGRESS_BYTES / 8),
      signal: new AbortController().signal,
      log: (line) => options.onLog?.(line),
    });
  } finally {
    runner.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function reportOf(result: TaskResult, capsule: Capsule, bundle: string): Promise<string | null> {
  if (result.kind === "success") return null;
  const mapped = await mapFailure(result, bundle);
  return formatFailure(result, { task: capsule.task, attempt: capsule.attempt, mapped, replay: null });
}

function checkInputs({ spec, missingInputs, task }: Capsule): void {
  if (missingInputs !== null) {
    throw new SheafError("NOT_FOUND", `${task} cannot be replayed: ${missingInputs}`, {
      hint: "Run the job on this machine, or on less data or more partitions, to get a capsule that holds them.",
    });
  }
  if (spec.kind === "reduce") return;
  for (const piece of spec.split.pieces) {
    // Of a file in a store whether it is still that version is seen as it is read.
    if (piece.kind !== "file" || piece.version !== undefined) continue;
    const now = statSync(piece.path, { throwIfNoEntry: false });
    if (now?.size === piece.fileBytes && now.mtimeMs === piece.mtimeMs) continue;
    // Whether it was only appended to is seen as it is read.
    if (piece.growing !== undefined && now !== undefined && now.size >= piece.fileBytes) continue;
    const what = now === undefined ? "is gone" : "has changed since the job ran";
    throw new SheafError("INPUT_CHANGED", `${piece.name} ${what}`, {
      hint: "A replay needs the very input that failed.",
      details: { path: piece.path },
    });
  }
}

/** @throws SheafError USAGE for a storage that nobody has named */
function nameStoresRead({ stores }: Job, { spec, task }: Capsule, file: string | null): void {
  if (spec.kind === "reduce") return;
  for (const piece of spec.split.pieces) {
    if (piece.kind !== "file" || !isStrange(piece.path)) continue;
    const { scheme } = splitAddress(piece.path)!;
    const module = Object.hasOwn(stores, scheme) ? stores[scheme] : undefined;
    if (module === undefined) {
      throw new SheafError(
        "USAGE",
        `${task} has read ${piece.path}, and no storage is known for ${scheme}://`,
        {
          hint: `Name the module that makes it: --store ${scheme}=FILE.`,
          details: { path: piece.path },
        },
      );
    }
    const origin = file !== null && existsSync(file) ? { directory: dirname(realpathSync(file)) } : {};
    nameStores({ [scheme]: module }, origin);
  }
}

async function checkAux({ settings }: Capsule): Promise<void> {
  for (const { name, path, sha256 } of Object.values(settings.auxFiles ?? {}).flat()) {
    const now = await sha256OfFile(path).catch(() => null);
    if (now?.sha256 === sha256) continue;
    const what = now === null ? "is gone, or cannot be read" : "has changed since the job ran";
    throw new SheafError("INPUT_CHANGED", `${name}, side data of the job, ${what}`, {
      hint: `A replay needs what the task had. Put it back at ${path}, or run the job again.`,
      details: { path },
    });
  }
}

type Inspector = typeof inspectorModule;

async function openInspector(port: number, options: KeptReplayOptions): Promise<Inspector> {
  const inspector = await import("node:inspector");
  // Else a debugger has started this process, and waits for nothing.
  if (inspector.url() !== undefined) return inspector;
  try {
    inspector.open(port, "127.0.0.1");
  } catch (error) {
    throw inspectorRefused(port, error);
  }
  // A port in use is only said on standard error.
  const url = inspector.url();
  if (url === undefined) throw inspectorRefused(port, null);
  options.onInspector?.(url);
  inspector.waitForDebugger();
  return inspector;
}

function inspectorRefused(port: number, cause: unknown): SheafError {
  return new SheafError("USAGE", `the inspector cannot listen on 127.0.0.1:${port}`, {
    hint: "Another debugger may have the port. Give another one: --inspect=9230.",
    cause,
  });
}

/**
 * The job with a conditional breakpoint at the beginning of the user function that failed, for the record
 * or key it failed on: whoever debugs stops in a frame of theirs, in the file they wrote.
 */
function stoppingAt(whole: Job, { failure, spec }: Capsule, inspector: Inspector): Job {
  const breakpoint = new Breakpoint(inspector);
  const job = spec.kind === "reduce" ? whole : jobOfInput(whole, spec.split.input);
  const { map } = job;
  if (map !== undefined && failure.offset !== null) {
    breakpoint.putInto(map);
    return {
      ...job,
      map(record: unknown, emit: unknown, context: TaskContext): unknown {
        breakpoint.isHere = context.offset === failure.offset && context.path === failure.path;
        return map.call(job, record, emit, context);
      },
    };
  }
  const collections = job.collections.map((collection) => {
    const reduce = collection.reduce;
    if (reduce === undefined || failure.key === null) return collection;
    breakpoint.putInto(reduce);
    const stopping: typeof reduce = (key, values, context) => {
      breakpoint.isHere = String(key) === failure.key || JSON.stringify(key) === failure.key;
      return reduce(key, values, context);
    };
    return { ...collection, reduce: stopping };
  });
  return { ...job, collections };
}

/**
 * A breakpoint in functions of this very thread, set by a session of its own; a debugger that is attached
 * stops at it. What it asks and looks at lies in globalThis.sheafDebug, the only place the two sides share.
 */
class Breakpoint {
  readonly #session: InstanceType<Inspector["Session"]>;
  readonly #shared: { target: unknown; isHere: boolean } = { target: null, isHere: false };

  constructor(inspector: Inspector) {
    Object.assign(globalThis, { sheafDebug: this.#shared });
    this.#session = new inspector.Session();
    this.#session.connect();
    this.#session.post("Debugger.enable");
  }

  /** Whether the next call is the one to stop in. It stays so until set again: generators begin late. */
  set isHere(isIt: boolean) {
    this.#shared.isHere = isIt;
  }

  putInto(target: unknown): void {
    this.#shared.target = target;
    // Answers come at once: the session is on this thread.
    this.#session.post("Runtime.evaluate", { expression: "sheafDebug.target" }, (_error, answer) => {
      const objectId = answer?.result.objectId;
      if (objectId === undefined) return;
      const wanted = { objectId, condition: "sheafDebug.isHere" };
      // Not among the types of Node 20.
      (this.#session.post as (method: string, params: object) => void).call(
        this.#session,
        "Debugger.setBreakpointOnFunctionCall",
        wanted,
      );
    });
  }
}
