import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Program, type ProgramStart } from "#src/exec/program.js";
import { exec, type ExecOptions, job, jsonl, text } from "#src/index.js";
import { execOf } from "#src/job/exec.js";
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
