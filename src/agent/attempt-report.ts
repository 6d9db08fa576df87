import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { crcText } from "../base/crc32.ts";
import { isSheafError } from "../base/errors.ts";
import type { ToldStates } from "../engine/live.ts";
import type { TaskReport } from "../protocol/task-messages.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import type { RunDigest } from "../shuffle/run-fingerprint.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { stageFiles } from "../storage/upload-output.ts";
import type { MapOutput, TaskFailure, TaskSuccess, ReduceInput, TaskSpec } from "../task/task-spec.ts";
import type { RecordPlace } from "../worker/trace.ts";
import type { AgentWorld } from "./agent-options.ts";

/* What the coordinator is told of how an attempt ended. */

/** A success as the coordinator is told of it: SuccessSchema. */
export type Sent = Omit<TaskSuccess, "keep"> & { readonly unit?: string };

/** @param output of a map attempt; null when it emitted nothing or is no map */
export function finished(ref: AttemptRef, result: Sent, output: RunDigest | null): TaskReport {
  const seen = ref.phase === "map" ? { output } : {};
  return { status: TASK_STATUS.FINISHED, attempt: ref, result: mutable(result), ...seen };
}

/** A map that runs has aggregated this. */
export function running(ref: AttemptRef, told: Told): TaskReport {
  return { status: TASK_STATUS.RUNNING, attempt: ref, told };
}

type Told = NonNullable<TaskReport["told"]>;

export function toldOf({ states, records, made }: ToldStates): Told {
  return { states: Buffer.from(states).toString("base64"), records, made };
}

/** @param traced where the traced map attempt was, null for nowhere; undefined when it was not traced */
export function failedReport(ref: AttemptRef, failure: TaskFailure, traced?: RecordPlace | null): TaskReport {
  const told = traced === undefined ? {} : { traced: true, place: traced };
  return { status: TASK_STATUS.FAILED, attempt: ref, result: mutable(failure), ...told };
}

/** A reduce could not have the output of a map attempt. */
export function unreadable(
  ref: AttemptRef,
  map: Pick<MapOutput, "task" | "attempt">,
  failure: TaskFailure,
): TaskReport {
  const { task, attempt } = map;
  return { ...failedReport(ref, failure), unreadable: { task, attempt } };
}

/** It was told to end, or is handed back by an agent that leaves: no fault of its worker. */
export function cancelled(ref: AttemptRef, reason: string): TaskReport {
  return { status: TASK_STATUS.CANCELLED, attempt: ref, message: reason };
}

/** What the schemas imply is not readonly; nobody writes to a report. */
function mutable<T>(value: T): Mutable<T> {
  return value as Mutable<T>;
}

type Mutable<T> = T extends readonly (infer One)[]
  ? Mutable<One>[]
  : T extends object
    ? { -readonly [Name in keyof T]: Mutable<T[Name]> }
    : T;

/** The file of inputs that a reduce could not read, when that is why it failed. */
export function damagedFile(spec: TaskSpec, failure: TaskFailure): string | null {
  const [input] = suspects(spec, failure);
  return input?.path ?? null;
}

/**
 * The map output that a reduce could not read. Of several in one file it is the one in which the damage lies;
 * null when that cannot be told, so that no map is blamed for another's.
 */
export function damagedInput(spec: TaskSpec, failure: TaskFailure): ReduceInput | null {
  const inputs = suspects(spec, failure);
  const { offset } = failure;
  if (inputs.length < 2 || offset === null) return inputs.length === 1 ? inputs[0]! : null;
  const within = ({ window }: ReduceInput): boolean =>
    window === undefined || (offset >= window.offset && offset < window.offset + window.bytes);
  return inputs.find(within) ?? null;
}

function suspects(spec: TaskSpec, { code, path }: TaskFailure): readonly ReduceInput[] {
  if (spec.kind !== "reduce" || path === null) return [];
  if (code !== "BLOCK_CORRUPT" && code !== "INPUT_MISSING") return [];
  return spec.inputs.filter((input) => input.path === path);
}

/** A file that arrives damaged is sent so many times in all. */
const tries = 3;

/**
 * Sends the attempt's result files to the coordinator; resolves when all are whole and lasting there, with
 * the result that names them as they were sent.
 * @throws SheafError what the coordinator refuses; INPUT_MISSING when a file is gone
 */
export async function uploadResults(
  world: AgentWorld,
  ref: AttemptRef,
  result: Sent,
  signal: AbortSignal,
): Promise<Sent> {
  const send = (file: { path: string; bytes: number; crc32c: number }): Promise<string> =>
    upload(world, ref, file, signal);
  const parts = [];
  for (const part of result.parts) {
    // The writer of collected records leaves checking to their blocks.
    const file = part.kind === "collected" ? await measured(part.path) : part;
    parts.push({ ...part, crc32c: file.crc32c, path: await send(file) });
  }
  if (result.badPath === null) return { ...result, parts };
  return { ...result, parts, badPath: await send(await measured(result.badPath)) };
}

/**
 * Uploads the attempt's result files to where the output of the job will be, under names that are none of its
 * files: see StoreOutput.stage. Resolves when all are lasting there, with the result that names them.
 * @throws SheafError as stageFiles
 */
export async function stageResults(
  output: string,
  { job }: AttemptRef,
  result: Sent,
  signal: AbortSignal,
): Promise<Sent> {
  const { parts, badPath } = result;
  const files = parts.map(({ path: source, bytes, crc32c }) => {
    return { source, name: source, bytes, crc32c: crcText(crc32c) };
  });
  const bad = badPath === null ? [] : [{ source: badPath, name: badPath }];
  const step = (): void => signal.throwIfAborted();
  const staged = await stageFiles([...files, ...bad], { output, job, step });
  const named = parts.map((part, index) => ({ ...part, path: staged[index]! }));
  return { ...result, parts: named, badPath: badPath === null ? null : staged.at(-1)! };
}

async function upload(
  { api }: AgentWorld,
  ref: AttemptRef,
  file: { readonly path: string; readonly bytes: number; readonly crc32c: number },
  signal: AbortSignal,
): Promise<string> {
  const name = basename(file.path);
  // A file that cannot be read would look like a connection that breaks, and be sent again for ever.
  await stat(file.path).catch((error: unknown) => {
    throw asSheafError(error, { path: file.path, doing: "read" });
  });
  const source = { bytes: file.bytes, crc32c: file.crc32c, open: () => createReadStream(file.path) };
  for (let attempt = 1; ; attempt++) {
    try {
      await api.putResult(ref.job, formatAttempt(ref), name, source, { signal });
      return name;
    } catch (error) {
      signal.throwIfAborted();
      const damaged = isSheafError(error) && (error.code === "BLOCK_CORRUPT" || error.code === "USAGE");
      if (!damaged || attempt >= tries) throw error;
    }
  }
}

/** Sends a file that was made for the attempt. @throws SheafError as uploadResults */
export async function uploadMade(
  world: AgentWorld,
  ref: AttemptRef,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  await upload(world, ref, await measured(path), signal);
}

async function measured(path: string): Promise<{ path: string; bytes: number; crc32c: number }> {
  try {
    return { path, ...(await crc32cOfFile(path)) };
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}
