import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { FilePiece } from "#src/format/chunk.js";
import { type ReadOptions, readPiece } from "#src/format/read-split.js";
import type { Key } from "#src/job/key.js";
import type { Reader } from "#src/job/reader.js";
import type { Encoder } from "#src/job/writer.js";
import { planInput } from "#src/plan/plan-input.js";

/** A directory that is removed when the test ends. */
export function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "sheaf-test-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file with this content in a directory of its own. */
export function file(t: TestContext, content: string | Uint8Array, name = "input"): string {
  const path = join(directory(t), name);
  writeFileSync(path, content);
  return path;
}

/** The whole of a file as one piece. */
export async function whole(
  path: string,
  compression: FilePiece["compression"] = "none",
): Promise<FilePiece> {
  const { size, mtimeMs } = await stat(path);
  return { path, name: path, start: 0, end: size, fileBytes: size, mtimeMs, compression };
}

/** The pieces the planner makes of a file. */
export async function pieces(
  path: string,
  reader: Reader<unknown>,
  splitBytes: number,
): Promise<FilePiece[]> {
  const plan = await planInput([{ input: reader, paths: [path] }], { workers: 1, splitBytes });
  return plan.splits.flatMap((split) => split.pieces).filter((piece) => piece.kind === "file");
}

export interface Records<R> {
  readonly records: R[];
  readonly offsets: number[];
  /** "<offset> <code>" of each bad record. */
  readonly bad: string[];
}

/** All that pieces hold, in order. */
export async function read<R>(
  reader: Reader<R>,
  from: readonly FilePiece[],
  options: ReadOptions = {},
): Promise<Records<R>> {
  const all: Records<R> = { records: [], offsets: [], bad: [] };
  for (const piece of from) {
    const batches = await readPiece(reader, piece, options);
    for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
      all.records.push(...batch.records);
      all.offsets.push(...batch.offsets);
      all.bad.push(
        ...batch.bad.map(({ offset, error }) => `${offset} ${"code" in error ? error.code : error.name}`),
      );
    }
  }
  return all;
}

/** All records of a file with this content, read as one piece. */
export async function readContent<R>(
  t: TestContext,
  reader: Reader<R>,
  content: string | Uint8Array,
  options: ReadOptions = {},
): Promise<Records<R>> {
  return read(reader, [await whole(file(t, content))], options);
}

/** What an encoder makes of results, as text. */
export function encode(
  encoder: Encoder<Key, unknown>,
  results: readonly (readonly [Key, unknown])[],
): string {
  const parts: Uint8Array[] = [];
  const sink = {
    text: (text: string) => void parts.push(Buffer.from(text)),
    bytes: (bytes: Uint8Array) => void parts.push(bytes.slice()),
    byte: (value: number) => void parts.push(Uint8Array.of(value)),
  };
  encoder.begin?.(sink);
  for (const [key, value] of results) encoder.write(key, value, sink);
  encoder.end?.(sink);
  return Buffer.concat(parts).toString("utf8");
}

/** The messages of the bad records of a file with this content. */
export async function badOf(
  t: TestContext,
  reader: Reader<unknown>,
  content: string | Uint8Array,
): Promise<string[]> {
  const batches = await readPiece(reader, await whole(file(t, content)));
  const all: string[] = [];
  for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
    all.push(...batch.bad.map(({ error }) => error.message));
  }
  return all;
}

/** The command of a Python 3, the reference of some tests; null on machines without. */
export function pythonOf(): string | null {
  return spawnSync("python3", ["--version"]).status === 0 ? "python3" : null;
}
