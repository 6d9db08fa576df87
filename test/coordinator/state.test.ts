import { crc32c } from "@node-rs/crc32";
import Database from "libsql";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SheafError, isSheafError } from "#src/base/errors.js";
import type { ErrorCode } from "#src/base/errors.js";
import { openDatabase } from "#src/coordinator/database.js";
import { StateStore } from "#src/coordinator/store.js";
import { findWalDamage } from "#src/coordinator/wal-check.js";
import { EventLoop } from "#src/engine/loop.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { HeldReduces } from "./fake-agent.js";
import { Stage, client } from "./stage.js";

function refuses(code: ErrorCode, says: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isSheafError(error), String(error));
    assert.equal(error.code, code);
    assert.match(error.message, says);
    assert.ok(error.hint);
    return true;
  };
}

/** A store of `count` rows, one transaction each, as kill -9 would leave it. */
function killed(stage: Stage, count: number): string {
  const written = join(stage.root, "written");
  const store = new StateStore(written, 1, "1.0.0");
  for (let row = 0; row < count; row++) {
    store.put("plans", `job-${row}`, `${row} `.repeat(2_000));
    store.flush();
  }
  const left = join(stage.root, "left");
  cpSync(written, left, { recursive: true });
  store.close();
  return left;
}

function rowsOf(stateDirectory: string): number {
  const store = new StateStore(stateDirectory, 1, "1.0.0");
  const count = [...store.all("plans")].length;
  store.close();
  return count;
}

test("a second coordinator is refused, and told who has the state", async (t) => {
  const stage = new Stage(t);
  assert.throws(() => stage.open(), refuses("STATE_LOCKED", new RegExp(`process ${process.pid} on `)));
  await stage.submit();
});

test("a coordinator that was killed leaves no lock, and all it had acknowledged", async (t) => {
  const stage = new Stage(t);
  const state = join(stage.root, "other");
  const url = (path: string): string =>
    JSON.stringify(new URL(`../../../modules/${path}`, import.meta.url).href);
  const script = `
    import { StateStore } from ${url("coordinator/store.js")};
    const store = new StateStore(${JSON.stringify(state)}, process.pid, "1.0.0");
    for (let row = 0; row < 5; row++) { store.put("plans", "job-" + row, "{}"); store.flush(); }
    store.put("plans", "job-5", "{}");
    process.stdout.write("ready");
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  assert.throws(
    () => new StateStore(state, 1, "1.0.0"),
    refuses("STATE_LOCKED", new RegExp(`process ${child.pid} on `)),
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(rowsOf(state), 5);
});

test("a log cut anywhere gives the last whole transaction", (t) => {
  const stage = new Stage(t);
  const left = killed(stage, 6);
  const log = readFileSync(join(left, "coordinator.db-wal"));
  let before = 0;
  // Whole pages, and where a page is cut.
  for (let cut = 0; cut <= log.length; cut += frameBytes * 2 + 1_000) {
    const copy = cpTo(stage, left);
    truncateSync(join(copy, "coordinator.db-wal"), cut);
    const count = rowsOf(copy);
    assert.ok(count >= before && count <= 6, `cut at ${cut}: ${count} rows after ${before}`);
    before = count;
  }
  assert.ok(before >= 5, "almost nothing was cut in the end");
  assert.equal(rowsOf(left), 6);
});

test("a log damaged in the middle is refused, and where is told", (t) => {
  const stage = new Stage(t);
  const left = killed(stage, 6);
  const log = readFileSync(join(left, "coordinator.db-wal"));
  const frames = (log.length - 32) / frameBytes;
  for (const at of [0, Math.floor(frames / 3), Math.floor(frames / 2)]) {
    for (const within of [3, 17, 24 + 2_000]) {
      const copy = cpTo(stage, left);
      const damaged = Buffer.from(log);
      const place = 32 + at * frameBytes + within;
      damaged[place]! ^= 0x10;
      writeFileSync(join(copy, "coordinator.db-wal"), damaged);
      const where = new RegExp(`coordinator.db-wal is damaged: the frame at byte ${32 + at * frameBytes},`);
      assert.throws(() => new StateStore(copy, 1, "1.0.0"), refuses("STATE_CORRUPT", where), `byte ${place}`);
    }
  }
  const copy = cpTo(stage, left);
  const damaged = Buffer.from(log);
  damaged[9]! ^= 1;
  writeFileSync(join(copy, "coordinator.db-wal"), damaged);
  assert.throws(() => new StateStore(copy, 1, "1.0.0"), refuses("STATE_CORRUPT", /its header/));
  assert.equal(findWalDamage(join(left, "nothing-here")), null);
});

test("damaged pages, rows that are not what was written, and foreign tables are refused", (t) => {
  const stage = new Stage(t);
  const closed = join(stage.root, "closed");
  const store = new StateStore(closed, 1, "1.0.0");
  for (let row = 0; row < 50; row++) store.put("plans", `job-${row}`, `${row} `.repeat(500));
  store.flush();
  store.close();
  const file = "coordinator.db";
  const pages = cpTo(stage, closed);
  const bytes = readFileSync(join(pages, file));
  for (let at = 4096 * 8; at < 4096 * 9; at++) bytes[at] = 0x5a;
  writeFileSync(join(pages, file), bytes);
  assert.throws(() => rowsOf(pages), refuses("STATE_CORRUPT", /coordinator\.db is damaged/));

  const rows = cpTo(stage, closed);
  change(rows, "UPDATE plans SET text = 'other' WHERE key = 'job-7'");
  assert.throws(() => rowsOf(rows), refuses("STATE_CORRUPT", /table plans, row "job-7": its checksum/));

  const foreign = cpTo(stage, closed);
  change(foreign, "ALTER TABLE meta RENAME TO others");
  assert.throws(() => rowsOf(foreign), refuses("STATE_CORRUPT", /none of them is a coordinator's `meta`/));

  const text = cpTo(stage, closed);
  writeFileSync(join(text, file), "this is no database at all, not even a short one".repeat(100));
  assert.throws(() => new StateStore(text, 1, "1.0.0"), refuses("STATE_CORRUPT", /coordinator\.db/));
});

test("a state of another format is refused, by the version that wrote it and what to do", async (t) => {
  const stage = new Stage(t);
  await stage.submit();
  const says = (format: string, writer: string): RegExp =>
    new RegExp(
      `coordinator\\.db is of format ${format}, written by sheaf ${writer}; sheaf 0\\.0\\.0-test knows`,
    );
  const written = (key: string, text: string, state: string): void => {
    const sum = crc32c(`${key}\0${text}`);
    change(state, `INSERT OR REPLACE INTO meta VALUES ('${key}', '${text}', ${sum})`);
  };
  const opened = (change: (state: string) => void) => (): void => {
    const copy = cpTo(stage, stage.state);
    change(copy);
    stage.open(copy).close();
  };
  const newer = opened((state) => {
    written("schema", "99", state);
    written("writer", "9.9.9", state);
    // What its tables look like there is nobody's business here.
    change(state, "DROP TABLE plans");
  });
  assert.throws(newer, refuses("VERSION_MISMATCH", says("99", "9.9.9")));
  const older = opened((state) => {
    written("schema", "1", state);
    change(state, "DELETE FROM meta WHERE key = 'writer'");
  });
  assert.throws(older, refuses("VERSION_MISMATCH", says("1", "an earlier version")));
  try {
    newer();
  } catch (error) {
    assert.match((error as SheafError).hint ?? "", /with sheaf 9\.9\.9 .*or move the state directory away/);
  }
});

test("a state that lost all it had acknowledged tells jobs as they ended or as lost, and begins with agents anew", async (t) => {
  const stage = new Stage(t);
  const held = new HeldReduces();
  const agent = stage.agent("a", {
    task: async (order, self) => {
      if (order.attempt.job !== ended) await held.pass(order, self);
      return self.succeed(order);
    },
  });
  const ended: string = await stage.submit({}, "first");
  const before = await stage.ended(ended);
  const file = Buffer.from(readFileSync(stage.coordinator.clients.resultFile(ended, "output", 0).path));
  const shared = { kind: "shared", path: stage.output, overwrite: false } as const;
  const lost = await stage.submit({ output: shared }, "second");
  await stage.until("reduces run", () => stage.coordinator.clients.job(lost).phases[1]?.running === 2);
  const said = (): string[] =>
    stage.logged.filter(({ event }) => event === "state-lost").map(({ message }) => message);
  stage.restart();
  assert.deepEqual(said(), []);
  stage.restart((state) => {
    rmSync(join(state, "coordinator.db"));
    rmSync(join(state, "coordinator.db-wal"), { force: true });
  });
  assert.match(said()[0]!, /lacks its last \d+ writes/);
  assert.deepEqual(
    said()
      .slice(1)
      .map((line) => line.replace(/: .*/, ""))
      .sort(),
    [
      `job ${ended} had ended SUCCEEDED, which its directory tells; the list of its attempts is lost`,
      `job ${lost} is lost`,
    ].sort(),
  );
  // What had ended is told as it was, with its results.
  assert.deepEqual(stage.coordinator.clients.job(ended), before);
  assert.deepEqual(readFileSync(stage.coordinator.clients.resultFile(ended, "output", 0).path), file);
  // This life of the agent may know what never was.
  assert.equal(agent.beat().standing, "fenced");
  const { fencedBelow } = agent.register();
  assert.ok(fencedBelow !== null && fencedBelow > stage.clock.wallMs());
  agent.incarnation = fencedBelow;
  agent.rejoin();
  const view = await stage.ended(lost, 100);
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "STATE_CORRUPT"]);
  assert.match(view.error?.report ?? "", /the job is lost.*If .*out is there, it is whole/s);
  const last = (await stage.events(lost)).at(-1);
  assert.equal(last?.kind, "job-finished");
  const discarded = (): boolean =>
    agent.had.some((order) => order.kind === "errand" && order.errand.kind === "discard");
  await stage.until("its staging directory goes", discarded, 500);
  // It is told once, and stays so.
  const count = said().length;
  stage.restart();
  assert.equal(said().length, count);
  assert.deepEqual(stage.coordinator.clients.job(ended), before);
  assert.deepEqual(stage.coordinator.clients.job(lost), view);
  held.letGo();
  assert.equal((await stage.ended(await stage.submit({}, "third"), 10)).state, "SUCCEEDED");
});

test("rows that are sound and make no sense are refused, with the file and who wrote them", async (t) => {
  const stage = new Stage(t);
  const job = await stage.submit();
  const copy = cpTo(stage, stage.state);
  const put = (table: string, key: string, text: string): void =>
    change(
      copy,
      `INSERT OR REPLACE INTO ${table} VALUES ('${key}', '${text}', ${crc32c(`${key}\0${text}`)})`,
    );
  put("submissions", job, `{"job":"${job}"}`);
  assert.throws(
    () => stage.open(copy),
    refuses("STATE_CORRUPT", /coordinator\.db cannot be taken up: what this/),
  );
  put("meta", "writer", "0.0.7");
  assert.throws(() => stage.open(copy), refuses("STATE_CORRUPT", /what sheaf 0\.0\.7 wrote into it/));
});

for (const meanwhile of ["nothing", "kill"] as const) {
  test(`while the state cannot be written nothing is acknowledged (${meanwhile} meanwhile)`, async (t) => {
    let full = false;
    const stage = new Stage(t, {
      openDatabase: (stateDirectory, pid) => {
        const sql = openDatabase(stateDirectory, pid);
        return {
          ...sql,
          transaction: (work) => {
            if (full) throw new SheafError("DISK_FULL", "no space left", { hint: "Free some." });
            sql.transaction(work);
          },
        };
      },
    });
    full = true;
    await assert.rejects(stage.submit({}, "none"), refuses("DISK_FULL", /no space left/));
    full = false;
    stage.coordinator.tick();
    const agent = stage.agent("a");
    const first = await stage.submit();
    await stage.until("maps run", () => agent.ran.size > 0);
    full = true;
    await assert.rejects(stage.submit({}, "second"), refuses("DISK_FULL", /no space left/));
    for (let turn = 0; turn < 30; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      stage.coordinator.tick();
    }
    assert.throws(() => stage.coordinator.clients.job(first), refuses("DISK_FULL", /no space left/));
    assert.throws(() => agent.beat(), refuses("DISK_FULL", /no space left/));
    assert.equal(stage.logged.filter(({ event, level }) => event === "store" && level === "error").length, 2);
    full = false;
    if (meanwhile === "kill") stage.restart();
    stage.coordinator.tick();
    assert.equal(stage.coordinator.clients.jobs({}).jobs.length, 1, "the refused job has not come to be");
    assert.equal((await stage.ended(first)).state, "SUCCEEDED");
    const attempts = stage.coordinator.clients.attempts(first);
    assert.ok(attempts.every(({ state }) => state === "SUCCEEDED"));
    assert.equal(stage.coordinator.clients.submit(await stage.submission(), "second", client).isNew, true);
    stage.restart();
    assert.equal(stage.coordinator.clients.jobs({}).jobs.length, 2, "nor has it been written");
  });
}

test("commands are carried out when what led to them is written, and once", (t) => {
  const stage = new Stage(t);
  let full = true;
  const seen: string[] = [];
  const store = new StateStore(
    join(stage.root, "loop"),
    1,
    "1.0.0",
    (stateDirectory: string, pid: number) => {
      const sql = openDatabase(stateDirectory, pid);
      return {
        ...sql,
        transaction: (work) => {
          if (full && seen.length > 0)
            throw new SheafError("DISK_FULL", "no space left", { hint: "Free some." });
          sql.transaction(work);
          seen.push("written");
        },
      };
    },
  );
  const nothing = (): void => undefined;
  const loop = new EventLoop({
    scheduler: new Scheduler({ keepFacts: true }),
    journal: store,
    handlers: {
      follow: nothing,
      perform: (command) => seen.push(command.kind),
      trouble: (error) => seen.push(error === null ? "well" : error.code),
      bug: (error) => seen.push(String(error)),
    },
    nowMs: () => 1,
  });
  const node = { node: "a", incarnation: 1 };
  loop.push({ kind: "nodeJoined", slots: 1, ...node });
  loop.push({ kind: "workerReady", slot: 0, ask: 1, ...node });
  loop.push({ kind: "jobSubmitted", job: { id: "j", map: [{}] } });
  loop.after(() => seen.push("answered"));
  for (let again = 0; again < 3; again++)
    assert.throws(() => loop.settle(), refuses("DISK_FULL", /no space/));
  full = false;
  loop.settle();
  loop.settle();
  assert.deepEqual(seen, ["written", "DISK_FULL", "written", "well", "answered", "startAttempt"]);
  store.close();
});

/** Of the log: a header and a page. */
const frameBytes = 24 + 4_096;

let copies = 0;
function cpTo(stage: Stage, from: string): string {
  const to = join(stage.root, `copy-${copies++}`);
  cpSync(from, to, { recursive: true });
  return to;
}

function change(stateDirectory: string, sql: string): void {
  const database = new Database(join(stateDirectory, "coordinator.db"));
  database.exec(sql);
  database.close();
  rmSync(join(stateDirectory, "coordinator.db-shm"), { force: true });
}
