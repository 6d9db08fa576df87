import { createHash } from "node:crypto";
import { lstatSync, readFileSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import type { StoreStep } from "../storage/store.ts";
import { crc32cOfPieces, namesBelow, storedAt } from "../storage/stored-files.ts";
import { readText } from "../storage/stored-output.ts";
import { canonicalAddress, isStored, storeOf } from "../storage/stores.ts";
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
 * The outputDigest of what lies there. Reads all of it.
 * @param place path, or the address of a directory in a storage
 * @param step called for each file; what it throws ends the reading
 * @returns undefined: nothing is there; null: something that is no output of a job, or not whole
 */
export async function committedDigest(place: string, step?: () => void): Promise<string | null | undefined> {
  const found = await committedAt(place, step);
  return found && found.digest;
}

/** As committedDigest, with the manifest. */
export async function committedAt(
  place: string,
  step?: () => void,
): Promise<{ readonly digest: string; readonly manifest: SuccessManifest } | null | undefined> {
  try {
    const output = await outputAt(place, step);
    if (output === null) return undefined;
    const { manifest, parts, names } = await checked(output, step);
    const { badRecords } = manifest;
    const hasBad = badRecords === 0 || names.some((name) => /^_bad\/part-[^/]*$/.test(name));
    if (!hasBad || !isManifest(manifest) || parts.some(({ damage }) => damage !== null)) return null;
    return { digest: outputDigest(manifest), manifest };
  } catch (error) {
    step?.();
    if (error instanceof Error) return null;
    throw error;
  }
}

/** The manifest of the output in a directory of this machine; null: there is none, or it cannot be read. */
export function manifestIn(directory: string): SuccessManifest | null {
  try {
    const path = join(directory, successFileName);
    const manifest = parseManifest(readFileSync(path, "utf8"), path);
    return isManifest(manifest) ? manifest : null;
  } catch {
    return null;
  }
}

function isManifest(manifest: Partial<SuccessManifest>): manifest is SuccessManifest {
  const { job, counters, badRecords } = manifest;
  return (
    typeof job === "string" &&
    typeof counters === "object" &&
    counters !== null &&
    Number.isSafeInteger(badRecords)
  );
}

/** Reads every file of a committed output, at a path or an address, and compares sizes and checksums. */
export async function checkCommitted(place: string, step?: () => void): Promise<CheckedOutput> {
  const output = await outputAt(place, step);
  if (output === null) {
    throw new SheafError("NOT_FOUND", `${place}: there is no output`, { hint: "Look at its name." });
  }
  const { manifest, parts, names } = await checked(output, step);
  const known = new Set([successFileName, ...parts.map(({ part }) => part.file)]);
  const strangers = names.filter((file) => !known.has(file) && !/^_(?:bad|state)\//.test(file)).sort();
  return { manifest: manifest as Readonly<Record<string, unknown>>, parts, strangers };
}

/** An output as it is looked at, wherever it lies. */
interface OutputFiles {
  readonly place: string;
  manifest(): Promise<string>;
  /** null: there is no such file. */
  find(name: string): Promise<{ readonly bytes: number; crc32c(): Promise<number> } | null>;
  /** Of all files below it. */
  names(): Promise<readonly string[]>;
}

/** null: nothing is there. */
async function outputAt(place: string, step: StoreStep): Promise<OutputFiles | null> {
  if (!isStored(place))
    return lstatSync(place, { throwIfNoEntry: false }) === undefined ? null : localOutput(place);
  const address = await canonicalAddress(place.endsWith("/") ? place : `${place}/`);
  const store = await storeOf(address);
  if ((await store.stat(address)) === null) return null;
  return {
    place: address,
    manifest: async () => (await readText(store, `${address}${successFileName}`)) ?? "",
    async find(name) {
      const file = await storedAt(address + name);
      return file && { bytes: file.fileBytes, crc32c: () => crc32cOfPieces(file, step) };
    },
    names: () => namesBelow(store, address, step),
  };
}

function localOutput(directory: string): OutputFiles {
  return {
    place: directory,
    manifest: () => readFile(join(directory, successFileName), "utf8"),
    find(name) {
      const path = join(directory, name);
      const found = statSync(path, { throwIfNoEntry: false });
      return Promise.resolve(
        found === undefined
          ? null
          : { bytes: found.size, crc32c: async () => (await crc32cOfFile(path)).crc32c },
      );
    },
    names: () => {
      const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
        entry.isFile(),
      );
      return Promise.resolve(files.map((entry) => relative(directory, join(entry.parentPath, entry.name))));
    },
  };
}

async function checked(
  output: OutputFiles,
  step: StoreStep,
): Promise<{ manifest: Manifest; parts: CheckedPart[]; names: readonly string[] }> {
  const path = `${output.place.replace(/\/$/, "")}/${successFileName}`;
  let text: string;
  try {
    text = await output.manifest();
  } catch (cause) {
    throw damaged(path, String(cause), cause);
  }
  const manifest = parseManifest(text, path);
  const parts: CheckedPart[] = [];
  for (const part of manifest.parts) {
    step?.();
    parts.push({ part, damage: await damageOf(part, await output.find(part.file)) });
  }
  return { manifest, parts, names: await output.names() };
}

type Manifest = Partial<SuccessManifest> & Pick<SuccessManifest, "parts">;

/** @throws SheafError BLOCK_CORRUPT */
function parseManifest(text: string, path: string): Manifest {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, String(cause), cause);
  }
  const isOne =
    typeof content === "object" && content !== null && "parts" in content && Array.isArray(content.parts);
  if (isOne) return content as Manifest;
  throw new SheafError("BLOCK_CORRUPT", `${path} lists no parts`, { hint: DAMAGED_HINT });
}

const DAMAGED_HINT = "Run the job again, or restore the directory from a copy.";

function damaged(path: string, why: string, cause: unknown): SheafError {
  return new SheafError("BLOCK_CORRUPT", `${path} is damaged: ${why}`, { cause, hint: DAMAGED_HINT });
}

async function damageOf(
  part: CommittedPart,
  found: Awaited<ReturnType<OutputFiles["find"]>>,
): Promise<string | null> {
  if (found === null) return "is missing";
  if (found.bytes !== part.bytes) return `has ${found.bytes} bytes, not ${part.bytes}`;
  const got = crcText(await found.crc32c());
  return got === part.crc32c ? null : `has checksum ${got}, not ${part.crc32c}`;
}
