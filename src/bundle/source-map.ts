import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A place in the user's source, line and column counted from 1. */
export interface SourcePlace {
  /** Absolute path, or what the source map names when it is no file. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  /** The lines around it, from the map's own copy of the source: what ran, even if the file has changed since. */
  readonly excerpt: readonly { readonly line: number; readonly text: string }[];
}

export interface MappedStack {
  /** The stack with the bundle's frames named by their sources, and without the engine's own frames. */
  readonly text: string;
  /** Of the topmost frame in the user's own sources (not in node_modules), or of the topmost mapped one. */
  readonly place: SourcePlace | null;
}

const FRAME = /^(\s*at .*?\(?)((?:file:\/\/|\/)[^()]*?):(\d+):(\d+)(\)?)$/;

/**
 * Maps an error's stack through the bundle's source map.
 * @param stack as in `error.stack`
 * @param bundlePath absolute path of job.mjs as it was loaded
 * @param mapPath its source map; when it cannot be read the stack comes back as it was
 * @param hide frames whose path contains this are left out (the engine's own directory)
 */
export async function mapStack(
  stack: string,
  bundlePath: string,
  mapPath: string,
  hide?: string,
): Promise<MappedStack> {
  const traceMapping = await import("@jridgewell/trace-mapping");
  let map: InstanceType<typeof traceMapping.TraceMap>;
  try {
    map = new traceMapping.TraceMap(readFileSync(mapPath, "utf8"), pathToFileURL(mapPath).href);
  } catch {
    return { text: stack, place: null };
  }
  const lines: string[] = [];
  const places: SourcePlace[] = [];
  for (const line of stack.split("\n")) {
    const frame = FRAME.exec(line);
    const path = frame === null ? null : framePath(frame[2]!);
    if (path !== bundlePath) {
      if (!isEngineFrame(line, path, hide)) lines.push(line);
      continue;
    }
    const original = traceMapping.originalPositionFor(map, {
      line: Number(frame![3]),
      column: Number(frame![4]) - 1,
    });
    if (original.source === null || original.line === null) {
      lines.push(line);
      continue;
    }
    const source = framePath(original.source);
    const at = { path: source, line: original.line, column: (original.column ?? 0) + 1 };
    places.push({ ...at, excerpt: excerpt(traceMapping.sourceContentFor(map, original.source), at.line) });
    lines.push(`${frame![1]}${shortPath(source)}:${at.line}:${at.column}${frame![5]}`);
  }
  const own = places.find((place) => !place.path.includes("/node_modules/"));
  return { text: lines.join("\n"), place: own ?? places[0] ?? null };
}

/** Paths below the current directory are shown relative to it. */
export function shortPath(path: string, from: string = process.cwd()): string {
  const short = relative(from, path);
  return short === "" || short.startsWith("..") ? path : short;
}

function framePath(source: string): string {
  // A query would be the cache buster of a bundle that was loaded twice.
  const bare = source.replace(/\?.*$/, "");
  return bare.startsWith("file://") ? fileURLToPath(bare) : bare;
}

function isEngineFrame(line: string, path: string | null, hide: string | undefined): boolean {
  if (hide !== undefined && path !== null && path.startsWith(hide)) return true;
  return /^\s*at .*\(?node:internal\//.test(line);
}

function excerpt(content: string | null, line: number): { line: number; text: string }[] {
  if (content === null) return [];
  const all = content.split("\n");
  const from = Math.max(1, line - 2);
  return all.slice(from - 1, line + 1).map((text, index) => ({ line: from + index, text }));
}
