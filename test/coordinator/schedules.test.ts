import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SheafError, isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import { openDatabase } from "#src/coordinator/database.js";
import type { ScheduleRequest } from "#src/protocol/schedule.js";
import { Stage, client } from "./stage.js";
import type { StageOptions } from "./stage.js";

const minute = 60_000;

/** A stage whose schedules are looked at as often as a real coordinator does, or not at all. */
class Timed extends Stage {
  async add(changes: Partial<ScheduleRequest> = {}): Promise<void> {
    this.coordinator.schedules.add(await this.request(changes), client);
  }

  async request(changes: Partial<ScheduleRequest> = {}): Promise<ScheduleRequest> {
    const every = {
      name: "ten",
      cron: "*/10 * * * *",
      timeZone: "UTC",
      missed: "skip",
      overlap: "skip",
    } as const;
    return { ...every, submission: await this.submission(), ...changes };
  }

  /** Time passes, and is looked at each minute. */
  live(minutes: number): void {
    for (let passed = 0; passed < minutes; passed++) {
      this.clock.pass(minute);
      this.coordinator.tick();
    }
  }

  get view() {
    return this.coordinator.schedules.list()[0]!;
  }

  get jobs(): readonly string[] {
    return this.coordinator.clients
      .jobs({ limit: 1_000 })
      .jobs.map(({ job }) => job)
      .toReversed();
  }

  /** Times of the ten minutes that have passed by now. */
  dues(sinceMs: number): number {
    return Math.floor(this.clock.wallMs() / (10 * minute)) - Math.floor(sinceMs / (10 * minute));
  }
}

const timed = (t: ConstructorParameters<typeof Stage>[0], options: StageOptions = {}): Timed =>
  // Agents are not heard of while time passes.
  new Timed(t, { ...options, timings: { leaseMs: 1e12, ...options.timings } });
const says =
  (code: string, text: RegExp) =>
  (error: unknown): boolean =>
    isSheafError(error) && error.code === code && text.test(error.message) && error.hint !== undefined;

test("a schedule submits its job at each of its times, and tells what came of the last", async (t) => {
  const stage = timed(t);
  stage.agent("a");
  const sinceMs = stage.clock.wallMs();
  await stage.add();
  assert.deepEqual(
    [stage.view.nextTime, stage.view.last, stage.view.job, stage.view.timeZone],
    ["2023-11-14T22:20:00.000Z", null, "words", "UTC"],
  );
  for (let round = 1; round <= 3; round++) {
    stage.live(10);
    assert.equal(stage.jobs.length, round);
    const job = stage.jobs.at(-1)!;
    const { last, counts } = stage.view;
    assert.deepEqual([last?.outcome, last?.job, counts.started], ["started", job, round]);
    assert.equal((await stage.ended(job)).state, "SUCCEEDED");
  }
  assert.equal(stage.dues(sinceMs), 3);
  assert.equal(stage.view.nextTime, "2023-11-14T22:50:00.000Z");
});

test("no kill makes a schedule start twice or not at all", async (t) => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(`schedules ${seed}`);
    const stage = timed(t);
    const sinceMs = stage.clock.wallMs();
    await stage.add({ overlap: "run", missed: random.below(2) === 0 ? "skip" : "run" });
    for (let step = 0; step < 400; step++) {
      stage.clock.pass(random.below(40) === 0 ? random.below(45) * minute : random.below(45) * 1_000);
      if (random.below(4) > 0) stage.coordinator.tick();
      if (random.below(20) === 0) stage.restart();
    }
    stage.coordinator.tick();
    const { counts, missed } = stage.view;
    const jobs = stage.coordinator.clients.jobs({ limit: 1_000 }).jobs;
    assert.equal(jobs.length, counts.started, `seed ${seed}`);
    assert.equal(counts.refused + counts.overlapped, 0);
    const dues = stage.dues(sinceMs);
    // A run that makes up for missed ones is counted beside them.
    if (missed === "skip") assert.equal(counts.started + counts.missed, dues, `seed ${seed}`);
    else assert.ok(counts.started <= dues && counts.started + counts.missed >= dues, `seed ${seed}`);
    assert.ok(counts.started > 5 && counts.missed > 0, `seed ${seed}: ${JSON.stringify(counts)}`);
  }
});

test("runs that were missed are told, and skipped or made up for by one", async (t) => {
  for (const missed of ["skip", "run"] as const) {
    const stage = timed(t);
    await stage.add({ missed });
    stage.clock.pass(45 * minute);
    stage.restart();
    stage.coordinator.tick();
    assert.equal(stage.view.counts.missed, 4, missed);
    assert.equal(stage.jobs.length, missed === "run" ? 1 : 0);
    assert.equal(stage.view.last?.outcome, missed === "run" ? "started" : "missed");
    const told = stage.logged.filter(({ event, level }) => event === "schedule" && level === "warn");
    assert.match(told[0]?.message ?? "", missed === "run" ? /one is started now/ : /none is made up for/);
    stage.live(10);
    // What makes up for others may overlap the next.
    const { started, overlapped } = stage.view.counts;
    assert.deepEqual([started, overlapped], missed === "run" ? [1, 1] : [1, 0]);
  }
});

test("after very many missed times, the one that is due now is begun, and is the last that is told", async (t) => {
  const stage = timed(t);
  await stage.add({ cron: "* * * * *" });
  stage.clock.pass(8 * 24 * 60 * minute);
  stage.restart();
  stage.coordinator.tick();
  const { counts, last } = stage.view;
  assert.deepEqual([stage.jobs.length, counts.started, last?.outcome], [1, 1, "started"]);
  const now = Math.floor(stage.clock.wallMs() / minute) * minute;
  assert.equal(last?.time, new Date(now).toISOString());
});

test("a run that would overlap the one before is not begun, unless that was asked for", async (t) => {
  for (const overlap of ["skip", "run"] as const) {
    const stage = timed(t);
    await stage.add({ overlap });
    // No agent has come: the first waits.
    stage.live(10);
    stage.restart();
    stage.live(20);
    const [first] = stage.jobs;
    assert.equal(stage.jobs.length, overlap === "skip" ? 1 : 3);
    if (overlap === "run") continue;
    const { last, counts } = stage.view;
    assert.deepEqual([last?.outcome, last?.job, counts.overlapped], ["overlapped", first, 2]);
    stage.agent("a");
    await stage.ended(first!);
    stage.live(10);
    assert.equal(stage.jobs.length, 2);
  }
});

test("what cannot be started is told, and the next time is tried", async (t) => {
  const stage = timed(t, { limits: { jobsMax: 1 } });
  await stage.add({ overlap: "run" });
  const job = await stage.submit({}, "in the way");
  stage.live(10);
  const { last, counts } = stage.view;
  assert.deepEqual([last?.outcome, counts.refused, counts.started], ["refused", 1, 0]);
  assert.match(last?.message ?? "", /1 jobs wait or run already.* \[LIMIT_EXCEEDED\]/);
  stage.coordinator.clients.kill(job, "x", client);
  await stage.ended(job);
  stage.live(10);
  assert.deepEqual([stage.view.last?.outcome, stage.view.counts.started], ["started", 1]);
});

test("while the state cannot be written nothing is started, and nothing is lost", async (t) => {
  let full = false;
  const stage = timed(t, {
    openDatabase: (directory, pid) => {
      const sql = openDatabase(directory, pid);
      const transaction = (work: () => void): void => {
        if (full) throw new SheafError("DISK_FULL", "no space left", { hint: "Free some." });
        sql.transaction(work);
      };
      return { ...sql, transaction };
    },
  });
  await stage.add({ overlap: "run", missed: "run" });
  stage.live(6);
  full = true;
  stage.live(1);
  stage.coordinator.tick();
  full = false;
  stage.coordinator.tick();
  stage.coordinator.tick();
  assert.deepEqual([stage.jobs.length, stage.view.counts.started], [1, 1]);
  stage.restart();
  stage.live(10);
  assert.deepEqual([stage.jobs.length, stage.view.counts.started, stage.view.counts.missed], [2, 2, 0]);
});

test("a paused schedule starts nothing and misses nothing; a removed one is gone, its jobs are not", async (t) => {
  const stage = timed(t);
  stage.agent("a");
  await stage.add();
  stage.live(10);
  await stage.ended(stage.jobs[0]!);
  const { schedules } = stage.coordinator;
  assert.deepEqual([schedules.pause("ten", true, client).paused, stage.view.nextTime], [true, null]);
  stage.restart();
  stage.live(60);
  assert.equal(stage.jobs.length, 1);
  assert.equal(stage.coordinator.schedules.pause("ten", false, client).paused, false);
  stage.live(10);
  assert.deepEqual([stage.jobs.length, stage.view.counts.missed], [2, 0]);
  await stage.ended(stage.jobs[1]!);
  stage.coordinator.schedules.remove("ten", client);
  stage.restart();
  stage.live(20);
  assert.deepEqual([stage.coordinator.schedules.list(), stage.jobs.length], [[], 2]);
  assert.throws(
    () => stage.coordinator.schedules.remove("ten", client),
    says("NOT_FOUND", /no schedule "ten"/),
  );
});

test("what a schedule needs stays for as long as it does", async (t) => {
  const stage = timed(t, { limits: { retention: 1 }, timings: { blobUnusedMs: 0 } });
  stage.agent("a");
  const request = await stage.request({ cron: "0 3 * * *" });
  stage.coordinator.schedules.add(request, client);
  const { bundle } = request.submission;
  const has = (): boolean => readdirSync(join(stage.state, "blobs")).includes(bundle);
  stage.live(3);
  stage.restart();
  stage.live(3);
  assert.ok(has());
  // Files of the copied state are as old as the test.
  assert.ok(await stage.coordinator.clients.hasBlob(bundle));
  stage.coordinator.schedules.remove("ten", client);
  stage.live(3);
  assert.ok(!has());
});

test("what could never be started is refused when it is added; the same again is the same", async (t) => {
  const stage = timed(t);
  const good = await stage.submission();
  const shared = { kind: "shared", path: stage.output, overwrite: false } as const;
  const cases: readonly (readonly [Partial<ScheduleRequest>, string, RegExp])[] = [
    [{ cron: "0 3 * *" }, "USAGE", /no cron pattern/],
    [{ timeZone: "Nowhere" }, "USAGE", /no time zone/],
    [{ submission: { ...good, attached: true } }, "USAGE", /no client/],
    [{ submission: { ...good, after: ["20260101-000000000-x-abcd"] } }, "USAGE", /cannot follow others/],
    [{ submission: { ...good, output: shared } }, "USAGE", /the second run would find/],
    [{ submission: { ...good, inputs: ["/etc/passwd"] } }, "FORBIDDEN", /outside/],
    [{ submission: { ...good, bundle: "0".repeat(64) } }, "NOT_FOUND", /blob/],
    [{ submission: { ...good, protocol: 9 } }, "VERSION_MISMATCH", /protocol 9/],
  ];
  for (const [changes, code, text] of cases)
    await assert.rejects(() => stage.add(changes), says(code, text), JSON.stringify(changes).slice(0, 200));
  assert.deepEqual(stage.coordinator.schedules.list(), []);
  const request = await stage.request();
  assert.equal(stage.coordinator.schedules.add(request, client).isNew, true);
  stage.restart();
  assert.equal(stage.coordinator.schedules.add(request, client).isNew, false);
  await assert.rejects(() => stage.add({ cron: "0 4 * * *" }), says("NAME_TAKEN", /schedule "ten" already/));
});
