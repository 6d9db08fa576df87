import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { RealCluster, eventually } from "../cluster/real-cluster.js";
import { sheafHere } from "./support.js";
import type { SheafResult } from "./support.js";

/*
 * The commands of a client against a cluster as it ships: one for all tests, since starting it takes longer
 * than most of them.
 */

let cluster: RealCluster;
let work: string;
/** Tries for a while to reach what is not there: beside all other tests. */
let unreachable: Promise<SheafResult>;
const file = (name: string): string => join(work, name);

before(async () => {
  cluster = await RealCluster.start(null, { agents: 2, heartbeatMs: 400, leaseMs: 4_000 });
  unreachable = cluster.run(["jobs", "--on", "http://127.0.0.1:1"]);
  work = join(cluster.root, "work");
  mkdirSync(work);
  writeFileSync(file("in.txt"), Array.from({ length: 400 }, (_, i) => `a b${i % 7} c`).join("\n"));
  writeFileSync(
    file("count.ts"),
    `import { job, text, sum } from "sheaf";
     export default job({ input: text(), reduce: sum(), map(line, emit, ctx) {
       if (ctx.offset === 0) console.log("first line");
       ctx.count("lines");
       for (const word of line.split(" ")) emit(word, 1); } });`,
  );
  writeFileSync(
    file("hot.ts"),
    `import { job, generate } from "sheaf";
     export default job({
       input: generate({ tasks: 3, *records() { for (let i = 0; i < 8000; i++) yield i; } }),
       map(n, emit) { emit(n % 4 === 0 ? "k" + n : "hot", n); },
       reduce: (_key: string, values: Iterable<number>) => [...values].length });`,
  );
  writeFileSync(
    file("endless.ts"),
    `import { job, generate, count } from "sheaf";
     export default job({ input: generate({ tasks: 1, *records() { for (;;) yield 1; } }), reduce: count(),
       map(n, emit) { emit(n); } });`,
  );
});
after(() => cluster.remove());

interface Listed {
  readonly job: string;
  readonly state: string;
  readonly exception: string | null;
}

async function stateOf(job: string): Promise<string> {
  return (await cluster.get<Listed>(`/jobs/${job}`)).state;
}

async function latest(): Promise<Listed> {
  return (await cluster.get<{ jobs: Listed[] }>("/jobs?limit=1")).jobs[0]!;
}

const ended = (job: string, state: string) =>
  eventually(
    async () => (await stateOf(job)) === state,
    20_000,
    () => `${job} has not become ${state}`,
  );

test("a key that has most of the pairs is told of on a cluster as it is here", async () => {
  const here = await sheafHere(["run", "hot.ts", "-o", "hot-here"], { cwd: work });
  const there = await cluster.run(["run", "hot.ts", "-o", "hot-there", "--shared"], { cwd: work });
  const told = (stderr: string): string[] => stderr.split("\n").filter((line) => line.includes("hot key"));
  assert.equal(told(here.stderr).length, 2, here.stderr);
  assert.match(here.stderr, /hot key: "hot" has 75% of the pairs \(18000\)/);
  assert.deepEqual(told(there.stderr), told(here.stderr));
  const shown = await cluster.run(["show"], { cwd: work });
  assert.match(shown.stdout, /warning: hot key: "hot" has 75% of the pairs \(18000\)/);
});

test("sheaf run on a cluster writes what sheaf run writes here, and says the same of it", async () => {
  const local = await sheafHere(["run", "count.ts", "in.txt", "-o", "local"], { cwd: work });
  assert.equal(local.code, 0, local.stderr);
  for (const how of ["--shared", "--no-shared"]) {
    const out = `out${how}`;
    const done = await cluster.run(["run", "count.ts", "in.txt", "-o", out, how], { cwd: work });
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(readdirSync(file(out)).sort(), readdirSync(file("local")).sort());
    for (const name of readdirSync(file("local"))) {
      assert.deepEqual(readFileSync(file(`${out}/${name}`)), readFileSync(file(`local/${name}`)), name);
    }
    assert.match(done.stderr, /\[map-00000\] first line\n/);
    assert.match(done.stderr, /wrote +9 records, 5\d B in out/);
  }
  const piped = await cluster.run(["run", "count.ts", "in.txt"], { cwd: work });
  assert.equal(piped.stdout, readFileSync(file("local/part-00000.tsv"), "utf8"));
});

test("a submitted job goes on alone; its results are listed, fetched and printed when it is done", async () => {
  const submitted = await cluster.run(["submit", "count.ts", "in.txt", "--name", "mine"], { cwd: work });
  assert.equal(submitted.code, 0, submitted.stderr);
  const job = submitted.stdout.trim();
  assert.match(job, /^\d{8}-\d{9}-mine-\w{4}$/);
  assert.match(submitted.stderr, new RegExp(`sheaf attach ${job}`));

  const attached = await cluster.run(["attach", "@?mine", "--watch"]);
  assert.equal(attached.code, 0, attached.stderr);
  assert.match(attached.stderr, new RegExp(`job +${job}`));
  const fetched = await cluster.run(["results", job.slice(0, 18), "-o", "fetched"], { cwd: work });
  assert.equal(fetched.code, 0, fetched.stderr);
  const parts = readFileSync(file("fetched/part-00000.tsv"), "utf8");
  const again = await cluster.run(["results", job, "-o", "fetched"], { cwd: work });
  assert.match(again.stderr, /OUTPUT_EXISTS/);
  const printed = await cluster.run(["results", job, "--print", "2"]);
  assert.equal(printed.stdout, parts.split("\n").slice(0, 2).join("\n") + "\n");
  const listed = await cluster.run(["results", "@?mine", "--json"]);
  const list = JSON.parse(listed.stdout) as { parts: { file: string; records: number }[] };
  assert.deepEqual(
    list.parts.map((part) => [part.file, part.records]),
    [["part-00000.tsv", 9]],
  );

  const killed = await cluster.run(["kill", job]);
  assert.deepEqual([killed.code, killed.stdout], [0, `${job} has ended already: SUCCEEDED\n`]);
});

test("what is known of jobs is shown, for people and for programs", async () => {
  const jobs = await cluster.run(["jobs", "--name", "m?n*"]);
  assert.match(jobs.stdout, /^JOB +STATE .*\n\S+-mine-\w+ +SUCCEEDED/);
  const cut = await cluster.run(["jobs", "-n", "1"]);
  assert.match(cut.stdout, /\ntruncated: /);
  const page = await cluster.run(["show", "@?mine"]);
  assert.match(page.stdout, /^mine {2}SUCCEEDED in /);
  assert.match(page.stdout, /\ncores +1 wanted, 1 granted \(a\d 1\), 1 used at most\n/);
  assert.match(page.stdout, /\nBID AT +ANSWERS\n/);
  assert.match(page.stdout, /\nmap-00000\.1 +a\d\/0 +SUCCEEDED .*\|[ #]+\|\n/);
  assert.match(page.stdout, /\nlines +400\n/);
  const all = JSON.parse((await cluster.run(["show", "@?mine", "--json"])).stdout) as {
    attempts: { attempt: string }[];
    record: Readonly<Record<string, unknown>>;
  };
  const { id, submitTime, startTime, endTime, inputs, submitter, host, ...terms } = all.record;
  assert.match(String(id), /-mine-/);
  assert.ok([submitTime, startTime, endTime].every((time) => /^\d{4}-.*Z$/.test(String(time))));
  assert.ok([inputs, submitter, host].every((one) => String(one).length > 0));
  assert.deepEqual(terms, {
    type: "mapreduce",
    name: "mine",
    project: null,
    group: null,
    priority: 0,
    output: null,
    runOnce: false,
    force: false,
    keepMs: null,
    status: "SUCCEEDED",
    currentPhase: "finished",
    exception: null,
  });
  assert.deepEqual(all.attempts.map(({ attempt }) => attempt).sort(), ["map-00000.1", "reduce-00000.1"]);
  const task = await cluster.run(["show", "@?mine:map-0"]);
  assert.match(task.stdout, /^map-00000 {2}of .*-mine-[^]*log\n.*first line/);
  const logs = await cluster.run(["logs", "@?mine"]);
  assert.equal(logs.stdout, "[map-00000.1 stdout] first line\n");
  const none = await cluster.run(["show", "@?mnie"]);
  assert.deepEqual([none.code, /Did you mean "@\?mine"/.test(none.stderr)], [1, true]);
});

test("agents are listed, and one can be barred, admitted and drained", async () => {
  assert.match((await cluster.run(["nodes"])).stdout, /^AGENT .*\na0 +up .*\na1 +up /);
  const steps = [
    [["bar", "a1", "--reason", "noisy fan"], /\na1 +barred .*noisy fan\n/],
    [["admit", "a1"], /\na1 +up /],
    [["drain", "a1"], /\na1 +draining /],
    [["undrain", "a1"], /\na1 +up /],
  ] as const;
  for (const [words, expected] of steps) {
    assert.match((await cluster.run(["nodes", ...words])).stdout, expected);
  }
  const nobody = await cluster.run(["nodes", "drain", "a9"]);
  assert.deepEqual([nobody.code, /NOT_FOUND/.test(nobody.stderr)], [1, true]);
  assert.equal((await cluster.run(["nodes", "drain"])).code, 2);
});

test("Ctrl-C stops the job, says so, and leaves nothing", async () => {
  const running = cluster.start(["run", "endless.ts", "-o", "never", "--cores", "1"], { cwd: work });
  await running.until("plan ");
  await running.until("job ");
  running.child.kill("SIGINT");
  const done = await running.done;
  assert.equal(done.code, 3, done.stderr);
  assert.match(done.stderr, /stopping, and removing what was written/);
  assert.match(done.stderr, /stopped by Ctrl-C after .*: nothing was written, never is as it was\n/);
  const { job, state } = await latest();
  assert.equal(state, "CANCELLED");
  const page = await cluster.run(["show", job]);
  assert.match(page.stdout, /stopped by Ctrl-C/);
  await eventually(
    () => !readdirSync(work).some((name) => name.includes("never")),
    20_000,
    () => `left behind: ${readdirSync(work).join(" ")}`,
  );
});

test("a job whose client is killed ends when it has not been heard of for three leases", async () => {
  const running = cluster.start(["run", "endless.ts", "--print", "1"], { cwd: work });
  await running.until("plan ");
  const { job } = await latest();
  running.child.kill("SIGKILL");
  await running.done;
  await ended(job, "CANCELLED");
});

test("a detached job does not end with its client, but by sheaf kill; who attaches owns it", async () => {
  const detached = await cluster.run(["run", "endless.ts", "--detach", "--json"], { cwd: work });
  const { job } = JSON.parse(detached.stdout) as { job: string };
  const watching = cluster.start(["attach", job, "--watch"]);
  await watching.until("plan ");
  watching.child.kill("SIGINT");
  assert.match((await watching.done).stderr, new RegExp(`leaving ${job}, which goes on`));
  assert.equal(await stateOf(job), "RUNNING");
  const killed = await cluster.run(["kill", job, "--reason", "enough of it"]);
  assert.equal(killed.stdout, `${job} is stopped\n`);
  await ended(job, "CANCELLED");
  assert.match((await cluster.run(["show", job])).stdout, /enough of it/);

  const second = (await cluster.run(["submit", "endless.ts", "-q"], { cwd: work })).stdout.trim();
  const owner = cluster.start(["attach", second]);
  await owner.until("plan ");
  owner.child.kill("SIGINT");
  assert.equal((await owner.done).code, 3);
  await ended(second, "CANCELLED");
});

test("a job that fails says so in one screen, with the place in its source, and exits with 1", async () => {
  writeFileSync(
    file("broken.ts"),
    `import { job, text, count } from "sheaf";
     export default job({ input: text(), reduce: count(),
       map(line, emit) { throw new TypeError("cannot read " + line); } });`,
  );
  const done = await cluster.run(["run", "broken.ts", "in.txt", "-o", "broken"], { cwd: work });
  assert.equal(done.code, 1);
  assert.match(done.stderr, /error: .*cannot read a b0 c.*\[USER_CODE\]/);
  assert.match(done.stderr, /broken\.ts:3/);
  assert.match(done.stderr, /To run this task again: sheaf replay \S+:map-0 --on URL/);
  const replayed = await cluster.run(["replay"]);
  assert.equal(replayed.code, 1);
  assert.match(replayed.stderr, /error: .*cannot read a b0 c.*\[USER_CODE\]/);
  assert.match(replayed.stderr, /broken\.ts:3/);
});

test("a map that failed is replayed here with its side data; what cannot be is told, and who has it", async () => {
  writeFileSync(file("limits.json"), `{ "most": 3 }`);
  writeFileSync(file("own.txt"), "1\n2\n");
  for (const [name, row] of Object.entries({ one: "1,Ann", two: "two,Bob" })) {
    mkdirSync(file(name));
    writeFileSync(join(file(name), "names.csv.gz"), gzipSync(`id,name\n${row}\n`));
  }
  writeFileSync(
    file("aux.ts"),
    `import { csv, job, text, sum } from "sheaf";
     export default job({ input: text(), reduce: sum(),
       aux: { limits: { file: "limits.json" }, texts: { files: "*/names.csv.gz" },
         names: csv("*/names.csv.gz", { columns: { id: "integer", name: "string" } }).by("id") },
       map(line, emit, ctx) {
         const { most } = ctx.aux.limits as { most: number };
         const texts = [...ctx.aux.texts.keys()].join();
         if (Number(line) < most) throw new Error(ctx.aux.names.get(+line)?.name + " is below " + most + texts);
         emit(line, 1); } });`,
  );
  const wrong = await cluster.run(["run", "aux.ts", `agent:${file("own.txt")}`, "-o", "aux"], { cwd: work });
  assert.match(wrong.stderr, /aux\.names: two\/names\.csv\.gz, line 2: column "id".*\[RECORD_INVALID\]/);
  writeFileSync(join(file("two"), "names.csv.gz"), gzipSync("id,name\n2,Bob\n"));
  const done = await cluster.run(["run", "aux.ts", `agent:${file("own.txt")}`, "-o", "aux"], { cwd: work });
  const told = /Ann is below 3one\/names\.csv\.gz,two\/names\.csv\.gz/;
  assert.match(done.stderr, told);
  const { stderr } = await cluster.run(["replay"]);
  assert.match(stderr, told);
  rmSync(file("own.txt"));
  const gone = await cluster.run(["replay"]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /read \S+own\.txt of agent \S+ \(\S+\): it is not here.*\[INPUT_MISSING\]/);
  assert.match((await cluster.run(["replay", "@:map-7"])).stderr, /keeps no capsule of "map-00007"/);
});

test("a reduce that failed is replayed on what it has read, with its cluster and without", async () => {
  writeFileSync(
    file("reduce.ts"),
    `import { job, text } from "sheaf";
     export default job({ input: text(), aux: { word: { file: "word.json" } },
       map(line, emit) { for (const word of line.split(" ")) emit(word, line.length); },
       reduce(key: string, values: Iterable<number>, ctx) {
         const all = [...values];
         if (key === ctx.aux.word) throw new Error(all.length + " values of " + all.join("+").length);
         return all.length; } });`,
  );
  writeFileSync(file("word.json"), `"b3"`);
  const options = ["-p", "2", "--mappers", "5", "--attempts", "1", "-o", "reduced"];
  const done = await cluster.run(["run", "reduce.ts", "in.txt", ...options], { cwd: work });
  assert.equal(done.code, 1, done.stderr);
  // Every seventh of 400 lines has it, each of them six letters long.
  const told = /error: .*57 values of 113.*\[USER_CODE\]/;
  assert.match(done.stderr, told);
  assert.match(done.stderr, /To run this task again: sheaf replay \S+:reduce-\d --on URL/);
  const far = await cluster.run(["replay"]);
  // The history of this machine has it with all it needs: no coordinator is asked.
  const here = await cluster.run(["replay"], { env: { SHEAF_ON: "local" } });
  for (const { code, stderr } of [far, here]) {
    assert.equal(code, 1);
    assert.match(stderr, told);
    assert.match(stderr, /reduce\.ts:6/);
  }
  const { stdout } = await cluster.run(["show"], { env: { SHEAF_ON: "local" } });
  assert.match(stdout, /FAILED/);
  assert.match(stdout, /57 values of 113/);
});

test("a late emit fails a job with what it says on one machine; a detached reduce is replayed, too", async () => {
  writeFileSync(
    file("late.ts"),
    `import { existsSync, writeFileSync } from "node:fs";
     import { job, text } from "sheaf";
     export default job({ input: text(), params: { gate: "", how: "" },
       map(line, emit, { params: { gate, how } }) {
         emit("key", 1);
         if (how !== "late") return;
         const timer = setInterval(() => {
           if (!existsSync(gate)) return;
           clearInterval(timer);
           emit("late", 1);
         }, 5); },
       async reduce(key, values, ctx) {
         if (ctx.params.how !== "late") throw new Error("no such sum");
         writeFileSync(ctx.params.gate, "");
         for (;;) { ctx.progress(); await new Promise((resolve) => setTimeout(resolve, 5)); } } });`,
  );
  writeFileSync(file("one.txt"), "one\n");
  const args = (how: string): string[] => ["--set", `how=${how}`, "--set", `gate=${file(`gate-${how}`)}`];
  const run = ["run", "late.ts", "one.txt", "-o", "late"];
  const local = await sheafHere([...run, ...args("late")], { cwd: work });
  rmSync(file("gate-late"));
  const failed = async (how: string): Promise<{ code: string; message: string }> => {
    assert.equal((await cluster.run(["submit", "late.ts", "one.txt", ...args(how)], { cwd: work })).code, 0);
    const { job } = await latest();
    await ended(job, "FAILED");
    return (await cluster.get<{ error: { code: string; message: string } }>(`/jobs/${job}`)).error;
  };
  const { code: kind, message } = await failed("late");
  assert.equal(kind, "EMIT_LATE");
  assert.match(message, /emit was called after the task had ended/);
  assert.ok(local.stderr.includes(`error: ${message} [${kind}]`), local.stderr);
  assert.match((await failed("sum")).message, /no such sum/);
  const { code, stderr } = await cluster.run(["replay"]);
  assert.equal(code, 1);
  assert.match(stderr, /no such sum/);
});

test("flags that make no sense together, and coordinators that are none, are told with what to do", async () => {
  const cases = [
    [["run", "count.ts", "in.txt", "-w", "2"], /--workers is for runs on this machine.*[^]*--cores/],
    [["run", "count.ts", "in.txt", "--on", "local", "--cores", "2"], /--cores needs a cluster/],
    [["run", "count.ts", "in.txt", "--detach", "--print", "1"], /cannot print its results here/],
    [["run", "count.ts", "in.txt", "--on", "localhost:7"], /Did you mean http:\/\/localhost:7\?/],
    [["kill", "@", "--on", "local"], /this needs a cluster/],
    [["run", "count.ts", "-"], /standard input cannot be read on a cluster/],
  ] as const;
  const results = await Promise.all(cases.map(([args]) => cluster.run(args, { cwd: work })));
  for (const [index, { code, stderr }] of results.entries()) {
    assert.match(stderr, cases[index]![1]);
    assert.equal(code, 2, stderr);
  }
  const nowhere = await unreachable;
  assert.deepEqual([nowhere.code, /nothing listens at 127\.0\.0\.1:1/.test(nowhere.stderr)], [1, true]);
  const stranger = await cluster.run(["jobs"], {
    env: { SHEAF_TOKEN_FILE: undefined, SHEAF_STATE: file("nothing") },
  });
  assert.match(stranger.stderr, /UNAUTHORIZED[^]*client\.token/);
});

test("sheaf watch runs on the cluster what comes into a directory, each file in one output", async () => {
  const watched = file("incoming");
  mkdirSync(watched);
  const args = [
    "watch",
    watched,
    "count.ts",
    "-o",
    "watched",
    "--interval",
    "20ms",
    "--drain",
    "--into",
    "{number}",
  ];
  const tree = (): string[] =>
    readdirSync(file("watched"))
      .filter((name) => /^\d+$/.test(name))
      .sort()
      .map((name) => readFileSync(join(file("watched"), name, "part-00000.tsv"), "utf8"));
  writeFileSync(join(watched, "1.txt"), "x y\n");
  writeFileSync(join(watched, "2.txt"), "x\n");
  const first = await cluster.run(args, { cwd: work });
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /2 new files, .*, to watched\/000001/);
  writeFileSync(join(watched, "3.txt"), "z\n");
  const second = await cluster.run(args, { cwd: work });
  assert.match(second.stderr, /2 files done before/);
  assert.deepEqual(tree(), ["x\t2\ny\t1\n", "z\t1\n"]);
  const idle = await cluster.run([...args, "-q"], { cwd: work });
  assert.deepEqual([idle.code, idle.stderr, tree().length], [0, "", 2]);
});

test("a plan for the cluster is shown beside what came of its run there", async () => {
  const env = { SHEAF_STATE: file("plans") };
  const planned = await cluster.run(["plan", "count.ts", "in.txt", "--json"], { cwd: work, env });
  const { workers, records } = JSON.parse(planned.stdout) as {
    workers: number;
    records: { expected: number };
  };
  assert.deepEqual([workers, records.expected], [2, 400]);
  const ran = await cluster.run(["run", "count.ts", "in.txt", "-o", "planned"], { cwd: work, env });
  assert.match(ran.stderr, /predicted +time .*\n +processor /);
  const other = ["run", "count.ts", "./in.txt", "-o", "planned", "--overwrite"];
  assert.doesNotMatch((await cluster.run(other, { cwd: work, env })).stderr, /predicted/);
});
