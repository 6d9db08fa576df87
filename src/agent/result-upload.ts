import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { crc32c } from "@node-rs/crc32";
import { isSheafError } from "../base/errors.ts";
import { formatAttempt } from "../scheduler/ids.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import { untilAnswered } from "./agent-world.ts";
import type { AgentWorld } from "./agent-world.ts";

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
  result: TaskSuccess,
  signal: AbortSignal,
): Promise<TaskSuccess> {
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
      await api.putResult(ref.job, formatAttempt(ref), name, source, { signal, ...untilAnswered });
      return name;
    } catch (error) {
      signal.throwIfAborted();
      const damaged = isSheafError(error) && (error.code === "BLOCK_CORRUPT" || error.code === "USAGE");
      if (!damaged || attempt >= tries) throw error;
    }
  }
}

async function measured(path: string): Promise<{ path: string; bytes: number; crc32c: number }> {
  try {
    let checksum = 0;
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      checksum = crc32c(chunk, checksum);
    }
    return { path, bytes: (await stat(path)).size, crc32c: checksum };
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}
