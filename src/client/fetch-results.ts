import { crc32c } from "@node-rs/crc32";
import { mkdir, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { ApiClient, Download } from "./api-client.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";

/** Files fetched at one time. */
const fetchesAtOnce = 4;
/** A file of which nothing more comes is tried again so often. */
const triesMax = 6;

/** A result file at the coordinator, and where it goes. */
export interface ResultFile {
  readonly kind: "output" | "collected" | "bad";
  readonly index: number;
  /** Size and CRC-32C (hex) to expect; null: not known. */
  readonly expected: { readonly bytes: number; readonly crc32c: string } | null;
  readonly target: string;
}

/** Fetches all of them; directories are made. @throws SheafError as fetchFile does; none is left running */
export async function fetchFiles(
  api: ApiClient,
  job: string,
  files: readonly ResultFile[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const next = files.values();
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const work = async (): Promise<void> => {
    for (const file of next) {
      if (either.aborted) return;
      await fetchFile(api, job, file, either);
    }
  };
  const workers = Array.from({ length: Math.min(fetchesAtOnce, files.length) }, async () => {
    try {
      await work();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  const ends = await Promise.allSettled(workers);
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/**
 * Fetches one file, going on where a cut connection left off, and checks it.
 * @throws SheafError UNREACHABLE, NOT_FOUND, BLOCK_CORRUPT when it is not what the job wrote, DISK_FULL ...
 */
export async function fetchFile(
  api: ApiClient,
  job: string,
  file: ResultFile,
  signal?: AbortSignal,
): Promise<void> {
  const handle = await opened(file.target);
  try {
    for (let whole = 1; ; whole++) {
      const sum = await fetchOnce(api, job, file, handle, signal);
      const { expected } = file;
      if (expected === null || sum === expected.crc32c) return;
      if (whole >= 2) throw notWhatWasWritten(job, file, sum);
    }
  } finally {
    await handle.close();
  }
}

/** The file from its beginning to its end, over as many connections as it takes; answers its CRC-32C. */
async function fetchOnce(
  api: ApiClient,
  job: string,
  file: ResultFile,
  handle: FileHandle,
  signal: AbortSignal | undefined,
): Promise<string> {
  let sum = 0;
  let at = 0;
  let tries = 0;
  for (;;) {
    try {
      const download = await api.resultFile(job, file.kind, file.index, at, signal ? { signal } : {});
      if (download.from !== at) {
        at = download.from;
        sum = 0;
      }
      for await (const chunk of bytesOf(download, signal)) {
        await written(handle, chunk, at, file.target);
        sum = crc32c(chunk, sum);
        at += chunk.length;
        tries = 0;
      }
      if (file.expected === null || at >= file.expected.bytes) break;
      throw cut(api, at, file.expected.bytes);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isSheafError(error) || error.code !== "UNREACHABLE" || ++tries >= triesMax) throw error;
      await pauseFor(pauseMs(tries, Math.random), signal);
    }
  }
  await handle.truncate(at);
  return sum.toString(16).padStart(8, "0");
}

async function* bytesOf(download: Download, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of download.body as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    signal?.throwIfAborted();
    throw download.bodyError(error);
  } finally {
    download.body.destroy();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true });
    return await open(path, "w");
  } catch (error) {
    throw asSheafError(error, { path, doing: "create", code: "OUTPUT_UNWRITABLE" });
  }
}

async function written(handle: FileHandle, chunk: Buffer, at: number, path: string): Promise<void> {
  try {
    for (let done = 0; done < chunk.length;) {
      const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at + done);
      done += bytesWritten;
    }
  } catch (error) {
    throw asSheafError(error, { path, doing: "write" });
  }
}

function cut(api: ApiClient, bytes: number, of: number): SheafError {
  return new SheafError("UNREACHABLE", `${api.url}: the connection ended after ${bytes} of ${of} bytes`, {
    hint: "Check the network between here and there.",
    retryable: true,
  });
}

function notWhatWasWritten(job: string, file: ResultFile, sum: string): SheafError {
  const want = file.expected?.crc32c ?? "?";
  return new SheafError(
    "BLOCK_CORRUPT",
    `${file.kind} file ${file.index} of ${job} came with checksum ${sum}; it was written with ${want}`,
    { hint: "The coordinator's disk or the network damages data. Run the job again." },
  );
}
