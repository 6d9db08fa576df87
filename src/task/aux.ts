import { readFile, stat } from "node:fs/promises";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { jsonParser } from "../base/json-numbers.ts";
import { formatSize } from "../base/size.ts";
import { promisedCompression } from "../format/detect-compression.ts";
import { wholeFile } from "../format/whole-file.ts";
import { type AuxEntry, type AuxForm, auxEntry, auxPathsOf } from "../job/aux.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { quotePath } from "../storage/fs-error.ts";
import type { PlannedFile } from "../storage/read-range.ts";
import { type AuxReading, loadTable, openWhole } from "./aux-rows.ts";

/** A file of side data on this machine. */
export interface AuxCopy {
  /** As the job knows it: its path, or below the directory it names. */
  readonly name: string;
  /** Absolute: where this machine has it. Files of the same content may share that. */
  readonly path: string;
  /** Numbers the files, as they lay before any was copied: two paths may lead to one. */
  readonly place: number;
  readonly bytes: number;
  /** SHA-256 of its content, hex. */
  readonly sha256: string;
  /** It was fetched for this run, which removes it. */
  readonly fetched?: true;
}

/** Files of side data, in order, by the path or pattern that the job's code has. */
export type AuxCopies = Readonly<Record<string, readonly AuxCopy[]>>;

/** Content that workers of one process share, by its SHA-256. */
export type SharedAux = Readonly<Record<string, SharedArrayBuffer>>;

export interface AuxOptions {
  readonly shared?: SharedAux;
  /** So much content, decompressed, there may be in all. Default: whatever there is. */
  readonly bytesMax?: number;
  /** Called every now and then while it goes on. */
  readonly progress?: () => void;
}

const parseJson = jsonParser("fail", "aux", 'have it written as a text, or read it yourself: as: "text"');

/** V8 has no longer text. */
const textBytesMax = 2 ** 29 - 24;

/** A path or pattern of a job's side data. */
export interface AuxSourcePath {
  /** Of the entry. */
  readonly name: string;
  /** As the code has it. */
  readonly file: string;
  /** It may stand for several: a directory, a pattern. Left out: it names one file. */
  readonly many?: true;
  /** What is wanted is its bytes, which workers can share. Left out: something is made of them. */
  readonly bytes?: true;
}

/** The files that a job's side data is made of, each path once for an entry. */
export function auxFiles(aux: Readonly<Record<string, unknown>>): AuxSourcePath[] {
  return Object.entries(aux).flatMap(([name, value]) => {
    const entry = auxEntry(value);
    const about = {
      ...((entry.kind === "files" || entry.kind === "table") && { many: true as const }),
      ...("as" in entry && entry.as === "bytes" && { bytes: true as const }),
    };
    return [...new Set(auxPathsOf(entry))].map((file) => ({ name, file, ...about }));
  });
}

/** A job's side data in one worker: loaded when it is first wanted, once for the same files. */
export class AuxData {
  #given: AuxCopies | null = null;
  #files = "";
  #loading: Promise<Readonly<Record<string, unknown>>> | null = null;

  /**
   * Values as they are, files and tables as AuxForm and TablePlan say.
   * @param copies where this machine has the files
   * @throws SheafError INPUT_MISSING, INPUT_CHANGED, RECORD_INVALID, KEY_INVALID, LIMIT_EXCEEDED ... naming
   * the entry, the file and the line
   */
  load(
    aux: Readonly<Record<string, unknown>>,
    copies: AuxCopies = {},
    options: AuxOptions = {},
  ): Promise<Readonly<Record<string, unknown>>> {
    if (this.#loading !== null && copies === this.#given) return this.#loading;
    const files = JSON.stringify(copies);
    this.#given = copies;
    if (this.#loading !== null && files === this.#files) return this.#loading;
    const loading = new Loader(copies, options).all(aux);
    [this.#files, this.#loading] = [files, loading];
    // What failed may be mended: a disk that was full, a file that was away.
    loading.catch(() => {
      if (this.#loading === loading) this.#loading = null;
    });
    return loading;
  }
}

class Loader implements AuxReading {
  readonly #copies: AuxCopies;
  readonly #options: AuxOptions;
  #bytes = 0;
  #entry = "";

  constructor(copies: AuxCopies, options: AuxOptions) {
    this.#copies = copies;
    this.#options = options;
  }

  async all(aux: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>> {
    const loaded: [string, unknown][] = [];
    for (const [name, value] of Object.entries(aux)) {
      this.#entry = name;
      loaded.push([name, await this.#load(auxEntry(value))]);
    }
    // Names may be any, "__proto__" too.
    return Object.freeze(Object.fromEntries(loaded));
  }

  took(bytes: number): void {
    this.#bytes += bytes;
    const { bytesMax = Number.POSITIVE_INFINITY, progress } = this.#options;
    if (this.#bytes > bytesMax) throw tooLarge(this.#entry, bytesMax, "decompressed");
    progress?.();
  }

  async #load(entry: AuxEntry): Promise<unknown> {
    if (entry.kind === "value") return entry.value;
    const copies = auxPathsOf(entry).flatMap((path) => this.#copiesOf(path));
    // Two paths may lead to one file.
    const files = [...new Map(copies.map((copy) => [copy.place, copy])).values()];
    if (entry.kind === "file") return this.#content(files[0]!, entry.as);
    if (entry.kind === "table") {
      const planned: PlannedFile[] = [];
      for (const file of files) planned.push(await this.#checked(file));
      return loadTable(this.#entry, entry, planned, this);
    }
    const contents = new Map<string, unknown>();
    for (const file of files) contents.set(file.name, await this.#content(file, entry.as));
    return contents;
  }

  #copiesOf(path: string): readonly AuxCopy[] {
    if (Object.hasOwn(this.#copies, path)) return this.#copies[path]!;
    throw new SheafError("INTERNAL", `aux.${this.#entry}: ${path} was not planned`);
  }

  async #content(file: AuxCopy, as: AuxForm | undefined): Promise<unknown> {
    const form = as ?? (isJson(file.name) ? "json" : "text");
    const shared = this.#options.shared?.[file.sha256];
    if (form === "bytes" && shared !== undefined) return new Uint8Array(shared);
    const planned = await this.#checked(file);
    if (form === "path") return file.path;
    if (form === "bytes") {
      this.took(file.bytes);
      return new Uint8Array(await readFile(file.path));
    }
    const text = await this.#text(planned);
    return form === "json" ? this.#parsed(file, text) : text;
  }

  /** UTF-8 without a byte order mark, decompressed. */
  async #text(file: PlannedFile): Promise<string> {
    const reader = { ...wholeFile({ recordBytesMax: textBytesMax }), content: "text" as const };
    try {
      const batches = await openWhole(reader, file);
      let text = "";
      let position = 0;
      for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
        if (batch.bad.length > 0) throw batch.bad[0]!.error;
        text = batch.records[0] ?? text;
        this.took(batches.position - position);
        position = batches.position;
      }
      return text;
    } catch (error) {
      if (!isSheafError(error) || error.message.startsWith("aux.")) throw error;
      const hint = 'Where bytes are wanted say so: { file: "...", as: "bytes" }.';
      throw new SheafError(error.code, `aux.${this.#entry}: ${error.message}`, {
        hint: error.code === "RECORD_TOO_LARGE" ? hint : `${error.hint ?? ""} ${hint}`.trim(),
        details: { path: file.name },
      });
    }
  }

  #parsed({ name }: AuxCopy, text: string): unknown {
    try {
      return parseJson(text);
    } catch (error) {
      const why = describeThrown(error);
      const at = /position (\d+)/.exec(why)?.[1];
      const end = at === undefined ? text.length : Number(at);
      // Of a number that is refused the message has the field.
      const line = error instanceof SyntaxError ? `, line ${text.slice(0, end).split("\n").length}` : "";
      throw new SheafError("RECORD_INVALID", `aux.${this.#entry}: ${quotePath(name)}${line}: ${why}`, {
        hint: 'Correct it; a file of one JSON value a line is read by jsonl("..."). For its text say as: "text".',
        cause: error,
        details: { path: name },
      });
    }
  }

  /** The file, known to hold what was planned. */
  async #checked(file: AuxCopy): Promise<PlannedFile> {
    const { name, path, sha256 } = file;
    try {
      const { mtimeMs } = await stat(path);
      const found = await sha256OfFile(path);
      this.#options.progress?.();
      if (found.sha256 === sha256) return { path, name, fileBytes: found.bytes, mtimeMs };
    } catch (cause) {
      throw new SheafError(
        "INPUT_MISSING",
        `aux.${this.#entry}: cannot read ${path}: ${describeThrown(cause)}`,
        {
          cause,
          hint: "It must stay where it is, readable, until the job is over.",
          details: { path },
        },
      );
    }
    throw new SheafError(
      "INPUT_CHANGED",
      `aux.${this.#entry}: ${quotePath(name)} has changed since the job was planned`,
      {
        hint: "Run the job again, and leave side data as it is until the job is over.",
        details: { path },
      },
    );
  }
}

/** @param how what it is that is too much: files as they lie, or decompressed */
export function tooLarge(entry: string, bytesMax: number, how: "files" | "decompressed"): SheafError {
  const what = how === "files" ? "the files of side data are" : "side data is, decompressed,";
  return new SheafError("LIMIT_EXCEEDED", `aux.${entry}: with it ${what} more than ${formatSize(bytesMax)}`, {
    hint:
      "Every worker holds all of it. Read large data as one of several inputs and join by key, or raise the limit: " +
      "--max-aux 4GiB, maxAux of run().",
    details: { bytesMax },
  });
}

function isJson(name: string): boolean {
  const plain = promisedCompression(name) === undefined ? name : name.slice(0, name.lastIndexOf("."));
  return plain.toLowerCase().endsWith(".json");
}
