import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { deserialize, serialize } from "node:v8";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";

/*
 * The connection between a worker process and its parent: a socket pair of their own, not Node's IPC, whose
 * parent half ends the process at the first message that is none. Each message is its length in bytes (4, big
 * endian) and so many bytes of what v8.serialize gives. User code that finds the descriptor can write to it:
 * what the parent reads may be anything.
 */

/** File descriptor of the socket in the child. */
export const channelDescriptor = 4;

const lengthBytes = 4;

/** What is said of bytes or data that no worker of ours sends. */
export function noMessage(problem: string, cause?: unknown): SheafError {
  return new SheafError("MESSAGE_INVALID", `the worker sent a message that is none: ${problem}`, {
    hint: "User code must not write to channels and descriptors that it has not opened itself.",
    cause,
  });
}

/** Sends one message to the worker; nothing happens when it is gone. */
export function sendToWorker(channel: Duplex, message: unknown): void {
  if (channel.writable) channel.write(framed(serialize(message)));
}

/**
 * Calls `heard` with each message the worker sends, `broken` once with why what came is none; nothing is read
 * after that.
 */
export function listenToWorker(
  channel: Duplex,
  heard: (message: unknown) => void,
  broken: (error: SheafError) => void,
): void {
  const frames = new Frames(limits.workerMessageBytesMax);
  channel.on("error", () => undefined);
  channel.on("data", (chunk: Buffer) => {
    try {
      for (const frame of frames.take(chunk)) heard(messageIn(frame));
    } catch (error) {
      channel.destroy();
      broken(error as SheafError);
    }
  });
}

/** The child's half. */
export class ParentChannel {
  readonly #socket = new Socket({ fd: channelDescriptor, readable: true, writable: true });

  /** @param gone called when the parent is no more */
  constructor(heard: (message: unknown) => void, gone: () => void) {
    const frames = new Frames(Number.POSITIVE_INFINITY);
    this.#socket.on("data", (chunk: Buffer) => {
      for (const frame of frames.take(chunk)) heard(deserialize(frame));
    });
    this.#socket.on("error", gone);
    this.#socket.on("close", gone);
  }

  send(message: unknown): void {
    if (this.#socket.writable) this.#socket.write(framed(serialize(message)));
  }

  /** Whether it keeps the event loop alive. */
  hold(holds: boolean): void {
    if (holds) this.#socket.ref();
    else this.#socket.unref();
  }
}

/** @throws SheafError MESSAGE_INVALID */
function messageIn(frame: Buffer): unknown {
  try {
    return deserialize(frame);
  } catch (cause) {
    throw noMessage("it cannot be read", cause);
  }
}

function framed(body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(lengthBytes + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, lengthBytes);
  return frame;
}

/** Cuts a stream of bytes into frames. Keeps no more than one frame of the allowed size. */
class Frames {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #held = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The frames that are whole now. @throws SheafError MESSAGE_INVALID for one that is too large */
  *take(chunk: Buffer): Generator<Buffer, void, undefined> {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    while (this.#held >= lengthBytes) {
      if (this.#chunks[0]!.length < lengthBytes) this.#join();
      const bytes = this.#chunks[0]!.readUInt32BE();
      if (bytes > this.#bytesMax) {
        const most = formatSize(this.#bytesMax);
        throw noMessage(`it has ${formatSize(bytes)}, not ${most} at most`);
      }
      const end = lengthBytes + bytes;
      if (this.#held < end) return;
      this.#join();
      const all = this.#chunks[0]!;
      this.#chunks = all.length > end ? [all.subarray(end)] : [];
      this.#held -= end;
      yield all.subarray(lengthBytes, end);
    }
  }

  #join(): void {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
  }
}
