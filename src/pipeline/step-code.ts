import { createHash } from "node:crypto";
import { Script } from "node:vm";

/**
 * The identity of each step's code, from the text of the pipeline's bundle: when it is the same, so is what
 * the step does. A step that is written where esbuild leaves it as it is, as an entry of the pipeline() call
 * or a constant of the file, has its own text and all that is no step's for its identity; the text of other
 * steps does not matter. Where that cannot be told, the whole bundle is every step's code.
 */
export function codeOfSteps(bundle: string, steps: readonly string[]): Readonly<Record<string, string>> {
  const texts = findSteps(bundle, steps);
  if (texts === null) {
    const all = digest([bundle]);
    return Object.fromEntries(steps.map((name) => [name, all]));
  }
  // From the last to the first, so that places stay right.
  const cuts = [...texts.values()].flat().toSorted((a, b) => b.start - a.start);
  let rest = bundle;
  for (const { start, end } of cuts) rest = rest.slice(0, start) + rest.slice(end);
  return Object.fromEntries(
    steps.map((name) => {
      const own = texts.get(name)!.map(({ start, end }) => bundle.slice(start, end));
      return [name, digest([rest, ...own])];
    }),
  );
}

function digest(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

interface Piece {
  readonly start: number;
  readonly end: number;
}

/** What begins the text of a step. */
const call = "(?:job|step|script|transfer|loop)\\d*\\(";

/** The pieces of the bundle that are each step's own; null when one of them is not found for sure. */
function findSteps(bundle: string, steps: readonly string[]): ReadonlyMap<string, Piece[]> | null {
  const begins = [...bundle.matchAll(/^(?:(?:var|let|const) [\w$]+ = )?pipeline\d*\(/gm)];
  if (begins.length !== 1) return null;
  const [begin] = begins;
  const from = begin!.index + begin![0].length;
  const pipeline = callAt(bundle, begin!.index + begin![0].search(/pipeline\d*\($/), from);
  if (pipeline === null) return null;
  const entries = entriesIn(bundle, { start: from, end: pipeline });
  const found = new Map<string, Piece[]>();
  for (const name of steps) {
    const own = entries.filter((entry) => entry.name === name);
    if (own.length > 1) return null;
    const piece = own[0] ?? constantOf(bundle, name, { start: from, end: pipeline }, entries);
    if (piece === null) return null;
    found.set(name, [{ start: piece.start, end: piece.end }]);
  }
  const pieces = [...found.values()].flat().toSorted((a, b) => a.start - b.start);
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
): Piece | null {
  let inside = "";
  let at = start;
  for (const entry of entries) {
    inside += bundle.slice(at, entry.start);
    at = entry.end;
  }
  inside += bundle.slice(at, end);
  const named = [
    ...inside.matchAll(new RegExp(`(?<=[{,]\\s*)(?:${name}|"${name}")(?:: ([\\w$]+))?(?=\\s*[,}])`, "g")),
  ];
  if (named.length !== 1) return null;
  const constant = (named[0]![1] ?? name).replace(/\$/g, "\\$");
  const made = [...bundle.matchAll(new RegExp(`^(?:var|let|const) ${constant} = ${call}`, "gm"))];
  if (made.length !== 1) return null;
  const [match] = made;
  const expression = match!.index + match![0].search(new RegExp(`${call}$`));
  const close = callAt(bundle, expression, match!.index + match![0].length);
  return close === null ? null : { start: match!.index, end: close };
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
