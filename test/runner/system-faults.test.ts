import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { writeOutput } from "../storage/support.ts";
import { assertCounted, assertFailed, Bench, expectedLines, inputText, wordCount } from "./support.ts";

/** Job text whose map uses the file system. */
const fs = 'import * as fs from "node:fs";';

test("N1: a killed worker does not use up the attempts of user code", async (t) => {
  const bench = new Bench(t);
  const result = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText),
    isolate: "process",
    attempts: 2,
    fail: [
      { phase: "map", untilAttempt: 1, how: "throw" },
      { phase: "map", untilAttempt: 2, how: "kill" },
    ],
  });
  assertCounted(bench, result);
  assert.deepEqual(
    bench.of("attempt-failed").map(({ outcome, willRetry }) => [outcome, willRetry]),
    [
      ["failed", true],
      ["lost", true],
    ],
  );
});

test("N2, N3: a reduce killed with its output written is run again, its map is not, and one part is left", async (t) => {
  const bench = new Bench(t);
  const result = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText),
    isolate: "process",
    fail: [{ phase: "reduce", untilAttempt: 1, when: "end", how: "kill" }],
  });
  assertCounted(bench, result);
  assert.equal(bench.parts().length, 1);
  assert.equal(result.failedAttempts[0]?.failure.code, "WORKER_LOST");
  const finished = bench.of("attempt-finished").map(({ task, attempt }) => `${task}.${attempt}`);
  assert.deepEqual(finished, ["map-00000.1", "reduce-00000.2"]);
});

test("D16: counters and output are those of a run without faults, whatever is retried", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText.repeat(50));
  const options = { inputs, splitSize: 300, partitions: 3, overwrite: true } as const;
  const calm = await bench.run(wordCount(), options);
  const bytes = bench.parts().map((part) => readFileSync(part, "utf8"));
  const rough = await bench.run(wordCount(), {
    ...options,
    attempts: 3,
    fail: [
      { phase: "map", task: 0, untilAttempt: 2, when: "end", how: "throw" },
      { phase: "map", task: 2, untilAttempt: 1, when: "end", how: "exit" },
      { phase: "reduce", task: 1, untilAttempt: 2, when: "end", how: "exit" },
    ],
  });
  assert.equal(rough.status, "SUCCEEDED", rough.error?.report);
  assert.equal(rough.failedAttempts.length, 5);
  assert.deepEqual(rough.counters, calm.counters);
  assert.equal(calm.counters["lines"], 200);
  assert.deepEqual(
    bench.parts().map((part) => readFileSync(part, "utf8")),
    bytes,
  );
  assert.deepEqual(
    [rough.stats.recordsIn, rough.stats.emitted, rough.stats.recordsOut],
    [calm.stats.recordsIn, calm.stats.emitted, calm.stats.recordsOut],
  );
});

for (const [what, damage] of [
  ["deleted", (path: string) => rmSync(path)],
  ["cut short", (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ["empty", (path: string) => truncateSync(path, 0)],
  [
    "changed in one bit",
    (path: string) => {
      const bytes = readFileSync(path);
      bytes[Math.floor(bytes.length / 2)]! ^= 1;
      writeFileSync(path, bytes);
    },
  ],
] as const) {
  test(`S1, S2: map output that is ${what} makes the map run again, and no user code sees it`, async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount(), {
      inputs: bench.file("in.txt", inputText),
      mappers: 1,
      attempts: 1,
      onEvent: (event) => {
        if (event.kind === "attempt-finished" && event.task === "map-00000" && event.attempt === 1) {
          damage(bench.work("map-00000.1", "map.run"));
        }
      },
    });
    assertCounted(bench, result);
    assert.deepEqual(
      bench
        .of("attempt-finished")
        .map(({ task, attempt }) => `${task}.${attempt}`)
        .slice(0, 2),
      ["map-00000.1", "map-00000.2"],
    );
  });
}

describe("S9, S10: output that cannot be written", () => {
  test("a full disk while a task writes is named, and nothing is left", async (t) => {
    const bench = new Bench(t);
    const big = Array.from({ length: 20_000 }, (_, i) => `word${i}x${(i * 7919) % 20_011}`).join(" ");
    const options = { inputs: bench.file("in.txt", `${big}\n`), memory: "8MiB", attempts: 1 };
    const told = await bench.runElsewhere(wordCount(), options, "ulimit -f 64; ");
    assert.deepEqual([told.status, told.code], ["FAILED", "DISK_FULL"], JSON.stringify(told));
    assert.deepEqual(bench.left(), []);
  });

  test("a task that meets a full disk is tried again", async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount(), {
      inputs: bench.file("in.txt", inputText),
      fail: [{ phase: "map", untilAttempt: 1, how: "disk-full" }],
    });
    assertCounted(bench, result);
  });

  test("an output below a file is refused before any task", async (t) => {
    const bench = new Bench(t);
    const output = join(bench.file("file", ""), "out");
    const result = await bench.run(wordCount(), { inputs: bench.file("in.txt", inputText), output });
    assertFailed(bench, result, "OUTPUT_UNWRITABLE");
    assert.deepEqual(bench.of("attempt-started"), []);
  });

  test("a state directory that cannot be written costs the history, not the job", async (t) => {
    const bench = new Bench(t);
    const stateDirectory = join(bench.file("file", ""), "state");
    const result = await bench.run(wordCount(), { inputs: bench.file("in.txt", inputText), stateDirectory });
    assertCounted(bench, result);
    assert.match(bench.of("warning")[0]!.message, /the job goes on without it/);
  });
});

describe("S12: an output that exists", () => {
  for (const [what, make] of [
    ["an empty directory", (path: string) => mkdirSync(path)],
    [
      "a full directory",
      (path: string) => {
        mkdirSync(path);
        writeFileSync(join(path, "precious"), "");
      },
    ],
    ["a file", (path: string) => writeFileSync(path, "precious")],
    ["a link to nothing", (path: string) => symlinkSync("nowhere", path)],
  ] as const) {
    test(`${what} is refused before any task and stays`, async (t) => {
      const bench = new Bench(t);
      make(bench.output);
      const result = await bench.run(wordCount(), { inputs: bench.file("in.txt", inputText) });
      assert.deepEqual([result.status, result.error?.code], ["FAILED", "OUTPUT_EXISTS"]);
      assert.deepEqual(bench.of("attempt-started"), []);
      assert.deepEqual(bench.left(), ["out"]);
    });
  }

  test("--overwrite swaps it when the job has succeeded, and keeps it when the job fails", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", inputText);
    writeOutput(bench.output, { precious: "" });
    const failed = await bench.run(wordCount({ reduce: 'throw new Error("no");' }), {
      inputs,
      overwrite: true,
    });
    assert.equal(failed.status, "FAILED");
    assert.deepEqual([bench.left(), readdirSync(bench.output)], [["out"], ["_SUCCESS", "precious"]]);
    assertCounted(bench, await bench.run(wordCount(), { inputs, overwrite: true }));
    assert.equal(existsSync(join(bench.output, "precious")), false);
  });

  test("one that appears while the job runs is not replaced", async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount(), {
      inputs: bench.file("in.txt", inputText),
      onEvent: (event) => {
        if (event.kind !== "attempt-started") return;
        mkdirSync(bench.output, { recursive: true });
        writeFileSync(join(bench.output, "precious"), "");
      },
    });
    assert.deepEqual([result.status, result.error?.code], ["FAILED", "OUTPUT_EXISTS"]);
    assert.deepEqual([bench.left(), readdirSync(bench.output)], [["out"], ["precious"]]);
  });
});

describe("S13: what changes while the job runs", () => {
  for (const [what, damage, code] of [
    ["removed", (path: string) => rmSync(path), "INPUT_CHANGED"],
    ["cut short", (path: string) => truncateSync(path, 5), "INPUT_CHANGED"],
    ["made longer", (path: string) => appendFileSync(path, "more\n"), "INPUT_CHANGED"],
  ] as const) {
    test(`an input that is ${what} is an error that names it`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", inputText);
      const result = await bench.run(wordCount(), {
        inputs,
        attempts: 1,
        onEvent: (event) => event.kind === "planned" && damage(inputs),
      });
      assertFailed(bench, result, code);
      assert.match(result.error!.message, /in\.txt/);
    });
  }

  test("a work directory that is removed is an error, not a hang", async (t) => {
    const bench = new Bench(t);
    const map = `fs.rmSync(${JSON.stringify(dirname(bench.output))}, { recursive: true, force: true });`;
    const result = await bench.run(wordCount({ top: fs, map }), { inputs: bench.file("in.txt", inputText) });
    assert.equal(result.status, "FAILED");
    assert.ok(["OUTPUT_UNWRITABLE", "DISK_FULL"].includes(result.error!.code), result.error!.report);
  });
});

test("S15: what a killed run has left is removed by the next one", async (t) => {
  const bench = new Bench(t);
  const options = { inputs: bench.file("in.txt", inputText) };
  const killed = await bench.runElsewhere(
    wordCount({ reduce: 'process.kill(process.pid, "SIGKILL");' }),
    options,
  );
  assert.equal(killed.exit, "SIGKILL", JSON.stringify(killed));
  assert.equal(bench.left().length, 1, "the killed run should have left its work directory");
  assertCounted(bench, await bench.run(wordCount(), options));
});

describe("D14: bad records", () => {
  const lines = Array.from({ length: 100 }, (_, i) => (i % 10 === 3 ? `bad ${i}` : `good ${i}`));
  const map = 'if (line.startsWith("bad")) throw new TypeError("a bad one");';

  test("the first one fails the job, named by path and offset", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", `${lines.join("\n")}\n`);
    const result = await bench.run(wordCount({ map }), { inputs });
    assertFailed(bench, result, "USER_CODE");
    const { failure } = result.error!;
    assert.deepEqual([failure?.path, failure?.offset, failure?.record], [inputs, 21, "bad 3"]);
    assert.match(result.error!.report, /in\.txt:21/);
    assert.match(result.error!.report, /job\.ts:\d+:\d+/);
  });

  test("within the budget they are kept apart, exactly; over it the job fails", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", `${lines.join("\n")}\n`);
    for (const maxBad of [10, "10%"]) {
      const result = await bench.run(wordCount({ map }), { inputs, maxBad, overwrite: true, splitSize: 200 });
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      assert.equal(result.badRecords, 10);
      const kept = readdirSync(join(bench.output, "_bad"))
        .sort()
        .flatMap((name) =>
          readFileSync(join(bench.output, "_bad", name), "utf8")
            .trim()
            .split("\n"),
        );
      assert.deepEqual(
        kept.map((line) => (JSON.parse(line) as { record: string }).record),
        lines.filter((_, i) => i % 10 === 3),
      );
      assert.equal(
        bench.lines().find((line) => line.startsWith("good")),
        "good\t90",
      );
    }
    rmSync(bench.output, { recursive: true });
    for (const maxBad of [9, "9.9%"]) {
      assertFailed(bench, await bench.run(wordCount({ map }), { inputs, maxBad }), "BAD_BUDGET");
    }
  });
});

describe("D14: records that end their worker", () => {
  const lines = Array.from({ length: 40 }, (_, i) => (i % 20 === 13 ? `poison ${i}` : `good ${i}`));
  const text = `${lines.join("\n")}\n`;
  const at = (record: string): number => text.indexOf(record);

  for (const [isolate, does] of [
    ["thread", "process.exit(0);"],
    ["thread", "for (;;);"],
    ["process", 'process.kill(process.pid, "SIGKILL");'],
    ["process", "process.abort();"],
    ["process", "for (;;);"],
  ] as const) {
    const map = `if (line.startsWith("poison")) { ${does} }`;

    test(`${isolate}: ${does} fails the job, named by path and offset`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", text);
      const result = await bench.run(wordCount({ map }), { inputs, isolate, noProgressMs: 500 });
      assert.equal(result.status, "FAILED");
      const { failure } = result.error!;
      assert.deepEqual([failure?.path, failure?.offset], [inputs, at("poison 13")], result.error!.report);
      assert.deepEqual(bench.left(), []);
    });

    test(`${isolate}: ${does} with maxBad: exactly those records are kept apart`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", text);
      const options = { inputs, isolate, noProgressMs: 500, maxBad: 2, attempts: 1 } as const;
      const result = await bench.run(wordCount({ map }), options);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      assert.equal(result.badRecords, 2);
      assert.equal(result.counters["lines"], 38);
      assert.equal(
        bench.lines().find((line) => line.startsWith("good")),
        "good\t38",
      );
      const kept = readFileSync(join(bench.output, "_bad", "part-00000.jsonl"), "utf8")
        .trim()
        .split("\n");
      assert.deepEqual(
        kept
          .map((line) => JSON.parse(line) as { record: string; offset: number })
          .map(({ record, offset }) => [record, offset]),
        ["poison 13", "poison 33"].map((record) => [record, at(record)]),
      );
    });
  }

  test("more of them than maxBad allows fail the job", async (t) => {
    const bench = new Bench(t);
    const map = 'if (line.startsWith("poison")) process.exit(0);';
    const result = await bench.run(wordCount({ map }), { inputs: bench.file("in.txt", text), maxBad: 1 });
    assertFailed(bench, result, "BAD_BUDGET");
  });

  test("what kills in setup is no record's doing", async (t) => {
    const bench = new Bench(t);
    const more = "setup() { process.exit(0); },";
    const result = await bench.run(wordCount({ more }), { inputs: bench.file("in.txt", text), maxBad: 10 });
    assertFailed(bench, result, "USER_EXITED");
    assert.ok(result.failedAttempts.length <= 4);
  });
});

test("D15: a share of the tasks may fail, and the result names them", async (t) => {
  const bench = new Bench(t);
  const lines = Array.from({ length: 40 }, (_, i) => `line ${String(i).padStart(2, "0")}`);
  const options = { inputs: bench.file("in.txt", `${lines.join("\n")}\n`), splitSize: 80, attempts: 1 };
  const map = 'if (line === "line 25") throw new Error("no");';
  const result = await bench.run(wordCount({ map }), { ...options, maxFailedTasks: "25%" });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual([result.mapTasks, result.failedTasks], [4, ["map-00002"]]);
  assert.equal(
    bench.lines().find((line) => line.startsWith("line")),
    "line\t30",
  );
  const stricter = await bench.run(wordCount({ map }), {
    ...options,
    maxFailedTasks: "24%",
    overwrite: true,
  });
  assert.equal(stricter.status, "FAILED");
});

describe("the expect gate", () => {
  for (const [what, gate, says] of [
    ["false", "() => false", /false/],
    ["a text", '(c) => c.lines > 100 || "too few lines: " + c.lines', /too few lines: 4/],
    ["an error", '() => { throw new Error("gate broke"); }', /gate broke/],
  ] as const) {
    test(`${what} leaves earlier output as it was`, async (t) => {
      const bench = new Bench(t);
      mkdirSync(bench.output);
      const result = await bench.run(wordCount({ more: `expect: ${gate},` }), {
        inputs: bench.file("in.txt", inputText),
        overwrite: true,
      });
      assert.deepEqual([result.status, result.error?.code], ["FAILED", "EXPECT_FAILED"]);
      assert.match(result.error!.message, says);
      assert.deepEqual([bench.left(), readdirSync(bench.output)], [["out"], []]);
    });
  }

  test("true lets the output through", async (t) => {
    const bench = new Bench(t);
    const job = wordCount({ more: "expect: (c) => c.lines === 4," });
    assertCounted(bench, await bench.run(job, { inputs: bench.file("in.txt", inputText) }));
  });
});

describe("D19: the same bytes", () => {
  test("for any number of workers, way of isolation and split size", async (t) => {
    const bench = new Bench(t);
    const text = Array.from(
      { length: 300 },
      (_, i) => `w${i % 17} v${(i * i) % 23} ${expectedLines[i % 8]}`,
    ).join("\n");
    const inputs = bench.file("in.txt", text);
    const bytes = async (options: object): Promise<string[]> => {
      const result = await bench.run(wordCount(), { inputs, partitions: 3, overwrite: true, ...options });
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      return [...bench.parts(), join(bench.output, "_SUCCESS")].map((part) => readFileSync(part, "utf8"));
    };
    const expected = await bytes({ workers: 1 });
    assert.equal(expected.length, 4);
    for (const options of [
      { workers: 4, splitSize: 100 },
      { isolate: "process", splitSize: 1_000 },
      { isolate: "inline", splitSize: 7 },
      { memory: "8MiB" },
    ]) {
      assert.deepEqual(await bytes(options), expected, JSON.stringify(options));
    }
  });
});
