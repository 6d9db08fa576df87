import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import type { TaskResult } from "#src/task/task-spec.js";
import { taskFailure } from "#src/worker/failure.js";
import { checkResultOf } from "#src/worker/from-worker.js";
import type { ToWorker } from "#src/worker/messages.js";
import { WorkerPool } from "#src/worker/pool.js";
import type { Worker, WorkerStart } from "#src/worker/worker.js";

test("a map that succeeds tells of its output, also when it emitted nothing", () => {
  const spec = {
    kind: "map",
    index: 3,
    attempt: 1,
    split: { index: 3, pieces: [], bytes: 0 },
    directory: "/a",
  };
  const result = (output: object | null): TaskResult =>
    ({ kind: "success", output, parts: [], badPath: null }) as never;
  checkResultOf(spec as never, result({ task: 3, attempt: 1, path: null }));
  checkResultOf({ ...spec, kind: "reduce" } as never, result(null));
  assert.throws(() => checkResultOf(spec as never, result(null)), {
    code: "MESSAGE_INVALID",
    message: /output: a map has one/,
  });
});

/** A worker that says what the test has it say. */
class FakeWorker implements Worker {
  readonly board = new Float64Array(64);
  readonly heard: ToWorker["kind"][] = [];
  readonly #start: WorkerStart;
  isKilled = false;

  constructor(start: WorkerStart) {
    this.#start = start;
  }

  send({ kind }: ToWorker): void {
    this.heard.push(kind);
  }

  says(message: object): void {
    this.#start.listener.message(message);
  }

  kill(): void {
    this.isKilled = true;
    this.#start.listener.exit({ code: null, signal: "SIGKILL", outOfMemory: false, message: null });
  }
}

function poolOf(): { pool: WorkerPool; workers: FakeWorker[]; ended: [number, TaskResult][] } {
  const workers: FakeWorker[] = [];
  const ended: [number, TaskResult][] = [];
  const pool = new WorkerPool({
    startWorker: (start) => {
      const worker = new FakeWorker(start);
      workers.push(worker);
      return worker;
    },
    isolation: "process",
    heapBytes: null,
    noProgressMs: 60_000,
    clock: systemClock,
    listener: {
      attemptEnded: (_slot, id, result) => ended.push([id, result]),
      log: () => undefined,
      stray: () => undefined,
    },
  });
  pool.loads("file:///job.mjs");
  return { pool, workers, ended };
}

const split = { kind: "sample", split: { pieces: [] }, index: 0, attempt: 1 } as never;
const none = { trace: null, faults: [] };
const passed = { kind: "expected", refusal: null, failure: null };

test("a worker that another job wants the slot of answers the expect gate first", async () => {
  const { pool, workers } = poolOf();
  const verdict = pool.expect({ records: 1 });
  const [worker] = workers;
  assert.deepEqual(worker?.heard, ["load", "expect"]);
  const killed = pool.kill(0);
  assert.equal(worker.isKilled, false);
  worker.says(passed);
  assert.equal(await verdict, null);
  await killed;
  assert.equal(worker.isKilled, true);
});

test("an error outside tasks does not fail the expect gate that is being asked", async () => {
  const { pool, workers } = poolOf();
  const verdict = pool.expect({});
  const [worker] = workers;
  worker?.says({ kind: "stray", failure: taskFailure("USER_CODE", "a timer threw") });
  assert.equal(worker?.isKilled, false);
  worker?.says({ ...passed, refusal: "too few" });
  assert.equal(await verdict, "too few");
  await pool.kill(0);
  assert.equal(worker?.isKilled, true);
});

test("the gate is asked in a slot that runs no attempt", async () => {
  const { pool, workers, ended } = poolOf();
  pool.run(0, 7, split, none);
  const verdict = pool.expect({});
  assert.equal(workers.length, 2);
  workers[1]?.says(passed);
  assert.equal(await verdict, null);
  assert.throws(() => pool.run(0, 8, split, none), /slot 0 is busy/);
  await pool.kill(0);
  assert.deepEqual(ended, [], "who is killed is not heard of");
  await pool.close();
});

test("a pool that is closed ends a question, too", async () => {
  const { pool } = poolOf();
  const verdict = pool.expect({});
  await pool.close();
  const failure = await verdict;
  assert.ok(typeof failure === "object" && failure !== null);
  assert.equal(failure.code, "WORKER_LOST");
});
