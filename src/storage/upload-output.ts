import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Promise } from "../base/own-globals.ts";
import { crc32cOfFile } from "./content-check.ts";
import { quotePath } from "./fs-error.ts";
import type { PutFile, StoreOutput, StoreStep } from "./store.ts";
import { storedOutput } from "./stores.ts";

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
async function uploadFiles(
  output: StoreOutput,
  files: readonly UploadFile[],
  step: StoreStep,
): Promise<PutFile[]> {
  const put: PutFile[] = [];
  const failed: unknown[] = [];
  const left = files.entries();
  const upload = async (): Promise<void> => {
    for (const [index, file] of left) {
      if (failed.length > 0) return;
      try {
        step?.();
        await checkSource(file);
        const done = await output.put(file.source, file.name, step);
        if (file.bytes !== undefined && done.bytes !== file.bytes) throw damaged(file, `${done.bytes} bytes`);
        put[index] = done;
      } catch (error) {
        failed.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limits.storageUploadsAtOnce, files.length) }, upload));
  if (failed.length > 0) throw failed[0];
  return put;
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
