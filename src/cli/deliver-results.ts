import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { RunResult } from "../lifecycle/options.ts";
import { makeTempDirectory } from "../runner/work-directory.ts";
import { recordJson, recordLine } from "./print-records.ts";
import type { TextStream, World } from "./world.ts";
import { writeTo } from "./world.ts";

/**
 * Where the results of a run go.
 * - `directory`: the user's output directory, and `print` of them also to standard output;
 * - `stdout`: to standard output in the job's own format, by way of a temporary directory;
 * - `records`: decoded to standard output, nothing is written.
 */
export type Delivery =
  | { readonly kind: "directory"; readonly output: string; readonly print: number }
  | { readonly kind: "stdout"; readonly output: string; readonly temporary: string }
  | { readonly kind: "records"; readonly print: number };

export interface DeliveryWishes {
  readonly output: string | undefined;
  readonly print: number | undefined;
  readonly collect: boolean | undefined;
  readonly json: boolean | undefined;
  readonly temp: string | undefined;
}

/**
 * Decides where results go; makes the temporary directory when one is needed. End it with `disposeDelivery`.
 */
export async function prepareDelivery(wishes: DeliveryWishes, cwd: string): Promise<Delivery> {
  const print = wishes.collect === true ? Number.POSITIVE_INFINITY : (wishes.print ?? 0);
  if (wishes.output !== undefined) return { kind: "directory", output: wishes.output, print };
  if (print > 0) return { kind: "records", print };
  if (wishes.json === true) return { kind: "records", print: Number.POSITIVE_INFINITY };
  const temporary = await makeTempDirectory(resolve(cwd, wishes.temp ?? tmpdir()));
  return { kind: "stdout", output: join(temporary, "out"), temporary };
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
  if (delivery.kind === "stdout") await copyParts(delivery.output, result, options.signal, world.stdout);
  else if (delivery.print > 0) await printRecords(delivery.print, result, options, world.stdout);
}

async function copyParts(
  output: string,
  result: RunResult,
  signal: AbortSignal,
  stdout: TextStream,
): Promise<void> {
  for (const part of result.parts) {
    for await (const chunk of createReadStream(join(output, part.file), { highWaterMark: 1 << 20 })) {
      if (signal.aborted || !(await writeTo(stdout, chunk as Uint8Array))) return;
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
  const line = options.json ? recordJson : recordLine;
  for (const collection of options.collections) {
    let left = count;
    let piece = "";
    for await (const [key, value] of result.records(collection === "" ? undefined : collection)) {
      if (left-- <= 0) break;
      piece += `${line(collection, key, value)}\n`;
      if (piece.length < PIECE_CHARACTERS) continue;
      if (options.signal.aborted || !(await writeTo(stdout, piece))) return;
      piece = "";
    }
    if (piece !== "" && !(await writeTo(stdout, piece))) return;
  }
}
