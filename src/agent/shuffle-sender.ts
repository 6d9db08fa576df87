import { closeSync, constants, openSync, read, readSync, realpathSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { isSheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";
import type { PartitionSlice } from "../shuffle/partition-slice.ts";
import { slicePartition, slicePieces } from "../shuffle/partition-slice.ts";
import type { RunOwner } from "../shuffle/run-format.ts";
import { jobFingerprint } from "../shuffle/run-format.ts";
import { corrupt, readOpenRunIndex } from "../shuffle/run-index.ts";
import { encodeFrameHead } from "./shuffle-frame.ts";
import type { SliceQuestion } from "./shuffle-request.ts";

/** Bytes handed to the socket at once. */
export const SEND_BYTES = 512 * KiB;
/**
 * Shorter stretches are read without waiting: a trip through the thread pool costs more than reading them,
 * and most of a shuffle's files are in memory, having just been written.
 */
const READ_NOW_BYTES = 32 * KiB;
/** After so many slices other requests get their turn. */
const SLICES_AT_ONCE = 16;

/** Two buffers that one answer is sent from: one is filled while the other one is on its way. */
export type SendBuffers = readonly [Buffer, Buffer];

/** Where the run file of an attempt lies; null: not here. */
export type FindOutput = (task: number, attempt: number) => string | null;

/**
 * Sends what was asked for as the body of a response whose head is written, and ends it. Rejects when the
 * other end is gone, and when a file turns out shorter than its index says: the connection is then to be cut.
 */
export async function sendSlices(
  response: ServerResponse,
  question: SliceQuestion,
  find: FindOutput,
  buffers: SendBuffers,
): Promise<void> {
  const body = new BodyWriter(response, buffers);
  const job = jobFingerprint(question.job);
  for (const [i, map] of question.maps.entries()) {
    if (i > 0 && i % SLICES_AT_ONCE === 0) await turn();
    await sendSlice(body, question, { job, ...map }, i === 0 ? question.from : 0, find);
  }
  await body.end();
}

async function sendSlice(
  body: BodyWriter,
  question: SliceQuestion,
  owner: RunOwner,
  from: number,
  find: FindOutput,
): Promise<void> {
  const { task, attempt } = owner;
  const map = { task, attempt };
  const path = find(task, attempt);
  const fd = path === null ? null : openOutput(path);
  if (path === null || fd === null)
    return body.append(encodeFrameHead({ state: "gone", ...map, bytes: 0, from: 0 }));
  try {
    const slice = readSlice(fd, path, question, owner);
    if (slice === null)
      return await body.append(encodeFrameHead({ state: "damaged", ...map, bytes: 0, from: 0 }));
    const begin = from <= slice.bytes ? from : 0;
    await body.append(encodeFrameHead({ state: "here", ...map, bytes: slice.bytes, from: begin }));
    for (const piece of slicePieces(slice, begin)) {
      if (piece.kind === "made") await body.append(piece.bytes);
      else await body.appendStored(fd, path, piece.offset, piece.length);
    }
  } finally {
    closeSync(fd);
  }
}

/** Null when it is gone, or is no longer the file that was registered. */
function openOutput(path: string): number | null {
  try {
    if (realpathSync.native(path) !== path) return null;
    // oxlint-disable-next-line no-bitwise -- flags of open(2)
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return null;
  }
}

/** Null when the index is damaged, or another attempt's. */
function readSlice(
  fd: number,
  path: string,
  { collection, partition }: SliceQuestion,
  identity: RunOwner,
): PartitionSlice | null {
  try {
    return slicePartition(readOpenRunIndex(fd, path, { identity, place: { collection, partition } }));
  } catch (error) {
    if (isSheafError(error)) return null;
    throw error;
  }
}

/** Fills one buffer while the other one is sent: many small slices go in one write, a large one in many. */
class BodyWriter {
  readonly #response: ServerResponse;
  readonly #buffers: SendBuffers;
  #current: 0 | 1 = 0;
  #filled = 0;
  /** The write of the other buffer. */
  #sending: Promise<void> = Promise.resolve();

  constructor(response: ServerResponse, buffers: SendBuffers) {
    this.#response = response;
    this.#buffers = buffers;
  }

  async append(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (this.#filled === SEND_BYTES) await this.#flush();
      const copied = bytes.copy(this.#buffers[this.#current], this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  async appendStored(fd: number, path: string, offset: number, length: number): Promise<void> {
    for (let done = 0; done < length;) {
      if (this.#filled === SEND_BYTES) await this.#flush();
      const buffer = this.#buffers[this.#current];
      const wanted = Math.min(length - done, SEND_BYTES - this.#filled);
      const got =
        wanted <= READ_NOW_BYTES
          ? readSync(fd, buffer, this.#filled, wanted, offset + done)
          : await readInto(fd, buffer, this.#filled, wanted, offset + done);
      if (got === 0) throw corrupt(path, `cut short: ${length - done} bytes are missing`, offset + done);
      this.#filled += got;
      done += got;
    }
  }

  async end(): Promise<void> {
    await this.#flush();
    await this.#sending;
    this.#response.end();
  }

  /** Sends the current buffer; the other one, which is then the current one, is free to be filled. */
  async #flush(): Promise<void> {
    const before = this.#sending;
    if (this.#filled > 0) {
      const bytes = this.#buffers[this.#current].subarray(0, this.#filled);
      this.#sending = writeAll(this.#response, bytes);
      // Whoever waits for it next hears of it; until then it is nobody's.
      this.#sending.catch(() => {});
      this.#current = this.#current === 0 ? 1 : 0;
      this.#filled = 0;
    }
    await before;
  }
}

function readInto(fd: number, buffer: Buffer, at: number, length: number, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, at, length, offset, (error, got) => (error === null ? resolve(got) : reject(error)));
  });
}

/** Resolves when the system has taken the bytes, so that the buffer may be filled anew. */
function writeAll(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error("the connection is closed"));
    if (response.destroyed || response.closed) return onClose();
    response.once("close", onClose);
    response.write(bytes, (error) => {
      response.off("close", onClose);
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
