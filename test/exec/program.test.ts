import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Program, type ProgramStart } from "#src/exec/program.js";
import { exec, type ExecOptions, job, jsonl, text } from "#src/index.js";
import { execOf } from "#src/job/exec.js";
import type { Key } from "#src/job/key.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import { pairReader } from "#src/task/exec-pairs.js";
import { file, lines, many, outputOf } from "./support.js";

function started(
  argv: readonly string[],
  more: Partial<ProgramStart> = {},
  options: ExecOptions = {},
): Program {
  return new Program({
    plan: execOf(exec(argv, options))!,
    directory: tmpdir(),
    environment: { PATH: process.env["PATH"]! },
    take: () => undefined,
    moved: () => undefined,
    place: () => ({ path: null, offset: null }),
    reports: { count: () => undefined, status: () => undefined, log: () => undefined },
    signal: new AbortController().signal,
    ...more,
  });
}

/** Until the program has ended, and what it has left in its pipes has come. */
async function ended(program: Program): Promise<void> {
  while (program.takesInput) await turn();
  for (let turns = 0; turns < 100; turns++) await turn();
}

const numbers = Array.from({ length: 60_000 }, (_, i) => `${i + 1}\n`).join("");

describe("what a program has written when it ends", () => {
  test("is taken chunk after chunk, and its end waits for the last", async () => {
    let text = "";
    let taking = 0;
    const program = started(["seq", "1", "60000"], {
      async take(chunk) {
        assert.equal(++taking, 1);
        await ended(program);
        text += chunk.toString("latin1");
        taking--;
      },
    });
    await program.finish();
    assert.equal(text, numbers);
  });

  test("that cannot be taken fails it, though it has ended with 0", async () => {
    let length = 0;
    const program = started(["seq", "1", "60000"], {
      async take(chunk) {
        length += chunk.length;
        await ended(program);
        if (length === numbers.length) throw new Error("the disk is full");
      },
    });
    await assert.rejects(program.finish(), /the disk is full/);
  });
});

test("a program that has ended takes no more input, though it has closed none", async () => {
  const program = started(["true"]);
  await ended(program);
  assert.equal(program.takesInput, false);
  await program.write(Buffer.from("x"));
  await program.finish();
});

test("what its reports throw fails it", async () => {
  const log = (): never => {
    throw new Error("no log");
  };
  const reports = { count: () => undefined, status: () => undefined, log };
  const program = started(["sh", "-c", "printf x >&2"], { reports }, { noProgressMs: 1e9 });
  await assert.rejects(program.finish(), /no log/);
});

describe("parts of a map that is a program", () => {
  test("of one that ends while parts of what it has written are being ended", async () => {
    const numbers = Array.from({ length: 60_000 }, (_, i) => `${i + 1}\n`).join("");
    const what = job({ input: text(), map: exec(["seq", "1", "60000"]) });
    assert.equal(await outputOf(what, many, { mappers: 1, partBytes: 65_536 }), numbers);
  });

  test("of one whose pairs go to another format: parts end one after the other", async () => {
    const pairs = file("pairs.jsonl", lines.map((line) => `["${line.replace("\t", "-")}",1]\n`).join(""));
    const what = job({
      input: jsonl(),
      map: exec(["cat"], { protocol: "json" }),
      output: jsonl(),
    });
    const found = await outputOf(what, pairs, { mappers: 1, partBytes: 20_000 });
    assert.deepEqual(
      found
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { key: string }).key),
      lines.map((line) => line.replace("\t", "-")),
    );
  });
});

/** What comes of bytes that are cut so: pairs, and "|" wherever a file of two pairs ends. */
async function partsOf(options: ExecOptions, bytes: Buffer, cuts: readonly number[]): Promise<string> {
  const found: string[] = [];
  let written = 0;
  let isRolling = false;
  const target = {
    emit(key: Key, value: unknown): void {
      assert.equal(isRolling, false);
      written++;
      found.push(`${String(key)}=${String(value)}`);
    },
    output: {
      get full(): boolean {
        return written >= 2;
      },
      async roll(): Promise<void> {
        isRolling = true;
        await turn();
        isRolling = false;
        written = 0;
        found.push("|");
      },
    },
  };
  const reader = pairReader(execOf(exec(["x"], options))!, target, new TaskMemory(1 << 20), true);
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    await reader.take(bytes.subarray(from, cut));
    from = cut;
  }
  await reader.end();
  return found.join(" ");
}

const framed = (...pieces: string[]): Buffer =>
  Buffer.concat(
    pieces.flatMap((piece) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(piece.length);
      return [length, Buffer.from(piece)];
    }),
  );

describe("files of a program's pairs end between the same two, wherever the pipe has cut them", () => {
  const cases: [options: ExecOptions, bytes: Buffer, expected: string][] = [
    [{}, Buffer.from("a\t1\nb\nc\t3\nd\t4\ne\t5"), "a=1 b=undefined | c=3 d=4 | e=5"],
    [{ protocol: "json" }, Buffer.from('["a",1]\n["b"]\n["c",3]\n["d",4]\n'), "a=1 b=undefined | c=3 d=4 |"],
    [{ protocol: "bytes" }, framed("a", "1", "b", "", "c", "3"), "97=49 98= | 99=51"],
  ];
  for (const [options, bytes, expected] of cases) {
    test(options.protocol ?? "lines", async () => {
      for (let one = 0; one <= bytes.length; one++) {
        for (let two = one; two <= bytes.length; two++)
          assert.equal(await partsOf(options, bytes, [one, two]), expected, `cut at ${one} and ${two}`);
      }
      const all = Array.from(bytes, (_, i) => i);
      assert.equal(await partsOf(options, bytes, all), expected, "byte by byte");
    });
  }
});
