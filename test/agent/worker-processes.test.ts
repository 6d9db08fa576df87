import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { WorkerProcesses } from "#src/agent/worker-processes.js";
import type { FromWorker } from "#src/worker/messages.js";
import type { Worker, WorkerExit, WorkerListener, WorkerStart } from "#src/worker/worker.js";

interface Fake {
  readonly start: WorkerStart;
  readonly worker: Worker;
  killed: boolean;
  end(): void;
}

const gone: WorkerExit = { code: null, signal: "SIGKILL", outOfMemory: false, message: null };

function stage(slots: number, heapBytes: number | null = null) {
  const fakes: Fake[] = [];
  const processes = new WorkerProcesses({
    environment: { PATH: "/bin" },
    heapBytes,
    slots,
    start: (start) => {
      let isGone = false;
      const end = (): void => {
        if (!isGone) start.listener.exit(gone);
        isGone = true;
      };
      const kill = (): void => {
        fake.killed = true;
        end();
      };
      const worker: Worker = { board: new Float64Array(8), send: () => undefined, kill };
      const fake: Fake = { start, killed: false, end, worker };
      fakes.push(fake);
      return worker;
    },
  });
  return { processes, fakes };
}

function listener(heard: string[] = []): WorkerListener {
  return {
    message: (message) => heard.push((message as FromWorker).kind),
    broken: ({ message }) => heard.push(message),
    exit: ({ signal }) => heard.push(`exit ${signal}`),
  };
}

test("spares wait for as many slots as there are, four at most, and there is never more than one above the slots", async () => {
  for (const slots of [1, 2, 3, 8]) {
    const { processes, fakes } = stage(slots);
    processes.warm();
    assert.equal(processes.alive, Math.min(slots, 4));
    for (let used = 1; used <= slots; used++) {
      processes.start({ heapBytes: null, listener: listener() });
      await setImmediate();
      await setImmediate();
      assert.ok(processes.alive <= slots + 1, `${processes.alive} with ${used} of ${slots} used`);
      assert.ok(processes.alive > used, "one is warm");
    }
    assert.ok(fakes.every(({ start }) => start.environment!["PATH"] === "/bin"));
    processes.close();
    assert.equal(processes.alive, slots);
  }
});

test("who takes a spare hears what it has said, and its end", async () => {
  const { processes, fakes } = stage(1);
  processes.warm();
  fakes[0]!.start.listener.message({ kind: "loading" });
  const heard: string[] = [];
  assert.equal(processes.start({ heapBytes: null, listener: listener(heard) }), fakes[0]!.worker);
  await setImmediate();
  fakes[0]!.end();
  assert.deepEqual(heard, ["loading", "exit SIGKILL"]);
});

test("a spare that is gone is not given to anybody", async () => {
  const { processes, fakes } = stage(1);
  processes.warm();
  fakes[0]!.end();
  assert.equal(processes.alive, 0);
  const heard: string[] = [];
  assert.equal(processes.start({ heapBytes: null, listener: listener(heard) }), fakes[1]!.worker);
  await setImmediate();
  assert.deepEqual(heard, []);
});

test("a job with a heap of its own gets a process of its own, and a spare makes room for it", async () => {
  const { processes, fakes } = stage(1);
  processes.warm();
  processes.start({ heapBytes: null, listener: listener() });
  await setImmediate();
  assert.equal(processes.alive, 2);
  fakes[0]!.end();
  processes.start({ heapBytes: 7, listener: listener() });
  assert.equal(fakes.at(-1)!.start.heapBytes, 7);
  processes.start({ heapBytes: 7, listener: listener() });
  assert.equal(fakes.filter(({ killed }) => killed).length, 1);
  assert.equal(processes.alive, 2);
});
