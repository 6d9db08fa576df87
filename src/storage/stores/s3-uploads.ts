import { open } from "node:fs/promises";
import { crc32c } from "../../base/crc32.ts";
import { SheafError } from "../../base/errors.ts";
import { Promise } from "../../base/own-globals.ts";
import { asSheafError } from "../fs-error.ts";
import type { Store, StoreStep } from "../store.ts";
import type { S3Requests } from "./s3-client.ts";
import { isMissing } from "./s3-errors.ts";
import { placeOf, type S3Address } from "./s3-list.ts";
import type { MarkedFile } from "./s3-marker.ts";

/** Where an output is, and whose. */
export interface OutputPlace {
  readonly requests: S3Requests;
  readonly out: S3Address;
  readonly job: string;
  /** The store as one sees it who writes the output. */
  readonly view: Store;
}

/** Requests for different objects at once. */
const AT_ONCE = 16;

/** What the metadata of an object call the id of a MarkedFile. */
export const ID_FIELD = "sheaf-file";

/** Calls `work` for all, some at once. After a throw none is under way any more. */
export async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const one = async (): Promise<void> => {
    while (next < items.length && !failed) {
      try {
        await work(items[next++]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const runs = Array.from({ length: Math.min(AT_ONCE, items.length) }, one);
  for (const run of await Promise.allSettled(runs)) if (run.status === "rejected") throw run.reason;
}

/** Begins an upload. @returns its id */
export async function createUpload(
  { requests, out }: OutputPlace,
  name: string,
  id: string,
  sums: boolean,
): Promise<string> {
  const key = out.key + name;
  const { UploadId } = await requests.send(placeOf({ bucket: out.bucket, key }, "write"), (client, sdk) =>
    client.send(
      new sdk.CreateMultipartUploadCommand({
        Bucket: out.bucket,
        Key: key,
        Metadata: { [ID_FIELD]: id },
        ...(sums && { ChecksumAlgorithm: "CRC32C" }),
        ...requests.payer,
      }),
    ),
  );
  return UploadId ?? "";
}

/** Sends one of its parts, from 1. */
export async function sendPart(
  { requests, out }: OutputPlace,
  { name, upload }: { readonly name: string; readonly upload: string },
  number: number,
  body: Uint8Array,
): Promise<void> {
  const key = out.key + name;
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(body));
  await requests.send(placeOf({ bucket: out.bucket, key }, "write"), (client, sdk) =>
    client.send(
      new sdk.UploadPartCommand({
        Bucket: out.bucket,
        Key: key,
        UploadId: upload,
        PartNumber: number,
        Body: body,
        ...(requests.sums && { ChecksumCRC32C: sum.toString("base64") }),
        ...requests.payer,
      }),
    ),
  );
}

/** A file that is uploaded. */
interface Source {
  readonly bytes: number;
  read(from: number, to: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export async function openSource(path: string): Promise<Source> {
  try {
    const handle = await open(path, "r");
    const { size } = await handle.stat();
    return {
      bytes: size,
      async read(from, to) {
        const bytes = Buffer.allocUnsafeSlow(to - from);
        for (let at = from; at < to;) {
          const { bytesRead } = await handle.read(bytes, at - from, to - at, at);
          if (bytesRead === 0) throw new SheafError("INTERNAL", `${path} was cut while it was uploaded`);
          at += bytesRead;
        }
        return bytes;
      },
      close: () => handle.close(),
    };
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}

interface UploadedPart {
  readonly PartNumber: number | undefined;
  readonly ETag: string | undefined;
  readonly ChecksumCRC32C?: string | undefined;
}

/** The parts of an upload that is whole; null when there is none (any more). */
export async function listParts(
  { requests, out }: OutputPlace,
  file: MarkedFile,
): Promise<UploadedPart[] | null> {
  const key = out.key + file.name;
  const parts: UploadedPart[] = [];
  let bytes = 0;
  let marker: string | undefined;
  do {
    try {
      const page = await requests.send(
        placeOf({ bucket: out.bucket, key }, "write"),
        (client, sdk) =>
          client.send(
            new sdk.ListPartsCommand({
              Bucket: out.bucket,
              Key: key,
              UploadId: file.upload!,
              ...(marker !== undefined && { PartNumberMarker: marker }),
              ...requests.payer,
            }),
          ),
        isMissing,
      );
      for (const { PartNumber, ETag, ChecksumCRC32C, Size } of page.Parts ?? []) {
        const sum = ChecksumCRC32C === undefined || ChecksumCRC32C === "" ? {} : { ChecksumCRC32C };
        parts.push({ PartNumber, ETag, ...sum });
        bytes += Size ?? 0;
      }
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  } while (marker !== undefined);
  return bytes === file.bytes ? parts : null;
}

/** Nothing happens when it is gone. */
export async function abortUpload(
  { requests, out }: OutputPlace,
  name: string,
  upload: string,
): Promise<void> {
  const key = out.key + name;
  await requests
    .send(
      placeOf({ bucket: out.bucket, key }, "remove"),
      (client, sdk) =>
        client.send(
          new sdk.AbortMultipartUploadCommand({
            Bucket: out.bucket,
            Key: key,
            UploadId: upload,
            ...requests.payer,
          }),
        ),
      isMissing,
    )
    .catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
}

/** What sheaf names the files of an output. */
const OURS = /(?:^|\/)part-\d{5,}[^/]*$|^_SUCCESS$|^_bad\/|^_state\/|^_sheaf-part-/;

export function isOurs(name: string): boolean {
  return OURS.test(name);
}

/** Aborts every upload of a file of an output, and of one of `names`. Only who has claimed it may. */
export async function abortUploads(
  place: OutputPlace,
  names: ReadonlySet<string>,
  step: StoreStep,
): Promise<void> {
  const { requests, out } = place;
  let from: { KeyMarker?: string; UploadIdMarker?: string } = {};
  const found: { name: string; upload: string }[] = [];
  for (;;) {
    step?.();
    const page = await requests.send(placeOf(out, "write"), (client, sdk) =>
      client.send(
        new sdk.ListMultipartUploadsCommand({
          Bucket: out.bucket,
          Prefix: out.key,
          ...from,
          ...requests.payer,
        }),
      ),
    );
    for (const { Key, UploadId } of page.Uploads ?? []) {
      const name = Key?.startsWith(out.key) === true ? Key.slice(out.key.length) : "";
      if ((isOurs(name) || names.has(name)) && UploadId !== undefined) found.push({ name, upload: UploadId });
    }
    if (page.IsTruncated !== true || page.NextKeyMarker === undefined) break;
    from = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }),
    };
  }
  await forEach(found, ({ name, upload }) => abortUpload(place, name, upload));
}
