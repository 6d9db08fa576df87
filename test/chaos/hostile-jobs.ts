import type { ErrorCode } from "#src/base/errors.js";

/** A job that does what no job should. It has to fail, saying what it did, and leave nothing. */
export interface HostileJob {
  readonly name: string;
  /** Its map, given `line`, `emit` and `ctx`; and what else is in the file, and in the job. */
  readonly map: string;
  readonly head?: string;
  readonly more?: string;
  /** Codes of failures that tell the truth, apart from those of faults that came meanwhile. */
  readonly codes: readonly ErrorCode[];
}

/** In the command line of every process that a hostile job leaves running. */
export const leftRunning = "86399.25";

const fs = 'import * as fs from "node:fs"; import * as v8 from "node:v8";';
const children = 'import { spawn } from "node:child_process";';
const frame = `
  function frame(message: unknown): Buffer {
    const body = v8.serialize(message);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    return Buffer.concat([head, body]);
  }`;
/** On every descriptor that takes it, whatever that is. */
const writeEverywhere = `
  function writeEverywhere(bytes: Buffer): void {
    for (let fd = 3; fd < 30; fd++) {
      try { if (fs.fstatSync(fd).isSocket() || fs.fstatSync(fd).isFIFO()) fs.writeSync(fd, bytes); } catch {}
    }
  }`;

export const hostileJobs: readonly HostileJob[] = [
  {
    name: "throws a proxy whose every trap throws",
    map: `throw new Proxy(() => undefined, new Proxy({}, { get() { throw new Error("trap"); } }));`,
    codes: ["USER_CODE"],
  },
  {
    name: "throws getters that throw, and objects for texts",
    map: `
      const odd = Object.assign(new Error("x"), { name: 7, stack: {}, code: Symbol("c") });
      throw Object.defineProperty(odd, "message", { get() { throw odd; } });`,
    codes: ["USER_CODE"],
  },
  {
    name: "throws a message of millions of characters",
    map: `throw new Error("\\u001b[2J\\u202e".repeat(1e6));`,
    codes: ["USER_CODE"],
  },
  {
    name: "throws what claims to be an error of sheaf",
    map: `throw Object.assign(new Error("INTER" + "NAL?"), { name: "SheafError", code: "DISK_FULL", hint: {} });`,
    codes: ["USER_CODE", "DISK_FULL"],
  },
  {
    name: "prints a line of 3 MB, and then throws",
    map: `ctx.log("l".repeat(3e6)); process.stdout.write("o".repeat(3e6)); throw new Error("after the log");`,
    codes: ["USER_CODE"],
  },
  {
    name: "prints without end",
    map: `for (let n = 0; n < 2e4; n++) console.log(n, "a flood ".repeat(50)); throw new Error("after the flood");`,
    codes: ["USER_CODE"],
  },
  {
    name: "writes junk on every channel",
    head: fs + writeEverywhere,
    map: `writeEverywhere(Buffer.from("\\0\\0\\0\\u0004junkjunk")); throw new Error("after the junk");`,
    codes: ["USER_CODE"],
  },
  {
    name: "writes made-up results on every channel",
    head: fs + frame + writeEverywhere,
    map: `
      for (let id = 0; id < 100; id++)
        writeEverywhere(frame({ kind: "result", id, spoiled: false, result: { kind: "success", parts: [1] } }));
      throw new Error("after the results");`,
    codes: ["USER_CODE"],
  },
  {
    name: "closes every descriptor",
    head: fs,
    map: `for (let fd = 3; fd < 40; fd++) { try { fs.closeSync(fd); } catch {} } throw new Error("closed");`,
    codes: ["USER_CODE", "USER_EXITED", "NO_PROGRESS"],
  },
  { name: "exits with 0", map: "process.exit(0);", codes: ["USER_EXITED"] },
  { name: "aborts", map: "process.abort();", codes: ["USER_EXITED"] },
  {
    name: "kills its process",
    map: `process.kill(process.pid, "SIGKILL");`,
    codes: ["USER_EXITED"],
  },
  {
    name: "takes all the heap",
    map: `const kept: unknown[] = []; for (;;) kept.push(new Array(1e5).fill(kept.length));`,
    codes: ["OUT_OF_MEMORY"],
  },
  {
    name: "calls itself without end",
    map: "const deeper = (n: number): number => deeper(n + 1) + 1; deeper(0);",
    codes: ["USER_CODE"],
  },
  {
    name: "does not come back, and hears no signal",
    map: `process.on("SIGTERM", () => undefined); for (;;);`,
    codes: ["NO_PROGRESS"],
  },
  {
    name: "waits for nothing",
    map: "return new Promise(() => undefined);",
    codes: ["USER_CODE", "NO_PROGRESS"],
  },
  {
    name: "rejects and throws later",
    map: `
      setImmediate(() => { throw new Error("late"); });
      void Promise.reject(new Error("unhandled"));`,
    codes: ["USER_CODE"],
  },
  {
    name: "leaves children running",
    head: children,
    map: `
      for (let n = 0; n < 3; n++) spawn("sleep", ["${leftRunning}"], { stdio: "ignore" }).unref();
      throw new Error("after the children");`,
    codes: ["USER_CODE"],
  },
  {
    name: "has an expect that answers 2 MB",
    map: "emit(line.length, 1);",
    more: `expect: () => "head" + "x".repeat(2e6),`,
    codes: ["EXPECT_FAILED"],
  },
  {
    name: "has an expect that never ends",
    map: "emit(line.length, 1);",
    more: "expect() { for (;;); },",
    codes: ["NO_PROGRESS", "EXPECT_FAILED"],
  },
  {
    name: "counts under thousands of names",
    map: `for (let n = 0; n < 5_000; n++) ctx.count("name " + n);`,
    codes: ["VALUE_INVALID"],
  },
  {
    name: "patches what everybody uses, and throws",
    map: `
      const broken = (): never => { throw new Error("patched"); };
      Array.prototype.push = Array.prototype.map = Array.prototype.slice = broken;
      Math.floor = Math.min = Math.max = () => Number.NaN;
      Buffer.from = Buffer.alloc = Buffer.concat = broken as never;
      TextDecoder.prototype.decode = TextEncoder.prototype.encode = broken;
      JSON.stringify = JSON.parse = broken;
      Promise.prototype.then = broken;
      Object.keys = Object.entries = broken;
      throw new Error("after the patches");`,
    // It broke its own process; that is told in one way or another.
    codes: ["USER_CODE", "USER_EXITED", "NO_PROGRESS", "EMIT_LATE"],
  },
  { name: "does not load", head: `throw { at: "load" };`, map: "", codes: ["JOB_LOAD", "USER_CODE"] },
];

/** Its job file. */
export function hostileFile({ head = "", map, more = "" }: HostileJob): string {
  return `
    import { job, text } from "sheaf";
    ${head}
    export default job({
      input: text(),
      map(line, emit: (key: number, value: number) => void, ctx) {${map}
      },
      reduce: (key: number, values: Iterable<number>) => [...values].length,
      ${more}
    });
  `;
}
