import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { SheafError } from "../base/errors.ts";
import { auxPaths } from "../engine/inputs.ts";
import type { Submission } from "../protocol/submission.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { ApiClient } from "./api-client.ts";
import type { CallOptions, UploadSource } from "./http.ts";
import type { LoadedJob } from "./load-outline.ts";

/** Uploads at one time. */
const uploadsAtOnce = 4;

/** Content that the coordinator keeps by its hash. */
interface Blob extends UploadSource {
  readonly hash: string;
}

/** What a job needs beside its description, and how the submission names it. */
export interface JobBlobs {
  readonly blobs: readonly Blob[];
  readonly named: Pick<Submission, "bundle" | "sourceMap" | "aux">;
}

/**
 * The bundle, its source map, and the files of the job's side data.
 * @throws SheafError INPUT_MISSING naming a side data file that cannot be read
 */
export async function jobBlobs({ bundle, outline }: LoadedJob, jobFile: string): Promise<JobBlobs> {
  const paths = auxPaths(outline.aux, jobFile);
  const code = inMemory(await readFile(bundle.portablePath));
  const map = inMemory(await readFile(bundle.mapPath));
  const files = await Promise.all(
    outline.aux.map(async ({ name, file }) => ({ file, blob: await auxBlob(name, paths[file]!) })),
  );
  return {
    blobs: [code, map, ...files.map(({ blob }) => blob)],
    named: {
      bundle: code.hash,
      sourceMap: map.hash,
      aux: files.map(({ file, blob }) => ({ path: file, blob: blob.hash, bytes: blob.bytes })),
    },
  };
}

/** Sends the blobs that the coordinator does not have. */
export async function uploadBlobs(api: ApiClient, blobs: readonly Blob[], call: CallOptions): Promise<void> {
  const wanted = [...new Map(blobs.map((blob) => [blob.hash, blob])).values()];
  const next = wanted.values();
  const upload = async (): Promise<void> => {
    for (const blob of next)
      if (!(await api.hasBlob(blob.hash, call))) await api.putBlob(blob.hash, blob, call);
  };
  await Promise.all(Array.from({ length: Math.min(uploadsAtOnce, wanted.length) }, upload));
}

function inMemory(content: Buffer): Blob {
  const hash = createHash("sha256").update(content).digest("hex");
  return { hash, bytes: content.length, open: () => Readable.from([content]) };
}

async function auxBlob(name: string, path: string): Promise<Blob> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (cause) {
    const { message } = asSheafError(cause, { path, doing: "read" });
    throw new SheafError("INPUT_MISSING", `aux.${name}: cannot read ${path}: ${message}`, {
      cause,
      hint: "Make it readable, and leave it as it is until the job is submitted.",
      details: { path },
    });
  }
  return { hash: hash.digest("hex"), bytes, open: () => createReadStream(path) };
}
