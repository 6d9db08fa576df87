import { createHash } from "node:crypto";
import { lstatSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import type { SuccessManifest } from "./commit.ts";
import type { CommittedPart } from "./events.ts";
import { byName } from "./once.ts";

const successFileName = "_SUCCESS";

/** One file of an output directory, held against the manifest. */
export interface CheckedPart {
  readonly part: CommittedPart;
  /** What is wrong with it; null when it is as it was committed. */
  readonly damage: string | null;
}

export interface CheckedOutput {
  /** The manifest as it stands in _SUCCESS. */
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly parts: readonly CheckedPart[];
  /** Files that are there but were not committed. */
  readonly strangers: readonly string[];
}

/** Which output it is: the same for two that hold the same files of the same content. */
export function outputDigest({
  counters,
  badRecords,
  parts,
}: Pick<SuccessManifest, "counters" | "badRecords" | "parts">): string {
  const files = parts.map(({ file, bytes, records, crc32c }) => [file, bytes, records, crc32c]);
  const told = [byName(counters), badRecords, files];
  return createHash("sha256").update(JSON.stringify(told)).digest("hex");
}

/**
 * The outputDigest of what lies there.
 * @param step called for each file; what it throws ends the reading
 * @returns undefined: nothing is there; null: something that is no output of a job, or not whole
 */
export async function committedDigest(
  directory: string,
  step?: () => void,
): Promise<string | null | undefined> {
  const there = lstatSync(directory, { throwIfNoEntry: false });
  if (there === undefined) return undefined;
  try {
    const { manifest, parts } = await checkCommitted(directory, step);
    const { counters, badRecords } = manifest as unknown as SuccessManifest;
    const isWhole = parts.every(({ damage }) => damage === null) && hasBad(directory, badRecords);
    return isWhole ? outputDigest({ counters, badRecords, parts: parts.map(({ part }) => part) }) : null;
  } catch (error) {
    step?.();
    if (error instanceof Error) return null;
    throw error;
  }
}

/** The manifest of the output that lies there; null: none does, or it cannot be read. */
export function manifestIn(directory: string): SuccessManifest | null {
  try {
    const manifest = readManifest(join(directory, successFileName));
    const { job, counters, badRecords } = manifest as Partial<SuccessManifest>;
    const isManifest =
      typeof job === "string" &&
      typeof counters === "object" &&
      counters !== null &&
      Number.isSafeInteger(badRecords);
    return isManifest ? (manifest as unknown as SuccessManifest) : null;
  } catch {
    return null;
  }
}

/** What the manifest does not list file by file. */
function hasBad(directory: string, badRecords: number): boolean {
  if (badRecords === 0) return true;
  return readdirSync(join(directory, "_bad")).some((name) => name.startsWith("part-"));
}

/** Reads every file of a committed output directory and compares sizes and checksums. */
export async function checkCommitted(directory: string, step?: () => void): Promise<CheckedOutput> {
  const manifest = readManifest(join(directory, successFileName));
  const listed = manifest["parts"] as readonly CommittedPart[];
  const parts: CheckedPart[] = [];
  for (const part of listed) {
    step?.();
    parts.push({ part, damage: await checkPart(join(directory, part.file), part) });
  }
  const known = new Set([successFileName, ...listed.map((part) => part.file)]);
  const present = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
  const strangers = present.filter((file) => !known.has(file) && !/^_(?:bad|state)\//.test(file)).sort();
  return { manifest, parts, strangers };
}

const DAMAGED_HINT = "Run the job again, or restore the directory from a copy.";

function readManifest(path: string): Readonly<Record<string, unknown>> {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new SheafError("BLOCK_CORRUPT", `${path} is damaged: ${String(cause)}`, {
      cause,
      hint: DAMAGED_HINT,
    });
  }
  const parts =
    typeof content === "object" && content !== null && "parts" in content ? content.parts : undefined;
  if (!Array.isArray(parts)) {
    throw new SheafError("BLOCK_CORRUPT", `${path} lists no parts`, { hint: DAMAGED_HINT });
  }
  return content as Readonly<Record<string, unknown>>;
}

async function checkPart(path: string, part: CommittedPart): Promise<string | null> {
  let bytes: number;
  try {
    bytes = statSync(path).size;
  } catch {
    return "is missing";
  }
  if (bytes !== part.bytes) return `has ${bytes} bytes, not ${part.bytes}`;
  const got = crcText((await crc32cOfFile(path)).crc32c);
  return got === part.crc32c ? null : `has checksum ${got}, not ${part.crc32c}`;
}
