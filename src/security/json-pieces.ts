import { decodeJson, dropReaching, noJson } from "./parse-json.ts";

/*
 * JSON of many megabytes parsed a piece at a time, each by JSON.parse: whoever parses may do other things in
 * between. A container that is larger than a piece (the spine) is put together from its children; those are
 * parsed together, as many as make a piece. One pass over the bytes, whatever they are.
 */

/** Text parsed in one go. Takes about 2 ms. */
export const pieceBytesDefault = 256 * 1024;

/** A container that is open where the scan is. */
interface Frame {
  readonly isObject: boolean;
  readonly openAt: number;
  /** Of the last comma directly in it. */
  commaAt: number;
}

/** One that is larger than a piece: what has been parsed of it. */
interface Grown {
  readonly value: Record<string, unknown> | unknown[];
  /** Its key in the one around it, if that is an object. */
  readonly key: string;
  /** A comma was the last thing in it. */
  wantsMore: boolean;
  /** What was last in it is whole: only a comma or its end may follow. */
  isBehindChild: boolean;
}

/**
 * What `parseBounded` makes of the same bytes; stops after each piece, to be gone on with when there is time.
 * Keys that could reach a prototype are left out.
 * @param what what is parsed, as it reads in "<what> is no JSON"
 * @throws SheafError MESSAGE_INVALID
 */
export function* parsePieces(
  source: Uint8Array,
  what: string,
  pieceBytes: number = pieceBytesDefault,
): Generator<void, unknown, undefined> {
  const pieces = new Pieces(source, what, pieceBytes);
  while (pieces.scan()) yield;
  return pieces.value();
}

class Pieces {
  readonly #source: Uint8Array;
  readonly #what: string;
  readonly #pieceBytes: number;
  /** The outermost one stands for a list whose only element is the whole text. */
  readonly #frames: Frame[] = [{ isObject: false, openAt: -1, commaAt: -1 }];
  /** Of the first of `#frames`. */
  readonly #spine: Grown[] = [{ value: [], key: "", wantsMore: false, isBehindChild: false }];
  #at = 0;
  /** All before it is parsed. */
  #done = 0;

  constructor(source: Uint8Array, what: string, pieceBytes: number) {
    this.#source = source;
    this.#what = what;
    this.#pieceBytes = pieceBytes;
  }

  /** Goes on for about a piece. False: nothing is left. */
  scan(): boolean {
    const source = this.#source;
    const stopAt = this.#at + this.#pieceBytes;
    while (this.#at < source.length && this.#at < stopAt) {
      const at = this.#at++;
      switch (source[at]) {
        case 0x22:
          this.#at = this.#endOfString(at + 1);
          break;
        case 0x2c:
          this.#comma(at);
          break;
        case 0x5b:
        case 0x7b:
          this.#frames.push({ isObject: source[at] === 0x7b, openAt: at, commaAt: at });
          break;
        case 0x5d:
        case 0x7d:
          this.#close(at, source[at] === 0x7d);
          break;
        default:
      }
    }
    return this.#at < source.length;
  }

  value(): unknown {
    if (this.#frames.length !== 1) throw this.#broken();
    this.#end(this.#source.length);
    const [{ value }] = this.#spine as [Grown];
    if ((value as unknown[]).length !== 1) throw this.#broken();
    return (value as unknown[])[0];
  }

  #endOfString(from: number): number {
    const source = this.#source;
    for (let at = from; ; at++) {
      at = source.indexOf(0x22, at);
      if (at < 0) return source.length;
      let begin = at;
      while (begin > from && source[begin - 1] === 0x5c) begin--;
      if ((at - begin) % 2 === 0) return at + 1;
    }
  }

  #comma(at: number): void {
    const frame = this.#frames.at(-1)!;
    frame.commaAt = at;
    if (this.#frames.length === this.#spine.length && this.#spine.at(-1)!.isBehindChild)
      this.#flush(at, true);
    else if (at - this.#done >= this.#pieceBytes) {
      this.#descend();
      this.#flush(at, true);
    }
  }

  #close(at: number, isObject: boolean): void {
    const frame = this.#frames.at(-1)!;
    if (this.#frames.length === 1 || frame.isObject !== isObject) throw this.#broken();
    if (this.#frames.length === this.#spine.length) {
      this.#end(at);
      const { key, value } = this.#spine.pop()!;
      this.#done = at + 1;
      const around = this.#spine.at(-1)!;
      around.wantsMore = false;
      around.isBehindChild = true;
      if (key === "constructor" && !Array.isArray(around.value) && Object.hasOwn(value, "prototype"))
        delete around.value["constructor"];
    }
    this.#frames.pop();
  }

  /** All that is open belongs to the spine from now on; what stands before it in each is parsed. */
  #descend(): void {
    for (let depth = this.#spine.length; depth < this.#frames.length; depth++) {
      const around = this.#frames[depth - 1]!;
      const frame = this.#frames[depth]!;
      if (around.commaAt >= this.#done) this.#flush(around.commaAt, true);
      const grown = this.#spine.at(-1)!;
      if (grown.isBehindChild) throw this.#broken();
      const lead = this.#text(this.#done, frame.openAt).replaceAll(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
      const child: Grown["value"] = frame.isObject ? {} : [];
      let key = "";
      if (Array.isArray(grown.value)) {
        if (lead !== "") throw this.#broken();
        grown.value.push(child);
      } else {
        const name = lead.endsWith(":") ? this.#parse(`[${lead.slice(0, -1)}]`) : [];
        if (!Array.isArray(name) || name.length !== 1 || typeof name[0] !== "string") throw this.#broken();
        key = name[0];
        if (key !== "__proto__") grown.value[key] = child;
      }
      this.#spine.push({ value: child, key, wantsMore: false, isBehindChild: false });
      this.#done = frame.openAt + 1;
    }
  }

  /** Takes what stands between `#done` and `at` into the innermost of the spine. */
  #flush(at: number, isComma: boolean): void {
    const grown = this.#spine.at(-1)!;
    const text = this.#text(this.#done, at);
    this.#done = at + 1;
    const isBlank = /^[\t\n\r ]*$/.test(text);
    if (grown.isBehindChild) {
      if (!isBlank) throw this.#broken();
    } else {
      if (isBlank) throw this.#broken();
      this.#take(grown, text);
    }
    grown.wantsMore = isComma;
    grown.isBehindChild = false;
  }

  /** The same, up to where it ends: nothing need be there if nothing must. */
  #end(at: number): void {
    const { wantsMore, isBehindChild, value } = this.#spine.at(-1)!;
    const holds = Array.isArray(value) ? value.length > 0 : Object.keys(value).length > 0;
    const isEmpty = !wantsMore && !isBehindChild && !holds;
    if (isEmpty && /^[\t\n\r ]*$/.test(this.#text(this.#done, at))) this.#done = at + 1;
    else this.#flush(at, false);
  }

  #take({ value }: Grown, text: string): void {
    if (Array.isArray(value)) {
      for (const one of this.#parse(`[${text}]`) as unknown[]) value.push(one);
    } else Object.assign(value, this.#parse(`{${text}}`));
  }

  #parse(text: string): unknown {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      throw this.#broken();
    }
    if (/__proto__|constructor|\\u/.test(text)) dropReaching(parsed);
    return parsed;
  }

  #text(from: number, to: number): string {
    // A mark of the byte order is one at the very beginning only.
    return decodeJson(this.#source.subarray(from, to), this.#what, from > 0);
  }

  #broken(): Error {
    return noJson(this.#what, `byte ${this.#done}`);
  }
}
