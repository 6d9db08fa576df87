import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Promise } from "../base/own-globals.ts";
import { crc32cOfFile } from "./content-check.ts";
import { quotePath } from "./fs-error.ts";
import type { PutFile, Store, StoreOutput, StoreStep } from "./store.ts";
import { readText } from "./stored-output.ts";
import { canonicalAddress, storedOutput, storeOf } from "./stores.ts";

/** A file of an output, before it is uploaded. */
export interface UploadFile {
  /** Its path on this machine, or its bytes. */
  readonly source: string | Uint8Array;
  /** Below the output. */
  readonly name: string;
  /** Left out: not known. */
  readonly bytes?: number;
  /** CRC-32C of what it was written with, 8 hex digits. Left out: not known. */
  readonly crc32c?: string;
}

export interface UploadOptions {
  /** Address; ends in "/". */
  readonly output: string;
  readonly job: string;
  readonly overwrite: boolean;
  readonly step?: StoreStep;
}

/**
 * Makes files the output at an address, all of them or none: each is uploaded, many at once, and then all are
 * made visible. After a throw nothing of it is left.
 * @param uploaded called before they are made visible; what it throws ends it
 * @throws SheafError as StoreOutput.put and commit
 */
export async function uploadOutput(
  files: readonly UploadFile[],
  options: UploadOptions,
  uploaded: () => void = () => undefined,
): Promise<void> {
  const { output: address, job, overwrite, step } = options;
  const output = await storedOutput(address, job);
  try {
    const put = await uploadFiles(output, files, step);
    step?.();
    uploaded();
    await output.commit(put, { overwrite, step });
  } catch (error) {
    await output.abort();
    throw error;
  }
}

/** After a throw nothing is being uploaded any more. */
function uploadFiles(output: StoreOutput, files: readonly UploadFile[], step: StoreStep): Promise<PutFile[]> {
  output.expect?.(files.map(({ name }) => name));
  return manyAtOnce(files, step, async (file) => {
    await checkSource(file);
    return sameSize(file, await output.put(file.source, file.name, step));
  });
}

/**
 * Makes files the output that processes of the job have staged, all of them or none. After a throw what was
 * staged is still there, unless it was committed: it can be done again, here or elsewhere, and goes on.
 * @param files their sources are what StoreOutput.stage gave, or bytes
 * @param success what is in `_SUCCESS`: no other output has the same
 * @throws SheafError as StoreOutput.place, put and commit
 */
export async function commitStaged(
  files: readonly UploadFile[],
  success: string,
  options: UploadOptions,
): Promise<void> {
  const output = await canonicalAddress(options.output);
  return placeStaged(await storeOf(output), files, success, { ...options, output });
}

/** The same in a store that is known. */
export async function placeStaged(
  store: Store,
  files: readonly UploadFile[],
  success: string,
  { output: address, job, overwrite, step }: UploadOptions,
): Promise<void> {
  const output = store.output!(address, job);
  output.expect?.(files.map(({ name }) => name));
  try {
    const placed = await manyAtOnce(files, step, async (file) => {
      const { source, name } = file;
      const made =
        typeof source === "string" ? output.place!(source, name, step) : output.put(source, name, step);
      return sameSize(file, await made);
    });
    const last = await output.put(Buffer.from(success), "_SUCCESS", step);
    step?.();
    await output.commit([...placed, last], { overwrite, step });
  } catch (error) {
    // Whoever did it before was cut off when it was done, and what was staged is gone.
    const there = await readText(store, `${address}_SUCCESS`).catch(() => null);
    if (there !== success) throw error;
    await output.abort();
  }
}

/**
 * Stages files of an attempt's results. After a throw none is being uploaded any more.
 * @param files their names are those messages have
 * @returns what names them for commitStaged
 * @throws SheafError as StoreOutput.stage; BLOCK_CORRUPT for a file that is not what was written
 */
export async function stageFiles(
  files: readonly (UploadFile & { readonly source: string })[],
  { output: address, job, step }: Omit<UploadOptions, "overwrite">,
): Promise<string[]> {
  if (files.length === 0) return [];
  const output = await storedOutput(address, job);
  return manyAtOnce(files, step, async (file) => {
    await checkSource(file);
    return output.stage!(file.source, step);
  });
}

/**
 * Works on files of a storage, or of a disk that others have, too: limits.storageUploadsAtOnce at a time.
 * Results are in their order. After a throw no work is under way any more.
 */
export async function manyAtOnce<T, R>(
  items: readonly T[],
  step: StoreStep,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const failed: unknown[] = [];
  const left = items.entries();
  const some = async (): Promise<void> => {
    for (const [index, item] of left) {
      if (failed.length > 0) return;
      try {
        step?.();
        results[index] = await work(item);
      } catch (error) {
        failed.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limits.storageUploadsAtOnce, items.length) }, some));
  if (failed.length > 0) throw failed[0];
  return results;
}

function sameSize(file: UploadFile, put: PutFile): PutFile {
  if (file.bytes === undefined || put.bytes === file.bytes) return put;
  throw damaged(file, `${put.bytes} bytes`);
}

/** A disk that lost something must not become somebody's result. */
async function checkSource(file: UploadFile): Promise<void> {
  if (typeof file.source !== "string" || file.crc32c === undefined) return;
  const found = crcText((await crc32cOfFile(file.source)).crc32c);
  if (found !== file.crc32c) throw damaged(file, `the checksum ${found}`);
}

function damaged({ name }: UploadFile, has: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", `${quotePath(name)} is not what was written: it has ${has}`, {
    hint: "Look at the disk of the temporary directory, then run again.",
    retryable: true,
  });
}
