import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import type { SuccessManifest } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";

/*
 * Files of a job whose intermediate data are plain text in a directory that all workers see:
 *   <intermediate>/map-00003.1/<bucket>         key TAB value lines of a map attempt and bucket: 00000 ...
 *   <staging>/attempts/reduce-00001.1/<name>    what a reduce attempt wrote, any number of files
 *   <staging>/out/                              the output, being put together
 * Every attempt has a directory of its own, so that a late one cannot spoil what another has finished.
 */

/** The directory of an attempt, made when it starts. */
export async function makeAttemptDirectory(parent: string, attempt: AttemptRef): Promise<string> {
  const directory = join(parent, formatAttempt(attempt));
  await mkdir(directory, { recursive: true });
  return directory;
}

/**
 * The files of one bucket in the directories of the finished map attempts, in map order: "3", "00003",
 * "00003.tsv".
 */
export async function bucketFiles(directories: readonly string[], bucket: number): Promise<string[]> {
  const files: string[] = [];
  for (const directory of directories) {
    for (const name of (await readdir(directory)).sort()) {
      const stem = name.slice(0, name.length - extname(name).length);
      if (/^\d{1,9}$/.test(stem) && Number(stem) === bucket) files.push(join(directory, name));
    }
  }
  return files;
}

/** Buckets outside 0 to count-1 that a map attempt wrote: nobody would read them. */
export async function strayFiles(directory: string, buckets: number): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => {
    const stem = name.slice(0, name.length - extname(name).length);
    return !/^\d{1,9}$/.test(stem) || Number(stem) >= buckets;
  });
}

/** Moves what the reduces wrote into `out` under the names of parts, and writes `_SUCCESS`. */
export async function gatherParts(
  name: string,
  reduces: readonly string[],
  out: string,
  counters: Readonly<Record<string, number>>,
): Promise<CommittedPart[]> {
  await mkdir(out, { recursive: true });
  const parts: CommittedPart[] = [];
  for (const [partition, directory] of reduces.entries()) {
    for (const written of (await readdir(directory)).sort()) {
      const file = `part-${String(parts.length).padStart(5, "0")}${extname(written)}`;
      await rename(join(directory, written), join(out, file));
      parts.push({ file, collection: "", partition, ...(await measure(join(out, file))) });
    }
  }
  const manifest: SuccessManifest = { sheaf: 1, job: name, code: null, counters, badRecords: 0, parts };
  await writeFile(join(out, "_SUCCESS"), `${JSON.stringify(manifest, null, 2)}\n`);
  return parts;
}

const newline = 10;

/** Records are lines: that is all that is known of what a worker in another language writes. */
async function measure(path: string): Promise<Pick<CommittedPart, "bytes" | "records" | "crc32c">> {
  let checksum = 0;
  let bytes = 0;
  let records = 0;
  let last = newline;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const data = chunk as Buffer;
    checksum = crc32c(data, checksum);
    bytes += data.length;
    for (let at = data.indexOf(newline); at >= 0; at = data.indexOf(newline, at + 1)) records++;
    last = data.at(-1) ?? last;
  }
  if (last !== newline) records++;
  return { bytes, records, crc32c: crcText(checksum) };
}
