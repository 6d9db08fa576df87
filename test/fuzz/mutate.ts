import type { Random } from "#src/base/random.js";

/*
 * Data changed at random: what a peer could send instead of what it should. Used by the fuzzer and, bundled
 * with it, by the job that speaks in its worker's place; so it imports nothing that runs.
 */

/** In a tree of data: put into the JSON text as it is, whatever it is. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Node = readonly [holder: Record<string | number, unknown>, key: string | number];

const nodesMax = 2_000;

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.below(values.length)]!;
}

const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

/** Each made when it is taken: some are large. */
const odd: readonly ((random: Random) => unknown)[] = [
  ...[null, true, false, 0, -0, 1, -1, 1.5, -1e-300, 1e308].map((value) => () => value),
  ...[2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53), 2 ** 64].map((value) => () => value),
  ...[
    "",
    " ",
    "0",
    "-1",
    "NaN",
    "true",
    "null",
    "a\0b",
    "\n",
    "\r\nX-A: b",
    "\x1b[2J",
    "\u202e",
    "é",
    "😀",
  ].map((value) => () => value),
  ...[
    "\ud800",
    "\udc00x",
    "\ufeff",
    "\u2028",
    "../..",
    "../../../etc/passwd",
    "/",
    ".",
    "..",
    "%2e%2e%2f",
    "a/../b",
  ].map((value) => () => value),
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf", "length"].map(
    (value) => () => value,
  ),
  () => [],
  () => ({}),
  () => [[]],
  () => [null],
  () => ({ "": null }),
  () => ({ length: 1e9 }),
  () => ({ toString: 1, valueOf: null }),
  () => ({ toJSON: "x", inspect: 1 }),
  (random) => "x".repeat(1 + random.below(200_000)),
  (random) => "\u00e9".repeat(1 + random.below(20_000)),
  (random) => Array.from({ length: random.below(5_000) }, () => 0),
  (random) => Array.from({ length: random.below(300) }, () => ({})),
  (random) =>
    String.fromCharCode(...Array.from({ length: 1 + random.below(20) }, () => random.below(0x1_0000))),
  (random) => random.below(2 ** 31) * (random.below(2) === 0 ? 1 : -1),
  (random) => random.next(),
];

/** What only the text of JSON can say. */
const oddTexts: readonly ((random: Random) => string)[] = [
  ...[
    "1e400",
    "-1e400",
    "NaN",
    "-",
    "01",
    "1.",
    "undefined",
    "'a'",
    "[1,]",
    '{"a":1,}',
    '"\\ud800"',
    '"\\x"',
    '"\t"',
  ].map((text) => () => text),
  ...[
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"a":1,"a":2}',
    '"\u0000"',
    "1e-400",
  ].map((text) => () => text),
  (random) => deep(random.below(1_100)),
  (random) => `${'{"a":'.repeat(1_000 + random.below(200))}1${"}".repeat(1_000)}`,
  (random) => "9".repeat(1 + random.below(2_000)),
];

/** What only a structured clone can be. */
const oddClones: readonly (() => unknown)[] = [
  () => undefined,
  () => Number.NaN,
  () => Number.NEGATIVE_INFINITY,
  () => 10n ** 40n,
  () => new Date(Number.NaN),
  () => new Map([[{}, 1]]),
  () => new Set([1]),
  () => new Uint8Array(1_000),
  () => new Float64Array(3),
  () => /x/g,
  () => new Error("made up"),
  () => Object.assign([], { length: 4_000_000_000 }),
  () => Object.create({ kind: "result" }) as unknown,
  () => {
    const ring: unknown[] = [];
    ring.push(ring);
    return ring;
  },
];

/** What stands in the data, up to a number: where to change something. */
function nodesOf(root: Record<string, unknown>): Node[] {
  const nodes: Node[] = [];
  const waiting: unknown[] = [root];
  for (let value = waiting.pop(); value !== undefined && nodes.length < nodesMax; value = waiting.pop()) {
    if (!isPlain(value)) continue;
    for (const key of Object.keys(value)) {
      nodes.push([value, Array.isArray(value) ? Number(key) : key]);
      waiting.push(value[key] ?? null);
    }
  }
  return nodes;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (Array.isArray(value)) return true;
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export interface MutateOptions {
  /** "json": may hold RawJson; "clone": values that structured clones have. */
  readonly as: "json" | "clone";
  /** Values from other messages, by the name of their field: identities of others, states of before. */
  readonly others?: ReadonlyMap<string, readonly unknown[]>;
}

/** A changed copy. */
export function mutate(random: Random, value: unknown, options: MutateOptions): unknown {
  const root = { it: structuredClone(value) as unknown };
  const times = 1 + (random.below(3) === 0 ? random.below(5) : 0);
  for (let n = 0; n < times; n++) {
    const nodes = nodesOf(root);
    if (nodes.length > 0) change(random, pick(random, nodes), options);
  }
  return root.it;
}

function change(random: Random, [holder, key]: Node, options: MutateOptions): void {
  const value = holder[key];
  switch (random.below(10)) {
    case 0:
    case 1:
      holder[key] = oddValue(random, options);
      return;
    case 2:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return;
    case 3: {
      if (Array.isArray(holder)) {
        holder.push(value);
        return;
      }
      // Another name for it, or a second one.
      const name = pick(random, [
        `${key}x`,
        String(key).toUpperCase(),
        "__proto__",
        "constructor",
        "kind",
        "",
        "a.b",
      ]);
      Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
      if (random.below(2) === 0) delete holder[key];
      return;
    }
    case 4:
      if (typeof value === "number") holder[key] = String(value);
      else if (typeof value === "string") holder[key] = random.below(2) === 0 ? [value] : Number(value);
      else if (Array.isArray(value)) holder[key] = { ...value };
      else holder[key] = typeof value === "object" && value !== null ? Object.entries(value) : [value];
      return;
    case 5:
      if (typeof value === "number")
        holder[key] = value + pick(random, [1, -1, 0.5, 1e6, 2 ** 32, -value * 2]);
      else if (typeof value === "string") holder[key] = changeText(random, value);
      else holder[key] = oddValue(random, options);
      return;
    case 6: {
      if (!Array.isArray(value)) {
        holder[key] = oddValue(random, options);
        return;
      }
      const copies = pick(random, [2, 10, 1_000]);
      holder[key] = Array.from(
        { length: copies * Math.min(value.length, 5) },
        (_, at) => value[at % value.length],
      );
      return;
    }
    default: {
      const others = options.others?.get(String(key));
      holder[key] = others === undefined ? oddValue(random, options) : structuredClone(pick(random, others));
    }
  }
}

function changeText(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at) + text.slice(at + 1 + random.below(4));
    case 1:
      return (
        text.slice(0, at) + pick(random, ["\0", "/", "..", "\ud83d", "x", ":", " ", "%00"]) + text.slice(at)
      );
    case 2:
      return text + text;
    default:
      return text.toUpperCase() === text ? text.toLowerCase() : text.toUpperCase();
  }
}

function oddValue(random: Random, { as }: MutateOptions): unknown {
  const kind = random.below(4);
  if (kind === 0 && as === "json") return new RawJson(pick(random, oddTexts)(random));
  if (kind === 0) return pick(random, oddClones)();
  return pick(random, odd)(random);
}

/** JSON of a tree that may hold RawJson. */
export function jsonText(value: unknown): string {
  const raw: string[] = [];
  const mark = "\u{f0000}raw";
  const text = JSON.stringify(value, (_name, one: unknown) =>
    one instanceof RawJson ? `${mark}${raw.push(one.text) - 1}.` : one,
  );
  return (text ?? "").replaceAll(
    new RegExp(`"${mark}(\\d+)\\."`, "g"),
    (_, index: string) => raw[Number(index)]!,
  );
}

/** Bytes cut, doubled, turned over, or any. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  switch (random.below(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(bytes.length + 1))]);
    case 2:
    case 3: {
      const copy = Buffer.from(bytes);
      for (let n = 1 + random.below(4); n > 0 && copy.length > 0; n--)
        copy[random.below(copy.length)]! ^= 1 << random.below(8);
      return copy;
    }
    case 4:
      return Buffer.concat([bytes, anyBytes(random, random.below(100))]);
    default:
      return anyBytes(random, random.below(2_000));
  }
}

export function anyBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}
