// What `sheaf plan` predicts of the examples that `sheaf gen` has input for, beside what they then take.
//   node bench/plan.mjs [--mb 1024] [--only wordcount,sort] [--rounds 1] [--keep DIR]
// Prints predicted and real seconds and bytes of the shuffle, with the ratio predicted : real; those beyond
// 30 % are marked, with what the plan itself says of why it may be wrong. --keep has the inputs stay in DIR.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    mb: { type: "string", default: "1024" },
    rounds: { type: "string", default: "1" },
    only: { type: "string" },
    keep: { type: "string" },
  },
});
const [megabytes, rounds] = [values.mb, values.rounds].map(Number);
const sheaf = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sheaf-plan-"));
const data = values.keep === undefined ? join(root, "in") : resolve(values.keep);
mkdirSync(data, { recursive: true });
process.once("exit", () => rmSync(root, { recursive: true, force: true }));
const env = { ...process.env, SHEAF_STATE: join(root, "state"), SHEAF_ON: "local" };

/** Example, kind of its input, and flags besides. */
const cases = [
  ["wordcount", "text"],
  ["words", "text"],
  ["inverted-index", "text"],
  ["sort", "text"],
  ["grep", "accesslog", "--set", "pattern= 500 "],
  ["access-log", "accesslog"],
  ["networks", "accesslog"],
  ["one-billion-row", "measurements"],
  ["by-date", "csv"],
  ["top-k", "csv"],
  ["visitors", "jsonl"],
  ["secondary-sort", "jsonl"],
];
const wanted = values.only?.split(",") ?? cases.map(([name]) => name);
const unknown = wanted.find((name) => !cases.some(([known]) => known === name));
if (unknown !== undefined) throw new Error(`no such example: ${unknown}`);

/** Runs a command of sheaf that prints JSON lines. */
function objects(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [sheaf, ...args], {
    env,
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`sheaf ${args.join(" ")}: ${stderr}${stdout.slice(-2_000)}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function inputOf(kind) {
  const path = join(data, `${kind}-${megabytes}`);
  if (!existsSync(path)) objects("gen", kind, path, "--size", String(megabytes * 2 ** 20), "--json");
  return path;
}

function measure([name, kind, ...flags]) {
  const job = fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url));
  const [input, out] = [inputOf(kind), join(root, "out")];
  const [planned] = objects("plan", job, input, ...flags, "--json");
  const events = objects("run", job, input, "-o", out, ...flags, "--json");
  const { stats } = events.findLast((event) => event.kind === "job-finished");
  rmSync(out, { recursive: true, force: true });
  return { planned, stats };
}

/** Both, and the one divided by the other; what is nothing both times fits. */
function compared({ low, expected, high }, real, text) {
  const ratio = real === expected ? 1 : expected / real;
  const isFar = !(ratio >= 0.7 && ratio <= 1.3);
  const range = real >= low && real <= high ? "within" : "beyond";
  return {
    isFar,
    told: `${text(expected)} / ${text(real)} = ${ratio.toFixed(2)}${isFar ? "!" : " "} (${range} its range)`,
  };
}

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

console.log(`${megabytes} MiB each; predicted / real`);
for (const one of cases.filter(([name]) => wanted.includes(name))) {
  for (let round = 0; round < rounds; round++) {
    const { planned, stats } = measure(one);
    const time = compared(planned.elapsedMs, stats.elapsedMs, seconds);
    const cpu = compared(planned.cpuMs, stats.cpuMs, seconds);
    const shuffle = compared(planned.shuffleBytes, stats.shuffleBytes, mebibytes);
    console.log(`${one[0].padEnd(16)} time    ${time.told}; processor ${cpu.told}`);
    console.log(`${" ".repeat(17)}shuffle ${shuffle.told}; planned in ${seconds(planned.tried.elapsedMs)}`);
    if (time.isFar || cpu.isFar || shuffle.isFar)
      for (const note of planned.notes) console.log(`${" ".repeat(17)}note    ${note}`);
  }
}
