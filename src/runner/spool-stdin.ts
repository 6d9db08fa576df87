import { createWriteStream, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { asSheafError } from "../storage/fs-error.ts";
import type { InputFile } from "../storage/list-input.ts";

/**
 * Copies standard input to a file, since splits are read by several workers, and again when an attempt
 * fails.
 */
export async function spoolStdin(
  input: NodeJS.ReadableStream,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<InputFile> {
  const path = join(directory, "stdin");
  try {
    await pipeline(input, createWriteStream(path, { flags: "wx" }), signal === undefined ? {} : { signal });
  } catch (error) {
    throw asSheafError(error, { path, doing: "write" });
  }
  const { size, mtimeMs } = statSync(path);
  return { path, name: "-", bytes: size, mtimeMs };
}
