import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sheaf, sheafHere, tempDir } from "./support.js";

const words = `
import { job, sum, text } from "sheaf";
export default job({
  input: text(),
  params: { from: 0 },
  map(line, emit, { params }) {
    for (const word of line.split(" ").slice(params.from)) emit(word, 1);
  },
  reduce: sum(),
});`;

test("sheaf plan tells what a run will take, and the run shows it beside what came of it", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "words.ts"), words);
  const lines = Array.from({ length: 20_000 }, (_, i) => `the ${i % 7} and ${i % 1000}\n`);
  writeFileSync(join(cwd, "in.txt"), lines.join(""));
  const env = { SHEAF_STATE: join(cwd, ".state") };
  const args = ["words.ts", "in.txt", "-o", "out", "-p", "3", "--set", "from=1"];
  const planned = await sheaf(["plan", ...args, "--json"], { cwd, env });
  assert.equal(planned.code, 0, planned.stderr);
  assert.deepEqual(readdirSync(cwd).sort(), [".state", "in.txt", "words.ts"]);
  const found = JSON.parse(planned.stdout) as {
    readonly job: string;
    readonly records: { readonly expected: number };
    readonly groups: { readonly expected: number };
    readonly advice: readonly { readonly flag: string | null }[];
  };
  assert.equal(found.job, "words");
  assert.equal(found.records.expected, 20_000);
  assert.ok(Math.abs(found.groups.expected - 1001) < 60, String(found.groups.expected));
  assert.deepEqual(
    found.advice.map(({ flag }) => flag),
    ["--partitions 1"],
  );
  const ran = await sheaf(["run", ...args], { cwd, env });
  assert.match(ran.stderr, /predicted time .*: it was /);
  assert.match(ran.stderr, /groups .*: it was 1,001, /);
  // Of other params nothing is known.
  const others = ["words.ts", "in.txt", "-o", "out", "-p", "3", "--overwrite"];
  const other = await sheaf(["run", ...others], { cwd, env });
  assert.doesNotMatch(other.stderr, /predicted/);
});

test("sheaf plan is for people too, and not for what lies on agents or standard input", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "words.ts"), words);
  writeFileSync(join(cwd, "in.txt"), "a b\n");
  const env = { SHEAF_STATE: join(cwd, ".state") };
  const [told, remote, away, piped] = await Promise.all([
    sheaf(["plan", "words.ts", "in.txt"], { cwd, env }),
    sheaf(["plan", "words.ts", "in.txt", "--on", "http://127.0.0.1:1"], { cwd, env }),
    sheaf(["plan", "words.ts", "agent:/in.txt", "--on", "http://127.0.0.1:1"], { cwd, env }),
    sheaf(["plan", "words.ts", "-"], { cwd, env }),
  ]);
  assert.match(
    told.stdout,
    /^plan +words; nothing was written\n {2}input +1 file, 4 B: 1 map task, 1 reduce task/,
  );
  assert.match(remote.stderr, /\[UNREACHABLE\]/);
  assert.equal(away.code, 2);
  assert.match(away.stderr, /agent:\/in\.txt lies on the agents/);
  assert.equal(piped.code, 2);
  assert.match(piped.stderr, /only once/);
});

test("sheaf plan tries the jobs of a pipeline that read no other step, and names the others", async (t) => {
  const cwd = tempDir(t);
  const steps = words
    .replace("job, sum", "count, from, job, pipeline, sum")
    .replace("export default", "const words =");
  const text = `${steps}
    const chars = job({ input: text(), map: (line, emit) => emit(line.length, 1), reduce: sum() });
    const by = job({ input: from(words), map: ([, n], emit) => emit(n), reduce: count() });
    export default pipeline({ words, chars, by });`;
  writeFileSync(join(cwd, "pipe.ts"), text);
  writeFileSync(join(cwd, "job.ts"), words);
  writeFileSync(join(cwd, "in.txt"), "a b\nc d\n");
  writeFileSync(join(cwd, "one.txt"), "e\n");
  const env = { SHEAF_STATE: join(cwd, ".state") };
  const plan = (...args: string[]) => sheafHere(["plan", ...args, "--workers", "1"], { cwd, env });
  const inputs = ["words=in.txt", "chars=one.txt"];
  const planned = await plan("pipe.ts", ...inputs, "--set", "from=1", "--json");
  assert.equal(planned.code, 0, planned.stderr);
  const told = JSON.parse(planned.stdout) as {
    steps: { job: string; bytes: number; records: { expected: number }; groups: { expected: number } }[];
    left: string[];
  };
  const found = told.steps.map(({ job, bytes, records, groups }) => [
    job,
    bytes,
    records.expected,
    groups.expected,
  ]);
  assert.deepEqual(
    [found, told.left],
    [
      [
        ["words", 8, 2, 2],
        ["chars", 2, 1, 1],
      ],
      ["by"],
    ],
  );

  const one = await plan("pipe.ts", ...inputs, "--only", "words");
  assert.match(one.stdout, /^plan +words; nothing was written\n(?![^]*chars)/);
  const cases: [args: string[], message: RegExp][] = [
    [["pipe.ts", ...inputs, "--only", "by"], /step by cannot be planned for[^]*--only words/],
    [["pipe.ts", "in.txt"], /does not say which step it is for/],
    [["pipe.ts", "words=in.txt"], /step chars reads files, and there is no input/],
    [["pipe.ts", ...inputs, "--incremental", "-o", "out"], /"incremental" is for jobs/],
    [["job.ts", "in.txt", "--only", "words"], /is no pipeline/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await plan(...args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
});
