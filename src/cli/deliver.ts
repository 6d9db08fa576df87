import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { escapeControls } from "../base/escape-controls.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Key } from "../job/key.ts";
import { localPath, splitAddress } from "../storage/store.ts";
import { type TextStream, type World, dataWriter, writeTo } from "./world.ts";

/**
 * Where the results of a run go.
 * - `directory`: the user's output directory, and `print` of them also to standard output;
 * - `stdout`: to standard output in the job's own format, by way of a temporary directory: so many records of
 *   each collection, unpacked, or with null the files as they are;
 * - `records`: for programs, decoded to standard output; nothing is written.
 */
export type Delivery =
  | { readonly kind: "directory"; readonly output: string; readonly print: number }
  | {
      readonly kind: "stdout";
      readonly output: string;
      readonly temporary: string;
      readonly print: number | null;
    }
  | { readonly kind: "records"; readonly print: number };

export interface DeliveryWishes {
  readonly output: string | undefined;
  readonly print: number | undefined;
  readonly collect: boolean | undefined;
  readonly json: boolean | undefined;
  readonly temp?: string | undefined;
}

/**
 * Decides where results go; makes the temporary directory when one is needed. End it with `disposeDelivery`.
 */
export async function prepareDelivery(wishes: DeliveryWishes, cwd: string): Promise<Delivery> {
  const print = printWish(wishes);
  if (wishes.output !== undefined) return { kind: "directory", output: wishes.output, print };
  if (wishes.json === true) return { kind: "records", print: print > 0 ? print : Number.POSITIVE_INFINITY };
  return toStdout(print > 0 ? print : null, localPath(wishes.temp ?? tmpdir(), "--temp", cwd));
}

/** What becomes of the results of a job that ran or runs elsewhere. */
export interface Fetch {
  readonly delivery: Delivery;
  /** Directory of the user's: an absolute path, or an address that ends in "/". */
  readonly output: string | null;
  /** What the client is told. */
  readonly wishes: {
    readonly output: { readonly path: string; readonly overwrite: boolean } | null;
    readonly collect: boolean;
  };
}

/**
 * As prepareDelivery, for a job that ran or runs elsewhere: without a wish nothing is fetched.
 * @throws SheafError OUTPUT_EXISTS and the like, before anything is fetched
 */
export async function prepareFetch(
  flags: DeliveryWishes & { readonly overwrite: boolean | undefined },
  cwd: string,
): Promise<Fetch> {
  const print = printWish(flags);
  const overwrite = flags.overwrite === true;
  let output: string | null = null;
  if (flags.output !== undefined) {
    const { outputPlace } = await import("../engine/resolve-options.ts");
    output = outputPlace(flags.output, cwd);
    const { checkOutput } = await import("../storage/atomic-output.ts");
    await checkOutput(output, { overwrite });
  }
  const delivery: Delivery =
    output !== null
      ? { kind: "directory", output, print }
      : flags.json === true || print === 0
        ? { kind: "records", print }
        : await toStdout(print, tmpdir());
  const path = delivery.kind === "records" ? null : delivery.output;
  const collect = wantsRecords(delivery, flags.json);
  return { delivery, output, wishes: { output: path === null ? null : { path, overwrite }, collect } };
}

function printWish({ collect, print }: DeliveryWishes): number {
  return collect === true ? Number.POSITIVE_INFINITY : (print ?? 0);
}

async function toStdout(print: number | null, directory: string): Promise<Delivery> {
  const { makeTempDirectory } = await import("../storage/temp-directory.ts");
  const temporary = await makeTempDirectory(directory);
  return { kind: "stdout", output: join(temporary, "out"), temporary, print };
}

/** Whether decoded results are wanted of the run besides its files. */
export function wantsRecords(delivery: Delivery, json: boolean | undefined): boolean {
  return delivery.kind !== "stdout" && delivery.print > 0 && (json === true || delivery.kind === "records");
}

export async function disposeDelivery(delivery: Delivery): Promise<void> {
  if (delivery.kind === "stdout")
    await rm(delivery.temporary, { recursive: true, force: true, maxRetries: 3 });
}

export interface DeliverOptions {
  /** Names of the collections, in the job's order. */
  readonly collections: readonly string[];
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/**
 * Puts on standard output what belongs there. Stops quietly when its reader goes away or the signal is
 * aborted.
 */
export async function deliverResults(
  delivery: Delivery,
  result: RunResult,
  options: DeliverOptions,
  world: World,
): Promise<void> {
  const { print } = delivery;
  if (print === 0) return;
  if (wantsRecords(delivery, options.json)) await printRecords(print!, result, options, world.stdout);
  else if (delivery.kind === "records") return;
  else if (print === null) await copyParts(delivery.output, result, options.signal, world.stdout);
  else await printParts(print, delivery.output, result, options, world.stdout);
}

/** One file after the other, the header once. */
async function copyParts(
  output: string,
  result: RunResult,
  signal: AbortSignal,
  stdout: TextStream,
): Promise<void> {
  const write = dataWriter(stdout);
  const begun = new Set<string>();
  for (const { file, collection, headerBytes = 0 } of result.parts) {
    const isPacked = /\.(?:gz|zst)$/.test(file);
    // Compressed files are passed on as they are: each has its header when it is decompressed.
    const start = headerBytes > 0 && !isPacked && begun.has(collection) ? headerBytes : 0;
    if (headerBytes > 0) begun.add(collection);
    for await (const chunk of createReadStream(join(output, file), { start, highWaterMark: 1 << 20 })) {
      if (signal.aborted || !(await write(chunk as Uint8Array))) return;
    }
  }
}

/** Lines leave in pieces of about this many characters: one write per record would be slow. */
const PIECE_CHARACTERS = 64 * 1024;

async function printRecords(
  count: number,
  result: RunResult,
  options: DeliverOptions,
  stdout: TextStream,
): Promise<void> {
  for (const collection of options.collections) {
    let left = count;
    let piece = "";
    for await (const [key, value] of result.records(collection === "" ? undefined : collection)) {
      if (left-- <= 0) break;
      piece += `${recordJson(collection, key, value)}\n`;
      if (piece.length < PIECE_CHARACTERS) continue;
      if (options.signal.aborted || !(await writeTo(stdout, piece))) return;
      piece = "";
    }
    if (piece !== "" && !(await writeTo(stdout, piece))) return;
  }
}

/** The first records of each collection as the job's writer wrote them; none breaks its line. */
async function printParts(
  count: number,
  output: string,
  result: RunResult,
  options: DeliverOptions,
  stdout: TextStream,
): Promise<void> {
  // Most runs print nothing, and need none of the readers.
  const { writtenRecords } = await import("../task/written-records.ts");
  const isAddress = splitAddress(output) !== null;
  const placeOf = (file: string): string =>
    isAddress ? `${output.replace(/\/+$/, "")}/${file}` : join(output, file);
  for (const collection of options.collections) {
    let left = count;
    let piece = "";
    let needsHeader = true;
    for (const { file, headerBytes = 0 } of result.parts.filter((part) => part.collection === collection)) {
      if (left <= 0) break;
      for await (const { text, isHeader } of writtenRecords(placeOf(file), headerBytes)) {
        if (isHeader && !needsHeader) continue;
        if (!isHeader && left-- <= 0) break;
        needsHeader = isHeader;
        piece += `${writtenLine(collection, text)}\n`;
        if (piece.length < PIECE_CHARACTERS) continue;
        if (options.signal.aborted || !(await writeTo(stdout, piece))) return;
        piece = "";
      }
    }
    if (piece !== "" && !(await writeTo(stdout, piece))) return;
  }
}

/**
 * A record as the job's writer wrote it, for people: the collection's name before it when it has one. Data
 * cannot break the line, tabs between columns stay.
 */
function writtenLine(collection: string, text: string): string {
  const line = escapeControls(text, "\t");
  return collection === "" ? line : `${collection}\t${line}`;
}

/**
 * A result for programs. What JSON has no form for is `{ "bytes": base64 }`, `{ "bigint": "..." }` or
 * `{ "number": "NaN" }`; sets and typed arrays are arrays, maps arrays of pairs.
 */
function recordJson(collection: string, key: Key, value: unknown): string {
  return JSON.stringify({ kind: "record", collection, key: jsonValue(key), value: jsonValue(value) });
}

function jsonValue(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  if (typeof value === "number" && !Number.isFinite(value)) return { number: String(value) };
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value)) {
    return Array.from(value as Iterable<unknown>, jsonValue);
  }
  if (Array.isArray(value)) return value.map(jsonValue);
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, jsonValue(field)]));
  }
  return value;
}
