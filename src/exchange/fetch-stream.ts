import { isSheafError, SheafError } from "../base/errors.ts";
import { KiB, MiB } from "../base/size.ts";
import { connectionError } from "../security/connection-error.ts";
import type { RunOwner } from "../shuffle/run-format.ts";
import type { FileWindow, PartitionPlace } from "../shuffle/run-index.ts";
import { blockCorrupt } from "../shuffle/run-index.ts";
import { SliceCheck } from "../shuffle/slice-check.ts";
import type { Dispatcher } from "../vendor/undici.ts";
import type { PackFile } from "./packs.ts";
import type { MapAttempt } from "./slice-protocol.ts";
import { decodeFrameHead, FRAME_HEAD_BYTES } from "./slice-protocol.ts";

/** How map outputs are fetched from other agents. Sizes are bytes, times ms. */
export interface FetchLimits {
  /** Requests at once, to all agents and to one. */
  readonly streams: number;
  readonly streamsPerPeer: number;
  /** Tries in a row that bring nothing before a map output counts as unreadable. */
  readonly tries: number;
  /** After the first of them; three times as long after each further one. Up to half of it is taken off. */
  readonly pauseMs: number;
  readonly connectMs: number;
  /** A request that brings less than `stallBytes` within `stallMs` is given up. */
  readonly stallMs: number;
  readonly stallBytes: number;
  /** What one request should bring, so that others get their turn; a larger slice is fetched whole. */
  readonly batchBytes: number;
  /** How long a signed URL is good for. Clocks of machines may differ by so much. */
  readonly urlMs: number;
}

export const fetchLimits: FetchLimits = {
  streams: 8,
  streamsPerPeer: 2,
  tries: 3,
  pauseMs: 1_000,
  connectMs: 5_000,
  stallMs: 30_000,
  stallBytes: 64 * KiB,
  batchBytes: 32 * MiB,
  urlMs: 3_600_000,
};

/** A slice of which a part is at the end of the pack, all of it right so far. */
export interface PartialSlice {
  readonly map: MapAttempt;
  readonly bytes: number;
  /** Where it begins in the pack. */
  readonly start: number;
  readonly check: SliceCheck;
}

export interface StreamRequest {
  /** Who is asked: "http://10.0.0.5:7078". */
  readonly address: string;
  /** In the order asked for. */
  readonly maps: readonly MapAttempt[];
  readonly job: Buffer;
  readonly place: PartitionPlace;
  /** Of the first map: what is there of it already; asked for from its end on. */
  readonly partial: PartialSlice | null;
  /** Open. */
  readonly pack: PackFile;
  readonly limits: FetchLimits;
  readonly nowMs: () => number;
}

/** What a stream brings. */
export interface StreamSink {
  /** A slice is whole, right, and in the pack. */
  slice(map: MapAttempt, window: FileWindow, empty: boolean): void;
  /** The agent does not have it, or cannot read it. */
  missing(map: MapAttempt, error: SheafError, gone: boolean): void;
  /** Bytes have arrived. */
  moved(bytes: number): void;
}

/** How a stream ended. All slices before `next` have been told to the sink; others may be asked for again. */
export type StreamEnd = { readonly next: number } & (
  | { readonly kind: "done" }
  /** The other end, or the way to it, failed. */
  | { readonly kind: "cut"; readonly error: SheafError; readonly partial: PartialSlice | null }
  /** The bytes of that map's slice, which is maps[next], are wrong. */
  | { readonly kind: "damaged"; readonly error: SheafError; readonly map: MapAttempt }
  /** This machine cannot keep them. */
  | { readonly kind: "local"; readonly error: SheafError }
  | { readonly kind: "stopped" }
);

interface OpenSlice extends PartialSlice {
  left: number;
}

const ERROR_BODY_BYTES_MAX = 4_096;

/** One request for slices of one partition: checks them as they arrive and appends them to a pack. */
export class SliceStream implements Dispatcher.DispatchHandler {
  readonly #request: StreamRequest;
  readonly #sink: StreamSink;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #errorBody = "";
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headLength = 0;
  #slice: OpenSlice | null = null;
  /** Index into the maps. */
  #next = 0;
  #finish!: (end: StreamEnd) => void;
  #ended: (() => StreamEnd) | null = null;
  #received = 0;
  #windowBeganMs: number;
  #windowReceived = 0;
  readonly end: Promise<StreamEnd>;

  constructor(request: StreamRequest, sink: StreamSink) {
    this.#request = request;
    this.#sink = sink;
    this.#windowBeganMs = request.nowMs();
    this.end = new Promise((resolve) => (this.#finish = resolve));
  }

  /** Ends it early; what arrived whole has been told. */
  stop(): void {
    this.#conclude(() => ({ kind: "stopped", next: this.#next }));
  }

  /** Gives up when too little has come; to be called now and then. */
  watch(): void {
    const { limits, nowMs, address } = this.#request;
    const now = nowMs();
    if (now - this.#windowBeganMs < limits.stallMs) return;
    const came = this.#received - this.#windowReceived;
    if (came < limits.stallBytes && this.#controller?.paused !== true) {
      const seconds = ((now - this.#windowBeganMs) / 1000).toFixed(1);
      this.#cut(
        new SheafError("UNREACHABLE", `${address}: ${came} bytes of map outputs in ${seconds} s`, {
          hint: "The machine or the network between is overloaded or hangs.",
          retryable: true,
        }),
      );
    }
    this.#windowBeganMs = now;
    this.#windowReceived = this.#received;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended !== null) controller.abort(new Error("stopped"));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended !== null) return;
    this.#received += chunk.length;
    if (this.#status !== 200) {
      if (this.#errorBody.length < ERROR_BODY_BYTES_MAX) this.#errorBody += chunk.toString("utf8");
      return;
    }
    this.#sink.moved(chunk.length);
    for (let at = 0; at < chunk.length && this.#ended === null;) {
      if (this.#slice === null) at += this.#takeHead(chunk, at);
      else at += this.#takeSlice(this.#slice, chunk.subarray(at, at + this.#slice.left));
    }
    if (this.#ended !== null) return;
    const { pack } = this.#request;
    // The rest would be for nothing: flush() says why.
    if (pack.hasFailed) return this.stop();
    if (pack.hasRoom) return;
    controller.pause();
    pack.whenRoom(() => {
      this.#windowBeganMs = this.#request.nowMs();
      this.#windowReceived = this.#received;
      controller.resume();
    });
  }

  onResponseEnd(): void {
    const { maps, address } = this.#request;
    if (this.#status !== 200) return this.#cut(refusal(address, this.#status, this.#errorBody));
    if (this.#next === maps.length) return this.#conclude(() => ({ kind: "done", next: this.#next }));
    this.#cut(
      new SheafError("UNREACHABLE", `${address}: the answer ended before all map outputs were there`, {
        hint: "The agent may be ending, or a file of it is cut short; its log may say why.",
        retryable: true,
      }),
    );
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    const { address, limits } = this.#request;
    this.#cut(connectionError(error, address, limits.stallMs));
  }

  #cut(error: SheafError): void {
    this.#conclude(() => ({ kind: "cut", error, next: this.#next, partial: this.#begun }));
  }

  #damaged(map: MapAttempt, error: SheafError): void {
    this.#conclude(() => ({ kind: "damaged", error, map, next: this.#next }));
  }

  /** What of maps[next] lies at the end of the pack. */
  get #begun(): PartialSlice | null {
    return this.#slice ?? (this.#next === 0 ? this.#request.partial : null);
  }

  /** The first end counts. What has arrived is written before it is told. */
  #conclude(end: () => StreamEnd): void {
    if (this.#ended !== null) return;
    this.#ended = end;
    const { pack } = this.#request;
    this.#controller?.abort(new Error("ended"));
    pack.flush().then(
      () => {
        const how = end();
        const begun = this.#begun;
        // A wrong slice leaves nothing behind.
        if (how.kind === "damaged" && begun !== null) pack.rewind(begun.start);
        this.#finish(how);
      },
      (error: SheafError) => this.#finish({ kind: "local", error, next: this.#next }),
    );
  }

  #takeHead(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#head, this.#headLength, at, at + FRAME_HEAD_BYTES - this.#headLength);
    this.#headLength += taken;
    if (this.#headLength === FRAME_HEAD_BYTES) {
      this.#headLength = 0;
      this.#begin();
    }
    return taken;
  }

  #begin(): void {
    const { address, maps, partial, pack, job, place } = this.#request;
    const head = decodeFrameHead(this.#head);
    if (head === null) return this.#cut(blockCorrupt(address, "sent something else than map outputs"));
    const map = maps[this.#next];
    if (map === undefined || head.task !== map.task || head.attempt !== map.attempt)
      return this.#cut(blockCorrupt(address, "sent another map output than was asked for"));
    const name = nameOf(map, address);
    if (head.state !== "here") {
      const gone = head.state === "gone";
      const problem = gone ? "it is not there any more" : "its file is damaged";
      this.#next++;
      this.#sink.missing(map, blockCorrupt(name, problem), gone);
      return;
    }
    if (this.#next === 0 && partial !== null && head.from > 0) {
      if (head.from !== partial.check.offset || head.bytes !== partial.bytes)
        return this.#damaged(map, blockCorrupt(name, "it continues elsewhere than where it was cut"));
      this.#slice = { ...partial, left: head.bytes - head.from };
      return;
    }
    if (head.from !== 0) return this.#damaged(map, blockCorrupt(name, `it begins at byte ${head.from}`));
    const owner: RunOwner = { job, ...map };
    const check = new SliceCheck({ owner, place, bytes: head.bytes, name });
    this.#slice = { map, bytes: head.bytes, start: pack.end, check, left: head.bytes };
  }

  #takeSlice(slice: OpenSlice, bytes: Buffer): number {
    const { pack, address } = this.#request;
    const { map, start, check } = slice;
    try {
      check.feed(bytes);
      slice.left -= bytes.length;
      if (slice.left === 0 && !check.done) throw blockCorrupt(nameOf(map, address), "it ends too early");
    } catch (error) {
      if (!isSheafError(error)) throw error;
      this.#damaged(map, error);
      return bytes.length;
    }
    pack.append(bytes);
    if (slice.left > 0) return bytes.length;
    this.#slice = null;
    this.#next++;
    const { empty } = check;
    pack.whenWritten(() => this.#sink.slice(map, { offset: start, bytes: slice.bytes }, empty));
    return bytes.length;
  }
}

function nameOf({ task, attempt }: MapAttempt, address: string): string {
  return `the output of map task ${task}, attempt ${attempt}, from ${address}`;
}

function refusal(address: string, status: number, body: string): SheafError {
  let says = "";
  try {
    const { error } = JSON.parse(body) as { readonly error?: { readonly message?: unknown } };
    if (typeof error?.message === "string") says = `: ${error.message.slice(0, 300)}`;
  } catch {
    // Whatever it is, it is no agent's answer.
  }
  return new SheafError("UNREACHABLE", `${address} answered ${status} when asked for map outputs${says}`, {
    hint:
      status === 401
        ? "The agent may have begun a new life, or the clocks of the machines differ by more than an hour."
        : "Look at the log of that agent.",
    retryable: true,
    details: { address, status },
  });
}
