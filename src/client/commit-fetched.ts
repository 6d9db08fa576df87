import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { outputNameProblem } from "../base/output-name.ts";
import { commitOutput } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/options.ts";
import type { JobView } from "../protocol/job-view.ts";
import { createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import type { OutputPart, TaskSuccess } from "../task/task-spec.ts";
import type { ApiClient } from "./api-client.ts";
import { fetchFile, fetchFiles } from "./fetch-results.ts";

/** Where the results of a job are committed on this machine. */
export interface LocalOutput {
  /** Absolute path. */
  readonly path: string;
  readonly overwrite: boolean;
}

/**
 * Fetches the result files of a job and makes them the output, whole and at once: byte for byte what a run on
 * this machine would have written.
 * @throws SheafError as fetchFile does; OUTPUT_EXISTS, OUTPUT_UNWRITABLE. Nothing is then left of it.
 */
export async function commitFetched(
  api: ApiClient,
  view: JobView,
  output: LocalOutput,
  signal: AbortSignal | undefined,
): Promise<CommittedPart[]> {
  const temp = await createTempOutput(output.path);
  try {
    const files = join(temp, "fetched");
    await mkdir(files);
    const parts = view.parts.map((part, index) => {
      const target = join(files, String(index));
      return { part: outputPart(part, index, target, view.collections), expected: part, target };
    });
    await fetchFiles(
      api,
      view.job,
      parts.map(({ expected, target }, index) => ({ kind: "output", index, expected, target })),
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
        collections: view.collections,
        staging: join(temp, "out"),
        output: output.path,
        overwrite: output.overwrite,
      },
      { sample: [], map, reduce, counters: view.counters },
    );
  } finally {
    await discardTempOutput(temp);
  }
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

/** Files of set-aside records: as many as there are, in order. */
async function fetchBad(
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
  const none = { recordsIn: 0, bytesIn: 0, recordsOut: 0, bytesOut: 0, emitted: 0, shuffleBytes: 0 };
  return {
    kind: "success",
    stats: { ...none, spills: 0, badRecords, groups: 0, elapsedMs: 0, cpuMs: 0 },
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
