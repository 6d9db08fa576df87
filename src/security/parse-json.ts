import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";

export interface JsonLimits {
  /** What is parsed, as it reads in "<what> is no JSON". */
  readonly what: string;
  /** Default: what a server takes as a body. */
  readonly bytesMax?: number;
  /** Arrays and objects in one another. Default 64. */
  readonly depthMax?: number;
}

const depthMaxDefault = 64;

/**
 * The data of a JSON text. Keys that could reach a prototype are left out, wherever they stand:
 * `__proto__`, and `constructor` when it holds an object with a `prototype`.
 * @throws SheafError MESSAGE_INVALID when it is no JSON or no UTF-8, or too deep; LIMIT_EXCEEDED when too
 * large
 */
export function parseJson(
  source: Uint8Array | string,
  { what, bytesMax, depthMax = depthMaxDefault }: JsonLimits,
): unknown {
  const most = bytesMax ?? limits.serverBodyBytesMax;
  const length = typeof source === "string" ? Buffer.byteLength(source) : source.length;
  if (length > most) {
    throw new SheafError("LIMIT_EXCEEDED", `${what} has ${formatSize(length)}`, {
      hint: `It may have ${formatSize(most)} at most.`,
    });
  }
  const text = typeof source === "string" ? source : decode(source, what);
  // Before parsing: what is made of a text that is too deep could not even be walked through.
  if (depthOf(text) > depthMax) {
    throw new SheafError("MESSAGE_INVALID", `${what} is nested more than ${depthMax} levels deep`, {
      hint: "Send flatter data.",
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the text, which may hold a secret.
    const [at] = /position \d+/.exec(String(error)) ?? ["its end"];
    throw new SheafError("MESSAGE_INVALID", `${what} is no JSON: it breaks off at ${at}`, {
      hint: "Send a JSON text in UTF-8.",
    });
  }
  if (/__proto__|constructor|\\u/.test(text)) dropReaching(value);
  return value;
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new SheafError("MESSAGE_INVALID", `${what} is no UTF-8`, {
      hint: "Send a JSON text in UTF-8.",
      cause: error,
    });
  }
}

/** How deep brackets are open at most; those in strings do not count. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === quote) inString = !inString;
    else if (inString && char === backslash) at++;
    else if (inString) continue;
    else if (char === openArray || char === openObject) deepest = Math.max(deepest, ++depth);
    else if (char === closeArray || char === closeObject) depth--;
  }
  return deepest;
}

const [quote, backslash, openArray, closeArray, openObject, closeObject] = Buffer.from('"\\[]{}');

function dropReaching(root: unknown): void {
  const waiting: unknown[] = [root];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (typeof value !== "object" || value === null) continue;
    // Of a parsed text these are properties of its own, not the accessor every object inherits.
    if (Object.hasOwn(value, "__proto__")) delete (value as Record<string, unknown>)["__proto__"];
    if (Object.hasOwn(value, "constructor")) {
      const { constructor } = value as { readonly constructor: unknown };
      if (typeof constructor === "object" && constructor !== null && Object.hasOwn(constructor, "prototype"))
        delete (value as Record<string, unknown>)["constructor"];
    }
    for (const one of Object.values(value)) waiting.push(one);
  }
}
