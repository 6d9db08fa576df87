import { TraceMap, traceSegment } from "@jridgewell/trace-mapping";
/*
 * A bundled module has lost its place: `import.meta`, `__dirname`, `__filename`, `require` and `import()`
 * would speak of the bundle. esbuild, which knows the syntax tree, replaces the first three by names made
 * up here (`define`) and writes `__require` and `import(` for what it could not bundle; its source map says
 * which source file each of these comes from. Here they become names of that file, of the same length, so
 * that the source map stays right, which the reserved first line of the bundle declares.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import type { OriginalFile } from "./original-file.ts";
import { placeholderUrl } from "./portable-bundle.ts";

/** Names that are in no source file of the job. */
export interface MadeUpNames {
  readonly prefix: string;
  /** For esbuild. */
  readonly define: Readonly<Record<string, string>>;
  /** For esbuild: the line that is kept free for declarations. */
  readonly banner: string;
}

type Kind = "dirname" | "filename" | keyof OriginalFile;

const letters = "zxjqvwkyZXJQVWKY";

/** `from`: another number gives other names. Null when there are no more. */
export function madeUpNames(from: number): MadeUpNames | null {
  const letter = letters[from];
  if (letter === undefined) return null;
  const prefix = `$${letter}`;
  const name = (kind: Kind): string => nameOf(prefix, kind, 0, kind.length + 10);
  return {
    prefix,
    define: { "import.meta": name("meta"), __dirname: name("dirname"), __filename: name("filename") },
    banner: `//${prefix}`,
  };
}

/** Whether there may be anything to replace in the code, or a helper for patterns. */
export function mayAskForPlaces({ prefix }: MadeUpNames, code: string): boolean {
  return code.includes(`${prefix}00000000`) || /__require|\bimport\(|__glob/.test(code);
}

/** Whether a source file has a name that may be one of ours. */
export function mayClash(names: MadeUpNames, map: string): boolean {
  const { sourcesContent } = JSON.parse(map) as { sourcesContent: (string | null)[] };
  const ours = new RegExp(`\\${names.prefix}(?:[0-9a-z]{4}|of)`);
  return sourcesContent.some((text) => text !== null && ours.test(text));
}

const endings = { meta: "meta", dirname: "dirname", filename: "filename", require: "r", import: "" } as const;

/** Of that length, so that what is behind it stays in its column. */
function nameOf(prefix: string, kind: Kind, index: number, length: number): string {
  const digits = length - prefix.length - endings[kind].length;
  const number = index.toString(36);
  if (number.length > digits) throw new SheafError("INTERNAL", `a bundle of more than ${index} files`);
  return `${prefix}${number.padStart(digits, "0")}${endings[kind]}`;
}

/**
 * The bundle with every place being that of the source file.
 * @param map its source map, sources as file URLs
 * @param entry path of the job file
 */
export function withOwnPlaces(code: string, map: string, names: MadeUpNames, entry: string): string {
  const found = occurrences(code, map, names);
  if (found.length === 0) return code;
  const files = new Map<string, { readonly index: number; readonly names: Map<string, Kind> }>();
  let text = "";
  let end = 0;
  for (const { at, length, kind, source } of found) {
    const file = files.get(source) ?? { index: files.size, names: new Map<string, Kind>() };
    files.set(source, file);
    const name = nameOf(names.prefix, kind, file.index, length);
    file.names.set(name, kind);
    text += code.slice(end, at) + name;
    end = at + length;
  }
  text += code.slice(end);
  const helper = `${names.prefix}of`;
  const declared = [...files].map(([url, file]) => declaration(url, file.names, helper, entry)).join("");
  const isCalled = declared.includes(`=${helper}(`);
  const head = isCalled ? `import{originalFile as ${helper}}from"${placeholderUrl("original-file")}";` : "";
  return text.replace(names.banner, () => head + declared);
}

interface Occurrence {
  readonly at: number;
  readonly length: number;
  readonly kind: Kind;
  /** URL of the source file. */
  readonly source: string;
}

function occurrences(code: string, map: string, { prefix }: MadeUpNames): Occurrence[] {
  const ours = new RegExp(
    `\\${prefix}0{8}(?<own>meta|dirname|filename)\\b|(?<![\\w$])(?:(?<require>__require\\d*)(?![\\w$])|(?<import>import)\\()`,
    "g",
  );
  let traced: TraceMap | null = null;
  let sources: { readonly url: string; readonly lines: readonly string[] }[] = [];
  const found: Occurrence[] = [];
  const starts = lineStarts(code);
  let line = 0;
  for (const { index: at, groups = {}, 0: all } of code.matchAll(ours)) {
    if (traced === null) {
      const parsed = JSON.parse(map) as { sources: string[]; sourcesContent: (string | null)[] };
      traced = new TraceMap(map);
      sources = parsed.sources.map((url, index) => ({
        url,
        lines: (parsed.sourcesContent[index] ?? "").split(/\r\n|[\n\r\u2028\u2029]/),
      }));
    }
    while (line + 1 < starts.length && starts[line + 1]! <= at) line++;
    const segment = traceSegment(traced, line, at - starts[line]!);
    if (segment === null || segment.length === 1) continue;
    const { url, lines } = sources[segment[1]]!;
    const own = groups["own"] as "meta" | "dirname" | "filename" | undefined;
    const kind = own ?? (groups["import"] === undefined ? "require" : "import");
    // Ours is certain by its name. What esbuild wrote begins a mapping (that of a statement lies before its
    // indentation), what is in a string does not.
    if (own === undefined) {
      if (!/^[\s(]*$/.test(code.slice(starts[line]! + segment[0], at))) continue;
      const original = lines[segment[2]]?.slice(segment[3]) ?? "";
      if (kind === "import" ? !original.startsWith("import") : original.startsWith("__require")) continue;
      // Addresses need no place.
      if (kind === "import" && /^import\(\s*"[a-z]+:/.test(code.slice(at, at + 100))) continue;
    }
    found.push({ at, length: own === undefined && kind === "import" ? 6 : all.length, kind, source: url });
  }
  return found;
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function declaration(url: string, used: ReadonlyMap<string, Kind>, helper: string, entry: string): string {
  // Modules made up for a file are named by a word and its path.
  const path = url.startsWith("file://") ? fileURLToPath(url) : url.replace(/^[a-z-]+:/, "");
  const texts: string[] = [];
  const members: string[] = [];
  for (const [name, kind] of used) {
    if (kind === "dirname") texts.push(`var ${name}=${JSON.stringify(dirname(path))};`);
    else if (kind === "filename") texts.push(`var ${name}=${JSON.stringify(path)};`);
    else members.push(`${kind}:${name}`);
  }
  if (members.length > 0)
    texts.push(`var{${members.join(",")}}=${helper}(${JSON.stringify(path)},${JSON.stringify(entry)});`);
  return texts.join("");
}
