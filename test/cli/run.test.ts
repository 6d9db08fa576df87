import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import { writeOutput } from "../storage/support.js";
import { sheaf, sheafHere, startSheaf, tempDir } from "./support.js";

const WORDCOUNT = `import { job, sum, text } from "sheaf";
export default job({
  params: { least: 1 },
  input: text(),
  map(line, emit, ctx) {
    for (const word of line.match(/\\p{L}+/gu) ?? []) if (word.length >= ctx.params.least) emit(word, 1);
    ctx.count("lines");
  },
  reduce: sum(),
});
`;

const COUNTS = "a\t1\nbb\t2\nccc\t3\n";

function workplace(t: TestContext): string {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "wordcount.ts"), WORDCOUNT);
  writeFileSync(join(cwd, "in.txt"), "ccc bb a\nccc bb ccc\n");
  return cwd;
}

test("run -o: results and _SUCCESS in the directory, nothing on standard output, lines on standard error", async (t) => {
  const cwd = workplace(t);
  const { code, stdout, stderr } = await sheaf(["run", "wordcount.ts", "in.txt", "-o", "out", "-p", "1"], {
    cwd,
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "");
  assert.equal(readFileSync(join(cwd, "out/part-00000.tsv"), "utf8"), COUNTS);
  assert.deepEqual(readdirSync(join(cwd, "out")).sort(), ["_SUCCESS", "part-00000.tsv"]);
  assert.match(stderr, /^plan {4}1 file, 20 B {2}1 map task, 1 reduce task$/m);
  assert.match(stderr, /^map {5}1 task /m);
  assert.match(stderr, /^reduce {2}1 task /m);
  assert.match(stderr, /^done /m);
  assert.match(stderr, /^ {2}counters +lines 2$/m);
  assert.match(stderr, /^ {2}look +head out\/part-00000\.tsv$/m);
  // eslint-disable-next-line no-control-regex
  assert.ok(!/\x1b/.test(stderr), "escape sequences in a pipe");
});

test("without -o the results are on standard output, and no file is left", async (t) => {
  const cwd = workplace(t);
  mkdirSync(join(cwd, "tmp"));
  const options = { cwd, env: { TMPDIR: join(cwd, "tmp") } };
  const { code, stdout, stderr } = await sheaf(["run", "wordcount.ts", "in.txt", "--quiet", "-p1"], options);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  assert.equal(stdout, COUNTS);
  assert.deepEqual(readdirSync(cwd).sort(), ["in.txt", "tmp", "wordcount.ts"]);
  assert.deepEqual(readdirSync(join(cwd, "tmp")), []);
});

test("--on local means this machine and --on inline its main thread, whatever $SHEAF_ON says", async (t) => {
  const cwd = workplace(t);
  const source = WORDCOUNT.replace(
    'from "sheaf";',
    'from "sheaf";\nimport { isMainThread } from "node:worker_threads";',
  ).replace('"lines"', "`main ${isMainThread}`");
  writeFileSync(join(cwd, "where.ts"), source);
  const cases = [
    [["--on", "local"], "http://127.0.0.1:1", "false"],
    [["--on", "inline"], "http://127.0.0.1:1", "true"],
    [[], "inline", "true"],
    [[], "local", "false"],
  ] as const;
  const runs = cases.map(([words, on]) =>
    sheafHere(["run", "where.ts", "in.txt", "-p1", ...words], { cwd, env: { SHEAF_ON: on } }),
  );
  for (const [index, { stdout, stderr }] of (await Promise.all(runs)).entries()) {
    assert.equal(stdout, COUNTS, stderr);
    assert.match(stderr, new RegExp(`main ${cases[index]![2]} 2$`, "m"));
  }
});

test("- is standard input", async (t) => {
  const cwd = workplace(t);
  const { code, stdout, stderr } = await sheaf(["run", "wordcount.ts", "-", "-q"], {
    cwd,
    stdin: "ccc bb\na ccc bb ccc",
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, COUNTS);
});

test("no input for a job that reads files is an error that says so", async (t) => {
  const cwd = workplace(t);
  const { code, stdout, stderr } = await sheaf(["run", "wordcount.ts"], { cwd });
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: this job reads files \(text\) and no input was given \[USAGE\]$/m);
  assert.match(stderr, /"-" reads standard input/);
});

test("--print and --collect decode results, with and without an output directory", async (t) => {
  const cwd = workplace(t);
  const printed = await sheafHere(["run", "wordcount.ts", "in.txt", "-p", "1", "--print", "2", "-q"], {
    cwd,
  });
  assert.equal(printed.stdout, "a\t1\nbb\t2\n", printed.stderr);
  const all = await sheafHere(["run", "wordcount.ts", "in.txt", "-p", "1", "--collect", "-q", "-o", "out"], {
    cwd,
  });
  assert.equal(all.stdout, COUNTS, all.stderr);
  assert.ok(existsSync(join(cwd, "out/_SUCCESS")));
});

test("what is printed is what the job's writer writes, with one header for all parts", async (t) => {
  const cwd = workplace(t);
  const shape = (output: string): string =>
    WORDCOUNT.replace("job, sum, text", "csv, job, jsonl, sum, text").replace(
      "reduce: sum(),",
      `reduce: (word, ones) => ({ word, says: "a\\n" + [...ones].length }), output: ${output},`,
    );
  writeFileSync(join(cwd, "table.ts"), shape('csv({ shape: "record", compress: "gzip" })'));
  writeFileSync(join(cwd, "plain.ts"), shape("csv()"));
  writeFileSync(join(cwd, "lines.ts"), shape('jsonl({ shape: "record" })'));
  const of = async (file: string, ...flags: string[]): Promise<string[]> => {
    const { stdout, stderr } = await sheafHere(["run", file, "in.txt", "-p", "3", "-q", ...flags], { cwd });
    assert.ok(stdout !== "", stderr);
    const [header, ...lines] = stdout.split("\n");
    return [header!, ...lines.sort()];
  };
  const rows = ['a,"a\\n1"', 'bb,"a\\n2"', 'ccc,"a\\n3"'];
  assert.deepEqual(await of("table.ts", "--collect"), ["word,says", "", ...rows]);
  assert.equal((await of("table.ts", "--print", "2")).length, 4);
  assert.deepEqual(await of("plain.ts"), [
    "key,word,says",
    "",
    '1"',
    '2"',
    '3"',
    'a,a,"a',
    'bb,bb,"a',
    'ccc,ccc,"a',
  ]);
  const lines = await of("lines.ts", "--collect", "-o", "out");
  assert.deepEqual(
    lines.filter((line) => line !== "").sort(),
    [1, 2, 3].map((n) => {
      return `{"word":"${["a", "bb", "ccc"][n - 1]}","says":"a\\n${n}"}`;
    }),
  );
});

test("--json: every line is an object; events, then records", async (t) => {
  const cwd = workplace(t);
  const { code, stdout, stderr } = await sheafHere(["run", "wordcount.ts", "in.txt", "-p", "1", "--json"], {
    cwd,
  });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  const lines = stdout.trimEnd().split("\n");
  const objects = lines.map(
    (line) => JSON.parse(line) as RunEvent | { kind: "record"; key: unknown; value: unknown },
  );
  const kinds = objects.map((object) => object.kind);
  for (const kind of ["job-started", "planned", "attempt-finished", "job-finished"]) {
    assert.ok((kinds as string[]).includes(kind), kind);
  }
  assert.deepEqual(
    objects.flatMap((object) => (object.kind === "record" ? [[object.key, object.value]] : [])),
    [
      ["a", 1],
      ["bb", 2],
      ["ccc", 3],
    ],
  );
});

test("a registered name runs from below, under that name; a misspelt one gets a suggestion", async (t) => {
  const cwd = workplace(t);
  writeFileSync(join(cwd, "sheaf.json"), '{ "jobs": { "words": "wordcount.ts" } }');
  mkdirSync(join(cwd, "below"));
  const env = { SHEAF_STATE: join(cwd, "state") };
  const ran = await sheafHere(["run", "words", "../in.txt", "-q", "-p", "1"], {
    cwd: join(cwd, "below"),
    env,
  });
  assert.equal(ran.stdout, COUNTS, ran.stderr);
  assert.match((await sheafHere(["show", "@?words"], { env })).stdout, /^words {2}SUCCEEDED/);
  const misspelt = await sheafHere(["run", "wrods", "in.txt"], { cwd });
  assert.equal(misspelt.code, 2);
  assert.match(misspelt.stderr, /there is no job "wrods" \[USAGE\]\n {2}Did you mean words\?/);
});

test("--set reaches the job; unknown parameters and collections get suggestions", async (t) => {
  const cwd = workplace(t);
  const set = await sheafHere(["run", "wordcount.ts", "in.txt", "--set", "least=2", "-q", "-p", "1"], {
    cwd,
  });
  assert.equal(set.stdout, "bb\t2\nccc\t3\n", set.stderr);
  const cases: readonly [readonly string[], RegExp][] = [
    [["--set", "laest=2"], /Did you mean "least"\?/],
    [["--set", "least=two"], /"two" is not a number/],
    [["--set", "least=1", "--set", "least=2"], /--set least is given twice/],
    [["--partitions", "words=2"], /no collection "words"/],
    [["-p", "1", "-p", "2"], /--partitions is given more than once/],
    [["--inline", "--isolate", "process"], /exclude each other/],
    [["--on", "inline", "--isolate", "process"], /exclude each other/],
    [["--on", "inline", "--cores", "2"], /--cores needs a cluster/],
    [["--overwrite"], /--overwrite without --output/],
    [["--memory", "1MiB"], /--memory: 1MiB is too small \[USAGE\]\n {2}Give 8 MiB or more/],
  ];
  for (const [words, said] of cases) {
    const result = await sheafHere(["run", "wordcount.ts", "in.txt", ...words], { cwd });
    assert.equal(result.code, 2, `${words.join(" ")}\n${result.stderr}`);
    assert.match(result.stderr, said);
  }
});

test("an existing output is left alone, and replaced with --overwrite", async (t) => {
  const cwd = workplace(t);
  writeOutput(join(cwd, "out"), { earlier: "" });
  const refused = await sheafHere(["run", "wordcount.ts", "in.txt", "-o", "out"], { cwd });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\[OUTPUT_EXISTS\]/);
  assert.deepEqual(readdirSync(join(cwd, "out")).sort(), ["_SUCCESS", "earlier"]);
  const replaced = await sheafHere(["run", "wordcount.ts", "in.txt", "-o", "out", "--overwrite", "-p", "1"], {
    cwd,
  });
  assert.equal(replaced.code, 0, replaced.stderr);
  assert.deepEqual(readdirSync(join(cwd, "out")).sort(), ["_SUCCESS", "part-00000.tsv"]);
});

test("a job that fails says where and on what, exits 1, leaves no output, and can be replayed", async (t) => {
  const cwd = workplace(t);
  const source = WORDCOUNT.replace(
    'ctx.count("lines");',
    'if (line.startsWith("ccc bb c")) throw new TypeError("bad line");',
  );
  writeFileSync(join(cwd, "bad.ts"), source);
  const env = { SHEAF_STATE: join(cwd, "state") };
  const { code, stdout, stderr } = await sheafHere(["run", "bad.ts", "in.txt", "-o", "out"], { cwd, env });
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: map-00000 failed.*bad line \[USER_CODE\]$/m);
  assert.match(stderr, /bad\.ts:7:/);
  assert.match(stderr, /in\.txt:9 /);
  assert.ok(!existsSync(join(cwd, "out")));
  const replayed = await sheafHere(["replay"], { cwd, env });
  assert.equal(replayed.code, 1);
  assert.match(replayed.stderr, /bad line/);
  assert.match((await sheafHere(["jobs"], { env })).stdout, /^\S+-bad-\S+ +FAILED /m);
});

test("what user code prints goes to standard error, behind its task's name", async (t) => {
  const cwd = workplace(t);
  writeFileSync(
    join(cwd, "chatty.ts"),
    WORDCOUNT.replace('ctx.count("lines");', 'console.log("saw " + line);'),
  );
  const { stdout, stderr } = await sheafHere(["run", "chatty.ts", "in.txt", "-p", "1"], { cwd });
  assert.equal(stdout, COUNTS, stderr);
  assert.match(stderr, /^\[map-00000\] saw ccc bb a$/m);
});

test("inspect finds an output undamaged, and names a file that is not", async (t) => {
  const cwd = workplace(t);
  await sheafHere(["run", "wordcount.ts", "in.txt", "-o", "out", "-p", "2"], { cwd });
  const sound = await sheafHere(["inspect", "out"], { cwd });
  assert.equal(sound.code, 0, sound.stderr);
  assert.match(sound.stdout, /^complete and undamaged: 2 files, 3 records, 15 B$/m);
  const part = join(cwd, "out/part-00000.tsv");
  const bytes = readFileSync(part);
  bytes[0]! ^= 1;
  writeFileSync(part, bytes);
  writeFileSync(join(cwd, "out/stranger"), "");
  const damaged = await sheafHere(["inspect", "out"], { cwd });
  assert.equal(damaged.code, 1);
  assert.match(damaged.stdout, /^part-00000\.tsv .* has checksum [0-9a-f]{8}, not [0-9a-f]{8}$/m);
  assert.match(damaged.stdout, /^not of this job: stranger$/m);
});

const ENDLESS = `import { count, generate, job } from "sheaf";
export default job({
  input: generate({ tasks: 2, *records() { console.log("at work"); for (;;) yield 1; } }),
  map(n, emit) { emit(n); },
  reduce: count(),
});
`;

for (const [signal, called] of [
  ["SIGINT", "Ctrl-C"],
  ["SIGTERM", "SIGTERM"],
] as const) {
  test(`${signal} stops the job, leaves nothing, and exits 3`, async (t) => {
    const cwd = tempDir(t);
    writeFileSync(join(cwd, "endless.ts"), ENDLESS);
    const run = startSheaf(["run", "endless.ts", "-o", "out"], { cwd });
    await run.until("at work");
    run.child.kill(signal);
    const { code, signal: died, stderr } = await run.done;
    assert.equal(died, null);
    assert.equal(code, 3, stderr);
    assert.match(
      stderr,
      new RegExp(`^stopped by ${called} after .*: nothing was written, out is as it was$`, "m"),
    );
    assert.deepEqual(readdirSync(cwd), ["endless.ts"]);
  });
}

test("a reader that goes away is no error", async (t) => {
  const cwd = tempDir(t);
  const run = startSheaf(["gen", "text", "--size", "1GiB"], { cwd });
  run.child.stdout!.once("data", () => run.child.stdout!.destroy());
  const { code, stderr } = await run.done;
  assert.equal(stderr, "");
  assert.equal(code, 0);
});
