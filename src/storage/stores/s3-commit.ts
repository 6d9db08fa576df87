import { SheafError, isSheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pauseFor } from "../../base/retry.ts";
import { quotePath } from "../fs-error.ts";
import type { StoreStep } from "../store.ts";
import { isMissing, isUnmet, isUploadLost } from "./s3-errors.ts";
import { listObjects, placeOf, type S3Address } from "./s3-list.ts";
import {
  type MarkedFile,
  isOwnName,
  type Marker,
  namesOfMarker,
  parseRunName,
  readMarker,
  removeMarker,
  removeObject,
  stagedPrefix,
  writeMarker,
} from "./s3-marker.ts";
import { abortUpload, abortUploads, forEach, ID_FIELD, listParts, type OutputPlace } from "./s3-uploads.ts";
import { isWriterThere } from "./writer.ts";

/** A claim is given up soon. Whoever holds one for longer than this, ms, is dead or loses it. */
const claimMs = 3_000;
const claimPauseMs = 250;
const weekMs = 7 * 24 * 3_600_000;

/**
 * Carries out what was decided on this output, if anything. Who decided it is left some time to do it
 * himself.
 * @returns the claim that is there, or null
 */
export async function finishDecided(place: OutputPlace): Promise<Marker | null> {
  const { requests, out, job } = place;
  const { clock } = requests.world;
  let seen: string | null = null;
  let untilMs = 0;
  for (;;) {
    const there = await readMarker(requests, out, "write");
    if (there?.state !== "commit") return there;
    if (there.etag !== seen) untilMs = clock.nowMs() + claimMs;
    seen = there.etag;
    if (there.job === job || isWriterThere(there.who) === false || clock.nowMs() >= untilMs)
      await carryOutCommit(place, there);
    else await pauseFor(claimPauseMs, undefined);
  }
}

/**
 * The right to look at what is there and to decide. What others have decided is carried out first.
 * @returns the marker's ETag
 */
export async function claim(place: OutputPlace, step: StoreStep): Promise<string> {
  const { requests, out, job } = place;
  let seen: string | null = null;
  let waitedMs = 0;
  for (let tries = 0; tries < 1_000; tries++) {
    step?.();
    const there = await finishDecided(place);
    if (there !== null && isWriterThere(there.who) !== false && waitedMs < claimMs) {
      waitedMs = there.etag === seen ? waitedMs + claimPauseMs : 0;
      seen = there.etag;
      await pauseFor(claimPauseMs, undefined);
      continue;
    }
    const etag = await writeMarker(
      requests,
      out,
      { state: "claim", job, files: [], old: [] },
      there?.etag ?? null,
    );
    if (etag !== null) return etag;
  }
  throw new SheafError("OUTPUT_UNWRITABLE", `others write to ${nameOfOutput(place)} all the time`, {
    hint: "Give each job an output of its own.",
  });
}

/** Gives the right back, if nobody has taken it over. Never throws: it is taken over soon, then. */
export async function release({ requests, out }: OutputPlace, etag: string): Promise<void> {
  await removeMarker(requests, out, etag).catch(() => undefined);
}

/** What is there of an output, our own objects and the mark of a directory aside. */
export async function listOld({ requests, out }: OutputPlace, step: StoreStep): Promise<Marker["old"]> {
  const old: { name: string; etag: string }[] = [];
  for await (const found of listObjects(requests, out, { step, doing: "write" })) {
    if ("directory" in found || found.key === out.key || isBookkeeping(found.key, out)) continue;
    old.push({ name: found.key.slice(out.key.length), etag: found.etag ?? "" });
  }
  return old;
}

function isBookkeeping(key: string, out: S3Address): boolean {
  const name = key.slice(out.key.length);
  return !name.includes("/") && isOwnName(name);
}

/**
 * Makes a decided commit so. Anybody may, several at once, and again after a crash: an upload that is gone is
 * one that is completed when the object says so.
 * @throws SheafError OUTPUT_UNWRITABLE when uploads are gone and not completed: then nothing is left of it
 */
export async function carryOutCommit(place: OutputPlace, marker: Marker): Promise<void> {
  const { requests, out } = place;
  const old = new Map(marker.old.map(({ name, etag }) => [name, etag]));
  const last = marker.files.find(({ name }) => name === "_SUCCESS") ?? marker.files.at(-1);
  const wanted = new Set(marker.files.map(({ name }) => name));
  try {
    // It comes last. Where the old one has the same bytes, its ETag does not tell them apart.
    if (last === undefined || !(await isMade(place, last))) {
      // Whoever looks for it must not find it beside files of two outputs.
      const success = last === undefined ? undefined : old.get(last.name);
      if (last !== undefined && success !== undefined) await removeObject(requests, out, last.name, success);
      const rest = marker.files.filter((file) => file !== last);
      await forEach(rest, (file) => complete(place, file, old.get(file.name)));
      const gone = marker.old.filter(({ name }) => !wanted.has(name));
      await forEach(gone, ({ name, etag }) => removeObject(requests, out, name, etag));
      if (last !== undefined) await complete(place, last, undefined);
    }
  } catch (error) {
    if (!(error instanceof Lost)) throw notYet(place, error);
    // What somebody else has finished is not there as it was left any more, when a later job came after it.
    const now = await readMarker(requests, out, "write");
    if (now?.etag !== marker.etag) return;
    await undo(place, marker);
    throw new SheafError("OUTPUT_UNWRITABLE", `${nameOfOutput(place)} cannot be finished: ${error.message}`, {
      hint: `${marker.old.length === 0 ? "Nothing of it is left" : "Nothing of it, nor of what was there before, is left"}. Run the job again.`,
      details: { path: `s3://${out.bucket}/${out.key}` },
    });
  }
  await sweep(place, marker.job);
  await removeMarker(requests, out, marker.etag);
}

/** An upload that cannot be completed. */
export class Lost extends Error {}

function notYet(place: OutputPlace, error: unknown): unknown {
  if (!isSheafError(error)) return error;
  return new SheafError(error.code, `${error.message} (the commit of ${nameOfOutput(place)} was under way)`, {
    hint: `${error.hint ?? ""} What is missing of it is made visible by the next run that writes there.`,
    retryable: error.retryable,
    details: error.details,
  });
}

export async function complete(place: OutputPlace, file: MarkedFile, old: string | undefined): Promise<void> {
  const { requests, out } = place;
  const key = out.key + file.name;
  const condition = old === undefined ? { IfNoneMatch: "*" } : { IfMatch: old };
  const at = placeOf({ bucket: out.bucket, key }, "write");
  const over = (error: unknown): boolean => isUnmet(error) || isMissing(error) || isUploadLost(error);
  try {
    if (file.upload === null) {
      await requests.send(
        at,
        (client, sdk) =>
          client.send(
            new sdk.PutObjectCommand({
              Bucket: out.bucket,
              Key: key,
              Body: new Uint8Array(0),
              Metadata: { [ID_FIELD]: file.id },
              ...condition,
              ...requests.payer,
            }),
          ),
        over,
      );
      return;
    }
    const parts = await listParts(place, file);
    if (parts !== null) {
      await requests.send(
        at,
        (client, sdk) =>
          client.send(
            new sdk.CompleteMultipartUploadCommand({
              Bucket: out.bucket,
              Key: key,
              UploadId: file.upload!,
              MultipartUpload: { Parts: parts },
              ...condition,
              ...requests.payer,
            }),
          ),
        over,
      );
      return;
    }
  } catch (error) {
    if (!over(error)) throw error;
    if (await isMadeSoon(place, file)) return;
    throw new Lost(
      isUnmet(error)
        ? `somebody else has written ${quotePath(file.name)} meanwhile`
        : `the upload of ${quotePath(file.name)} cannot be completed (${error instanceof Error ? error.name : ""})`,
    );
  }
  if (!(await isMadeSoon(place, file))) throw new Lost(`the upload of ${quotePath(file.name)} is gone`);
}

/** Whether the object is this file of this commit. */
export async function isMade({ requests, out }: OutputPlace, file: MarkedFile): Promise<boolean> {
  return (await etagOf({ requests, out }, file)) !== null;
}

/** Another may be about to complete it, which takes a server minutes when the file is large. */
async function isMadeSoon(place: OutputPlace, file: MarkedFile): Promise<boolean> {
  const { clock } = place.requests.world;
  const endMs = clock.nowMs() + limits.storageRetryMs;
  for (;;) {
    if (await isMade(place, file)) return true;
    if (clock.nowMs() > endMs) return false;
    await pauseFor(claimPauseMs, undefined);
  }
}

async function etagOf(
  { requests, out }: Pick<OutputPlace, "requests" | "out">,
  file: MarkedFile,
): Promise<string | null> {
  const key = out.key + file.name;
  try {
    const { Metadata, ETag, ContentLength } = await requests.send(
      placeOf({ bucket: out.bucket, key }, "write"),
      (client, sdk) =>
        client.send(new sdk.HeadObjectCommand({ Bucket: out.bucket, Key: key, ...requests.payer })),
      isMissing,
    );
    return Metadata?.[ID_FIELD] === file.id && ContentLength === file.bytes ? (ETag ?? "") : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Nothing is left of a commit that cannot be carried out, nor of what it has replaced in part. */
async function undo(place: OutputPlace, marker: Marker): Promise<void> {
  const { requests, out } = place;
  await forEach(marker.files, async (file) => {
    if (file.upload !== null) await abortUpload(place, file.name, file.upload);
    const etag = await etagOf(place, file);
    if (etag !== null) await removeObject(requests, out, file.name, etag);
  });
  await forEach(marker.old, ({ name, etag }) => removeObject(requests, out, name, etag));
  await sweep(place, marker.job);
  await removeMarker(requests, out, marker.etag);
}

/** The objects that say which processes make uploads. */
export async function listRuns({ requests, out }: OutputPlace): Promise<RunRecord[]> {
  const runs: RunRecord[] = [];
  const at = { bucket: out.bucket, key: `${out.key}_sheaf-run-` };
  for await (const found of listObjects(requests, at, { doing: "write" })) {
    if ("directory" in found) continue;
    const name = found.key.slice(out.key.length);
    const run = parseRunName(name);
    if (run !== null) runs.push({ name, ...run, changedMs: found.changed?.getTime() ?? Infinity });
  }
  return runs;
}

export interface RunRecord {
  readonly name: string;
  readonly job: string;
  readonly who: string;
  readonly changedMs: number;
}

/** Whether the process is gone. On another host it is taken for gone after a week. */
export function isDead({ who, changedMs }: RunRecord, wallMs: number): boolean {
  const there = isWriterThere(who);
  return there === false || (there === null && wallMs - changedMs > weekMs);
}

/**
 * Nothing of a job is left but what it has committed. Whoever is the last to write there aborts every upload:
 * also those of whose making no process has heard. Only who has claimed the output may.
 */
export async function sweep(place: OutputPlace, job: string, step?: StoreStep): Promise<void> {
  const runs = await listRuns(place);
  const ours = runs.filter((run) => run.job === job);
  const now = place.requests.world.clock.wallMs();
  if (ours.length > 0 && runs.every((run) => run.job === job || isDead(run, now)))
    await abortUploads(place, await namesOfMarker(place.requests, place.out, runs), step);
  if (ours.length > 0) await removeStaged(place, job);
  await forEach(ours, ({ name }) => removeObject(place.requests, place.out, name));
}

/** What a job has staged is gone: it has been placed, or never will be. */
export async function removeStaged({ requests, out }: OutputPlace, job: string): Promise<void> {
  const staged: string[] = [];
  const at = { bucket: out.bucket, key: out.key + stagedPrefix(job) };
  for await (const found of listObjects(requests, at, { doing: "write" }))
    if (!("directory" in found)) staged.push(found.key.slice(out.key.length));
  await forEach(staged, (name) => removeObject(requests, out, name));
}

export function nameOfOutput({ out }: Pick<OutputPlace, "out">): string {
  return quotePath(`s3://${out.bucket}/${out.key}`);
}
