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
  /** Values, those in one another too. Default: as of a body. */
  readonly valuesMax?: number;
  /** One text or number, as it is written. Default: as `bytesMax`. */
  readonly tokenBytesMax?: number;
}

const depthMaxDefault = 64;

/**
 * Holds a JSON text to its limits as its bytes come, so that of a text that is too large, too deep or of too
 * many parts neither more is kept nor anything parsed. What is within them is parsed in one go: they are what
 * bounds how long that takes.
 */
export class JsonBounds {
  readonly #what: string;
  readonly #bytesMax: number;
  readonly #depthMax: number;
  readonly #valuesMax: number;
  readonly #tokenBytesMax: number;
  /** Of the text, or the number, that the bytes before ended in. */
  #tokenBytes = 0;
  #bytes = 0;
  #depth = 0;
  #values = 1;
  #inString = false;
  /** The bytes before ended inside a string, with a backslash that escapes the next one. */
  #isEscaped = false;

  constructor({ what, bytesMax, depthMax, valuesMax, tokenBytesMax }: JsonLimits) {
    this.#what = what;
    this.#tokenBytesMax = tokenBytesMax ?? Number.POSITIVE_INFINITY;
    this.#bytesMax = bytesMax ?? limits.serverBodyBytesMax;
    this.#depthMax = depthMax ?? depthMaxDefault;
    this.#valuesMax = valuesMax ?? limits.serverBodyValuesMax;
  }

  /** @throws SheafError LIMIT_EXCEEDED when it is more than may be; `bytes` are still to come */
  expect(bytes: number): void {
    if (this.#bytes + bytes <= this.#bytesMax) return;
    throw new SheafError(
      "LIMIT_EXCEEDED",
      `${this.#what} has more than ${formatSize(this.#bytesMax)}, which is the most it may have`,
      { hint: "Send less at a time." },
    );
  }

  /** @throws SheafError LIMIT_EXCEEDED, or MESSAGE_INVALID when it is too deep */
  take(chunk: Uint8Array): void {
    this.expect(chunk.length);
    this.#bytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      const from = at;
      const before = this.#values;
      const inString = this.#inString;
      at = inString ? this.#endOfString(chunk, at) : this.#toString(chunk, at);
      this.#countToken(at - from, inString || (this.#values === before && !isSpace(chunk[at - 1]!)));
      if (this.#inString !== inString) this.#tokenBytes = 0;
    }
  }

  /** Of one that is far too long the parts are as long as the pieces that come. */
  #countToken(bytes: number, isPart: boolean): void {
    this.#tokenBytes = isPart ? this.#tokenBytes + bytes : 0;
    if (this.#tokenBytes <= this.#tokenBytesMax) return;
    throw new SheafError(
      "LIMIT_EXCEEDED",
      `${this.#what} holds a text or number of more than ${formatSize(this.#tokenBytesMax)}, which is the most one may have`,
      { hint: "Send less at a time." },
    );
  }

  /** @returns where it goes on: behind the quote that begins the next string, or the end */
  #toString(chunk: Uint8Array, from: number): number {
    let depth = this.#depth;
    let values = this.#values;
    let at = from;
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (byte === quote) {
        this.#inString = true;
        break;
      }
      if (byte === comma) values++;
      else if (byte === openArray || byte === openObject) {
        values++;
        if (++depth > this.#depthMax) throw this.#tooDeep();
      } else if (byte === closeArray || byte === closeObject) depth--;
    }
    this.#depth = depth;
    this.#values = values;
    if (values > this.#valuesMax) {
      throw new SheafError(
        "LIMIT_EXCEEDED",
        `${this.#what} holds more than ${this.#valuesMax} values, which is the most it may hold`,
        { hint: "Send less at a time." },
      );
    }
    return at;
  }

  #endOfString(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#isEscaped) at++;
    this.#isEscaped = false;
    for (; at < chunk.length; at++) {
      const end = chunk.indexOf(quote, at);
      const upTo = end < 0 ? chunk.length : end;
      let begin = upTo;
      while (begin > at && chunk[begin - 1] === backslash) begin--;
      const isEscaped = (upTo - begin) % 2 === 1;
      if (end < 0) {
        this.#isEscaped = isEscaped;
        return chunk.length;
      }
      at = end;
      if (isEscaped) continue;
      this.#inString = false;
      return end + 1;
    }
    return chunk.length;
  }

  #tooDeep(): SheafError {
    return new SheafError(
      "MESSAGE_INVALID",
      `${this.#what} is nested more than ${this.#depthMax} levels deep`,
      {
        hint: "Send flatter data.",
      },
    );
  }
}

/**
 * The data of a JSON text. Keys that could reach a prototype are left out, wherever they stand:
 * `__proto__`, and `constructor` when it holds an object with a `prototype`.
 * @throws SheafError MESSAGE_INVALID when it is no JSON or no UTF-8, or too deep; LIMIT_EXCEEDED when too
 * large
 */
export function parseJson(source: Uint8Array, limitsOf: JsonLimits): unknown {
  // Before parsing: what is made of a text that is too deep could not even be walked through.
  new JsonBounds(limitsOf).take(source);
  return parseBounded(source, limitsOf);
}

/** `parseJson` of a text that JsonBounds has let pass. @throws SheafError MESSAGE_INVALID */
export function parseBounded(source: Uint8Array, { what }: Pick<JsonLimits, "what">): unknown {
  const text = decodeJson(source, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the text, which may hold a secret.
    throw noJson(what, /position \d+/.exec(String(error))?.[0] ?? "its end");
  }
  if (/__proto__|constructor|\\u/.test(text)) dropReaching(value);
  return value;
}

export function noJson(what: string, at: string): SheafError {
  return new SheafError("MESSAGE_INVALID", `${what} is no JSON: it breaks off at ${at}`, {
    hint: "Send a JSON text in UTF-8.",
  });
}

/** @param isInside not the beginning of a text. @throws SheafError MESSAGE_INVALID */
export function decodeJson(bytes: Uint8Array, what: string, isInside = false): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: isInside }).decode(bytes);
  } catch (error) {
    throw new SheafError("MESSAGE_INVALID", `${what} is no UTF-8`, {
      hint: "Send a JSON text in UTF-8.",
      cause: error,
    });
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openArray = 0x5b;
const closeArray = 0x5d;
const openObject = 0x7b;
const closeObject = 0x7d;

/** Deletes keys that could reach a prototype, wherever they stand. */
export function dropReaching(root: unknown): void {
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
