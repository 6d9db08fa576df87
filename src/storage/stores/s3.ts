import type { Readable } from "node:stream";
import { SheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { quotePath } from "../fs-error.ts";
import { RangedReads } from "../ranged-reads.ts";
import {
  type FileToRead,
  type RangeReader,
  type Store,
  type StoredFile,
  type StoreEntry,
  type StoreOutput,
  type StoreSettings,
  type StoreStep,
} from "../store.ts";
import { S3Requests } from "./s3-client.ts";
import { isMissing, isUnmet, type S3Place, statusOf } from "./s3-errors.ts";
import { type FoundObject, listObjects, parseS3, placeOf, type S3Address } from "./s3-list.ts";
import { isMarker, isOwnName, readMarker } from "./s3-marker.ts";
import { S3Output } from "./s3-output.ts";
import { ID_FIELD } from "./s3-uploads.ts";

/** S3 and what speaks as it does; see S3Requests for how it is set up. */
export function createStore(_scheme: string, settings: StoreSettings): Store {
  return new S3Store(new S3Requests(settings), "reader");
}

class S3Store implements Store {
  readonly #requests: S3Requests;
  readonly #who: "reader" | "writer";

  /** @param who a writer looks at outputs that are not settled, too */
  constructor(requests: S3Requests, who: "reader" | "writer") {
    this.#requests = requests;
    this.#who = who;
  }

  /** "s3a:" and "s3n:" are what Hadoop calls it. */
  canonical(address: string): string {
    const { bucket, key } = parseS3(address);
    return `s3://${bucket}/${key}`;
  }

  async *entries(address: string, step: StoreStep): AsyncGenerator<StoreEntry> {
    const at = parseS3(address);
    const before = await this.#outputsOf(at);
    for await (const found of listObjects(this.#requests, at, { delimiter: "/", step })) {
      if ("directory" in found) {
        yield { name: found.directory.slice(at.key.length, -1), kind: "directory" };
      } else if (!isFolder(found, at.bucket) && !isOwnName(found.key)) {
        yield { name: found.key.slice(at.key.length), kind: "file", file: storedFile(at.bucket, found) };
      }
    }
    await this.#checkSettled(at, before);
  }

  async *walk(address: string, step: StoreStep): AsyncGenerator<StoredFile> {
    const at = parseS3(address);
    const before = await this.#outputsOf(at);
    const unsettled = new Map<string, string | undefined>();
    for await (const found of listObjects(this.#requests, at, { step })) {
      if ("directory" in found || isFolder(found, at.bucket)) continue;
      const directory = found.key.slice(0, found.key.lastIndexOf("/") + 1);
      if (isMarker(found.key)) unsettled.set(directory, found.etag);
      if (!isOwnName(found.key)) yield storedFile(at.bucket, found);
    }
    for (const [below, etag] of unsettled) {
      const now = this.#who === "writer" ? etag : await this.#checkOne(at.bucket, below);
      if (now !== etag) throw replaced(at.bucket, below);
    }
    await this.#checkSettled(at, before);
  }

  async stat(address: string): Promise<StoredFile | "directory" | null> {
    const { bucket, key } = parseS3(address);
    const place = placeOf({ bucket, key }, "list");
    if (key !== "" && !key.endsWith("/")) {
      const before = await this.#outputsOf({ bucket, key });
      const file = await this.#head(place, key);
      // An empty one may be another program's mark of the directory, which has all that there is to read.
      if (file !== null && (file.bytes !== 0 || !(await this.#hasBelow(`s3://${bucket}/${key}/`)))) {
        await this.#checkSettled({ bucket, key }, before);
        return file;
      }
    }
    const below = key === "" || key.endsWith("/") ? key : `${key}/`;
    return below === "" || (await this.#hasBelow(`s3://${bucket}/${below}`)) ? "directory" : null;
  }

  /** Not by the first key alone, which may be one of our own. */
  async #hasBelow(directory: string): Promise<boolean> {
    for await (const _ of this.entries(directory, undefined)) return true;
    return false;
  }

  async #head(place: S3Place, key: string): Promise<StoredFile | null> {
    try {
      const { ContentLength, ETag, LastModified } = await this.#requests.send(
        place,
        (client, sdk) =>
          client.send(new sdk.HeadObjectCommand({ Bucket: place.bucket, Key: key, ...this.#requests.payer })),
        // A 403 and a 400 of HEAD say nothing: listing tells why, or that there is no right to look.
        (error) => isMissing(error) || statusOf(error) === 400,
      );
      return storedFile(place.bucket, { key, bytes: ContentLength, etag: ETag, changed: LastModified });
    } catch (error) {
      if (isMissing(error)) return null;
      if (statusOf(error) !== 400 && (error as { code?: unknown }).code !== "FORBIDDEN") throw error;
      // The same request with a body to answer in.
      await this.#requests.send(place, async (client, sdk) => {
        const { Body } = await client.send(
          new sdk.GetObjectCommand({
            Bucket: place.bucket,
            Key: key,
            Range: "bytes=0-0",
            ...this.#requests.payer,
          }),
        );
        (Body as Readable).destroy();
      });
      throw error;
    }
  }

  async open(file: FileToRead): Promise<RangeReader> {
    const { bucket, key } = parseS3(file.address);
    const place: S3Place = { address: file.name, bucket, doing: "read" };
    if (file.bytes === 0) {
      const now = await this.#head(place, key);
      if (now?.version !== file.version) throw changed(file, now === null ? "it is gone" : WRITTEN);
    }
    const stream = (start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array> =>
      this.#range(file, { place, key, start, end, signal });
    return new RangedReads(file, stream, this.#requests.world);
  }

  async *#range(file: FileToRead, asked: AskedRange): AsyncGenerator<Uint8Array> {
    const { place, key, start, end, signal } = asked;
    // The server has a checksum of the whole only, which the SDK then compares: nothing is handed on before.
    const isWhole = start === 0 && end === file.bytes && end <= limits.storageRequestBytes;
    const refused = (error: unknown): boolean =>
      isUnmet(error) || isMissing(error) || statusOf(error) === 416;
    try {
      const { Body, Metadata, ...told } = await this.#requests.sendOnce(
        place,
        (client, sdk) =>
          client.send(
            new sdk.GetObjectCommand({
              Bucket: place.bucket,
              Key: key,
              IfMatch: file.version,
              ...(isWhole ? { ChecksumMode: "ENABLED" } : { Range: `bytes=${start}-${end - 1}` }),
              ...this.#requests.payer,
            }),
            { abortSignal: signal },
          ),
        refused,
      );
      const { ETag, ContentRange, ContentLength, ContentEncoding } = told;
      const body = Body as Readable;
      if (sealedBy.some((name) => Metadata?.[name] !== undefined)) {
        body.destroy();
        throw sealed(file);
      }
      const range = isWhole ? ContentLength === file.bytes : ContentRange === rangeText(asked, file.bytes);
      const isSame = quoted(ETag) === file.version;
      if (!isSame || !range) {
        body.destroy();
        // Servers that know no conditions, or no ranges.
        throw isSame ? noRange(file, ContentRange, ContentEncoding) : changed(file, WRITTEN);
      }
      if (isWhole) yield await wholeBody(body, file);
      else yield* body as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (refused(error)) throw changed(file, isMissing(error) ? "it is gone" : WRITTEN);
      throw error;
    }
  }

  output(address: string, job: string): StoreOutput {
    const view = new S3Store(this.#requests, "writer");
    return new S3Output({ requests: this.#requests, out: parseS3(address), job, view });
  }

  async remove(address: string): Promise<void> {
    const { bucket, key } = parseS3(address);
    await this.#requests.send(
      { address, bucket, doing: "remove" },
      (client, sdk) =>
        client.send(new sdk.DeleteObjectCommand({ Bucket: bucket, Key: key, ...this.#requests.payer })),
      isMissing,
    );
  }

  /** Which outputs the directories of a key hold: what their _SUCCESS is, "" where there is none. */
  async #outputsOf({ bucket, key }: S3Address): Promise<string[] | { readonly failed: unknown }> {
    if (this.#who === "writer") return [];
    const all = directoriesOf(key).map((directory) => this.#outputIn(bucket, directory));
    // The listing tells better why it cannot be had: answers to HEAD say nothing.
    return Promise.all(all).catch((failed: unknown) => ({ failed }));
  }

  async #outputIn(bucket: string, directory: string): Promise<string> {
    const key = `${directory}_SUCCESS`;
    // Who may not see it may not see the output either.
    const unseen = (error: unknown): boolean => isMissing(error) || statusOf(error) === 403;
    try {
      const { ETag, LastModified, Metadata } = await this.#requests.send(
        placeOf({ bucket, key }, "list"),
        (client, sdk) =>
          client.send(new sdk.HeadObjectCommand({ Bucket: bucket, Key: key, ...this.#requests.payer })),
        unseen,
      );
      return `${ETag} ${Metadata?.[ID_FIELD]} ${LastModified?.getTime()}`;
    } catch (error) {
      if (unseen(error)) return "";
      throw error;
    }
  }

  /**
   * Refuses what a commit was listed in the midst of: some files of an output, or some of the one before. It
   * is under way still, or has replaced the _SUCCESS that was there before the listing.
   */
  async #checkSettled(
    { bucket, key }: S3Address,
    before: readonly string[] | { readonly failed: unknown },
  ): Promise<void> {
    if (this.#who === "writer") return;
    if ("failed" in before) throw before.failed;
    await Promise.all(
      directoriesOf(key).map(async (directory, i) => {
        // The marker first: it is removed after _SUCCESS is there.
        await this.#checkOne(bucket, directory);
        if ((await this.#outputIn(bucket, directory)) !== before[i]) throw replaced(bucket, directory);
      }),
    );
  }

  /** @returns the ETag of the marker, of which nothing was decided yet */
  async #checkOne(bucket: string, directory: string): Promise<string | undefined> {
    const marker = await readMarker(this.#requests, { bucket, key: directory }, "list").catch(
      (error: unknown) => {
        // Who may not see it may not see the output either.
        if ((error as { code?: unknown }).code === "FORBIDDEN") return null;
        throw error;
      },
    );
    if (marker?.state !== "commit") return marker?.etag;
    const name = quotePath(`s3://${bucket}/${directory}`);
    throw new SheafError(
      "INPUT_UNREADABLE",
      `${name} is the output of a job that has not finished writing it`,
      {
        hint:
          "If the job still runs, read it afterwards. If it was killed: the next run that writes there finishes it " +
          "first; run it again, with --overwrite if its result is to be replaced.",
        details: { path: `s3://${bucket}/${directory}` },
      },
    );
  }
}

/** The directories that a key lies in, the bucket itself first; of one that ends in "/" also itself. */
function directoriesOf(key: string): string[] {
  const directories = [""];
  for (let at = key.indexOf("/"); at >= 0; at = key.indexOf("/", at + 1))
    directories.push(key.slice(0, at + 1));
  return directories;
}

function replaced(bucket: string, directory: string): SheafError {
  const address = `s3://${bucket}/${directory}`;
  return new SheafError("INPUT_UNREADABLE", `a job wrote ${quotePath(address)} while it was listed`, {
    hint: "Run again: what was listed may be a part of its output.",
    details: { path: address },
  });
}

interface AskedRange {
  readonly place: S3Place;
  readonly key: string;
  readonly start: number;
  readonly end: number;
  readonly signal: AbortSignal;
}

const WRITTEN = "it was written anew";

/** Where clients that encrypt what they put say how, of versions 1 to 3. */
const sealedBy = ["x-amz-key", "x-amz-key-v2", "x-amz-3"];

function sealed({ name }: FileToRead): SheafError {
  return new SheafError(
    "INPUT_UNREADABLE",
    `input ${quotePath(name)} was encrypted by who has put it there`,
    {
      hint: "Its key is not in S3. Decrypt it with a program that has the key, and give what that writes.",
      details: { path: name },
    },
  );
}

function rangeText({ start, end }: AskedRange, bytes: number): string {
  return `bytes ${start}-${end - 1}/${bytes}`;
}

async function wholeBody(body: Readable, file: FileToRead): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of body) pieces.push(piece as Uint8Array);
  } catch (error) {
    if (!/checksum/i.test(error instanceof Error ? error.message : "")) throw error;
    throw new SheafError(
      "INPUT_CORRUPT",
      `input ${quotePath(file.name)}: its checksum is not that of its bytes`,
      {
        hint: "Something between the server and here changes them; if it stays so, write the object anew.",
        retryable: true,
        details: { path: file.name },
      },
    );
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function changed(file: FileToRead, what: string): SheafError {
  return new SheafError("INPUT_CHANGED", `input ${quotePath(file.name)} changed while the job ran: ${what}`, {
    hint: "Nothing was committed. Run again when nothing writes to it any more, or on a copy of it.",
    details: { path: file.name },
  });
}

function noRange(file: FileToRead, got: string | undefined, encoding: string | undefined): SheafError {
  const isDecoded = encoding !== undefined && encoding !== "";
  return new SheafError(
    "INPUT_UNREADABLE",
    `input ${quotePath(file.name)}: the server sends ${got ?? "everything"} where a range was asked for`,
    {
      hint: isDecoded
        ? `It compresses or decompresses what it sends (Content-Encoding: ${encoding}). Store the object without that.`
        : "Look at the server, or at a proxy before it.",
      details: { path: file.name },
    },
  );
}

/** Some servers leave out the quotes, in listings or everywhere. */
function quoted(etag: string | undefined): string {
  return etag === undefined || etag === "" || /^(?:W\/)?"/.test(etag) ? (etag ?? "") : `"${etag}"`;
}

function storedFile(bucket: string, { key, bytes, etag: told, changed: at }: FoundObject): StoredFile {
  const address = `s3://${bucket}/${key}`;
  const etag = quoted(told);
  if (etag.startsWith("W/")) {
    throw new SheafError("INPUT_UNREADABLE", `the server tells a weak ETag of ${quotePath(address)}`, {
      hint: "It does not say which bytes these are. A proxy that compresses answers makes them weak: go past it.",
      details: { path: address },
    });
  }
  if (bytes === undefined || etag === "") {
    throw new SheafError(
      "INPUT_UNREADABLE",
      `the server does not tell size and ETag of ${quotePath(address)}`,
      {
        hint: "A read must be bound to a version. Look at the server, or at a proxy before it.",
        details: { path: address },
      },
    );
  }
  return { address, bytes, mtimeMs: at?.getTime() ?? 0, version: etag, exact: true };
}

/** What consoles and Hadoop put there so that a prefix looks like a directory. */
function isFolder({ key, bytes }: FoundObject, bucket: string): boolean {
  if (bytes === 0 && key.endsWith("_$folder$")) return true;
  if (!key.endsWith("/")) return false;
  if (bytes === 0) return true;
  const address = `s3://${bucket}/${key}`;
  throw new SheafError("INPUT_UNREADABLE", `${quotePath(address)} ends in "/" and has ${bytes} bytes`, {
    hint: "Such a key stands for a directory. Copy it to a key without the last slash, and remove it.",
    details: { path: address },
  });
}
