import { Script } from "node:vm";
import { digest } from "./plan.ts";

/**
 * The identity of each step's code, from the text of the pipeline's bundle: when it is the same, so is what
 * the step does. A step that is written where esbuild leaves it as it is, as an entry of the pipeline() call
 * or a constant of the file, has its own text and all that is no step's for its identity; the text of other
 * steps does not matter. Where that cannot be told, the whole bundle is every step's code.
 */
export function codeOfSteps(bundle: string, steps: readonly string[]): Readonly<Record<string, string>> {
  const found = findSteps(bundle, steps);
  if (found === null) {
    const all = digest([bundle]);
    return Object.fromEntries(steps.map((name) => [name, all]));
  }
  const texts = new Map([...found].map(([name, { start, end }]) => [name, bundle.slice(start, end)]));
  const rest = without(bundle, [...found.values()]);
  // A step may be made of the constants of others, and what is no step's, too.
  const uses = usesOf(found, hasOtherFrom(bundle));
  const common = uses(without(bundle, [...found.values(), ...[...found.values()].flatMap(namedAt)]));
  return Object.fromEntries(
    steps.map((name) => {
      const used = new Set(common);
      const open = [name, ...common];
      for (let one = open.pop(); one !== undefined; one = open.pop()) {
        for (const other of uses(texts.get(one)!)) {
          if (used.has(other)) continue;
          used.add(other);
          open.push(other);
        }
      }
      used.delete(name);
      const others = [...used].toSorted((a, b) => found.get(a)!.start - found.get(b)!.start);
      return [name, digest([rest, texts.get(name)!, ...others.map((one) => texts.get(one)!)])];
    }),
  );
}

/** Whether a function of that name may be another than sheaf's: declared, or a parameter. */
function hasOtherFrom(bundle: string): boolean {
  const own = bundle.replace(/^import .*$/gm, "");
  return /\b(?:function|class|var|let|const) from\d*\b|(?<![.\w$])from\d*\s*[,)}=]/.test(own);
}

/** The text without these pieces. */
function without(text: string, pieces: readonly Piece[]): string {
  let rest = text;
  // From the last to the first, so that places stay right.
  for (const { start, end } of pieces.toSorted((a, b) => b.start - a.start))
    rest = rest.slice(0, start) + rest.slice(end);
  return rest;
}

function namedAt({ constant }: StepPiece): Piece[] {
  return constant === null ? [] : [constant.named];
}

/**
 * Tells which steps' constants a text names. Who only reads what a step writes, from(step), does not depend
 * on its code: that runs again first, and what it wrote is compared. Nothing in the bundle reads its exports.
 * @param strict from(step) is no mere reading
 */
function usesOf(found: ReadonlyMap<string, StepPiece>, strict: boolean): (text: string) => string[] {
  const constants = [...found].flatMap(([name, { constant }]) => {
    if (constant === null) return [];
    const id = quoted(constant.id);
    // Not a part of a longer name, nor a member of that name; "...id" is neither.
    const pattern = new RegExp(`(?<![\\w$])(?<!(?<!\\.\\.)\\.)${id}(?![\\w$])`);
    const read = new RegExp(`(?<![\\w$.])from\\d*\\((?:${id}|"${id}")(?=[,)])`, "g");
    return [{ name, pattern, read }];
  });
  return (text) => {
    const plain = text.replace(/^export \{[^}]*\};?$/gm, "");
    return constants
      .filter(({ pattern, read }) => pattern.test(strict ? plain : plain.replace(read, "")))
      .map(({ name }) => name);
  };
}

function quoted(id: string): string {
  return id.replace(/\$/g, "\\$");
}

interface Piece {
  readonly start: number;
  readonly end: number;
}

interface StepPiece extends Piece {
  /** The constant that the piece defines, and where the pipeline names it; null: it is written in there. */
  readonly constant: { readonly id: string; readonly named: Piece } | null;
}

/** What begins the text of a step. */
const call = "(?:job|step|script|transfer|loop)\\d*\\(";

/** The piece of the bundle that is each step's own; null when one of them is not found for sure. */
function findSteps(bundle: string, steps: readonly string[]): ReadonlyMap<string, StepPiece> | null {
  const begins = [...bundle.matchAll(/^(?:(?:var|let|const) [\w$]+ = )?pipeline\d*\(/gm)];
  if (begins.length !== 1) return null;
  const [begin] = begins;
  const from = begin!.index + begin![0].length;
  const pipeline = callAt(bundle, begin!.index + begin![0].search(/pipeline\d*\($/), from);
  if (pipeline === null) return null;
  const entries = entriesIn(bundle, { start: from, end: pipeline });
  const found = new Map<string, StepPiece>();
  for (const name of steps) {
    const own = entries.filter((entry) => entry.name === name);
    if (own.length > 1) return null;
    const [entry] = own;
    const piece =
      entry === undefined
        ? constantOf(bundle, name, { start: from, end: pipeline }, entries)
        : { start: entry.start, end: entry.end, constant: null };
    if (piece === null) return null;
    found.set(name, piece);
  }
  const pieces = [...found.values()].toSorted((a, b) => a.start - b.start);
  if (pieces.some((piece, index) => index > 0 && piece.start < pieces[index - 1]!.end)) return null;
  return found;
}

/** `name: job(...)` within the call of pipeline(), and not within another such entry. */
function entriesIn(bundle: string, { start, end }: Piece): (Piece & { readonly name: string })[] {
  const entries: (Piece & { readonly name: string })[] = [];
  const pattern = new RegExp(`(?<=[{,]\\s*)(?:([\\w$]+)|"([\\w-]+)"): ${call}`, "g");
  // With the blanks before it, so that one entry more leaves no trace.
  const begin = (at: number): number => bundle.slice(0, at).trimEnd().length;
  for (pattern.lastIndex = start; ;) {
    const match = pattern.exec(bundle);
    if (match === null || match.index >= end) return entries;
    const expression = match.index + match[0].search(new RegExp(`${call}$`));
    const close = callAt(bundle, expression, match.index + match[0].length);
    if (close === null) continue;
    const comma = bundle[close] === "," ? 1 : 0;
    entries.push({ name: (match[1] ?? match[2])!, start: begin(match.index), end: close + comma });
    pattern.lastIndex = close;
  }
}

/** `var name = job(...);` of the file, which the pipeline names. */
function constantOf(
  bundle: string,
  name: string,
  { start, end }: Piece,
  entries: readonly Piece[],
): StepPiece | null {
  // Blanks in the place of the entries, and a comma at their end, so that places stay right.
  let inside = bundle.slice(0, end);
  for (const entry of entries) {
    const length = entry.end - entry.start;
    inside = `${inside.slice(0, entry.start)}${" ".repeat(length - 1)},${inside.slice(entry.end)}`;
  }
  const pattern = new RegExp(`(?<=[{,]\\s*)(?:${name}|"${name}")(?:: ([\\w$]+))?(?=\\s*[,}])`, "g");
  const all = [...inside.matchAll(pattern)].filter(({ index }) => index >= start);
  const [named] = all;
  if (named === undefined || all.length > 1) return null;
  const id = named[1] ?? name;
  const made = [...bundle.matchAll(new RegExp(`^(?:var|let|const) ${quoted(id)} = ${call}`, "gm"))];
  if (made.length !== 1) return null;
  const [match] = made;
  const expression = match!.index + match![0].search(new RegExp(`${call}$`));
  const close = callAt(bundle, expression, match!.index + match![0].length);
  if (close === null) return null;
  const constant = { id, named: { start: named.index, end: named.index + named[0].length } };
  return { start: match!.index, end: close, constant };
}

/** Whoever writes longer steps, or with more parentheses, has all of the bundle for each step's code. */
const triesMax = 1_000;
const charsMax = 100_000;

/**
 * Where the call that begins at `start` ends: behind the first parenthesis up to which it is a whole
 * expression. What is cut off within a text, a pattern or a bracket is none.
 */
function callAt(text: string, start: number, from: number): number | null {
  let close = text.indexOf(")", from);
  for (let tries = 0; close >= 0 && close - start < charsMax && tries < triesMax; tries++) {
    if (isExpression(text.slice(start, close + 1))) return close + 1;
    close = text.indexOf(")", close + 1);
  }
  return null;
}

function isExpression(text: string): boolean {
  try {
    new Script(`(${text}\n)`);
    return true;
  } catch {
    return false;
  }
}
