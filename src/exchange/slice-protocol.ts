import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { signRequest } from "../security/signed-url.ts";

/** A map attempt, by numbers. */
export interface MapAttempt {
  readonly task: number;
  readonly attempt: number;
}

/** The job that slices are of. */
export interface FetchJob {
  readonly job: string;
  /** As it stands in run files. */
  readonly fingerprint: Buffer;
  readonly shuffleKey: string;
}

/** What is asked for: slices of one partition, of map attempts of one job. */
export interface SliceQuestion {
  readonly job: string;
  readonly collection: number;
  readonly partition: number;
  /** In the order in which they are sent. */
  readonly maps: readonly MapAttempt[];
  /** First byte of the first slice that is sent. */
  readonly from: number;
}

/** As many map outputs may be asked for at once. */
export const MAPS_PER_REQUEST_MAX = 500;

/** The target of GET requests for it, signed; `expiresMs` since the epoch. */
export function sliceTarget(question: SliceQuestion, key: string, expiresMs: number): string {
  const { job, collection, partition, maps, from } = question;
  return signRequest(key, {
    method: "GET",
    path: `/shuffle/${job}`,
    query: {
      maps: maps.map(({ task, attempt }) => `${task}.${attempt}`).join("_"),
      collection,
      partition,
      from,
    },
    job,
    expiresMs,
  });
}

/**
 * @param query parameters as parsed from the target, decoded once
 * @throws SheafError MESSAGE_INVALID naming the parameter
 */
export function parseSliceQuery(job: string, query: Readonly<Record<string, unknown>>): SliceQuestion {
  const maps = text(query, "maps", /^\d{1,9}\.\d{1,9}(?:_\d{1,9}\.\d{1,9})*$/).split("_");
  if (maps.length > MAPS_PER_REQUEST_MAX)
    throw invalid("maps", `${maps.length} are more than ${MAPS_PER_REQUEST_MAX}`);
  return {
    job,
    collection: number(query, "collection"),
    partition: number(query, "partition"),
    from: number(query, "from"),
    maps: maps.map((map) => {
      const [task = 0, attempt = 0] = map.split(".").map(Number);
      return { task, attempt };
    }),
  };
}

function number(query: Readonly<Record<string, unknown>>, name: string): number {
  return Number(text(query, name, /^\d{1,15}$/));
}

function text(query: Readonly<Record<string, unknown>>, name: string, form: RegExp): string {
  const value = query[name];
  if (typeof value !== "string")
    throw invalid(name, value === undefined ? "missing" : "given more than once");
  if (!form.test(value))
    throw invalid(name, `${JSON.stringify(value.slice(0, 100))} has not the form ${form}`);
  return value;
}

function invalid(name: string, problem: string): SheafError {
  return new SheafError("MESSAGE_INVALID", `query parameter ${name}: ${problem}`, {
    hint: "Agents of this version ask otherwise: check that all run the same version of sheaf.",
  });
}

/*
 * What an agent answers to GET /shuffle/{job}?maps=...&collection=C&partition=P: a frame for each map output
 * that was asked for, in that order.
 *
 *   frame = head slice            the slice from byte `from` on; nothing unless state is "here"
 *   head  = "SHSL" state:u32 task:u32 attempt:u32 bytes:u64 from:u64
 *           crc32c:u32 of the 32 bytes above                                                     36 bytes
 *
 * `bytes` is the size of the whole slice, `from` the first byte that is sent. All little-endian.
 */

export const FRAME_HEAD_BYTES = 36;

/** "SHSL" as a little-endian number. */
const MAGIC = 0x4c534853;

/** gone: not served here, or its file is not there; damaged: its index cannot be read. By number. */
const STATES = ["here", "gone", "damaged"] as const;

export interface FrameHead {
  readonly state: (typeof STATES)[number];
  readonly task: number;
  readonly attempt: number;
  readonly bytes: number;
  readonly from: number;
}

export function encodeFrameHead({ state, task, attempt, bytes, from }: FrameHead): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(STATES.indexOf(state), 4);
  head.writeUInt32LE(task, 8);
  head.writeUInt32LE(attempt, 12);
  head.writeBigUInt64LE(BigInt(bytes), 16);
  head.writeBigUInt64LE(BigInt(from), 24);
  head.writeUInt32LE(crc32c(head.subarray(0, 32)), 32);
  return head;
}

/** Null for bytes that are no head. */
export function decodeFrameHead(head: Buffer): FrameHead | null {
  const state = STATES[head.readUInt32LE(4)];
  const isWhole = head.readUInt32LE(0) === MAGIC && crc32c(head.subarray(0, 32)) === head.readUInt32LE(32);
  if (!isWhole || state === undefined) return null;
  return {
    state,
    task: head.readUInt32LE(8),
    attempt: head.readUInt32LE(12),
    bytes: Number(head.readBigUInt64LE(16)),
    from: Number(head.readBigUInt64LE(24)),
  };
}
