import { readFile } from "node:fs/promises";
import { SheafError } from "../base/errors.ts";

/**
 * The job's side data: values as they are; `{ file }` is read once per worker: parsed when its name ends in
 * ".json", else its text, or its bytes with `as: "bytes"`.
 * @param copies where files lie on this machine, by the path the job names them with; others are read there
 * @throws SheafError INPUT_MISSING naming the entry and the file
 */
export async function loadAux(
  aux: Readonly<Record<string, unknown>>,
  copies: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, unknown>>> {
  const loaded: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(aux))
    loaded[name] = isFile(value) ? await readAux(name, value, copies) : value;
  return loaded;
}

/** The entries that are files, as the code names them. */
export function auxFiles(aux: Readonly<Record<string, unknown>>): { name: string; file: string }[] {
  return Object.entries(aux).flatMap(([name, value]) => (isFile(value) ? [{ name, file: value.file }] : []));
}

interface AuxFile {
  readonly file: string;
  readonly as?: "text" | "json" | "bytes";
}

function isFile(value: unknown): value is AuxFile {
  return typeof value === "object" && value !== null && "file" in value && typeof value.file === "string";
}

async function readAux(
  name: string,
  { file, as }: AuxFile,
  copies: Readonly<Record<string, string>>,
): Promise<unknown> {
  try {
    const bytes = await readFile(Object.hasOwn(copies, file) ? copies[file]! : file);
    const form = as ?? (file.endsWith(".json") ? "json" : "text");
    if (form === "bytes") return new Uint8Array(bytes);
    return form === "json" ? JSON.parse(bytes.toString("utf8")) : bytes.toString("utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SheafError("INPUT_MISSING", `aux.${name}: cannot read ${file}: ${why}`, {
      cause,
      hint: "It must stay where it is, readable, until the job is over.",
      details: { path: file },
    });
  }
}
