import { seededRandom } from "../base/random.ts";

/*
 * Whether a function that has taken the place of a built-in one answers as it did, for all that is tried
 * here. Polyfills do: core-js brings its own Array.prototype.push and JSON.parse on every Node. Both are
 * called with fresh arguments each; where the original throws, the other may do more. Nothing is called in
 * here that could have been changed.
 */

const { apply, getPrototypeOf, ownKeys } = Reflect;
const { isArray } = Array;
const { isView } = ArrayBuffer;
const forEachOfMap = Map.prototype.forEach;
const forEachOfSet = Set.prototype.forEach;
const getTime = Date.prototype.getTime;
const textOfRegExp = RegExp.prototype.toString;
const textOfSymbol = Symbol.prototype.toString;
const prototypes = { map: Map.prototype, set: Set.prototype, date: Date.prototype, regExp: RegExp.prototype };

/** Longer sequences, and what is deeper, are not looked at. */
const itemsMax = 200;
const depthMax = 5;

const numbers = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  0.1,
  7,
  1e21,
  -1e21,
  5e-324,
  2 ** 31,
  2 ** 32 + 0.5,
];
numbers.push(
  2 ** 53,
  -(2 ** 53),
  2 ** 52 - 0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
);
const random = seededRandom("compare functions");
for (let i = 0; i < 200; i++) numbers.push((random.next() - 0.5) * 10 ** (random.below(24) - 4));

/** What the functions of each object are called on, by its name; made anew for each call. */
const receivers: Readonly<Record<string, () => unknown[]>> = {
  "": () => [undefined],
  Math: () => [Math],
  JSON: () => [JSON],
  Number: () => [Number],
  String: () => [String],
  Array: () => [Array],
  Object: () => [Object],
  Reflect: () => [Reflect],
  Date: () => [Date],
  "Number.prototype": () => [...numbers],
  "BigInt.prototype": () => [0n, -7n, 2n ** 70n],
  "Boolean.prototype": () => [true, false],
  "String.prototype": () => [
    "",
    "a",
    "Straße, 字𝒳é",
    " \tpadded\n",
    "a,b,,c",
    "12.5e3",
    "aXbaab",
    "\ud800x",
    "ÀB",
  ],
  "Array.prototype": () => [
    [],
    [3, 1, 2],
    ["b", "a", "b", undefined, null],
    [[1], [2, [3]]],
    holes(),
    many(),
  ],
  "Map.prototype": () => [
    new Map(),
    new Map<unknown, unknown>([
      ["a", 1],
      [1, 2],
      [Number.NaN, 0],
    ]),
  ],
  "Set.prototype": () => [new Set(), new Set<unknown>(["a", 1, Number.NaN, undefined, 0])],
  "RegExp.prototype": () => [/a(b)?/g, /\p{L}+/gu, /[,;]\s*/, /(?<first>.)x/i, /^$/m, /a/y],
  "Date.prototype": () => [new Date(0), new Date(1.7e12 + 123), new Date(-1), new Date(Number.NaN)],
  "Object.prototype": () => [{}, { a: 1 }, [1], "text", 5, new Map(), null, undefined],
  "Function.prototype": () => [
    function (this: unknown, a: unknown, b: unknown) {
      return [typeof this, a, b];
    },
  ],
};

function holes(): unknown[] {
  const made: unknown[] = [];
  made[1] = 1;
  made[3] = 2;
  return made;
}

function many(): number[] {
  const made = [];
  for (let i = 0; i < 40; i++) made[i] = (i * 17) % 31;
  return made;
}

const plainArguments: readonly (readonly unknown[])[] = [
  ...words(", a b 12px é NFD 10 {bad 01 [1,] null 9007199254740993 a𝒳 2020-02-30T00:00:00Z"),
  ...words('[1,{"a":null,"b":-0.5e3}] "\\ud800\\n" "\u2028" {"__proto__":1,"a":2,"a":3}'),
  ...[undefined, null, true, "", " 7 ", 0, -0, 1, -1, 2, 2.5, -3, 1e21, 1e300, Number.NaN, 1 / 0].map(alone),
  ["", "x"],
  ["a", "$&-"],
  ["a", "b", "c"],
  [Number.NaN, Number.NaN],
  [0, -0],
  ["0x1f", 16],
  ["zz", 36],
  [1, 2],
  [0, 2],
  [-2, -1],
  [2, 0],
  [10, 2],
  [1, 1, "x"],
  [0, 1, "x", "y"],
  [3, "ab"],
  [65, 0x1d4b3],
  [2020, 1, 30, 25],
];

function madeArguments(): unknown[][] {
  return [
    [],
    [/a/g, "<$&>"],
    [/a/g],
    [/(b)|a/],
    [/,/],
    [/,/, 2],
    [/x/y],
    [/[^\p{L}]+/u, ""],
    [(a: number, b: number) => a - b],
    [(a: unknown, b: unknown) => (`${a}` < `${b}` ? 1 : -1)],
    [(x: unknown) => x],
    [(x: unknown) => x !== 1],
    [(x: unknown, y: unknown) => `${x}.${y}`, ""],
    [(x: unknown) => [x, x]],
    ["c", "a", (x: unknown) => x],
    [{}],
    [{ a: 1, b: [1, "x", null, undefined], c: { d: -0 }, e: "\ud800\n\u2028" }],
    [[3, 1, 2]],
    [[1], [2]],
    [{}, { a: 1 }],
    [{ a: 1 }, "a"],
    [{ a: 1 }, "b"],
    [{ a: 1 }, { a: 2, b: 3 }],
    [[["a", 1]]],
    [new Map([[1, 2]])],
    [new Set([1, 2])],
    [{ length: 2, 0: "x" }],
    [holes()],
    [{ b: 1, a: 2 }, ["a"], 1],
  ];
}

function words(text: string): string[][] {
  return text.split(" ").map((word) => [word]);
}

function alone<T>(value: T): T[] {
  return [value];
}

/** The arguments of one call, made anew. */
function argumentsAt(at: number): readonly unknown[] {
  return at < plainArguments.length ? plainArguments[at]! : madeArguments()[at - plainArguments.length]!;
}

/**
 * Whether both give the same, thrown errors of the first aside (of JSON.parse too: records are refused by
 * them). `of`: the object whose function it is, such as "Array.prototype". False where sheaf knows nothing to
 * try: no polyfill replaces what every Node has.
 */
export function answersAlike(of: string, key: PropertyKey, original: Function, other: Function): boolean {
  const makeReceivers = receivers[of];
  if (makeReceivers === undefined) return false;
  const count = makeReceivers().length;
  const lists = plainArguments.length + madeArguments().length;
  for (let r = 0; r < count; r++) {
    for (let a = 0; a < lists; a++) {
      const expected = outcome(original, makeReceivers()[r], argumentsAt(a));
      if (expected === null && of !== "JSON") continue;
      if (outcome(other, makeReceivers()[r], argumentsAt(a)) !== expected) return false;
    }
  }
  const takesNumbers = of === "Math" || of === "Number" || of === "";
  for (let i = 0; takesNumbers && i < numbers.length; i++) {
    const pair = [numbers[i], numbers[(i * 7 + 3) % numbers.length]];
    for (let given = 1; given <= 2; given++) {
      const list = given === 1 ? [pair[0]] : pair;
      if (outcome(original, makeReceivers()[0], list) !== outcome(other, makeReceivers()[0], list))
        return false;
    }
  }
  return true;
}

/** What a call has come to: its result, and what became of receiver and arguments; null: it has thrown. */
function outcome(call: Function, receiver: unknown, list: readonly unknown[]): string | null {
  try {
    const result = apply(call, receiver, list);
    const on = typeof receiver === "function" ? "" : shown(receiver, 0);
    return `${shown(result, 0)} ${on} ${shown(list, 0)}`;
  } catch {
    return null;
  }
}

function shown(value: unknown, depth: number): string {
  if (typeof value === "number") return value === 0 && 1 / value < 0 ? "-0" : `${value}`;
  if (typeof value === "string") return `"${value}"`;
  if (typeof value === "symbol") return apply(textOfSymbol, value, []);
  if (typeof value === "function") return "function";
  if (typeof value !== "object" || value === null) return `${value}`;
  if (depth > depthMax) return "...";
  const prototype = getPrototypeOf(value);
  let text = isArray(value) ? "[" : "{";
  if (prototype === prototypes.date) return `date ${apply(getTime, value, [])}`;
  if (prototype === prototypes.regExp) text += apply(textOfRegExp, value, []);
  if (prototype === prototypes.map)
    apply(forEachOfMap, value, [
      (held: unknown, key: unknown) => (text += `${shown(key, depth + 1)}=>${shown(held, depth + 1)};`),
    ]);
  if (prototype === prototypes.set)
    apply(forEachOfSet, value, [(held: unknown) => (text += `${shown(held, depth + 1)};`)]);
  const { next } = value as { readonly next?: unknown };
  if (typeof next === "function") return text + drained(value, next, depth);
  if (isView(value)) return "bytes";
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length && i < itemsMax; i++)
    text += `${shown(keys[i], 0)}:${shown((value as Record<PropertyKey, unknown>)[keys[i]!], depth + 1)},`;
  return text;
}

function drained(iterator: object, next: Function, depth: number): string {
  let text = "";
  for (let i = 0; i < itemsMax; i++) {
    const { done, value } = apply(next, iterator, []) as IteratorResult<unknown>;
    if (done === true) break;
    text += `${shown(value, depth + 1)},`;
  }
  return text;
}
