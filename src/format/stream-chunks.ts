import { SheafError } from "../base/errors.ts";
import type { ByteFeed, Chunk, ChunkReader } from "./chunk.ts";

/** The bytes of a file as they come, for decoders that find their records themselves. */
export class StreamChunks implements ChunkReader {
  readonly header = Buffer.alloc(0);
  readonly #feed: ByteFeed;
  readonly #signal: AbortSignal | undefined;
  #front: Buffer;
  #back: Buffer;
  #pending: Promise<number>;
  #offset = 0;
  #done = false;

  constructor(feed: ByteFeed, chunkBytes: number, signal: AbortSignal | undefined) {
    this.#feed = feed;
    this.#signal = signal;
    this.#front = Buffer.allocUnsafeSlow(chunkBytes);
    this.#back = Buffer.allocUnsafeSlow(chunkBytes);
    this.#pending = startQuietly(feed.fill(this.#front));
  }

  get taken(): number {
    return this.#feed.taken;
  }

  async next(): Promise<Chunk | null> {
    if (this.#done) return null;
    throwIfAborted(this.#signal);
    const length = await this.#pending;
    const bytes = this.#front.subarray(0, length);
    const offset = this.#offset;
    this.#offset += length;
    if (length < this.#front.length) {
      await this.#feed.verify();
      await this.close();
    } else {
      [this.#front, this.#back] = [this.#back, this.#front];
      this.#pending = startQuietly(this.#feed.fill(this.#front));
    }
    return { bytes, offset, last: this.#done };
  }

  async close(): Promise<void> {
    this.#done = true;
    await this.#pending.catch(() => undefined);
    await this.#feed.close();
  }
}

/**
 * A prefetch nobody awaits yet: its failure is reported by whoever awaits it later, not as an unhandled
 * rejection.
 */
export function startQuietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new SheafError("CANCELLED", "reading was cancelled", { cause: signal.reason });
  }
}
