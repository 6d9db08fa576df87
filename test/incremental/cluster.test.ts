import assert from "node:assert/strict";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { rmSync, statSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { runOnCluster } from "#src/client/cluster-run.js";
import type { ClusterRunOptions, LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import type { IncrementalReport } from "#src/incremental/run-notes.js";
import { eventually, RealCluster } from "../cluster/real-cluster.js";
import { Days, dayText, few, tree } from "./support.ts";

const fixed: LocalRunOptions = { partitions: 2, explain: true };

/** Days whose incremental runs are on a cluster, unless `isLocal`; full runs are on this machine. */
class ClusterDays extends Days {
  readonly cluster: RealCluster;
  readonly holds: string;
  isLocal = false;

  constructor(t: TestContext, job: string, cluster: RealCluster) {
    super(t, job);
    this.cluster = cluster;
    this.holds = join(this.root, "holds");
    mkdirSync(this.holds);
  }

  override async run(job: string, options: LocalRunOptions = {}, name = "job.ts"): Promise<RunResult> {
    if (options.incremental !== true || this.isLocal) return super.run(job, options, name);
    return this.there(job, options, name);
  }

  /** A run on the cluster. */
  there(
    job: string,
    { on: _on, ...options }: LocalRunOptions & Partial<ClusterRunOptions>,
    name = "job.ts",
  ): Promise<RunResult> {
    this.events.length = 0;
    return runOnCluster(this.file(name, job), {
      output: this.output,
      ...this.#cluster,
      ...options,
      onEvent: (event) => void this.events.push(event),
    });
  }

  /** The cluster's options, as any run on it needs them. */
  get #cluster(): ClusterRunOptions {
    const { url: on, state } = this.cluster;
    const tokenFile = join(state, "client.token");
    return { on, tokenFile, shared: true, speculation: false, stateDirectory: this.state };
  }

  /** A job as `few` whose maps of a day wait as long as that is held, and say that they are there. */
  get held(): string {
    return `import { existsSync, writeFileSync } from "node:fs";
      const cell = new Int32Array(new SharedArrayBuffer(4));
      const pass = (point: string, progress = () => {}): void => {
        const path = ${JSON.stringify(this.holds)} + "/" + point;
        if (!existsSync(path)) return;
        writeFileSync(path + ".at", String(process.ppid));
        for (; existsSync(path); progress()) Atomics.wait(cell, 0, 0, 5);
      };
      ${few.replace('ctx.count("lines");', 'ctx.count("lines"); pass(line.slice(0, 2), () => ctx.progress());').replace("input: text(),", 'input: text(), expect: () => { pass("commit"); return true; },')}`;
  }

  hold(point: string): void {
    writeFileSync(join(this.holds, point), "");
  }

  open(point: string): void {
    rmSync(join(this.holds, point));
  }

  /** The index of the agent whose worker has come there. */
  async reached(point: string): Promise<number> {
    const path = join(this.holds, `${point}.at`);
    const there = (): boolean => existsSync(path) && readFileSync(path, "utf8") !== "";
    await eventually(there, 60_000, () => `nobody came to ${point}`);
    const pid = Number(readFileSync(path, "utf8"));
    rmSync(path);
    return [0, 1].find((index) => this.cluster.agentPidIf(index) === pid)!;
  }

  /** What the run has told, but for what depends on whose names are in the files. */
  told(report: IncrementalReport): object {
    return { ...report, stateBytes: null, explained: this.explained() };
  }
}

/** As `few`, with files of map tasks and records that are set aside. */
const withFiles = few
  .replace(
    "emit.all(user!, line);",
    'if (line.endsWith("3")) throw new Error("bad"); emit.all(user!, line); emit.raw(user!, line);',
  )
  .replace("all: { reduce: collect() }", "all: { reduce: collect() }, raw: {}");

/** Makes records, of which it keeps what is asked for; it fails where that is asked. */
const spins = `
  import { generate, job, sum } from "sheaf";
  export default job({
    input: generate({
      tasks: 3,
      *records({ random }) { for (;;) yield { player: Math.floor(random() * 5), win: random() }; },
      count: 6_000,
    }),
    params: { fails: false },
    map({ player, win }, emit, ctx) {
      if (ctx.params.fails && player === 4) throw new Error("no");
      emit(player, win);
    },
    reduce: sum(),
  });`;

describe("what runs on a cluster keep", () => {
  let cluster: RealCluster;
  before(async () => {
    cluster = await RealCluster.start(null, { agents: 2, leaseMs: 4_000 });
  });
  after(() => cluster.remove());

  test("the same is mapped, taken over and told as on one machine, and each goes on from the other", async (t) => {
    const days = new ClusterDays(t, withFiles, cluster);
    const set: LocalRunOptions = { ...fixed, maxBad: 100 };
    for (let day = 1; day <= 5; day++) days.day(day, day, 20);
    const first = await days.go(set);
    assert.equal(first.incremental.full, "nothing is kept of an earlier run");
    days.day(6, 6, 20);
    const path = join(days.logs, "day-02.log");
    const { mtime } = statSync(path);
    writeFileSync(path, readFileSync(path, "utf8").replace(" u", " v"));
    utimesSync(path, mtime, mtime);
    rmSync(join(days.logs, "day-03.log"));
    const put = days.saved();
    const there = days.told((await days.go(set)).incremental);
    const [planned] = days.of("planned");
    assert.deepEqual([planned!.incremental?.full, planned!.incremental?.keptTasks], [null, 3]);
    assert.equal(days.of("job-finished")[0]!.incremental?.kept.tasks, 3);
    const made = tree(days.output);
    assert.deepEqual(
      ["_bad", "all", "raw", "sum"].filter((name) => ![...made.keys()].some((one) => one.startsWith(name))),
      [],
    );
    put();
    days.isLocal = true;
    const here = days.told((await days.go(set)).incremental);
    assert.deepEqual(there, here);
    assert.deepEqual(made, tree(days.output));
    assert.deepEqual(days.explained(), [
      "kept",
      "runs: its content has changed",
      "kept",
      "kept",
      "runs: it is new",
    ]);

    // From what one machine has left, with other partitions.
    days.isLocal = false;
    const { stats, incremental } = await days.go({ ...set, partitions: 3 });
    assert.deepEqual([stats.bytesIn, incremental.kept.tasks], [0, 5]);
    const moved = tree(days.output);
    days.isLocal = true;
    await days.go({ ...set, partitions: 3 });
    assert.deepEqual(moved, tree(days.output));
  });

  test("damage is not given a new checksum: what is not sound is mapped again", async (t) => {
    const days = new ClusterDays(t, few, cluster);
    for (let day = 1; day <= 3; day++) days.day(day, day, 12);
    await days.go(fixed);
    const put = days.saved();
    const state = join(days.output, "_state");
    assert.deepEqual(readdirSync(state), ["map-00000.run", "map-00001.run", "map-00002.run", "state.json"]);
    // In a payload; with partitions as they were, and with others.
    for (const [name, at, partitions, kept] of [
      ["map-00000.run", 16 + 56 + 3, 2, 2],
      ["map-00000.run", 16 + 56 + 3, 3, 2],
    ] as const) {
      put();
      const path = join(state, name);
      const byte = readFileSync(path).subarray(at, at + 1);
      const fd = openSync(path, "r+");
      writeSync(fd, Buffer.of(byte[0]! ^ 0x10), 0, 1, at);
      closeSync(fd);
      assert.equal((await days.same({ partitions })).kept.tasks, kept, `${name} at ${at}`);
    }
  });

  test("killed agents and a killed coordinator change nothing of what is mapped and kept", async (t) => {
    const days = new ClusterDays(t, few, cluster);
    days.job = days.held;
    for (let day = 1; day <= 4; day++) days.day(day + 10, day, 30);
    await days.go(fixed);
    writeFileSync(join(days.logs, "day-12.log"), dayText(12, 99, 30));
    rmSync(join(days.logs, "day-13.log"));
    const bytes = days.day(15, 5, 30) + statSync(join(days.logs, "day-12.log")).size;
    days.hold("15");
    days.hold("commit");
    const running = days.same(fixed);
    const mapping = await days.reached("15");
    await cluster.endAgent(mapping, "SIGKILL");
    await cluster.restartCoordinator();
    days.open("15");
    await cluster.startAgent(mapping);
    const committing = await days.reached("commit");
    await cluster.endAgent(committing, "SIGKILL");
    await cluster.restartCoordinator();
    days.open("commit");
    await cluster.startAgent(committing);
    const next = await running;
    assert.deepEqual([next.kept.tasks, next.mappedTasks, next.bytesIn], [2, 2, bytes]);
  });

  test("side data of one content in two files, and of an empty directory, is what it is on one machine", async (t) => {
    const days = new ClusterDays(t, "", cluster);
    for (const name of ["lists/a.csv", "lists/b.csv"]) days.file(name, "id\n1\n");
    mkdirSync(join(days.root, "none"));
    days.job = `
      import { csv, job, text } from "sheaf";
      export default job({
        input: text(),
        aux: { lists: { files: "lists/" }, rows: csv("lists/*.csv"), none: { files: "none/" } },
        map(line, emit, ctx) {
          const { lists, rows, none } = ctx.aux as any;
          emit([...lists.keys(), rows.length, none.size].join(" "));
        },
        output: text(),
      });`;
    days.day(1, 1, 1);
    await days.same({ partitions: 1 });
    assert.match(String(tree(days.output).get("part-00000.txt")), /^lists\/a\.csv lists\/b\.csv 2 0\n$/);
  });

  test("what the agents cannot all see is refused, with what to do", async (t) => {
    const days = new ClusterDays(t, few, cluster);
    days.day(1);
    const refused = async (options: Partial<ClusterRunOptions>, why: RegExp): Promise<void> => {
      const given = { inputs: days.logs, incremental: true, ...options } as LocalRunOptions;
      const { error } = await days.run(few, given);
      assert.match(`${error?.message}\n${error?.hint}`, why);
    };
    await refused({ shared: false }, /the output has to be one that all agents see[^]*--shared/);
    await refused({ inputs: `agent:${days.logs}` }, /agent:.* is a file of each agent's own/);
    const native = `import { createRequire } from "node:module";
      export const addOn = () => createRequire(import.meta.url)("./x.node");`;
    const loads = await days.run(`${native}${few}`, { inputs: days.logs, incremental: true });
    assert.match(loads.error?.message ?? "", /incremental: the job loads a native add-on/);
  });

  test("bad records are tried again there: beside the output, on agents' own files, and merged into it", async (t) => {
    const code = (limit: number): string => `
      import { job, sum, text } from "sheaf";
      export default job({ input: text(), reduce: sum(), map(line, emit) {
        const n = Number(line);
        if (n < ${limit}) throw new Error("below");
        emit(n % 2 === 0 ? "even" : "odd", n); } });`;
    const days = new ClusterDays(t, code(0), cluster);
    const numbers = (from: number, to: number): string =>
      Array.from({ length: to - from }, (_, i) => `${from + i}\n`).join("");
    const some = days.file("logs/some.txt", numbers(-5, 20));
    days.file("logs/good.txt", numbers(0, 9));
    const retry = async (...flags: string[]) => {
      const { code: exit, stderr } = await cluster.run(["bad", "retry", "@", ...flags], { cwd: days.root });
      return { exit, stderr };
    };
    const part = (output: string): string => readFileSync(join(output, "part-00000.tsv"), "utf8");
    // Both agents see the same files, and so read them both.
    for (const [place, times, inputs] of [
      ["shared", 1, days.logs],
      ["own", 2, `agent:${days.logs}/*.txt`],
    ] as const) {
      days.file("job.ts", code(0));
      const output = join(days.root, place);
      const first = await days.there(code(0), { inputs, output, maxBad: 20, shared: false, partitions: 1 });
      assert.equal(first.badRecords, 5 * times, first.error?.report);
      days.file("job.ts", code(-3));
      const again = join(days.root, `${place}-again`);
      const done = await retry("-o", again);
      assert.equal(done.exit, 0, done.stderr);
      assert.match(
        done.stderr,
        new RegExp(`${3 * times} of ${5 * times} bad records are good now; ${2 * times} are still`),
      );
      assert.equal(part(again), `even\t${-2 * times}\nodd\t${-4 * times}\n`);
    }
    utimesSync(some, 1, 1);
    const changed = await retry("-o", join(days.root, "never"));
    assert.match(changed.stderr, /some\.txt has changed since the job has read it[\s\S]*INPUT_CHANGED/);

    const kept = await days.there(code(0), {
      inputs: days.logs,
      maxBad: 20,
      incremental: true,
      partitions: 1,
    });
    assert.equal(kept.badRecords, 5, kept.error?.report);
    days.file("job.ts", code(-3));
    const merged = await retry();
    assert.equal(merged.exit, 0, merged.stderr);
    assert.match(merged.stderr, /3 of 5 bad records are good now; 2 are still bad\. They are merged into/);
    const sums = [0, 0];
    for (const n of [
      ...Array.from({ length: 23 }, (_, i) => i - 3),
      ...Array.from({ length: 9 }, (_, i) => i),
    ])
      sums[n % 2 === 0 ? 0 : 1]! += n;
    assert.equal(part(days.output), `even\t${sums[0]}\nodd\t${sums[1]}\n`);
  });

  test("records that map is given become a dataset, in its place or fetched: as on one machine", async (t) => {
    const days = new ClusterDays(t, spins, cluster);
    const options = { on: "inline", partitions: 2, partBytes: 20_000 } as const;
    const kept = join(days.root, "kept");
    const here = await days.run(spins, { ...options, materialize: kept });
    assert.equal(here.status, "SUCCEEDED", here.error?.report);
    const expected = tree(kept);
    assert.ok(here.materialized!.parts.length > 3, "parts are rolled");
    for (const shared of [true, false]) {
      const place = join(days.root, `place-${shared}`);
      const [output, materialize] = [join(place, "out"), join(place, "records")];
      const more = { ...options, shared, output, materialize };
      const failed = await days.there(spins, { ...more, params: { fails: true } });
      assert.equal(failed.status, "FAILED");
      assert.deepEqual([failed.materialized, existsSync(place) ? readdirSync(place) : []], [null, []]);
      const result = await days.there(spins, more);
      assert.equal(result.status, "SUCCEEDED", result.error?.report);
      assert.deepEqual(result.materialized, { ...here.materialized!, directory: materialize });
      assert.deepEqual([tree(materialize), tree(output)], [expected, tree(days.output)]);
      assert.deepEqual(readdirSync(place).sort(), ["out", "records"]);
      const again = await days.there(spins, more);
      assert.match(again.error?.message ?? "", /already exists|exists already/);
    }
    for (const shared of [true, false]) {
      const place = join(days.root, `blocked-${shared}`);
      const [output, materialize] = [join(place, "out"), join(place, "records")];
      const blocked = `
        import { mkdirSync, writeFileSync } from "node:fs";
        ${spins.replace("reduce:", `expect() { mkdirSync(${JSON.stringify(output)}, { recursive: true }); writeFileSync(${JSON.stringify(join(output, "mine.txt"))}, ""); return true; }, reduce:`)}`;
      const refused = await days.there(blocked, { ...options, shared, output, materialize });
      assert.equal(refused.error?.code, "OUTPUT_EXISTS", refused.error?.report);
      assert.deepEqual(readdirSync(place), ["out"]);
    }
    const { error } = await days.there(spins, { ...options, materialize: kept, once: true });
    assert.match(error?.message ?? "", /once does not go with materialize/);
  });
});
