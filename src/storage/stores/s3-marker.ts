import { randomUUID } from "node:crypto";
import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import type { S3Requests } from "./s3-client.ts";
import { isMissing, isUnmet, type S3Place, statusOf } from "./s3-errors.ts";
import { placeOf, type S3Address } from "./s3-list.ts";
import { whoIsThis } from "./writer.ts";

/*
 * Completing many uploads is not one step. What makes it one are objects beside the files of an output, with
 * hidden names:
 *
 *   out/_sheaf-commit             who decides on this output. One holder at a time, by conditional writes.
 *       "claim": somebody looks at what is there, or clears it up; nothing is decided. May be taken over.
 *       "commit": decided. Every upload it names was there, and it names what is to be removed: whoever comes
 *       by carries it out. Readers refuse the directory as long as it is there.
 *   out/_sheaf-run-<job>.<who>    there before the first upload that a process makes for a job, so that those
 *       of a killed one are known to be ours; it has the names that no job gives its files.
 *   out/_sheaf-part-<job>.<id>    a file of a result, before it has its name; the commit copies it there.
 */

const MARKER = "_sheaf-commit";
const RUN = "_sheaf-run-";
const STAGED = "_sheaf-part-";

export function isMarker(key: string): boolean {
  return key.slice(key.lastIndexOf("/") + 1) === MARKER;
}

export function isOwnName(key: string): boolean {
  const name = key.slice(key.lastIndexOf("/") + 1);
  return name === MARKER || name.startsWith(RUN) || name.startsWith(STAGED);
}

/** A file of an output that is committed: what is known of the object and of the upload it comes from. */
export interface MarkedFile {
  readonly name: string;
  readonly bytes: number;
  /** In the object's metadata: says that an object is this file. */
  readonly id: string;
  /** null: an empty file, which has none. */
  readonly upload: string | null;
}

/** An object that is there before the commit. */
export interface OldFile {
  readonly name: string;
  readonly etag: string;
}

interface MarkerText {
  readonly sheaf: 1;
  readonly state: "claim" | "commit";
  readonly job: string;
  readonly who: string;
  /** No two writes of it are alike, nor then their ETags. */
  readonly nonce: string;
  readonly files: readonly MarkedFile[];
  readonly old: readonly OldFile[];
}

export interface Marker extends MarkerText {
  /** What says that it is still the same. */
  readonly etag: string;
}

/** FROZEN: runs of other versions meet it. */
const version = 1;

/** The marker of an output; null when there is none. */
export async function readMarker(
  requests: S3Requests,
  out: S3Address,
  doing: S3Place["doing"],
): Promise<Marker | null> {
  try {
    const { text, etag } = await requests.send(
      placeOf(out, doing),
      async (client, sdk) => {
        const { Body, ETag } = await client.send(
          new sdk.GetObjectCommand({ Bucket: out.bucket, Key: out.key + MARKER, ...requests.payer }),
        );
        return { text: (await Body?.transformToString()) ?? "", etag: ETag ?? "" };
      },
      isMissing,
    );
    return { ...parseMarker(text, out), etag };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function parseMarker(text: string, out: S3Address): MarkerText {
  try {
    const read = JSON.parse(text) as MarkerText;
    if (read.sheaf === version && Array.isArray(read.files) && Array.isArray(read.old)) return read;
  } catch {
    // Told below.
  }
  const name = quotePath(`s3://${out.bucket}/${out.key}${MARKER}`);
  throw new SheafError("OUTPUT_UNWRITABLE", `${name} is damaged, or of another version of sheaf`, {
    hint: "Finish with that version; or remove the whole directory, in which a commit was under way.",
    details: { path: name },
  });
}

/**
 * Writes the marker in place of the one that was read (null: of none).
 * @returns its new ETag; null when another one is there by now
 */
export async function writeMarker(
  requests: S3Requests,
  out: S3Address,
  marker: Pick<MarkerText, "state" | "job" | "files" | "old">,
  instead: string | null,
): Promise<string | null> {
  const nonce = randomUUID();
  const text = JSON.stringify({ sheaf: version, who: whoIsThis(), nonce, ...marker });
  try {
    const { ETag } = await requests.send(
      placeOf(out, "write"),
      (client, sdk) =>
        client.send(
          new sdk.PutObjectCommand({
            Bucket: out.bucket,
            Key: out.key + MARKER,
            Body: text,
            ...(instead === null ? { IfNoneMatch: "*" } : { IfMatch: instead }),
            ...requests.payer,
          }),
        ),
      isRefused,
    );
    return ETag ?? "";
  } catch (error) {
    if (!isRefused(error)) throw error;
    // It may be ours: an answer that was lost, and then asked for again.
    const now = await readMarker(requests, out, "write");
    return now?.nonce === nonce ? now.etag : null;
  }
}

/** 409: another write of the same object is under way. */
function isRefused(error: unknown): boolean {
  return isUnmet(error) || isMissing(error) || statusOf(error) === 409;
}

/** Removes the marker if it is still that one. */
export function removeMarker(requests: S3Requests, out: S3Address, etag: string): Promise<void> {
  return removeObject(requests, out, MARKER, etag);
}

/** Removes one object of an output if it is still that one. */
export async function removeObject(
  requests: S3Requests,
  { bucket, key }: S3Address,
  name: string,
  etag?: string,
): Promise<void> {
  const refused = (error: unknown): boolean => isUnmet(error) || isMissing(error);
  await requests
    .send(
      placeOf({ bucket, key: key + name }, "remove"),
      (client, sdk) =>
        client.send(
          new sdk.DeleteObjectCommand({
            Bucket: bucket,
            Key: key + name,
            ...(etag !== undefined && { IfMatch: etag }),
            ...requests.payer,
          }),
        ),
      refused,
    )
    .catch((error: unknown) => {
      if (!refused(error)) throw error;
    });
}

/** What a job has uploaded that has no name in its output yet. */
export function stagedPrefix(job: string): string {
  return `${STAGED}${encodeURIComponent(job)}.`;
}

/** The name of the object that says that this process makes uploads for a job. */
export function runName(job: string): string {
  return `${RUN}${encodeURIComponent(job)}.${whoIsThis()}`;
}

/** What the name of such an object says; null for others. */
export function parseRunName(name: string): { readonly job: string; readonly who: string } | null {
  const match = /^_sheaf-run-(.+)\.([0-9a-f]+\.\d+\.\w+)$/.exec(name);
  if (match === null) return null;
  try {
    return { job: decodeURIComponent(match[1]!), who: match[2]! };
  } catch {
    return null;
  }
}

/** What is in such an object. FROZEN: runs of other versions meet it. */
export function recordText(job: string, names: Iterable<string>): string {
  return `${JSON.stringify({ job, names: [...names] })}\n`;
}

/** The names that runs have said they put, beside those that all jobs give their files. */
export async function namesOfMarker(
  requests: S3Requests,
  out: S3Address,
  runs: readonly { readonly name: string }[],
): Promise<ReadonlySet<string>> {
  const all = new Set<string>();
  for (const { name } of runs) {
    try {
      const text = await requests.send(
        placeOf(out, "write"),
        async (client, sdk) => {
          const input = { Bucket: out.bucket, Key: out.key + name, ...requests.payer };
          return (await client.send(new sdk.GetObjectCommand(input))).Body?.transformToString();
        },
        isMissing,
      );
      const { names = [] } = JSON.parse(text ?? "{}") as { readonly names?: readonly string[] };
      for (const one of names) all.add(one);
    } catch (error) {
      // It was removed meanwhile, or says nothing that this version knows: then nothing is known to be its.
      if (!isMissing(error) && !(error instanceof SyntaxError)) throw error;
    }
  }
  return all;
}
