/*
 * Job files of the scenarios in mit-lab.test.ts. Tasks meet at files of a directory, which is the parameter
 * `place`: each leaves a mark there, and looks at those of the others.
 */

const meeting = `
  import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
  import { basename } from "node:path";
  import { job, text } from "sheaf";
  const cell = new Int32Array(new SharedArrayBuffer(4));
  function leaveMark(place: string, name: string): void {
    mkdirSync(place, { recursive: true });
    writeFileSync(place + "/" + name, "");
  }
  function marks(place: string, ending: string): string[] {
    return readdirSync(place).filter((name) => name.endsWith(ending));
  }
  /** false: nobody came within the time. */
  function waitUntil(isSo: () => boolean, withinMs: number): boolean {
    const end = performance.now() + withinMs;
    while (!isSo()) {
      if (performance.now() > end) return false;
      Atomics.wait(cell, 0, 0, 5);
    }
    return true;
  }
`;

export const wordCountJob = `
  import { job, text } from "sheaf";
  export default job({
    input: text(),
    map(line, emit) {
      for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word, "1");
    },
    reduce: (key: string, values: Iterable<string>) => [...values].length,
  });
`;

/** Word, number of files, their names: "mouse<tab>2 a.txt,b.txt". */
export const indexerJob = `
  ${meeting}
  export default job({
    input: text(),
    map(line, emit, ctx) {
      for (const word of new Set(line.match(/\\p{L}+/gu) ?? [])) emit(word, basename(ctx.path));
    },
    reduce(key: string, values: Iterable<string>) {
      const files = [...new Set(values)].sort();
      return files.length + " " + files.join(",");
    },
  });
`;

/** Each map waits until \`slots\` are there, itself one of them, and emits how many it has seen. */
export const mapParallelismJob = `
  ${meeting}
  export default job({
    input: text(),
    params: { place: "", slots: 0 },
    setup(ctx) {
      const { place, slots } = ctx.params;
      leaveMark(place, process.pid + ".in");
      waitUntil(() => marks(place, ".in").length >= slots, 30_000);
      return { seen: marks(place, ".in").length - marks(place, ".out").length };
    },
    map(line, emit, ctx) {
      const { seen } = ctx.state as { seen: number };
      emit(ctx.task, seen);
      ctx.state.seen = 0;
    },
    teardown(ctx) {
      // Nobody leaves before all have counted.
      const { place, slots } = ctx.params;
      leaveMark(place, process.pid + ".counted");
      waitUntil(() => marks(place, ".counted").length >= slots, 30_000);
      leaveMark(place, process.pid + ".out");
    },
    reduce(key: string, values: Iterable<number>) {
      let most = 0;
      for (const value of values) most = Math.max(most, value);
      return most;
    },
  });
`;

/** The same of reduces: key n is alone in partition n. */
export const reduceParallelismJob = `
  ${meeting}
  export default job({
    input: text(),
    params: { place: "", slots: 0 },
    partition: (key: number) => key,
    map(line, emit, ctx) {
      for (let key = 0; key < ctx.params.slots; key++) emit(key, line);
    },
    reduce(key: number, values: Iterable<string>, ctx) {
      const { place, slots } = ctx.params;
      leaveMark(place, process.pid + ".in");
      waitUntil(() => marks(place, ".in").length >= slots, 30_000);
      return marks(place, ".in").length;
    },
  });
`;

/** How many maps have been begun, by whoever: each of them leaves a mark. Maps differ in length. */
export const jobCountJob = `
  ${meeting}
  export default job({
    input: text(),
    params: { place: "" },
    setup(ctx) {
      leaveMark(ctx.params.place, ctx.task + "." + ctx.attempt + "." + process.pid + ".begun");
    },
    map(line, emit, ctx) {
      let h = 0;
      for (let i = 0; i < 20_000 * (ctx.index % 4); i++) h = Math.imul(h ^ i, 16777619);
      emit("maps", h);
    },
    reduce: (key: string, values: Iterable<number>, ctx) =>
      marks(ctx.params.place, ".begun").sort().join(" "),
  });
`;

/** A word count whose reduce of the last partition waits for the mark "go". */
export const earlyExitJob = `
  ${meeting}
  export default job({
    input: text(),
    params: { place: "" },
    map(line, emit) {
      for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word, 1);
    },
    reduce(key: string, values: Iterable<number>, ctx) {
      const { place } = ctx.params;
      if (ctx.task.endsWith("3") && !existsSync(place + "/go")) {
        leaveMark(place, "held");
        waitUntil(() => existsSync(place + "/go"), 30_000);
      }
      let sum = 0;
      for (const value of values) sum += value;
      return sum;
    },
  });
`;

/**
 * An indexer whose maps and reduces exit or stand still at random, before or in the middle of their work.
 * What becomes of an attempt follows from seed, task and attempt; the fourth always goes well.
 */
export const crashJob = `
  ${meeting}
  function fateOf(ctx: { task: string; attempt: number; params: { seed: number } }): number {
    let h = 0x811c9dc5;
    for (const char of ctx.params.seed + " " + ctx.task + " " + ctx.attempt + ".") {
      h = Math.imul(h ^ char.charCodeAt(0), 0x01000193);
    }
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return ctx.attempt > 3 ? 9 : ((h ^ (h >>> 13)) >>> 0) % 9;
  }
  /** Three in nine exit, two stand still. */
  function mayCrash(ctx: Parameters<typeof fateOf>[0], place: string, point: number): void {
    const fate = fateOf(ctx);
    if (fate >= 5 || fate % 2 !== point) return;
    leaveMark(place, ctx.task + "." + ctx.attempt + (fate < 3 ? ".exits" : ".stalls"));
    if (fate < 3) process.exit(fate);
    Atomics.wait(cell, 0, 0);
  }
  let groups = "";
  let seen = 0;
  export default job({
    input: text(),
    params: { place: "", seed: 0 },
    setup(ctx) {
      mayCrash(ctx, ctx.params.place, 0);
      return { lines: 0 };
    },
    map(line, emit, ctx) {
      for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word, basename(ctx.path));
      const state = ctx.state as { lines: number };
      if (++state.lines === 20) mayCrash(ctx, ctx.params.place, 1);
    },
    reduce(key: string, values: Iterable<string>, ctx) {
      const group = ctx.task + "." + ctx.attempt + "." + ctx.params.place;
      if (group !== groups) {
        groups = group;
        seen = 0;
        mayCrash(ctx, ctx.params.place, 0);
      }
      if (++seen === 20) mayCrash(ctx, ctx.params.place, 1);
      const files = [...new Set(values)].sort();
      return files.length + " " + files.join(",");
    },
  });
`;
