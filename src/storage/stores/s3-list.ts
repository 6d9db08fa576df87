import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import { type StoreStep, splitAddress } from "../store.ts";
import type { S3Requests } from "./s3-client.ts";
import type { S3Place } from "./s3-errors.ts";

/** An address taken apart. The key is "" for the bucket itself. */
export interface S3Address {
  readonly bucket: string;
  readonly key: string;
}

/** @throws SheafError USAGE when it names no bucket */
export function parseS3(address: string): S3Address {
  const { root, path } = splitAddress(address)!;
  const bucket = root.slice(root.indexOf("://") + 3, -1);
  if (bucket !== "") return { bucket, key: path };
  throw new SheafError("USAGE", `${quotePath(address)} names no bucket`, {
    hint: "An address is s3://bucket/key.",
  });
}

/** What messages say of it. */
export function placeOf({ bucket, key }: S3Address, doing: S3Place["doing"]): S3Place {
  return { address: `s3://${bucket}/${key}`, bucket, doing };
}

export interface FoundObject {
  readonly key: string;
  readonly bytes: number | undefined;
  readonly etag: string | undefined;
  readonly changed: Date | undefined;
}

export interface ListObjects {
  readonly delimiter?: "/";
  readonly step?: StoreStep;
  /** What it is for, in messages. Default "list". */
  readonly doing?: S3Place["doing"];
}

/**
 * The objects whose keys begin with one; with a delimiter what goes on behind the next one is one directory.
 */
export async function* listObjects(
  requests: S3Requests,
  { bucket, key }: S3Address,
  options: ListObjects,
): AsyncGenerator<FoundObject | { readonly directory: string }> {
  const place = placeOf({ bucket, key }, options.doing ?? "list");
  let token: string | undefined;
  do {
    options.step?.();
    const page = await requests.send(place, (client, sdk) =>
      client.send(
        new sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: key,
          // Else a key with a control character is no XML.
          EncodingType: "url",
          ...(options.delimiter !== undefined && { Delimiter: options.delimiter }),
          ...(token !== undefined && { ContinuationToken: token }),
          ...requests.payer,
        }),
      ),
    );
    const decode = page.EncodingType === "url" ? decodeKey : (text: string): string => text;
    for (const { Prefix } of page.CommonPrefixes ?? [])
      if (Prefix !== undefined) yield { directory: decode(Prefix) };
    for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
      if (Key !== undefined) yield { key: decode(Key), bytes: Size, etag: ETag, changed: LastModified };
    }
    const before = token;
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    // The same once more would list the same once more, for ever.
    const isStuck = token === undefined || token === "" || token === before;
    if (page.IsTruncated === true && isStuck) throw noToken(place.address);
  } while (token !== undefined);
}

/** S3 writes a space as "+". */
function decodeKey(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

function noToken(address: string): SheafError {
  return new SheafError(
    "INPUT_UNREADABLE",
    `the server lists a part of ${quotePath(address)} and not how to go on`,
    {
      hint: "sheaf lists with ListObjectsV2, as S3 does. Look at the server, or at a proxy before it.",
      details: { path: address },
    },
  );
}
