import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { reservedNames } from "#src/worker/patched-globals.js";
import { packageRoot } from "../cli/support.js";
import { Bench } from "../runner/support.ts";

/* Job code, or a package it imports, that changes built-in objects under the feet of sheaf's own code. */

/** What is found in a thread that has run this code, without any job. */
async function found(code: string): Promise<string | null> {
  const guard = new URL("../../../modules/worker/patched-globals.js", import.meta.url).href;
  const script = `
    const { parentPort } = require("node:worker_threads");
    const { setTimeout } = globalThis;
    import(${JSON.stringify(guard)}).then(({ findPatch }) => {
      const tell = parentPort.postMessage.bind(parentPort);
      ${code}
      tell(findPatch());
    });`;
  const thread = new Worker(script, { eval: true });
  return new Promise((resolve, reject) => {
    thread.once("message", (message) => {
      resolve(message as string | null);
      void thread.terminate();
    });
    thread.once("error", reject);
  });
}

/** As polyfills, shims and test libraries do it. */
const HARMLESS: readonly (readonly [name: string, code: string])[] = [
  ["nothing", ""],
  [
    "methods that were missing",
    "Array.prototype.sumUp = function () { return 0; }; Math.cube = (x) => x ** 3;",
  ],
  [
    "enumerable methods in all objects",
    "Object.prototype.extend = function () {}; Array.prototype.remove = function () {};",
  ],
  ["a getter in all objects", 'Object.defineProperty(Object.prototype, "should", { get: () => 1 });'],
  [
    "Array.prototype.push by core-js",
    `const max = Number.MAX_SAFE_INTEGER;
     Array.prototype.push = function push(...items) {
       const self = Object(this);
       let length = Math.min(Math.max(Math.trunc(self.length) || 0, 0), max);
       for (const item of items) self[length++] = item;
       self.length = length;
       return length;
     };`,
  ],
  [
    "JSON.parse in a wrapper",
    "const { parse } = JSON; JSON.parse = (text, reviver) => parse(text, reviver);",
  ],
  [
    "Array.prototype.map that takes names, too",
    `const { map } = Array.prototype;
     Array.prototype.map = function (to, self) {
       return map.call(this, typeof to === "string" ? (each) => each[to] : to, self);
     };`,
  ],
  ["Math.random with a seed", "Math.random = () => 0.5;"],
  ["BigInt.prototype.toJSON", "BigInt.prototype.toJSON = function () { return String(this); };"],
  [
    "a clock that stands still",
    "Date.now = () => 0; performance.now = () => 0; globalThis.Date = class extends Date {};",
  ],
  ["timers that never ring", "globalThis.setTimeout = globalThis.setImmediate = () => 0;"],
  ["other promises", "globalThis.Promise = class extends Promise {};"],
  [
    "then in a wrapper",
    `const { then } = Promise.prototype;
     Promise.prototype.then = function (...given) { return then.apply(this, given); };`,
  ],
  ["colours of texts", 'String.prototype.bold = function () { return "**" + this + "**"; };'],
  [
    "everything frozen",
    `const some = [Object, Function, Array, String, Number, Math, JSON, Map, Set, Promise, Date];
     for (const one of some) {
       Object.freeze(one);
       if (one.prototype) Object.freeze(one.prototype);
     }`,
  ],
];

/** What must be found, by the name that is told. */
const HARMFUL: readonly (readonly [tells: string, code: string])[] = [
  ["Math.floor", "Math.floor = (x) => x | 0;"],
  ["Math.imul", "Math.imul = (a, b) => a * b;"],
  ["Math.min", "Math.min = Math.max;"],
  ["parseFloat", "globalThis.parseFloat = (text) => Math.fround(Number(text));"],
  ["Number.isSafeInteger", "Number.isSafeInteger = Number.isInteger;"],
  ["Array.prototype.push", "Array.prototype.push = function (x) { this[this.length] = x; };"],
  [
    "Array.prototype.sort",
    "const { sort } = Array.prototype; Array.prototype.sort = function () { return sort.call(this); };",
  ],
  ["Array.prototype[Symbol(Symbol.iterator)]", "Array.prototype[Symbol.iterator] = function* () {};"],
  ["array iterators.next", "Object.getPrototypeOf([].values()).next = () => ({ done: true });"],
  ["Array.prototype.at (it is gone)", "delete Array.prototype.at;"],
  ["Array.isArray", "Array.isArray = (value) => value instanceof Map;"],
  ["String.prototype.slice", "String.prototype.slice = String.prototype.substring;"],
  ["String.prototype.split", "String.prototype.split = function () { return [this]; };"],
  ["String.prototype.charCodeAt", "String.prototype.charCodeAt = String.prototype.codePointAt;"],
  ["Map.prototype.get", "Map.prototype.get = () => undefined;"],
  ["Map.prototype.size", 'Object.defineProperty(Map.prototype, "size", { get: () => 0 });'],
  ["Set.prototype.has", "Set.prototype.has = () => true;"],
  ["JSON.stringify", "const { stringify } = JSON; JSON.stringify = (value) => stringify(value, null, 2);"],
  [
    "JSON.parse",
    "const { parse } = JSON; JSON.parse = (text) => { try { return parse(text); } catch { return null; } };",
  ],
  ["Object.keys", "const { keys } = Object; Object.keys = (value) => keys(value).sort();"],
  ["Object.is", "Object.is = (a, b) => a === b;"],
  ["RegExp.prototype.exec", "RegExp.prototype.exec = () => null;"],
  ["Date.prototype.toISOString", "Date.prototype.toISOString = Date.prototype.toString;"],
  ["TypedArray.prototype.set", "Object.getPrototypeOf(Uint8Array.prototype).set = () => {};"],
  ["DataView.prototype.getFloat64", "DataView.prototype.getFloat64 = () => 0;"],
  ["Buffer.from", "Buffer.from = () => Buffer.alloc(0);"],
  ["Buffer.prototype.toString", 'Buffer.prototype.toString = () => "";'],
  ["TextDecoder.prototype.decode", 'TextDecoder.prototype.decode = () => "";'],
  ["TextEncoder.prototype.encode", "TextEncoder.prototype.encode = () => new Uint8Array(0);"],
  ["Map", "globalThis.Map = class extends Map {};"],
  ["Buffer", "globalThis.Buffer = class {};"],
  ["Object.prototype.then", "Object.prototype.then = function () {};"],
  ["Object.prototype.toJSON", "Object.prototype.toJSON = () => 1;"],
  ["Array.prototype.toJSON", "Array.prototype.toJSON = () => 1;"],
  ["Object.prototype.combine", "Object.prototype.combine = () => 1;"],
  ["Object.prototype.enumerable", 'Object.defineProperty(Object.prototype, "enumerable", { value: true });'],
  ["Array.prototype.0", "Array.prototype[0] = 7;"],
  ["what Array.prototype inherits from", "Object.setPrototypeOf(Array.prototype, { has: 1 });"],
];

test("what polyfills, shims and test libraries change is not found", async () => {
  for (const [name, code] of HARMLESS) assert.equal(await found(code), null, name);
});

test("what could make results wrong is found and named", async () => {
  for (const [tells, code] of HARMFUL) assert.equal(await found(code), tells, code);
});

test("every optional field that sheaf's own code reads is a name that objects must not inherit", () => {
  const folders = [
    "base",
    "job",
    "aggregate",
    "codec",
    "storage",
    "format",
    "shuffle",
    "exec",
    "task",
    "worker",
  ];
  const missing = folders
    .flatMap((folder) => {
      const directory = join(packageRoot, "src", folder);
      const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
      return names
        .filter((name) => name.endsWith(".ts"))
        .map((name) => readFileSync(join(directory, name), "utf8"));
    })
    .flatMap((text) => [
      ...text.matchAll(/^\s+(?:readonly )?(\w+)\?:/gm),
      ...text.matchAll(/readonly (\w+)\?:/g),
    ])
    .map(([, name = ""]) => name)
    .filter((name) => !reservedNames.has(name));
  assert.deepEqual(missing, []);
});

const words = (before: string, inMap = "", reduce = "sum()"): string => `
  import { job, sum, text } from "sheaf";
  ${before}
  export default job({
    input: text(),
    map(line: string, emit) {
      ${inMap}
      for (const word of line.split(" ")) emit(word, 1);
    },
    reduce: ${reduce},
  } as never);`;
const lines = Array.from({ length: 3_000 }, (_, n) => `w${n % 7} é${n % 11} w${n % 7}\n`).join("");
const counted = [...Array(7).keys()]
  .map((n) => `w${n}\t${2 * Math.ceil((3_000 - n) / 7)}`)
  .concat([...Array(11).keys()].map((n) => `é${n}\t${Math.ceil((3_000 - n) / 11)}`))
  .sort();

test("a job with harmless changes gives what it gives without, in threads, processes and here", async (t) => {
  const bench = new Bench(t);
  const input = bench.file("in.txt", lines);
  // Frozen objects can be no more changed; replaced functions of the test's own thread would stay.
  const changes = HARMLESS.filter(([name]) => !/frozen/.test(name)).map(([, code]) => `{ ${code} }`);
  const process = 'Object.defineProperty(globalThis, "process", { value: { env: {} } });';
  const others = "globalThis.console = null as never; globalThis.fetch = null as never;";
  const all = `// @ts-nocheck\n${changes.join("\n")}\n${process}\n${others}`;
  const frozen = `// @ts-nocheck\n${HARMLESS.find(([name]) => /frozen/.test(name))![1]}`;
  for (const [code, options] of [
    [all, {}],
    [all, { isolate: "process" }],
    [frozen, {}],
  ] as const) {
    const result = await bench.run(words(code), {
      inputs: [input],
      partitions: 1,
      overwrite: true,
      ...options,
    });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.deepEqual(bench.lines().sort(), counted);
  }
});

test("a job that changes what results rest on fails, naming it, whenever it does so", async (t) => {
  const bench = new Bench(t);
  const input = bench.file("in.txt", lines);
  const wrong = "Math.min = Math.max;";
  const reduce = `(key: string, values: Iterable<number>) => {
    let sum = 0;
    for (const value of values) sum += value;
    ${wrong}
    return sum;
  }`;
  for (const [job, code, isolate] of [
    [words(wrong), "JOB_LOAD", "thread"],
    [
      words(
        `const { map } = Array.prototype;
         Array.prototype.map = function (f: never) { return map.call(this, f).reverse(); } as never;`,
      ),
      "JOB_LOAD",
      "process",
    ],
    [words("", `if (line.startsWith("w5")) ${wrong}`), "USER_CODE", "process"],
    [words("", "", reduce), "USER_CODE", "thread"],
  ] as const) {
    const result = await bench.run(job, { inputs: [input], isolate });
    assert.equal(result.status, "FAILED", job);
    assert.equal(result.error?.code, code, result.error?.report);
    assert.match(
      result.error?.message ?? "",
      /has changed (Math\.min|Array\.prototype\.map), which sheaf's own/,
    );
    assert.deepEqual(bench.left(), []);
  }
});
