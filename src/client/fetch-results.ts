import type { FileHandle } from "node:fs/promises";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { outputNameProblem } from "../base/output-name.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";
import { commitOutput, type CommitPlan, placeBeside } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import { sumStats } from "../engine/progress.ts";
import type { JobView } from "../protocol/job-view.ts";
import { createTempOutput, discardTempOutput, type Placed } from "../storage/atomic-output.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { OutputPart, TaskSuccess } from "../task/task-spec.ts";
import type { ApiClient, ResultKind } from "./api-client.ts";
import { chunksOf } from "./download.ts";

/** Files fetched at one time. */
const fetchesAtOnce = 4;
/** A file of which nothing more comes is tried again so often. */
const triesMax = 6;

/** A result file at the coordinator, and where it goes. */
interface ResultFile {
  readonly kind: ResultKind;
  readonly index: number;
  /** Size and CRC-32C (hex) to expect; null: not known. */
  readonly expected: { readonly bytes: number; readonly crc32c: string } | null;
  readonly target: string;
}

/** Fetches all of them; directories are made. @throws SheafError as fetchFile does; none is left running */
async function fetchFiles(
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
async function fetchFile(api: ApiClient, job: string, file: ResultFile, signal?: AbortSignal): Promise<void> {
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
      for await (const chunk of chunksOf(download, signal)) {
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
  return crcText(sum);
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

/** Where the results of a job are committed on this machine. */
export interface LocalOutput {
  /** Absolute path. */
  readonly path: string;
  readonly overwrite: boolean;
  /** The outputDigest of what is there already. Left out: not known. */
  readonly has?: string | null | undefined;
}

/**
 * Fetches the result files of a job and makes them the output, whole and at once: byte for byte what a run on
 * this machine would have written.
 * @throws SheafError as fetchFile does; OUTPUT_EXISTS, OUTPUT_UNWRITABLE. Nothing is then left of it.
 */
export function commitFetched(
  api: ApiClient,
  view: JobView,
  output: LocalOutput,
  { signal, beside }: { readonly signal: AbortSignal | undefined } & Pick<CommitPlan, "beside">,
): Promise<CommittedPart[]> {
  return withTemp(output.path, (temp) => commitFiles(api, view, "output", { output, temp, signal, beside }));
}

/** The same with the records that its maps have kept: they stay where the output does. */
export function placeFetchedRecords(
  api: ApiClient,
  view: JobView,
  output: LocalOutput,
  signal: AbortSignal | undefined,
): Promise<Placed> {
  const { parts = [] } = view.materialized ?? {};
  const records = { ...view, parts, collections: [""], counters: {}, badRecords: 0 };
  return placeBeside(output.path, (temp, held) =>
    commitFiles(api, records, "records", { output, temp, signal, held }),
  );
}

async function withTemp<T>(path: string, work: (temp: string) => Promise<T>): Promise<T> {
  const temp = await createTempOutput(path);
  try {
    return await work(temp);
  } finally {
    await discardTempOutput(temp);
  }
}

interface FetchedPlace extends Pick<CommitPlan, "beside" | "held"> {
  readonly output: LocalOutput;
  /** A directory beside it. */
  readonly temp: string;
  readonly signal: AbortSignal | undefined;
}

async function commitFiles(
  api: ApiClient,
  view: JobView,
  kind: ResultKind,
  { output, temp, signal, ...more }: FetchedPlace,
): Promise<CommittedPart[]> {
  const files = join(temp, "fetched");
  await mkdir(files);
  const parts = view.parts.map((part, index) => {
    const target = join(files, String(index));
    return { part: outputPart(part, index, target, view.collections), expected: part, target };
  });
  await fetchFiles(
    api,
    view.job,
    parts.map(({ expected, target }, index) => ({ kind, index, expected, target })),
    signal,
  );
  const bad = view.badRecords === 0 ? [] : await fetchBad(api, view.job, files, signal);
  const map = [...bad.map((path) => success([], path, 0)), success([], null, view.badRecords)];
  const reduce = [
    success(
      parts.map(({ part }) => part),
      null,
      0,
    ),
  ];
  return await commitOutput(
    {
      name: view.name,
      code: view.code,
      job: view.job,
      collections: view.collections,
      staging: join(temp, "out"),
      output: output.path,
      overwrite: output.overwrite,
      ...more,
    },
    { sample: [], map, reduce, counters: view.counters },
  );
}

/** Fetches what `records()` reads, into a directory; paths in the order of the results. */
export async function fetchCollected(
  api: ApiClient,
  view: JobView,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<{ collection: string; path: string }[]> {
  const kept = view.collected.map(({ collection }, index) => ({
    collection,
    path: join(directory, String(index)),
  }));
  await fetchFiles(
    api,
    view.job,
    view.collected.map((expected, index) => ({
      kind: "collected",
      index,
      expected,
      target: kept[index]!.path,
    })),
    signal,
  );
  return kept;
}

/** Fetches the files of set-aside records into a directory: as many as there are, in order. */
export async function fetchBad(
  api: ApiClient,
  job: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const paths: string[] = [];
  for (;;) {
    const index = paths.length;
    const target = join(directory, `bad-${index}`);
    try {
      await fetchFile(api, job, { kind: "bad", index, expected: null, target }, signal);
    } catch (error) {
      if (isSheafError(error) && error.code === "NOT_FOUND") return paths;
      throw error;
    }
    paths.push(target);
  }
}

/**
 * A committed part as the attempt that made it told of it.
 * @throws SheafError FORBIDDEN for a name that would lead out of the output directory
 */
function outputPart(
  part: CommittedPart,
  index: number,
  path: string,
  collections: readonly string[],
): OutputPart {
  const { partition, bytes, records, file, collection, headerBytes } = part;
  const match = /^(?:(.*)\/)?part-\d{5,}([^/]*)$/.exec(file);
  const below = match?.[1] ?? "";
  // Below the collection's own directory lies what route() named.
  const inside = collection === "" || below === collection || below.startsWith(`${collection}/`);
  const name = below.slice(collection === "" ? 0 : collection.length + 1);
  const named = name === "" || outputNameProblem(name) === undefined;
  if (match === null || !inside || !named || /^\.\.?$|\//.test(collection)) {
    throw new SheafError("FORBIDDEN", `the coordinator names a result file ${JSON.stringify(file)}`, {
      hint: "No file of a job is called so. Check that the URL is that of your coordinator.",
    });
  }
  return {
    kind: "output",
    collection: collections.indexOf(collection),
    partition,
    // They come in order: whichever of a partition is earlier has the lower one.
    roll: index,
    path,
    ...(name !== "" && { name }),
    extension: match[2] ?? "",
    bytes,
    records,
    crc32c: Number.parseInt(part.crc32c, 16),
    ...(headerBytes !== undefined && { headerBytes }),
  };
}

function success(parts: OutputPart[], badPath: string | null, badRecords: number): TaskSuccess {
  return {
    kind: "success",
    stats: { ...sumStats([], [], 0), badRecords },
    counters: {},
    output: null,
    parts,
    keys: [],
    partitionBytes: [],
    pairs: [],
    hotKeys: [],
    badPath,
  };
}
