import { SheafError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { answersAlike } from "./compare-functions.ts";

/*
 * User code, or what it imports, may change built-in objects that sheaf's own code uses in the same thread.
 * Taken when this module is loaded, before any user code: what all of them are. Compared when the job is
 * loaded and after each task. In here nothing is called that may have been changed: loops count, and
 * functions were taken before.
 */

const { apply, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
const { is } = Object;

const typedArray = getPrototypeOf(Uint8Array) as Function;
const typedArrays = {
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  Uint8ClampedArray,
};
const constructors: Readonly<Record<string, Function>> = {
  Object,
  Function,
  Array,
  String,
  Number,
  BigInt,
  Boolean,
  Symbol,
  RegExp,
  Map,
  Set,
  WeakMap,
  WeakSet,
  ArrayBuffer,
  SharedArrayBuffer,
  DataView,
  Buffer,
  TextEncoder,
  ...typedArrays,
};
/** Taken by modules as they were (base/own-globals.ts): what counts is in the objects, not in the names. */
const takenBefore: Readonly<Record<string, Function>> = { Date, TextDecoder };
const others: Readonly<Record<string, object>> = { Math, JSON, Reflect, Atomics };
const functions = ["parseInt", "parseFloat", "isNaN", "isFinite"];

const iterators: readonly (readonly [name: string, iterator: object])[] = [
  ["array iterators", [][Symbol.iterator]()],
  ["map iterators", new Map()[Symbol.iterator]()],
  ["set iterators", new Set()[Symbol.iterator]()],
  ["string iterators", ""[Symbol.iterator]()],
  ["matchAll iterators", "".matchAll(/a/g)],
];

/** What they do matters to no result: clocks were taken before, and sheaf's own code calls none of these. */
const exempt: ReadonlySet<string> = new Set([
  "Math.random",
  "Date.now",
  "String.prototype.at",
  ...words("anchor big blink bold fixed fontcolor fontsize italics link small strike sub sup").map(
    (name) => `String.prototype.${name}`,
  ),
]);

/** Fields that may be left out, as sheaf's own code looks for them; a test finds them in the source. */
const optionalFields = `
  adopted agent also as aside askedPath aux auxFiles batchBytes beside bigints body bytes bytesMax chaos
  ChecksumCRC32C chunkBytes clockSkewCorrected code collections columns combine commutative
  compress compression constructor content count countsOnly crc32c cwd default delimiter details
  DirectoryListing discards doing duplicates emptyFiles encoding encodingOrDone end env
  environment error escape estimate estimated estimates etag exact exitCodes expect extension
  fanIn fetched file fileId files folds for forMs groupBy growing hasHeader hasUntil header
  headerBytes headers held hint hostName hosts httpStatusCode identity input inputProtocol
  inputs inputSeparator invalid invert io ipAddr isCut isStopped isStream isUnderConstruction
  job keep keepBad keepMaps kept key keyFields keySeparator layout lenient life lineEnd lines
  live LocatedBlocks locatedBlocks locations lowerCase made many map materialize max
  maximumBytes members memory mends merges memoryMaxBytes name named names native nativeOutput
  needsHeader newline node nodes noProgressMs numeric offset onGrown only onTooLarge openMost
  options order origin output outputDirectory overwrite own owner params parse partialListing partition
  partitionBy partitions path perFile pid place precision previous probe programs progress
  protocol quote quotes real recordBytes recordBytesMax records recordStart reduce Region
  remainingEntries RemoteException reporter RequestPayer rest retryable retryMs reuse rewrite
  route sample seed separator setup shape shared signal sort spilled spilling stage start step
  steps storage stores streams tail taken takesNumber task tasks teardown tells told turn
  untilAttempt values
  version when whole why window written
`;

/** Names that must not come up in every object: those, and what the language looks for. */
export const reservedNames: ReadonlySet<PropertyKey> = new Set<PropertyKey>([
  ...words(optionalFields),
  ...words("then toJSON get set value writable enumerable configurable next return throw done cause raw"),
  ...words("index groups fatal ignoreBOM stream flag flags"),
  ...Object.values(Object.getOwnPropertyDescriptors(Symbol))
    .map(({ value }) => value as unknown)
    .filter(isSymbol)
    .filter((value) => value !== Symbol.toStringTag),
]);

function isSymbol(value: unknown): value is symbol {
  return typeof value === "symbol";
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** One property that was there before user code, with what it was. */
interface Guarded {
  /** "Array.prototype", "Math", "" for globals. */
  readonly of: string;
  readonly holder: object;
  readonly key: PropertyKey;
  /** What a polyfill that answers as the original does may take the place of. */
  value: unknown;
  /** Set for a property that is computed. */
  readonly get: unknown;
}

interface Holder {
  readonly name: string;
  readonly object: object;
  readonly prototype: object | null;
  /** New keys among them have been looked at when there are so many. */
  keys: number;
}

const values: Guarded[] = [];
const getters: Guarded[] = [];
const holders: Holder[] = [];
/** Whatever is added to one of these is in all objects, arrays, texts. */
const inherited = ["Object.prototype", "Array.prototype", "String.prototype", "Number.prototype"];
const roots: Holder[] = [];

function guardProperty(of: string, holder: object, key: PropertyKey): void {
  if (exempt.has(nameOf(of, key))) return;
  const { get, value } = getOwnPropertyDescriptor(holder, key)!;
  const guarded = { of, holder, key, value, get };
  if (get !== undefined) getters.push(guarded);
  else if (typeof value === "function") values.push(guarded);
}

function guardAll(name: string, object: object): void {
  const keys = ownKeys(object);
  for (const key of keys) guardProperty(name, object, key);
  const holder = { name, object, prototype: getPrototypeOf(object), keys: keys.length };
  holders.push(holder);
  if (inherited.includes(name)) roots.push(holder);
}

for (const [name, constructor] of Object.entries({ ...constructors, ...takenBefore })) {
  guardAll(name, constructor);
  guardAll(`${name}.prototype`, constructor.prototype as object);
}
guardAll("TypedArray", typedArray);
guardAll("TypedArray.prototype", typedArray.prototype as object);
for (const [name, object] of Object.entries(others)) guardAll(name, object);
for (const [name, iterator] of iterators) guardAll(name, getPrototypeOf(iterator)!);
for (const key of [...Object.keys(constructors), ...Object.keys(others), ...functions]) {
  const value = (globalThis as unknown as Record<string, unknown>)[key];
  values.push({ of: "", holder: globalThis, key, value, get: undefined });
}

/** What is not as it was, and matters to sheaf's own code; null: nothing. */
export function findPatch(): string | null {
  for (let i = 0; i < values.length; i++) {
    const guarded = values[i]!;
    const now = (guarded.holder as Record<PropertyKey, unknown>)[guarded.key];
    if (now === guarded.value) continue;
    if (!mayStandFor(guarded, now)) return told(guarded.of, guarded.key, now === undefined);
    guarded.value = now;
  }
  for (let i = 0; i < getters.length; i++) {
    const { holder, key, get, of } = getters[i]!;
    if (getOwnPropertyDescriptor(holder, key)?.get !== get) return told(of, key, false);
  }
  for (let i = 0; i < holders.length; i++) {
    const { name, object, prototype } = holders[i]!;
    if (getPrototypeOf(object) !== prototype) return `what ${name} inherits from`;
  }
  for (let i = 0; i < roots.length; i++) {
    const added = findReserved(roots[i]!);
    if (added !== null) return added;
  }
  return null;
}

function mayStandFor({ of, value, key }: Guarded, now: unknown): boolean {
  // A class for a class would make objects that are none of those there are.
  if (of === "" && (value as Function).prototype !== undefined) return false;
  return typeof now === "function" && answersAlike(of, key, value as Function, now);
}

function findReserved(root: Holder): string | null {
  const keys = ownKeys(root.object);
  if (keys.length === root.keys) return null;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const isIndex = typeof key === "string" && is(`${+key}`, key);
    const isReserved = root.name === "Object.prototype" ? apply(has, reservedNames, [key]) : key === "toJSON";
    if (isIndex || (isReserved && !isOwnBefore(root, key))) return told(root.name, key, false);
  }
  root.keys = keys.length;
  return null;
}

const { has } = Set.prototype;

function isOwnBefore(root: Holder, key: PropertyKey): boolean {
  for (let i = 0; i < values.length; i++)
    if (values[i]!.holder === root.object && values[i]!.key === key) return true;
  return false;
}

function nameOf(of: string, key: PropertyKey): string {
  if (of === "") return String(key);
  return typeof key === "symbol" ? `${of}[${String(key)}]` : `${of}.${String(key)}`;
}

function told(of: string, key: PropertyKey, isGone: boolean): string {
  return isGone ? `${nameOf(of, key)} (it is gone)` : nameOf(of, key);
}

/** The error for a job whose code has changed that. */
export function patchError(code: ErrorCode, patch: string): SheafError {
  return new SheafError(
    code,
    `the job's code has changed ${patch}, which sheaf's own code uses: results could be wrong`,
    {
      hint:
        "Look for what changes it, in the job or a package it imports, and use another function instead. " +
        "Polyfills that answer as the original does are fine.",
    },
  );
}
