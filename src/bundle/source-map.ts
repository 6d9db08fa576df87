import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A place in the user's source, line and column counted from 1. */
export interface SourcePlace {
  /** Absolute path, or what the source map names when it is no file. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  /**
   * The lines around it, from the map's own copy of the source: what ran, even if the file has changed
   * since.
   */
  readonly excerpt: readonly { readonly line: number; readonly text: string }[];
}

export interface MappedStack {
  /** The stack with the bundle's frames named by their sources, without frames of the engine and of Node. */
  readonly text: string;
  /** Of the topmost frame in the user's own sources (not in node_modules), or of the topmost one left. */
  readonly place: SourcePlace | null;
}

const FRAME = /^(\s*at .*?\(?)((?:file:\/\/|\/)[^()]*?):(\d+):(\d+)(\)?)$/;

/**
 * Maps an error's stack through the bundle's source map.
 * @param stack as in `error.stack`; frames that Node has mapped already (--enable-source-maps) stay as they
 * are
 * @param bundlePath absolute path of job.mjs as it was loaded; null when the job's code was not bundled
 * @param hide frames below these directories are left out (the engine's own)
 */
export async function mapStack(
  stack: string,
  bundlePath: string | null,
  hide: readonly string[] = [],
): Promise<MappedStack> {
  const map = bundlePath === null ? null : await readMap(`${bundlePath}.map`);
  const lines: string[] = [];
  const places: SourcePlace[] = [];
  for (const line of stack.split("\n")) {
    if (/^\s*at .*\(?node:internal\//.test(line)) continue;
    const frame = FRAME.exec(line);
    if (frame === null) {
      lines.push(line);
      continue;
    }
    const [, before, source, lineNumber, column, behind] = frame as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const at = { path: framePath(source), line: Number(lineNumber), column: Number(column) };
    if (hide.some((directory) => at.path.startsWith(directory))) continue;
    const original = at.path === bundlePath && map !== null ? map.originalOf(at) : at;
    places.push({
      ...original,
      excerpt: excerpt(map?.contentOf(original.path) ?? readSource(original.path), original.line),
    });
    lines.push(`${before}${shortPath(original.path)}:${original.line}:${original.column}${behind}`);
  }
  const own = places.find((place) => !place.path.includes("/node_modules/"));
  return { text: lines.join("\n"), place: own ?? places[0] ?? null };
}

type Position = Omit<SourcePlace, "excerpt">;

interface BundleMap {
  originalOf(at: Position): Position;
  contentOf(path: string): string | null;
}

async function readMap(mapPath: string): Promise<BundleMap | null> {
  const { TraceMap, originalPositionFor, sourceContentFor } = await import("@jridgewell/trace-mapping");
  try {
    const map = new TraceMap(readFileSync(mapPath, "utf8"), pathToFileURL(mapPath).href);
    return {
      originalOf: (at) => {
        const found = originalPositionFor(map, { line: at.line, column: at.column - 1 });
        if (found.source === null || found.line === null) return at;
        return { path: framePath(found.source), line: found.line, column: (found.column ?? 0) + 1 };
      },
      contentOf: (path) => sourceContentFor(map, pathToFileURL(path).href),
    };
  } catch {
    return null;
  }
}

function readSource(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
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

function excerpt(content: string | null, line: number): { line: number; text: string }[] {
  if (content === null) return [];
  const all = content.split("\n");
  const from = Math.max(1, line - 2);
  return all.slice(from - 1, line + 1).map((text, index) => ({ line: from + index, text }));
}
