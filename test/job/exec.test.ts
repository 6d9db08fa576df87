import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { exec, job, jsonl, text } from "#src/index.js";
import { execOf } from "#src/job/exec.js";
import { numberOrdinal } from "#src/job/key-fields.js";
import { programPaths } from "#src/job/validate-exec.js";
import { ExecFeed } from "#src/task/exec-records.js";
import { testJob } from "#src/testing.js";

describe("programs in a job", () => {
  const input = text();
  const cases: readonly [expected: RegExp, make: () => unknown][] = [
    [/argv: .*There is no shell|argv: "cat a"/, () => exec("cat a" as never)],
    [/argv/, () => exec([])],
    [/seperator: no such option/, () => exec(["cat"], { seperator: "," } as never)],
    [/separator: .*cannot stand/, () => exec(["cat"], { separator: "\n" })],
    [/keyFields: 0/, () => exec(["cat"], { keyFields: 0 })],
    [/sort: "-k0" names no fields/, () => exec(["cat"], { sort: "-k0" })],
    [/sort: it is for lines/, () => exec(["cat"], { protocol: "json", sort: "-k1" })],
    [
      /setup: it cannot be a program/,
      () => job({ input, setup: exec(["cat"]) as never, map: exec(["cat"]) }),
    ],
    [
      /order: exec\(\) of the map has partitionBy/,
      () => job({ input, map: exec(["cat"], { partitionBy: "-k1" }), order: "total" }),
    ],
    [
      /reduce: sort has nothing/,
      () => job({ input, map: exec(["cat"]), reduce: exec(["cat"], { sort: "-n" }) }),
    ],
    [
      /map: sort of exec/,
      () =>
        job({
          input,
          map: exec(["cat"], { sort: "-n" }),
          reduce: (k: string, all: Iterable<string>) => k + [...all].length,
        }),
    ],
    [/map: partitionBy of exec\(\) needs/, () => job({ input, map: exec(["cat"], { partitionBy: "-k1" }) })],
    [
      /map: sort of exec\(\) is for values that are texts/,
      () => job({ input, map: exec(["cat"], { sort: "-n", values: "number" }), reduce: exec(["cat"]) }),
    ],
    [
      /output: with sort of exec\(\) and no reduce/,
      () => job({ input, map: exec(["cat"], { sort: "-n" }), order: "hash", output: jsonl() }),
    ],
    [
      /map: its programs differ in the separator/,
      () =>
        job({
          inputs: { a: text(), b: text() },
          map: { a: exec(["cat"]), b: exec(["cat"], { separator: "," }) },
          order: "hash",
        }),
    ],
    [
      /map: its programs differ in how keys are sorted or spread/,
      () =>
        job({
          inputs: { a: text(), b: text() },
          map: { a: exec(["cat"], { sort: "-n" }), b: exec(["cat"], { sort: "-k1" }) },
          reduce: exec(["cat"]),
        }),
    ],
    [/env: my\.var=.* is no variable/, () => exec(["cat"], { env: { "my.var": "x" } })],
    [/files: two of them are called a/, () => job({ input, files: ["a", "x/a"] })],
    [/files: "a#\.\." gives it no name/, () => job({ input, files: ["a#.."] })],
  ];
  test("what makes no sense is refused by name", () => {
    for (const [expected, make] of cases) assert.throws(make, { code: "JOB_INVALID", message: expected });
  });

  test("a record's elements are parted by tabs, a pair by what was asked for", () => {
    const feed = new ExecFeed(execOf(exec(["cat"], { inputSeparator: "|" }))!);
    feed.record(["a", "b|", 1]);
    feed.pair(["a", "b"], ["c", 2]);
    assert.equal(feed.bytes.toString("utf8", 0, feed.length), "a\tb|\t1\na|b|c|2\n");
  });

  test("testJob says that it runs no programs", async () => {
    await assert.rejects(testJob(job({ input, map: exec(["cat"]) }), ["a"]), { code: "JOB_INVALID" });
  });
});

test("a number of very many zeros is ordered in time that grows with its length", () => {
  const zeros = "0".repeat(1_000_000);
  assert.deepEqual(numberOrdinal(`1.${zeros}`), numberOrdinal("1"));
  assert.ok(Buffer.compare(numberOrdinal(`1.${zeros}1`), numberOrdinal("1")) > 0);
});

test("absolute paths are found among all programs of a job and their arguments", () => {
  const map = exec(["/usr/bin/env", "python3", "--rules=/etc/rules", "-n", "a/b", "x=y"]);
  const reduce = exec(["sh", "/opt/r.sh", "/usr/bin/env"]);
  const combine = exec(["/opt/c"]);
  const paths = ["/usr/bin/env", "/etc/rules", "/opt/c", "/opt/r.sh"];
  assert.deepEqual(programPaths(job({ input: text(), map, combine, reduce })), paths);
  const inputs = { a: text(), b: text() };
  const several = job({ inputs, map: { a: map, b: exec(["/opt/b"]) }, reduce });
  assert.deepEqual(programPaths(several), ["/usr/bin/env", "/etc/rules", "/opt/b", "/opt/r.sh"]);
  assert.deepEqual(programPaths(job({ input: text(), map: (line, emit) => emit(line, 1) })), []);
});
