import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";

/** Bytes that come as they are read. Read them to their end, or destroy the body. */
export interface Download {
  readonly body: Readable;
  /** Where in the file the body begins: what was asked for, or 0 when the server sends it whole. */
  readonly from: number;
  /** Bytes the body will have; null when the server did not say. */
  readonly bytes: number | null;
  /** The SheafError of a failure while the body was read. */
  bodyError(error: unknown): SheafError;
}

/** The body, chunk by chunk. @throws SheafError as bodyError; the signal's reason */
export async function* chunksOf(download: Download, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of download.body as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    signal?.throwIfAborted();
    throw download.bodyError(error);
  } finally {
    download.body.destroy();
  }
}

/**
 * Writes the body to a file of mode 0600, in place of what is there.
 * @param each sees every chunk
 * @throws SheafError as chunksOf; DISK_FULL ...
 */
export async function saveDownload(
  download: Download,
  path: string,
  { signal, each }: { readonly signal?: AbortSignal; readonly each?: (chunk: Buffer) => void } = {},
): Promise<void> {
  try {
    const file = await open(path, "w", 0o600);
    try {
      for await (const chunk of chunksOf(download, signal)) {
        each?.(chunk);
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    download.body.destroy();
    signal?.throwIfAborted();
    throw asSheafError(error, { path, doing: "write" });
  }
}
