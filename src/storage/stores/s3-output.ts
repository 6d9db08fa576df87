import { randomUUID } from "node:crypto";
import { SheafError } from "../../base/errors.ts";
import { Promise } from "../../base/own-globals.ts";
import { MiB } from "../../base/size.ts";
import { quotePath } from "../fs-error.ts";
import type { PutFile, StoreOutput, StoreOutputOptions, StoreStep } from "../store.ts";
import { checkFree } from "../stored-output.ts";
import {
  carryOutCommit,
  claim,
  complete,
  finishDecided,
  isDead,
  isMade,
  listOld,
  listRuns,
  Lost,
  nameOfOutput,
  release,
  removeStaged,
  type RunRecord,
  sweep,
} from "./s3-commit.ts";
import { isMissing } from "./s3-errors.ts";
import { placeOf } from "./s3-list.ts";
import {
  type MarkedFile,
  namesOfMarker,
  readMarker,
  recordText,
  removeObject,
  runName,
  stagedPrefix,
  writeMarker,
} from "./s3-marker.ts";
import {
  abortUpload,
  abortUploads,
  createUpload,
  forEach,
  isOurs,
  listParts,
  openSource,
  type OutputPlace,
  sendPart,
} from "./s3-uploads.ts";
import { isWriterThere } from "./writer.ts";

/** S3 takes parts of 5 MiB to 5 GiB, at most 10,000; each is in memory while it is sent. */
const partBytesMin = 8 * MiB;
const partsMax = 10_000;
const partsAtOnce = 8;
/** The server copies parts of up to 5 GiB; smaller ones side by side. */
const copyBytesMin = 256 * MiB;

/**
 * An output in a bucket. Every file is a multipart upload, however small: what is uploaded is nowhere to be
 * seen until the upload is completed, and that is done at the commit. See s3-marker.ts for how many
 * completions are one step.
 */
export class S3Output implements StoreOutput {
  readonly #place: OutputPlace;
  /** What this process has uploaded, by name. */
  readonly #uploads = new Map<string, string>();
  readonly #puts = new Set<Promise<unknown>>();
  readonly #gate = new Gate(partsAtOnce);
  /** Names that are put and that no job gives its files: the record has to have them. */
  readonly #names = new Set<string>();
  #announced: Promise<void> | null = null;
  /** It has them. */
  #isTold = true;

  constructor(place: OutputPlace) {
    this.#place = place;
  }

  async check(options: StoreOutputOptions): Promise<void> {
    const place = this.#place;
    const claimed = await finishDecided(place);
    await this.#clear(await listRuns(place), { claimed: claimed?.who ?? null, step: options.step });
    await checkFree(place.view, addressOf(place), options);
    // Whether anything may be written there at all.
    await this.#announce();
    await removeObject(place.requests, place.out, runName(place.job));
    this.#announced = null;
  }

  /** Removes what dead processes have left, if no living one may need it. */
  async #clear(
    runs: readonly RunRecord[],
    { claimed, step }: { readonly claimed: string | null; readonly step: StoreStep },
  ): Promise<void> {
    const place = this.#place;
    const now = place.requests.world.clock.wallMs();
    const dead = runs.filter((run) => isDead(run, now));
    if (dead.length === 0 && (claimed === null || isWriterThere(claimed) === true)) return;
    const etag = await claim(place, step);
    try {
      if (dead.length > 0 && dead.length === runs.length)
        await abortUploads(place, await namesOfMarker(place.requests, place.out, dead), step);
      // Somebody else of the job may live, and place what they have staged.
      const living = new Set(runs.filter((run) => !dead.includes(run)).map(({ job }) => job));
      for (const job of new Set(dead.map((run) => run.job)))
        if (!living.has(job)) await removeStaged(place, job);
      await forEach(dead, ({ name }) => removeObject(place.requests, place.out, name));
    } finally {
      await release(place, etag);
    }
  }

  expect(names: readonly string[]): void {
    for (const name of names) this.#expect(name);
  }

  #expect(name: string): void {
    if (isOurs(name) || this.#names.has(name)) return;
    this.#names.add(name);
    this.#isTold = false;
  }

  /** Before the first upload, and that of a name it has not, so that whoever finds one knows whose it is. */
  #announce(): Promise<void> {
    if (this.#announced === null || !this.#isTold) {
      this.#isTold = true;
      // One after the other: an earlier one must not come last.
      const announced = (this.#announced ?? Promise.resolve()).then(() => this.#writeRecord());
      this.#announced = announced;
      announced.catch(() => (this.#announced = null));
    }
    return this.#announced;
  }

  async #writeRecord(): Promise<void> {
    const { requests, out, job } = this.#place;
    const Key = out.key + runName(job);
    const Body = recordText(job, this.#names);
    await requests.send(placeOf(out, "write"), (client, sdk) =>
      client.send(new sdk.PutObjectCommand({ Bucket: out.bucket, Key, Body, ...requests.payer })),
    );
  }

  put(source: string | Uint8Array, name: string, step: StoreStep): Promise<PutFile> {
    const put = this.#put(source, name, step);
    this.#puts.add(put);
    const done = (): void => void this.#puts.delete(put);
    put.then(done, done);
    return put;
  }

  async #put(source: string | Uint8Array, name: string, step: StoreStep): Promise<PutFile> {
    step?.();
    const { requests } = this.#place;
    const id = randomUUID();
    const file = typeof source === "string" ? await openSource(source) : null;
    try {
      const bytes = file?.bytes ?? (source as Uint8Array).length;
      if (bytes === 0) return { name, bytes, token: JSON.stringify({ id, upload: null } satisfies Token) };
      this.#expect(name);
      await this.#announce();
      const before = this.#uploads.get(name);
      if (before !== undefined) await abortUpload(this.#place, name, before);
      const upload = await createUpload(this.#place, name, id, requests.sums);
      this.#uploads.set(name, upload);
      const partBytes = Math.max(partBytesMin, Math.ceil(bytes / partsMax / MiB) * MiB);
      const parts = Array.from({ length: Math.ceil(bytes / partBytes) }, (_, index) => index);
      await forEach(parts, (index) =>
        this.#gate.pass(async () => {
          step?.();
          const from = index * partBytes;
          const to = Math.min(from + partBytes, bytes);
          const body = file === null ? (source as Uint8Array).subarray(from, to) : await file.read(from, to);
          await sendPart(this.#place, { name, upload }, index + 1, body);
        }),
      );
      return { name, bytes, token: JSON.stringify({ id, upload } satisfies Token) };
    } finally {
      await file?.close();
    }
  }

  async stage(source: string, step: StoreStep): Promise<string> {
    const place = this.#place;
    const name = stagedPrefix(place.job) + randomUUID();
    await this.#announce();
    const { bytes, token } = await this.put(source, name, step);
    try {
      await complete(place, { name, bytes, ...(JSON.parse(token) as Token) }, undefined);
    } catch (error) {
      throw error instanceof Lost ? this.#gone(name, error) : error;
    }
    this.#uploads.delete(name);
    return JSON.stringify({ name, bytes } satisfies Staged);
  }

  async place(staged: string, name: string, step: StoreStep): Promise<PutFile> {
    const { requests, out, job } = this.#place;
    const { name: from, bytes } = JSON.parse(staged) as Staged;
    if (!from.startsWith(stagedPrefix(job))) throw this.#gone(from);
    const id = randomUUID();
    if (bytes === 0) return { name, bytes, token: JSON.stringify({ id, upload: null } satisfies Token) };
    this.#expect(name);
    await this.#announce();
    // Not every server makes checksums of what it copies, and then wants them.
    const upload = await createUpload(this.#place, name, id, false);
    this.#uploads.set(name, upload);
    const partBytes = Math.max(copyBytesMin, Math.ceil(bytes / partsMax / MiB) * MiB);
    const count = Math.ceil(bytes / partBytes);
    const source = `${out.bucket}/${out.key}${from}`.split("/").map(encodeURIComponent).join("/");
    const copy = async (index: number): Promise<void> => {
      step?.();
      const range = `bytes=${index * partBytes}-${Math.min((index + 1) * partBytes, bytes) - 1}`;
      const input = {
        Bucket: out.bucket,
        Key: out.key + name,
        UploadId: upload,
        PartNumber: index + 1,
        CopySource: source,
        // Of a small object S3 takes none.
        ...(count > 1 && { CopySourceRange: range }),
        ...requests.payer,
      };
      const at = placeOf({ bucket: out.bucket, key: out.key + name }, "write");
      await requests.send(at, (client, sdk) => client.send(new sdk.UploadPartCopyCommand(input)), isMissing);
    };
    try {
      const parts = Array.from({ length: count }, (_, index) => index);
      await forEach(parts, (index) => this.#gate.pass(() => copy(index)));
    } catch (error) {
      throw isMissing(error) ? this.#gone(from, error) : error;
    }
    return { name, bytes, token: JSON.stringify({ id, upload } satisfies Token) };
  }

  async note(name: string, text: string): Promise<void> {
    const { requests, out } = this.#place;
    const Key = this.#noteKey(name);
    await this.#announce();
    await requests.send(placeOf({ bucket: out.bucket, key: Key }, "write"), (client, sdk) =>
      client.send(new sdk.PutObjectCommand({ Bucket: out.bucket, Key, Body: text, ...requests.payer })),
    );
  }

  async noted(name: string): Promise<string | null> {
    const { requests, out } = this.#place;
    const Key = this.#noteKey(name);
    try {
      return await requests.send(
        placeOf({ bucket: out.bucket, key: Key }, "read"),
        async (client, sdk) => {
          const { Body } = await client.send(
            new sdk.GetObjectCommand({ Bucket: out.bucket, Key, ...requests.payer }),
          );
          return (await Body?.transformToString()) ?? "";
        },
        isMissing,
      );
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  #noteKey(name: string): string {
    const { out, job } = this.#place;
    return `${out.key}${stagedPrefix(job)}note-${name}`;
  }

  async commit(files: readonly PutFile[], options: StoreOutputOptions): Promise<void> {
    const place = this.#place;
    const marked = files.map(({ name, bytes, token }): MarkedFile => {
      return { name, bytes, ...(JSON.parse(token) as Token) };
    });
    const last = marked.find(({ name }) => name === "_SUCCESS") ?? marked.at(-1);
    for (let tries = 0; tries < 100; tries++) {
      const etag = await claim(place, options.step);
      let decided: string | null = null;
      try {
        // Somebody, if it was not this process before a crash, has carried it out.
        if (last !== undefined && (await isMade(place, last))) return;
        // Before the check: what comes after it nobody has checked.
        const old = options.overwrite === true ? await listOld(place, options.step) : [];
        await checkFree(place.view, addressOf(place), options);
        await forEach(marked, (file) => this.#checkUpload(file, options.step));
        const decision = { state: "commit", job: place.job, files: marked, old } as const;
        decided = await writeMarker(place.requests, place.out, decision, etag);
      } finally {
        if (decided === null) await release(place, etag);
      }
      if (decided === null) continue;
      const marker = await readMarker(place.requests, place.out, "write");
      // Else somebody was quicker.
      if (marker?.etag === decided) await carryOutCommit(place, marker);
      this.#uploads.clear();
      if (last === undefined || (await isMade(place, last))) return;
      throw new SheafError(
        "OUTPUT_UNWRITABLE",
        `another run has replaced or removed ${nameOfOutput(place)}`,
        {
          hint: "It did so while this one committed. Give each job an output of its own, and run again.",
          details: { path: addressOf(place) },
        },
      );
    }
    throw new SheafError("OUTPUT_UNWRITABLE", `others write to ${nameOfOutput(place)} all the time`, {
      hint: "Give each job an output of its own.",
    });
  }

  async #checkUpload(file: MarkedFile, step: StoreStep): Promise<void> {
    step?.();
    if (file.upload === null || (await listParts(this.#place, file)) !== null) return;
    throw this.#gone(file.name);
  }

  #gone(name: string, cause?: unknown): SheafError {
    const what = `the upload of ${quotePath(name)} to ${nameOfOutput(this.#place)} is gone`;
    return new SheafError("OUTPUT_UNWRITABLE", what, {
      hint:
        "Another run that writes there has removed it, or a rule of the bucket for unfinished uploads. Run again; " +
        "give each job an output of its own.",
      details: { path: addressOf(this.#place) },
      cause,
    });
  }

  async abort(): Promise<void> {
    const place = this.#place;
    const { requests, out, job } = place;
    try {
      await Promise.allSettled(this.#puts);
      const marker = await readMarker(requests, out, "write");
      if (marker?.state === "commit" && marker.job === job) return;
      await forEach([...this.#uploads], ([name, upload]) => abortUpload(place, name, upload));
      this.#uploads.clear();
      if (!(await listRuns(place)).some((run) => run.job === job)) return;
      const etag = await claim(place, undefined);
      try {
        await sweep(place, job);
      } finally {
        await release(place, etag);
      }
    } catch {
      // The next run that writes there removes it.
    }
  }
}

/** What PutFile.token says. */
interface Token {
  readonly id: string;
  readonly upload: string | null;
}

/** What names a staged file: an object, under a name that no listing has. */
interface Staged {
  readonly name: string;
  readonly bytes: number;
}

function addressOf({ out }: OutputPlace): string {
  return `s3://${out.bucket}/${out.key}`;
}

/** Lets so many through at once. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(width: number) {
    this.#free = width;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
