import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { describe, test } from "node:test";
import { count, job, text, words } from "#src/index.js";
import type { Job } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { wordCount } from "../runner/support.ts";
import { assertDone, assertFailed, linesOf, Place } from "./support.ts";

describe("D1: nothing to read, nothing to write", () => {
  for (const [what, input] of [
    ["a glob that matches nothing", "logs/*.txt"],
    ["a file that is not there", "nothing.txt"],
  ] as const) {
    test(`D1: ${what} is an error before any task`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount());
      place.file("there.txt", "a b\n");
      const result = await place.here(["run", "job.ts", "there.txt", input, "-o", "out", "--json"]);
      assert.ok(result.stdout.includes(`"kind":"job-started"`));
      assert.ok(!result.stdout.includes(`"kind":"attempt-started"`), result.stdout);
      await assertFailed(
        place,
        { ...result, stdout: "" },
        "INPUT_MISSING",
        new RegExp(input.replace("*", "\\*")),
      );
    });
  }

  for (const [what, reduce] of [
    ["a reduce function", ""],
    ["sum()", "sum"],
    ["a total order", "order"],
  ] as const) {
    const more = reduce === "sum" ? "reduce: sum()," : reduce === "order" ? 'order: "total",' : "";
    const top = reduce === "sum" ? 'import { sum } from "sheaf";' : "";

    test(`D1: an empty file, with ${what}, gives a complete output of empty parts`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount({ more, top }));
      place.file("empty.txt", "");
      await assertDone(place, await place.here(["run", "job.ts", "empty.txt", "-o", "out", "-p", "3"]));
      assert.deepEqual(
        place.parts().map((part) => readFileSync(part, "utf8")),
        ["", "", ""],
      );
    });
  }

  test("D1: a map that emits nothing, and partitions that get nothing, give empty parts", async (t) => {
    const place = new Place(t);
    place.file("job.ts", wordCount({ map: 'if (line !== "kept") return;' }));
    place.file("none.txt", "a\nb\n");
    place.file("one.txt", "a\nkept\nb\n");
    const args = ["-o", "out", "-p", "5", "--overwrite"];
    await assertDone(place, await place.here(["run", "job.ts", "none.txt", ...args]));
    assert.deepEqual([place.parts().length, place.lines()], [5, []]);
    await assertDone(place, await place.here(["run", "job.ts", "one.txt", ...args]));
    assert.deepEqual([place.parts().length, place.lines()], [5, ["kept\t1"]]);
  });
});

/** Lines and their byte offsets, cut out of the bytes by the simplest means. */
function linesByHand(content: Buffer): [offset: number, line: string][] {
  const lines: [number, string][] = [];
  for (let start = content.subarray(0, 3).equals(MARK) ? 3 : 0; start < content.length;) {
    const newline = content.indexOf(10, start);
    const end = newline === -1 ? content.length : newline;
    const line = content.toString("utf8", start, end);
    lines.push([start, newline !== -1 && line.endsWith("\r") ? line.slice(0, -1) : line]);
    start = end + 1;
  }
  return lines;
}

const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

const lineEnd = fc.constantFrom("\n", "\r\n", "");

const placed = job({ input: text(), map: (line, emit, ctx) => emit(ctx.offset, line), order: "hash" });

const splitSizes = (size: number): number[] => [1, 2, 3, 7, 64, 4096, Math.max(1, size), size + 1];

async function resultsOf(of: Job, inputs: string, splitSize: number): Promise<[unknown, unknown][]> {
  const result = await runJob(of, { inputs, splitSize, stateDirectory: null, memory: "8MiB" });
  result.throwIfFailed();
  const records: [unknown, unknown][] = [];
  for await (const record of result.records()) records.push(record);
  await result.dispose();
  return records;
}

/** Text of short lines: plain, wide, empty, ended in both ways, the last one not always ended. */
const content = fc
  .tuple(
    fc.boolean(),
    fc.array(fc.tuple(fc.constantFrom("", "a", "bb", "é", "a€b", "😀", "\r", "x y"), lineEnd), {
      minLength: 1,
      maxLength: 40,
    }),
  )
  .map(([marked, lines]) => {
    const bytes = Buffer.from(
      lines.map(([line, end], i) => (i < lines.length - 1 && end === "" ? `${line}\n` : line + end)).join(""),
    );
    return marked ? Buffer.concat([MARK, bytes]) : bytes;
  });

test("D2, D3: for any split size each line is there once, whole, at its offset, and the mark is in none", async (t) => {
  const place = new Place(t);
  await fc.assert(
    fc.asyncProperty(content, async (bytes) => {
      const input = place.file("in.txt", bytes);
      const expected = linesByHand(bytes);
      for (const splitSize of splitSizes(bytes.length)) {
        assert.deepEqual(await resultsOf(placed, input, splitSize), expected, `split size ${splitSize}`);
      }
    }),
    { numRuns: 10 },
  );
});

for (const [what, of, cut] of [
  ["lines", job({ input: text(), reduce: count() }), (line: string) => [line]],
  ["words", job({ input: words(), reduce: count() }), (line: string) => line.match(/\p{L}+/gu) ?? []],
] as const) {
  test(`D2, D3: for any split size kernels count each of the ${what} once`, async (t) => {
    const place = new Place(t);
    await fc.assert(
      fc.asyncProperty(content, async (bytes) => {
        const input = place.file("in.txt", bytes);
        const expected = new Map<string, number>();
        for (const [, line] of linesByHand(bytes)) {
          for (const key of cut(line)) expected.set(key, (expected.get(key) ?? 0) + 1);
        }
        const sorted = [...expected].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        for (const splitSize of splitSizes(bytes.length)) {
          assert.deepEqual(await resultsOf(of, input, splitSize), sorted, `split size ${splitSize}`);
        }
      }),
      { numRuns: 6 },
    );
  });
}

test("D2: the command's --split-size changes the tasks, not one byte of the output", async (t) => {
  const place = new Place(t);
  place.file("job.ts", wordCount());
  const words = Array.from({ length: 300 }, (_, i) => `w${i % 31} v${(i * i) % 37}`);
  const { length } = Buffer.from(words.join("\n"));
  place.file("in.txt", words.join("\n"));
  const outputs = new Set<string>();
  for (const splitSize of [7, 4096, length]) {
    const args = [
      "run",
      "job.ts",
      "in.txt",
      "-o",
      "out",
      "--overwrite",
      "-p",
      "2",
      "--split-size",
      `${splitSize}`,
    ];
    const result = await place.here(args);
    await assertDone(place, result);
    assert.match(result.stderr, new RegExp(`${Math.ceil(length / splitSize)} map task`));
    outputs.add(
      place
        .parts()
        .map((part) => readFileSync(part, "utf8"))
        .join("-- next part\n"),
    );
  }
  assert.equal(outputs.size, 1);
  const counts = new Map<string, number>();
  for (const word of words.join(" ").split(" ")) counts.set(word, (counts.get(word) ?? 0) + 1);
  assert.deepEqual(place.lines().sort(), [...counts].map(([word, n]) => `${word}\t${n}`).sort());
});

describe("D4: bytes that are no text", () => {
  const wrong = Buffer.from([0x61, 0xff, 0x62, 10, 0x61, 0xfe, 0x62, 10, 0x61, 0xef, 0xbf, 0xbd, 0x62, 10]);
  const identity = (invalid: string): string => `
    import { count, job, text } from "sheaf";
    export default job({
      input: text({ invalid: "${invalid}" as "fail" }),
      map(line, emit) { emit(line); },
      reduce: count(),
    });
  `;

  test("D4: text fails at them, with path and offset, or sets the lines aside", async (t) => {
    const place = new Place(t);
    place.file("job.ts", identity("fail"));
    place.file("in.txt", wrong);
    const args = ["run", "job.ts", "in.txt", "-o", "out"];
    await assertFailed(place, await place.here(args), "RECORD_INVALID", /in\.txt:0: byte 1 .*0xff/);
    await assertDone(place, await place.here([...args, "--max-bad", "2"]));
    assert.deepEqual(place.lines(), ["a\ufffdb\t1"]);
    assert.equal(linesOf(readFileSync(place.path("out/_bad/part-00000.jsonl"), "utf8")).length, 2);
  });

  test('D4: "replace" makes one text of them only because it was asked to; "bytes" keeps them apart', async (t) => {
    const place = new Place(t);
    const input = place.file("in.txt", wrong);
    const counts = async (invalid: string): Promise<[unknown, unknown][]> => {
      const file = place.file("job.ts", identity(invalid));
      const result = await runJob(file, { inputs: input, stateDirectory: null });
      result.throwIfFailed();
      const records: [unknown, unknown][] = [];
      for await (const record of result.records()) records.push(record);
      await result.dispose();
      return records;
    };
    assert.deepEqual(await counts("replace"), [["a\ufffdb", 3]]);
    const bytes = (await counts("bytes")).map(([key, n]) => [
      Buffer.from(key as Uint8Array).toString("hex"),
      n,
    ]);
    assert.deepEqual(bytes, [
      ["61efbfbd62", 1],
      ["61fe62", 1],
      ["61ff62", 1],
    ]);
  });

  test("D4: NUL and control characters are characters like others, and do not reach a terminal raw", async (t) => {
    const place = new Place(t);
    place.file("job.ts", identity("fail"));
    place.file("in.txt", "a\0b\n\u0001\u001b[31m\n");
    await assertDone(place, await place.here(["run", "job.ts", "in.txt", "-o", "out"]));
    assert.deepEqual(place.lines(), ["\u0001\u001b[31m\t1", "a\0b\t1"]);
    place.file("job.ts", wordCount({ map: 'throw new Error("at " + line);' }));
    const failed = await place.here(["run", "job.ts", "in.txt", "-o", "out2", "--attempts", "1"]);
    assert.equal(failed.code, 1);
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    assert.ok(!/[\0\u0001\u001b]/.test(failed.stderr), JSON.stringify(failed.stderr));
  });
});

describe("D18: names", () => {
  const odd = [
    "with space",
    "new\nline",
    "per%20cent",
    "#hash",
    "-dash",
    "-o",
    "[a-z]*",
    "é",
    "x".repeat(250),
  ];

  test("D18: files of odd names are read, by name and below a directory", async (t) => {
    const place = new Place(t);
    place.file("job #1%20?.ts", wordCount());
    for (const name of odd) place.file(`in/${name}`, "a b\n");
    const args = ["-o", "out", "--overwrite"];
    await assertDone(place, await place.here(["run", "job #1%20?.ts", "in", ...args]));
    assert.deepEqual(place.lines(), [`a\t${odd.length}`, `b\t${odd.length}`]);
    for (const name of ["-o", "[a-z]*", "new\nline"]) {
      const result = await place.here(["run", ...args, "../job #1%20?.ts", "--", name], {
        cwd: place.path("in"),
      });
      assert.equal(result.code, 0, result.stderr);
    }
  });

  test("D18: an output of an odd name is where it was asked for", async (t) => {
    const place = new Place(t);
    place.file("job.ts", wordCount());
    place.file("in.txt", "a b\n");
    const name = `out #1%20\n${"y".repeat(230)}`;
    await assertDone(place, await place.here(["run", "job.ts", "in.txt", "-o", name]), name);
  });

  for (const [what, make, code] of [
    ["a link to itself", (path: string) => symlinkSync("odd", path), "INPUT_UNREADABLE"],
    ["a device", (path: string) => symlinkSync("/dev/zero", path), "INPUT_UNREADABLE"],
    ["a name that is too long", () => undefined, "INPUT_UNREADABLE"],
  ] as const) {
    test(`D18: ${what} is an error, and blocks nobody`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount());
      mkdirSync(place.path("in"));
      make(place.path("in/odd"));
      const input = what === "a name that is too long" ? "z".repeat(300) : "in/odd";
      const result = await place.sheaf(["run", "job.ts", input, "-o", "out"], { timeoutMs: 60_000 });
      assert.deepEqual(place.left(), ["in"]);
      assert.match(result.stderr, new RegExp(`\\[${code}\\]`));
      assert.equal(result.code, 1);
    });
  }

  test("D18: a directory that contains itself by a link is an error", async (t) => {
    const place = new Place(t);
    place.file("job.ts", wordCount());
    place.file("in/a.txt", "a\n");
    symlinkSync(".", place.path("in/again"));
    const result = await place.sheaf(["run", "job.ts", "in", "-o", "out"], { timeoutMs: 60_000 });
    await assertFailed(place, result, "INPUT_UNREADABLE", /again/);
  });
});
