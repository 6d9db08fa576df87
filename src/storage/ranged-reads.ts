import { SheafError, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Promise } from "../base/own-globals.ts";
import { askedToWaitMs, pauseFor, pauseMs, type RetryWorld } from "../base/retry.ts";
import { KiB } from "../base/size.ts";
import { quotePath } from "./fs-error.ts";
import type { FileToRead, RangeReader } from "./store.ts";

/**
 * Asks a server for bytes `start` to below `end` of one version of a file, and hands them on as they come;
 * nobody else writes into what it hands on. What it throws is tried again, from the first byte that has not
 * come, when it will pass (see willPass); so is an answer that ends early. It throws INPUT_CHANGED for
 * another version, and never hands on a byte of one.
 */
export type RangeStream = (start: number, end: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export interface TryOptions extends RetryWorld {
  /** For how long it is tried again after what will pass, ms. Default: limits.storageRetryMs. */
  readonly retryMs?: number;
}

/** Of a request of which nothing may be wanted but its beginning. */
const FIRST_BYTES = 256 * KiB;
/** With so many bytes that have come, the time for trying again begins anew. */
const PROGRESS_BYTES = 64 * KiB;

/**
 * Reads a file of a store. Small reads in a row are served by one request. Who reads on has further requests
 * running, two at first and one more each time that he had to wait, so that a server that is far away is
 * asked for more at once: up to limits.storageRequestsAhead of limits.storageRequestBytes each.
 */
export class RangedReads implements RangeReader {
  readonly #file: FileToRead;
  readonly #stream: RangeStream;
  readonly #options: TryOptions;
  /** What was asked for and not read, without gaps. */
  #ahead: Block[] = [];
  /** Where the last read ended; -1: there was none. */
  #at = -1;
  #wide = 2;
  #closed = false;

  constructor(file: FileToRead, stream: RangeStream, options: TryOptions) {
    this.#file = file;
    this.#stream = stream;
    this.#options = options;
  }

  async read(target: Uint8Array, at: number): Promise<void> {
    const { bytes, name } = this.#file;
    if (this.#closed || at + target.length > bytes) {
      throw new SheafError("INTERNAL", `read of ${name} at ${at}: it is closed, or has ${bytes} bytes only`);
    }
    const isNext = at === this.#at;
    this.#leaveBehind(at);
    for (let done = 0; done < target.length;) {
      const from = at + done;
      if (this.#ahead.length === 0) this.#ask(from, target.length - done, isNext);
      const block = this.#ahead[0]!;
      if (isNext) this.#askAhead();
      if (!block.has(from)) {
        if (isNext && this.#wide < limits.storageRequestsAhead) this.#wide++;
        await block.until(from);
      }
      done += block.take(target, done, from);
      this.#leaveBehind(at + done);
    }
    this.#at = at + target.length;
  }

  /** Every request was bound to the version. */
  verify(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#forget();
    return Promise.resolve();
  }

  /** What was asked for begins with this byte afterwards, if it has it at all. */
  #leaveBehind(at: number): void {
    while (this.#ahead.length > 0 && this.#ahead[0]!.end <= at) this.#ahead.shift()!.stop();
    const first = this.#ahead[0];
    if (first !== undefined && !first.leaveBehind(at)) this.#forget();
  }

  #forget(): void {
    for (const block of this.#ahead) block.stop();
    this.#ahead = [];
  }

  /** @param wanted bytes that are wanted in any case */
  #ask(from: number, wanted: number, isNext: boolean): void {
    const { bytes, to } = this.#file;
    const size = Math.max(wanted, isNext ? limits.storageRequestBytes : FIRST_BYTES);
    const inside = from < to ? Math.max(from + wanted, Math.min(from + size, to)) : from + size;
    const end = Math.min(bytes, inside);
    this.#ahead.push(new Block(from, end, this.#file, this.#stream, this.#options));
  }

  /** Up to the end of what will be read, most likely. */
  #askAhead(): void {
    while (this.#ahead.length < this.#wide) {
      const from = this.#ahead.at(-1)!.end;
      if (from >= Math.min(this.#file.to, this.#file.bytes)) return;
      this.#ask(from, 1, true);
    }
  }
}

/** What one request was made for: it is made again for what did not come. */
class Block {
  readonly end: number;
  readonly #abort = new AbortController();
  #pieces: Uint8Array[] = [];
  /** Of the first byte that is kept, and behind the last that has come. */
  #from: number;
  #came: number;
  #failure: unknown = null;
  #isOver = false;
  #hear: (() => void) | null = null;

  constructor(from: number, end: number, file: FileToRead, stream: RangeStream, options: TryOptions) {
    this.#from = from;
    this.#came = from;
    this.end = end;
    const take = (piece: Uint8Array): void => {
      this.#pieces.push(piece);
      this.#came += piece.length;
      this.#hear?.();
    };
    wholeRange({ start: from, end }, file, stream, { ...options, signal: this.#abort.signal, take }).then(
      () => (this.#isOver = true),
      (error: unknown) => {
        this.#isOver = true;
        this.#failure = error;
        this.#hear?.();
      },
    );
  }

  has(at: number): boolean {
    return this.#came > at;
  }

  /** Waits until the byte has come. */
  until(at: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#hear = () => {
        if (this.#came <= at && this.#failure === null) return;
        this.#hear = null;
        if (this.#came > at) resolve();
        else reject(this.#failure as Error);
      };
      this.#hear();
    });
  }

  /** Copies what has come, and returns how much that is. */
  take(target: Uint8Array, done: number, at: number): number {
    let offset = at - this.#from;
    let filled = done;
    for (const piece of this.#pieces) {
      if (filled === target.length) break;
      if (offset >= piece.length) {
        offset -= piece.length;
        continue;
      }
      const some = piece.subarray(offset, offset + target.length - filled);
      target.set(some, filled);
      filled += some.length;
      offset = 0;
    }
    return filled - done;
  }

  /** Lets go of pieces before the byte. @returns false when it begins behind it */
  leaveBehind(at: number): boolean {
    if (at < this.#from) return false;
    let gone = 0;
    for (const piece of this.#pieces) {
      if (this.#from + piece.length > at) break;
      this.#from += piece.length;
      gone++;
    }
    if (gone > 0) this.#pieces.splice(0, gone);
    return true;
  }

  stop(): void {
    // An abort makes an error with a stack, which takes as long as much else here.
    if (!this.#isOver) this.#abort.abort();
    this.#pieces = [];
  }
}

interface WholeRange extends TryOptions {
  readonly signal: AbortSignal;
  readonly take: (piece: Uint8Array) => void;
}

/** Hands on every byte of a range once, in order, whatever comes in between. */
async function wholeRange(
  range: { readonly start: number; readonly end: number },
  { name }: FileToRead,
  stream: RangeStream,
  { signal, take, clock, random, retryMs = limits.storageRetryMs }: WholeRange,
): Promise<void> {
  let at = range.start;
  let tries = 0;
  let triedAt = at;
  let endMs = clock.nowMs() + retryMs;
  for (;;) {
    let failure: unknown = null;
    try {
      for await (const piece of stream(at, range.end, signal)) {
        signal.throwIfAborted();
        if (at + piece.length > range.end) throw tooMuch(name, range.end);
        at += piece.length;
        if (piece.length > 0) take(piece);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!willPass(error)) throw error;
      failure = error;
    }
    if (at === range.end) return;
    if (at - triedAt >= PROGRESS_BYTES) {
      triedAt = at;
      tries = 0;
      endMs = clock.nowMs() + retryMs;
    }
    const wait = Math.max(pauseMs(++tries, random), askedToWaitMs(failure));
    if (clock.nowMs() + wait > endMs) throw cutShort(name, at, failure);
    await pauseFor(wait, signal);
  }
}

/**
 * Whether the same request may succeed later: a SheafError that says so (`retryable`), or an error of a
 * connection, which has a code ("ECONNRESET", "UND_ERR_SOCKET").
 */
export function willPass(error: unknown): boolean {
  if (isSheafError(error)) return error.retryable;
  return error instanceof Error && "code" in error && typeof error.code === "string" && !isNever(error.code);
}

/** What a wrong name of a host or a wrong certificate answers at every time. */
function isNever(code: string): boolean {
  return /^(?:ENOTFOUND$|ERR_(?!SOCKET)|UNABLE_TO)|CERT/.test(code);
}

/** @param at first byte that has not come; null: it is read from its beginning each time */
export function cutShort(name: string, at: number | null, cause: unknown): SheafError {
  if (isSheafError(cause)) return cause;
  const why = cause instanceof Error ? cause.message : "the answer ends before its time";
  return new SheafError(
    "UNREACHABLE",
    `input ${quotePath(name)} cannot be read${at === null ? "" : ` at byte ${at}`}: ${why}`,
    {
      hint: "Check the connection to the server that has it, and run again.",
      retryable: true,
      cause,
      details: { path: name, offset: at },
    },
  );
}

function tooMuch(name: string, end: number): SheafError {
  return new SheafError(
    "INPUT_UNREADABLE",
    `input ${quotePath(name)}: the server sends more than it was asked for`,
    {
      hint: `It was asked for bytes below ${end}. Look at the server, or at a proxy before it.`,
      details: { path: name, offset: end },
    },
  );
}
