import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RealCluster } from "../cluster/real-cluster.js";
import { sheafHere } from "./support.js";

/* How jobs of a cluster stand to each other and to the clock: one cluster for all tests. */

let cluster: RealCluster;
let work: string;
const file = (name: string): string => join(work, name);

before(async () => {
  cluster = await RealCluster.start(null, { agents: 1, heartbeatMs: 400, leaseMs: 4_000 });
  work = join(cluster.root, "work");
  mkdirSync(work);
  writeFileSync(file("in.txt"), "a b\nc\n");
  writeFileSync(
    file("count.ts"),
    `import { job, text, sum } from "sheaf";
     export default job({ input: text(), reduce: sum(), map(line, emit) {
       for (const word of line.split(" ")) emit(word, 1); } });`,
  );
  writeFileSync(
    file("endless.ts"),
    `import { job, generate, count } from "sheaf";
     export default job({ input: generate({ tasks: 1, *records() { for (;;) yield 1; } }), reduce: count(),
       map(n, emit) { emit(n); } });`,
  );
});
after(() => cluster.remove());

test("a job that follows another waits for it, is listed with what it waits for, and fails with it", async () => {
  const first = (await cluster.run(["submit", "endless.ts", "--name", "first"], { cwd: work })).stdout.trim();
  const next = (
    await cluster.run(["submit", "count.ts", "in.txt", "--after", "@?first"], { cwd: work })
  ).stdout.trim();
  const listed = await cluster.run(["jobs", "-n", "1"]);
  assert.match(listed.stdout, new RegExp(`WAITS FOR\\n${next} .* the success of ${first}\\n`));
  const shown = await cluster.run(["show", next]);
  assert.match(shown.stdout, new RegExp(`waits for +the success of ${first}\\n`));
  const attached = cluster.start(["attach", next, "--watch"]);
  await attached.until(`queue   waits for the success of ${first}`);
  await cluster.run(["kill", first]);
  const { code, stderr } = await attached.done;
  assert.deepEqual([code, /which is CANCELLED \[PREDECESSOR_FAILED\]/.test(stderr)], [1, true], stderr);
  const refused = await cluster.run(["run", "count.ts", "in.txt", "--after", first], { cwd: work });
  assert.deepEqual([refused.code, /PREDECESSOR_FAILED/.test(refused.stderr)], [1, true], refused.stderr);
  const none = await cluster.run(["submit", "count.ts", "in.txt", "--after", "@?frist"], { cwd: work });
  assert.deepEqual([none.code, /Did you mean "@\?first"/.test(none.stderr)], [1, true], none.stderr);
});

test("the same job again with --once runs nothing, and what it is asked for is there", async () => {
  const run = (...args: string[]) =>
    cluster.run(["run", "count.ts", "once.txt", "--once", ...args], { cwd: work });
  writeFileSync(file("once.txt"), "a b\n".repeat(50));
  for (const how of ["--shared", "--no-shared"]) {
    const first = await run("-o", `once${how}`, how);
    assert.match(first.stderr, /read +50 records/);
    const { jobs } = await cluster.get<{ jobs: { job: string }[] }>("/jobs?limit=1");
    const job = jobs[0]!.job;
    const again = await run("-o", `once${how}`, how);
    assert.equal(again.code, 0, again.stderr);
    assert.match(
      again.stderr,
      new RegExp(`nothing had to be run: ${job} has done the same; its output is in once${how}\\n`),
    );
  }
  // Its results are kept by the coordinator, also when the client has lost them.
  const before = readFileSync(file("once--no-shared/part-00000.tsv"), "utf8");
  rmSync(file("once--no-shared"), { recursive: true });
  const fetched = await run("-o", "once--no-shared", "--no-shared", "--json");
  const end = JSON.parse(fetched.stdout.trimEnd().split("\n").at(-1)!) as { sameAs?: string };
  assert.equal(typeof end.sameAs, "string", fetched.stdout);
  assert.equal(readFileSync(file("once--no-shared/part-00000.tsv"), "utf8"), before);
  rmSync(file("once--shared"), { recursive: true });
  assert.match((await run("-o", "once--shared", "--shared")).stderr, /read +50 records/);
  assert.match(
    (await run("-o", "once--shared", "--shared", "--force", "--overwrite", "--keep", "1h")).stderr,
    /read +50 records/,
  );
  const { record } = JSON.parse((await cluster.run(["show", "--json"])).stdout) as {
    record: { runOnce: boolean; force: boolean; keepMs: number };
  };
  assert.deepEqual([record.runOnce, record.force, record.keepMs], [true, true, 3_600_000]);
  writeFileSync(file("once.txt"), "a c\n".repeat(50));
  for (const how of ["--shared", "--no-shared"]) {
    const refused = await run("-o", `once${how}`, how);
    assert.deepEqual([refused.code, /OUTPUT_EXISTS/.test(refused.stderr)], [1, true], refused.stderr);
    assert.equal(readFileSync(file(`once${how}/part-00000.tsv`), "utf8"), before);
    const replaced = await run("-o", `once${how}`, how, "--overwrite");
    assert.match(replaced.stderr, /read +50 records/);
    assert.equal(readFileSync(file(`once${how}/part-00000.tsv`), "utf8"), "a\t50\nc\t50\n");
  }
});

test("a job that this machine has and the cluster has not is told as that", async () => {
  const own = await cluster.run(["run", "count.ts", "in.txt", "-o", "own", "--on", "inline"], { cwd: work });
  const id = /^job +(\S+)$/m.exec(own.stderr)![1]!;
  for (const command of ["show", "logs"]) {
    const asked = await cluster.run([command, id]);
    assert.equal(asked.code, 1);
    assert.ok(asked.stderr.includes(`no job "${id}" is kept by the cluster`), asked.stderr);
    assert.ok(asked.stderr.includes(`${id} is in the history of this machine`), asked.stderr);
  }
  assert.match((await cluster.run(["show", id, "--on", "local"])).stdout, /SUCCEEDED/);
});

test("sheaf delete removes what is kept of ended jobs, and with --output what they have written", async () => {
  writeFileSync(file("del.txt"), "a b\n".repeat(20));
  for (const where of ["cluster", "here"] as const) {
    const run = (args: string[]) =>
      where === "cluster"
        ? cluster.run(args, { cwd: work })
        : sheafHere(args, { cwd: work, env: { SHEAF_STATE: file("del-state") } });
    for (const name of ["del-1", "del-2"]) {
      const shared = where === "cluster" ? ["--shared"] : [];
      const done = await run([
        "run",
        "count.ts",
        "del.txt",
        "-o",
        `${where}-${name}`,
        "--name",
        name,
        "--keep",
        "7d",
        ...shared,
      ]);
      assert.equal(done.code, 0, done.stderr);
    }
    const first = await run(["delete", "@?del-1"]);
    assert.match(first.stdout, /^deleted \S+-del-1-\w{4}\n$/);
    assert.match((await run(["show", "@?del-1"])).stderr, /NOT_FOUND/);
    assert.ok(readdirSync(file(`${where}-del-1`)).includes("_SUCCESS"));
    const part = file(`${where}-del-2/part-00000.tsv`);
    const text = readFileSync(part);
    writeFileSync(part, "changed");
    const refused = await run(["delete", "@?del-2", "--output"]);
    assert.deepEqual([refused.code, /OUTPUT_UNWRITABLE/.test(refused.stderr)], [1, true], refused.stderr);
    writeFileSync(part, text);
    if (where === "here") {
      const [id = ""] = readdirSync(file("del-state/jobs")).filter((name) => name.includes("del-2"));
      const record = file(`del-state/jobs/${id}/job.json`);
      const known = readFileSync(record, "utf8");
      writeFileSync(record, JSON.stringify({ ...(JSON.parse(known) as object), once: null }));
      const unknown = await run(["delete", "@?del-2", "--output"]);
      assert.equal(unknown.code, 1);
      assert.match(unknown.stderr, /nothing is known of what .* has written/);
      assert.ok(readdirSync(file(`${where}-del-2`)).includes("_SUCCESS"));
      writeFileSync(record, known);
    }
    const second = await run(["delete", "@?del-2", "--output", "--json"]);
    const { deleted } = JSON.parse(second.stdout) as { deleted: { job: string; output: string }[] };
    assert.deepEqual([deleted.length, deleted[0]?.output], [1, file(`${where}-del-2`)]);
    assert.ok(!readdirSync(work).includes(`${where}-del-2`));
    assert.match((await run(["delete", "@?del-2"])).stderr, /NOT_FOUND/);
  }
});

test("schedules are added, listed, paused, resumed and removed, and wrong ones refused", async () => {
  const run = (...args: string[]) => cluster.run(["schedule", ...args], { cwd: work });
  const added = await run(
    "add",
    "count.ts",
    "30 2 * * *",
    "in.txt",
    "--tz",
    "Europe/Berlin",
    "--as",
    "nightly",
    "--keep",
    "4w",
  );
  assert.equal(added.code, 0, added.stderr);
  assert.match(
    added.stdout,
    /^nightly: "30 2 \* \* \*" in Europe\/Berlin, next at \d{4}-\d\d-\d\d 0[01]:30:00 UTC\n$/,
  );
  assert.match((await run("pause", "nightly")).stdout, /^nightly is paused\n$/);
  const listed = await run();
  assert.match(listed.stdout, /\nnightly +30 2 \* \* \* +Europe\/Berlin +paused +count +0 +0 +0 *\n$/);
  assert.match((await run("resume", "nightly")).stdout, /^nightly runs next at /);
  const { schedules } = JSON.parse((await run("list", "--json")).stdout) as {
    schedules: { name: string; inputs: string[]; missed: string; overlap: string }[];
  };
  assert.deepEqual(
    schedules.map(({ name, inputs, missed, overlap }) => [name, inputs, missed, overlap]),
    [["nightly", [file("in.txt")], "skip", "skip"]],
  );
  const wrong: readonly (readonly [readonly string[], RegExp, number])[] = [
    [["add", "count.ts", "30 2 * *", "in.txt"], /no cron pattern.*\[USAGE\]/, 2],
    [["add", "count.ts", "in.txt"], /no cron pattern/, 2],
    [["add", "count.ts"], /when\?/, 2],
    [["add", "count.ts", "@daily", "in.txt", "--tz", "Nowhere"], /no time zone/, 2],
    [["add", "count.ts", "@daily", "in.txt", "--as", "nightly"], /NAME_TAKEN/, 1],
    [["add", "count.ts", "@daily", "in.txt", "--after", "@"], /cannot follow others/, 2],
    [["add", "count.ts", "@daily", "in.txt", "-o", "daily", "--shared"], /second run would find/, 2],
    [["remove"], /which one\?/, 2],
    [["remove", "nightyl"], /no schedule "nightyl"/, 1],
    [["stop", "nightly"], /ACTION|stop/, 2],
  ];
  for (const [args, says, code] of wrong) {
    const refused = await run(...args);
    assert.deepEqual(
      [refused.code, says.test(refused.stderr)],
      [code, true],
      `${args.join(" ")}: ${refused.stderr}`,
    );
  }
  assert.match((await run("remove", "nightly")).stdout, /^nightly is removed\n$/);
  assert.match((await run()).stderr, /^no schedules;/);
});
