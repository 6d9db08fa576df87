import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { onceKey } from "#src/engine/once.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { keyOf } from "#src/runner/earlier-run.js";
import { Bench } from "./support.js";

const counting = (more = ""): string => `
  import { job, text, sum } from "sheaf";
  export default job({ input: text(), params: { unit: 1 }, aux: { table: { file: "table.txt" } }, reduce: sum(),
    map(line, emit, ctx) { ${more} ctx.count("lines"); emit(line, ctx.params.unit); } });`;

class Once {
  readonly bench: Bench;
  readonly input: string;
  code = counting();

  constructor(bench: Bench) {
    this.bench = bench;
    this.input = join(bench.root, "in");
    mkdirSync(this.input);
    bench.file("table.txt", "one");
    this.write("a.txt", "x\ny\nx\n");
    this.write("b.txt", "z\n");
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.input, name), text);
  }

  run(options: LocalRunOptions = {}) {
    const given = { inputs: this.input, once: true, overwrite: true, on: "inline", ...options } as const;
    return this.bench.run(this.code, given);
  }

  /** What the output says, as lines. */
  get output(): string[] {
    const { output } = this.bench;
    const parts = readdirSync(output).filter((name) => name.startsWith("part-"));
    return parts.flatMap((name) => readFileSync(join(output, name), "utf8").trimEnd().split("\n")).sort();
  }

  /** The same by other means. */
  get expected(): string[] {
    const lines = readdirSync(this.input).flatMap((name) =>
      readFileSync(join(this.input, name), "utf8")
        .split("\n")
        .filter((line) => line !== ""),
    );
    const count = new Map<string, number>();
    for (const line of lines) count.set(line, (count.get(line) ?? 0) + 1);
    return [...count].map(([line, times]) => `${line}\t${times}`).sort();
  }
}

test("the same run again runs nothing, tells the earlier job and its output; anything else runs", async (t) => {
  const once = new Once(new Bench(t));
  t.after(() => delete process.env["SHEAF_TEST_ONCE"]);
  const { bench, input } = once;
  const first = await once.run();
  assert.deepEqual([first.status, first.sameAs, once.output], ["SUCCEEDED", null, once.expected]);
  const again = await once.run({ overwrite: false, workers: 3 });
  assert.deepEqual([again.status, again.sameAs, again.output], ["SUCCEEDED", first.jobId, bench.output]);
  assert.deepEqual([again.counters, again.parts], [first.counters, first.parts]);
  assert.equal(again.stats.recordsIn, 0);
  const end = bench.events.at(-1);
  assert.equal(end?.kind === "job-finished" && end.sameAs, first.jobId);
  assert.equal((await once.run()).sameAs, first.jobId, "the first that ran is told, not the one that looked");
  assert.equal((await once.run({ force: true })).sameAs, null);

  const a = join(input, "a.txt");
  const part = (): string =>
    join(
      bench.output,
      readdirSync(bench.output).find(
        (name) => statSync(join(bench.output, name)).size > 0 && name.startsWith("part"),
      )!,
    );
  const changes: Readonly<Record<string, () => LocalRunOptions | void>> = {
    "another content of the same size, with the times set back (cp -p, rsync, touch -r)": () => {
      const { atime, mtime } = statSync(a);
      writeFileSync(a, "x\ny\nw\n");
      utimesSync(a, atime, mtime);
    },
    "the same through a link": () => {
      const target = bench.file("elsewhere.txt", "q\n");
      symlinkSync(target, join(input, "link.txt"));
    },
    "the file that a link leads to": () => {
      const { atime, mtime } = statSync(join(input, "link.txt"));
      bench.file("elsewhere.txt", "r\n");
      utimesSync(join(bench.root, "elsewhere.txt"), atime, mtime);
    },
    "a file more": () => once.write("c.txt", "x\n"),
    "a file less": () => rmSync(join(input, "c.txt")),
    "a file under another name": () => renameSync(join(input, "b.txt"), join(input, "d.txt")),
    "a file that took the place of another, copied with its times": () => {
      const { atime, mtime } = statSync(a);
      copyFileSync(a, join(bench.root, "copy"));
      writeFileSync(join(bench.root, "copy"), "v\ny\nw\n");
      utimesSync(join(bench.root, "copy"), atime, mtime);
      renameSync(join(bench.root, "copy"), a);
    },
    "a line more": () => appendFileSync(a, "x\n"),
    "side data": () => void bench.file("table.txt", "two"),
    "a partition more": () => ({ partitions: 2 }),
    "other code": () => void (once.code = counting('if (line === "never") return;')),
    "code that asks for a variable": () =>
      void (once.code = counting("if (line === process.env.SHEAF_TEST_ONCE) return;")),
    "another value of the variable": () => void (process.env["SHEAF_TEST_ONCE"] = "never"),
    "an output that is gone": () => rmSync(bench.output, { recursive: true }),
    "an output without _SUCCESS": () => rmSync(join(bench.output, "_SUCCESS")),
    "an output with a part less": () => rmSync(part()),
    "a part with another byte": () => {
      const text = readFileSync(part());
      text[0]! ^= 1;
      writeFileSync(part(), text);
    },
    "a part that was cut": () => writeFileSync(part(), ""),
  };
  let options: LocalRunOptions = {};
  for (const [what, change] of Object.entries(changes)) {
    options = { ...options, ...change() };
    // What is not whole is no output of a job, which nothing replaces.
    if (/an output|a part /.test(what)) rmSync(join(bench.output, "_bad"), { recursive: true, force: true });
    const result = await once.run(options);
    if (what === "an output without _SUCCESS") {
      assert.equal(result.error?.code, "OUTPUT_UNWRITABLE");
      rmSync(bench.output, { recursive: true });
      await once.run(options);
    } else assert.deepEqual([result.error?.message, result.sameAs], [undefined, null], what);
    assert.deepEqual(once.output, once.expected, what);
    const { sameAs, status } = await once.run(options);
    assert.deepEqual([status, typeof sameAs], ["SUCCEEDED", "string"], `${what}, once more`);
  }
});

test("params and the output of another run are told apart, and an output is not replaced unasked", async (t) => {
  const once = new Once(new Bench(t));
  const first = await once.run({ overwrite: false });
  const other = await once.run({ params: { unit: 2 }, overwrite: false });
  assert.equal(other.error?.code, "OUTPUT_EXISTS");
  const two = await once.run({ params: { unit: "2" } });
  assert.deepEqual([two.sameAs, once.output], [null, ["x\t4", "y\t2", "z\t2"]]);
  // The output of the second is where that of the first was: same code, name and counters.
  const back = await once.run();
  assert.deepEqual([back.sameAs, once.output], [null, once.expected]);
  assert.equal((await once.run()).sameAs, back.jobId);
  assert.notEqual(back.jobId, first.jobId);
});

test("a run that failed, or gave tasks up, is not remembered; a plain run is", async (t) => {
  const once = new Once(new Bench(t));
  once.code = counting('if (line === "bad") throw new Error("no");');
  once.write("c.txt", "bad\n");
  assert.equal((await once.run()).status, "FAILED");
  const part = await once.run({ maxFailedTasks: 0.9, mappers: 3 });
  assert.deepEqual([part.status, part.failedTasks.length], ["SUCCEEDED", 1]);
  assert.equal((await once.run({ maxFailedTasks: 0.9, mappers: 3 })).sameAs, null);
  rmSync(join(once.input, "c.txt"));
  await once.run();
  const plain = await once.run({ once: false });
  assert.equal((await once.run()).sameAs, plain.jobId);
});

test("a value of params is told from every other, however alike they are printed", () => {
  const values: readonly unknown[] = [0, -0, NaN, 1, 1n, "1", true, "true", null, undefined, "null"].concat(
    [[], {}, [[]], [1, 2], ["1,2"], [1, [2]], "[1,2]", '"', "\\", Infinity, 0n, new Date(0)] as never[],
    [{ a: 1 }, { a: "1" }, { a: 1, b: 2 }, { b: 2, a: 1 }, { a: undefined }, [["a", 1]]] as never[],
    [new Map([["a", 1]]), new Set(["a", 1]), new Uint8Array([1]), new Int8Array([1])] as never[],
  );
  const keys = values.map((value) => onceKey([value]));
  assert.equal(new Set(keys).size, values.length);
  assert.deepEqual(
    keys,
    structuredClone(values).map((value) => onceKey([value])),
  );
  // Once a field has held a fraction, engines keep whole numbers in it in another way.
  const [half, whole] = [0.5, 1].map((sample) => ({ sample }));
  assert.equal(onceKey([whole]), onceKey([{ sample: 1 }]));
  assert.notEqual(onceKey([half]), onceKey([whole]));
  for (const value of [() => 1, Symbol("a"), new (class A {})(), [() => 1]])
    assert.equal(onceKey([value]), null);
});

test("nothing is looked at for a key that no history keeps", async () => {
  const planned = new Proxy({}, { get: (_, name) => assert.fail(`${String(name)} is asked for`) });
  const resolved = { output: "/out", external: [] };
  const loaded = { bundle: { portablePath: "/none" }, name: "job", directory: null };
  const key = await keyOf({}, resolved as never, loaded as never, { plan: planned } as never, Date.now);
  assert.equal(key, null);
});

test("a program outside of the job that has changed makes another run", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", "a\nb\n");
  const program = bench.file("elsewhere/pick.sh", "cat\n");
  const code = `import { exec, job, text } from "sheaf";
    export default job({ input: text(), map: exec(["sh", ${JSON.stringify(program)}]) });`;
  const options = { inputs, once: true, overwrite: true, on: "inline" } as const;
  const first = await bench.run(code, options);
  assert.equal((await bench.run(code, options)).sameAs, first.jobId);
  const { mtime } = statSync(program);
  bench.file("elsewhere/pick.sh", "tac\n");
  utimesSync(program, mtime, mtime);
  assert.equal((await bench.run(code, options)).sameAs, null);
});

test("once is refused where it could be wrong or has nothing to find", async (t) => {
  const once = new Once(new Bench(t));
  const native = 'import { createRequire } from "node:module"; createRequire(import.meta.url)("./x.node");';
  const cases: readonly (readonly [LocalRunOptions, RegExp, string?])[] = [
    [{ output: undefined as never }, /once needs an output directory/],
    [{ collect: true }, /does not go with results that are collected/],
    [{ inputs: ["-"] }, /standard input/],
    [{ external: ["sharp"] }, /sharp stays outside the bundle/],
    [{}, /native add-on/, `${native}${counting()}`],
  ];
  for (const [options, says, code = counting()] of cases) {
    once.code = code;
    const { error } = await once.run(options);
    assert.deepEqual([error?.code, says.test(error?.message ?? "")], ["USAGE", true], error?.message);
    assert.ok(error?.hint);
  }
});
