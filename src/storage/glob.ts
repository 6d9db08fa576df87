import { type Dirent, existsSync } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";

/*
 * Patterns as bash reads them, extglob off: braces first, then * ? [ ] per name. Parentheses, braces without
 * a comma, and whatever follows a backslash stand for themselves. Added to it are ** (bash's globstar, which
 * here follows links) and names that begin with "_", which wildcards leave out as they do those with ".".
 */

const WORDS_MAX = limits.bracedPathsMax;
const SPECIAL = /[*?[{\\]/;

/** The path; of a pattern the directory that holds everything it matches. */
export function patternBase(path: string): string {
  const special = path.search(SPECIAL);
  return special < 0 ? path : dirname(`${path.slice(0, special)}x`);
}

/** Whether a path says more than one name literally. */
export function isPattern(path: string): boolean {
  return SPECIAL.test(path);
}

/** Whether a path is no name of this machine: an address, or a file of each agent's own. */
export function isElsewhere(path: string): boolean {
  return /^(?:[a-z][\w+.-]*:\/\/|agent:)/i.test(path);
}

/**
 * The path or pattern as one below `directory`, in whose own name nothing is special. What does not depend on
 * it is as it was: absolute paths, addresses, "-".
 */
export function inputIn(directory: string, path: string): string {
  if (path === "-" || isAbsolute(path) || isElsewhere(path)) return path;
  const base = directory.replace(/\/$/, "");
  const plain = `${base}/${path}`;
  if (!isPattern(base) || existsSync(plain)) return plain;
  return `${base.replace(/[*?[\]{},\\]/g, "\\$&")}/${path}`;
}

/**
 * The words that braces make of one, as bash's brace expansion: {a,b}, {1..10..2}, {a..e}, nested or not. The
 * rest, backslashes too, is left as it is.
 * @throws SheafError USAGE for more than 100,000
 */
export function expandBraces(word: string): string[] {
  for (let from = 0; ; from++) {
    from = nextPlain(word, "{", from);
    if (from === -1) return [word];
    const body = braceBody(word, from + 1);
    if (body === null) continue;
    const before = word.slice(0, from);
    const behind = expandBraces(word.slice(from + body.length + 2));
    const words = alternativesOf(body).flatMap((one) => behind.map((rest) => before + one + rest));
    if (words.length > WORDS_MAX) {
      throw new SheafError("USAGE", `the braces of ${quotePath(word)} make more than ${WORDS_MAX} paths`, {
        hint: "Use wildcards (* and ?), or give a directory.",
      });
    }
    return words;
  }
}

/** Where `character` is next, not behind a backslash; -1 when it is not. */
function nextPlain(word: string, character: string, from: number): number {
  for (let at = from; at < word.length; at++) {
    if (word[at] === "\\") at++;
    else if (word[at] === character) return at;
  }
  return -1;
}

/**
 * What stands between a brace and the first one behind it that closes a list or, by its dots, a range; null
 * when none does.
 */
function braceBody(word: string, from: number): string | null {
  if (from === 1 && word[from] === "}") return null;
  let depth = 0;
  let isList = false;
  for (let at = from; at < word.length; at++) {
    const character = word[at];
    if (character === "\\") at++;
    else if (character === "{") depth++;
    else if (character === "}" && depth > 0) depth--;
    else if (depth > 0) continue;
    else if (character === "}" && isList) return word.slice(from, at);
    else if (character === "," || (word.startsWith("..", at) && word[at + 2] !== "}")) isList = true;
  }
  return null;
}

function alternativesOf(body: string): string[] {
  if (nextPlain(body, ",", 0) !== -1) return partsOf(body).flatMap(expandBraces);
  return rangeOf(body) ?? [`{${body}}`];
}

/** Cut at the commas that are in no further braces. */
function partsOf(body: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < body.length; at++) {
    if (body[at] === "\\") at++;
    else if (body[at] === "{") depth++;
    else if (body[at] === "}") depth = Math.max(0, depth - 1);
    else if (body[at] === "," && depth === 0) {
      parts.push(body.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, body.slice(start)];
}

function rangeOf(body: string): string[] | null {
  const numbers = /^([-+]?\d+)\.\.([-+]?\d+)(?:\.\.([-+]?\d+))?$/.exec(body);
  const letters = /^([a-zA-Z])\.\.([a-zA-Z])(?:\.\.([-+]?\d+))?$/.exec(body);
  const found = numbers ?? letters;
  if (found === null) return null;
  const [, first = "", last = "", by] = found;
  const value = (text: string): number => (numbers === null ? text.charCodeAt(0) : Number(text));
  const [from, to] = [value(first), value(last)];
  const step = Math.max(1, Math.abs(Number(by ?? 1)));
  if (![from, to, step].every(Number.isSafeInteger) || Math.abs(to - from) / step > WORDS_MAX) return null;
  const isPadded = [first, last].some((text) => /^[-+]?0\d/.test(text));
  const width = isPadded ? Math.max(first.length, last.length) : 0;
  const texts: string[] = [];
  for (let at = from; from <= to ? at <= to : at >= to; at += from <= to ? step : -step) {
    texts.push(numbers === null ? String.fromCharCode(at) : padded(at, width));
  }
  return texts;
}

function padded(value: number, width: number): string {
  const sign = value < 0 ? "-" : "";
  return sign + String(Math.abs(value)).padStart(width - sign.length, "0");
}

/** One name of a path with wildcards. */
type Segment =
  | { readonly kind: "name"; readonly name: string }
  | {
      readonly kind: "wild";
      readonly matches: RegExp;
      /** Names that begin like this match only when the pattern says so itself. */
      readonly hides: readonly string[];
    }
  | { readonly kind: "any depth" };

/** A word without braces, taken apart. */
export interface Glob {
  /** Names before the first wildcard. */
  readonly base: string;
  readonly segments: readonly Segment[];
}

/** Takes a word apart that expandBraces made. */
export function parseGlob(word: string): Glob {
  const texts = word.replaceAll("\\/", "/").split("/");
  const segments = texts.map(segmentOf);
  const wild = segments.findIndex(({ kind }) => kind !== "name");
  const names = segments.slice(0, wild === -1 ? segments.length : wild);
  const base = names.map((segment) => (segment.kind === "name" ? segment.name : "")).join("/");
  // The root is a name of no characters before a slash.
  return { base: base === "" && word.startsWith("/") ? "/" : base, segments: segments.slice(names.length) };
}

function segmentOf(text: string): Segment {
  if (text === "**") return { kind: "any depth" };
  let isWild = false;
  let name = "";
  let source = "";
  const take = (character: string): void => {
    name += character;
    source += escaped(character);
  };
  for (let at = 0; at < text.length;) {
    const character = String.fromCodePoint(text.codePointAt(at)!);
    const bracket = character === "[" ? bracketAt(text, at) : null;
    if (bracket !== null) {
      isWild = true;
      source += bracket.source;
      at = bracket.end;
      continue;
    }
    at += character.length;
    if (character === "*" || character === "?") {
      isWild = true;
      source += character === "*" ? "[^]*" : "[^]";
    } else if (character === "\\" && at < text.length) {
      const next = String.fromCodePoint(text.codePointAt(at)!);
      at += next.length;
      take(next);
    } else take(character);
  }
  if (!isWild) return { kind: "name", name };
  const first = text.replace(/^\\/, "")[0];
  const hides = [...(first === "." ? [] : ["."]), ...(first === "_" || first === "[" ? [] : ["_"])];
  return { kind: "wild", matches: new RegExp(`^${source}$`, "u"), hides };
}

function escaped(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}

function escapedMember(character: string): string {
  return character === "-" ? "\\-" : escaped(character);
}

const CLASSES: Readonly<Record<string, string>> = {
  alnum: "\\p{L}\\p{Nd}",
  alpha: "\\p{L}",
  ascii: "\\0-\\x7f",
  blank: " \\t",
  cntrl: "\\0-\\x1f\\x7f",
  digit: "0-9",
  graph: "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}",
  lower: "\\p{Ll}",
  print: "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Zs}",
  punct: "!-\\/:-@\\[-`\\{-~",
  space: "\\s",
  upper: "\\p{Lu}",
  word: "\\p{L}\\p{Nd}_",
  xdigit: "0-9A-Fa-f",
};

/** The bracket expression that begins at `start`, as part of a RegExp; null when nothing closes it. */
function bracketAt(text: string, start: number): { source: string; end: number } | null {
  let at = start + 1;
  const isNegated = text[at] === "!" || text[at] === "^";
  if (isNegated) at++;
  const members: string[] = [];
  for (let isFirst = true; at < text.length; isFirst = false) {
    if (text[at] === "]" && !isFirst) {
      const inside = members.join("");
      // Nothing but ranges that run backwards: no character is one of none.
      const source = inside === "" ? (isNegated ? "[^]" : "[]") : `[${isNegated ? "^" : ""}${inside}]`;
      return { source, end: at + 1 };
    }
    const named = /^\[:([a-z]+):\]/.exec(text.slice(at));
    if (named !== null) {
      members.push(CLASSES[named[1]!] ?? "");
      at += named[0].length;
      continue;
    }
    const low = characterAt(text, at);
    if (low === null) return null;
    at = low.end;
    const high = text[at] === "-" && text[at + 1] !== "]" ? characterAt(text, at + 1) : null;
    if (high === null) members.push(escapedMember(low.character));
    else {
      at = high.end;
      const isForward = low.character.codePointAt(0)! <= high.character.codePointAt(0)!;
      if (isForward) members.push(`${escapedMember(low.character)}-${escapedMember(high.character)}`);
    }
  }
  return null;
}

function characterAt(text: string, at: number): { character: string; end: number } | null {
  const from = text[at] === "\\" && at + 1 < text.length ? at + 1 : at;
  if (from >= text.length) return null;
  const character = String.fromCodePoint(text.codePointAt(from)!);
  return { character, end: from + character.length };
}

/** Where patterns look for names: this machine's files, or those of a store. */
export interface GlobWorld<Entry extends { readonly name: string }> {
  /** What lies in a directory; nothing when there is none. */
  entries(path: string): Promise<readonly Entry[]>;
  /** Whether an entry of the directory is one itself, also by a link. */
  isDirectory(path: string, entry: Entry): boolean | Promise<boolean>;
  exists(path: string): Promise<boolean>;
  /** What tells a directory from all others, however it was reached; null when there is none. */
  identity(path: string): Promise<string | null>;
}

/**
 * The paths that exist and match, in the order of their names. Directories that are not there hold nothing;
 * one that may not be read is an error.
 * @throws SheafError INPUT_UNREADABLE
 */
export async function globMatches<Entry extends { readonly name: string }>(
  { base, segments }: Glob,
  world: GlobWorld<Entry>,
): Promise<string[]> {
  const found: string[] = [];
  await walk({ world, above: [], found }, base, segments);
  return found;
}

interface Walk<Entry extends { readonly name: string }> {
  readonly world: GlobWorld<Entry>;
  /** Identities of the directories a "**" has come through, so that links in a circle end. */
  readonly above: readonly string[];
  readonly found: string[];
}

async function walk<Entry extends { readonly name: string }>(
  state: Walk<Entry>,
  path: string,
  segments: readonly Segment[],
): Promise<void> {
  const { world, found } = state;
  const [segment, ...rest] = segments;
  if (segment === undefined) {
    if (await world.exists(path)) found.push(path);
  } else if (segment.kind === "name") {
    await walk(state, below(path, segment.name), rest);
  } else if (segment.kind === "wild") {
    for (const entry of await world.entries(path)) {
      const { name } = entry;
      if (!segment.matches.test(name) || isHidden(name, segment.hides)) continue;
      // What was just seen exists, even where its name is no UTF-8 and cannot be asked for.
      if (rest.length === 0) found.push(below(path, name));
      else if (await world.isDirectory(path, entry)) await walk(state, below(path, name), rest);
    }
  } else if (rest.length === 0) {
    await walk(state, path, [segmentOf("*")]);
  } else {
    await walkDeep(state, path, rest);
  }
}

async function walkDeep<Entry extends { readonly name: string }>(
  state: Walk<Entry>,
  path: string,
  rest: readonly Segment[],
): Promise<void> {
  const { world, above } = state;
  const identity = await world.identity(path);
  if (identity === null || above.includes(identity)) return;
  const deeper = { ...state, above: [...above, identity] };
  await walk(state, path, rest);
  for (const entry of await world.entries(path)) {
    if (isHidden(entry.name)) continue;
    if (await world.isDirectory(path, entry)) await walkDeep(deeper, below(path, entry.name), rest);
  }
}

/** Whether wildcards and directories leave a name out. */
export function isHidden(name: string, hides: readonly string[] = [".", "_"]): boolean {
  return hides.some((start) => name.startsWith(start));
}

function below(path: string, name: string): string {
  return path === "" || path.endsWith("/") ? path + name : `${path}/${name}`;
}

/** The files of this machine, with `cwd` before what is relative. */
export function localGlobWorld(cwd: string): GlobWorld<Dirent> {
  const placeOf = (path: string): string => (isAbsolute(path) ? path : `${cwd}/${path}`);
  return {
    entries: async (path) => {
      try {
        return await readdir(placeOf(path), { withFileTypes: true });
      } catch (error) {
        if (isNothing(error)) return [];
        throw asSheafError(error, { path, doing: "list" });
      }
    },
    isDirectory: (path, entry) => {
      if (!entry.isSymbolicLink()) return entry.isDirectory();
      return stat(join(placeOf(path), entry.name)).then(
        (status) => status.isDirectory(),
        () => false,
      );
    },
    // A link to nothing exists.
    exists: async (path) => {
      try {
        await lstat(placeOf(path));
        return true;
      } catch (error) {
        if (isNothing(error)) return false;
        throw asSheafError(error, { path, doing: "list" });
      }
    },
    identity: (path) => realpath(placeOf(path)).catch(() => null),
  };
}

function isNothing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(errnoOf(error) ?? "");
}
