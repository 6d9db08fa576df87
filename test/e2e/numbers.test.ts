/** Numbers on their way through a whole job: read by kernels from bytes, summed, and printed by kernels. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { columns, csv, job, max, run, sum } from "#src/index.js";
import type { Job } from "#src/job/job-plan.js";
import { tempDir } from "../cli/support.js";

const random = seededRandom("numbers");

/** Numeric text as people and programs write it, and as is hard to round. */
function numericTexts(): string[] {
  const digits = (n: number): string => Array.from({ length: n }, () => random.below(10)).join("");
  const made = [
    "0",
    "-0",
    "0.0",
    "1e0",
    "5e-324",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "1e-400",
  ];
  made.push(
    "1.7976931348623157e308",
    "9007199254740993",
    "9007199254740992.9999999999",
    "0.1",
    "+7",
    ".5",
    "5.",
  );
  // 1 + 2^-53 lies halfway: to the even number, or by one more digit far behind to the next.
  made.push("1.00000000000000011102230246251565404", "1.00000000000000011102230246251565405");
  made.push(
    "1.00000000000000011102230246251565403",
    "123456789012345",
    "1234567890123456",
    "0.000000000000001",
  );
  for (let i = 0; i < 3000; i++) {
    const sign = ["", "-", "+"][random.below(3)]!;
    const whole = digits(1 + random.below(i % 3 === 0 ? 25 : 8));
    const fraction = random.below(3) === 0 ? "" : `.${digits(1 + random.below(i % 5 === 0 ? 30 : 9))}`;
    const exponent = random.below(4) === 0 ? `e${["", "+", "-"][random.below(3)]!}${random.below(290)}` : "";
    const text = `${sign}${whole}${fraction}${exponent}`;
    if (Number.isFinite(Number(text))) made.push(text);
  }
  return made.filter((text) => !isRefused(text));
}

/** Integers that a double cannot hold for certain are for the column type "bigint". */
function isRefused(text: string): boolean {
  return /^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text));
}

async function lines(t: Parameters<typeof tempDir>[0], made: Job, text: string): Promise<string[]> {
  const directory = tempDir(t);
  const input = join(directory, "in.csv");
  const output = join(directory, "out");
  writeFileSync(input, text);
  await run(made, { inputs: input, output, stateDirectory: null, splitSize: 20_000, partitions: 1 });
  return readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .flatMap((name) => readFileSync(join(output, name), "utf8").trimEnd().split("\n"));
}

const input = csv({ header: false, columns: { key: "string", value: "number" } });
const keyOf = (i: number): string => String(i).padStart(6, "0");

test("numbers that kernels read from bytes are those of Number(), bit for bit", async (t) => {
  const texts = numericTexts();
  const file = texts.map((text, i) => `${keyOf(i)},${text}\n`).join("");
  const got = await lines(t, job({ input, map: columns("key", "value"), reduce: max() }), file);
  assert.deepEqual(
    got,
    texts.map((text, i) => `${keyOf(i)}\t${Number(text) + 0}`),
  );
});

test("integer sums that kernels print are what String() has", async (t) => {
  const sizes = Array.from({ length: 54 }, (_, power) => 2 ** power);
  const values = sizes.flatMap((n) => [n - 1, 1 - n, Math.floor(n * random.next())]);
  const file = values.map((value, i) => `${keyOf(i)},${value}\n${keyOf(i)},0\n`).join("");
  const got = await lines(t, job({ input, map: columns("key", "value"), reduce: sum() }), file);
  assert.deepEqual(
    got,
    values.map((value, i) => `${keyOf(i)}\t${value + 0}`),
  );
});
