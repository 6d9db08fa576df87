import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Chain, newLink, unlink } from "#src/scheduler/chain.js";
import { BinaryHeap, RunningMedian } from "#src/scheduler/heap.js";
import { resolvePolicy } from "#src/scheduler/policy.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { viewOutputs } from "#src/scheduler/view.js";

test("a heap gives its items in order, whatever is pushed and popped between", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 50 }))), (steps) => {
      const heap = new BinaryHeap<number>((a, b) => a < b);
      let model: number[] = [];
      for (const step of steps) {
        if (step === null) {
          assert.equal(heap.pop(), model.shift());
        } else {
          heap.push(step);
          model = [...model, step].sort((a, b) => a - b);
        }
        assert.equal(heap.peek(), model[0]);
        assert.equal(heap.size, model.length);
      }
    }),
  );
});

test("the running median is the lower middle of all numbers so far", () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
      const median = new RunningMedian();
      numbers.forEach((number, i) => {
        median.add(number);
        const sorted = numbers.slice(0, i + 1).sort((a, b) => a - b);
        assert.equal(median.median, sorted[i >> 1]);
        assert.equal(median.count, i + 1);
      });
    }),
  );
});

test("a chain keeps the order of the last appends", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.boolean())), (steps) => {
      const links = Array.from({ length: 10 }, (_, i) => newLink(i));
      const chain = new Chain<number>();
      let model: number[] = [];
      for (const [i, append] of steps) {
        model = model.filter((n) => n !== i);
        if (append) {
          chain.append(links[i]!);
          model.push(i);
        } else {
          unlink(links[i]!);
        }
        assert.deepEqual([...chain], model);
        assert.equal(chain.size, model.length);
        assert.equal(chain.last?.item, model.at(-1));
      }
    }),
  );
});

test("a policy that makes no sense is refused, naming the field", () => {
  assert.throws(() => resolvePolicy({ attemptsMax: 0 }), {
    code: "USAGE",
    message: "attemptsMax: 0 is below 1",
  });
  assert.throws(() => resolvePolicy({ noProgressMs: Number.NaN }), /noProgressMs: NaN is below 0/);
  assert.equal(resolvePolicy({ attemptsMax: 2 }).lossesMax, 20);
});

test("what a scheduler hands back has the types of what it was given", () => {
  const scheduler = new Scheduler<{ rows: number }, string>({ keepFacts: true });
  const a = { node: "a", incarnation: 1 };
  scheduler.step({ kind: "nodeJoined", slots: 1, ...a }, 0);
  scheduler.step({ kind: "jobSubmitted", job: { id: "j", map: [{}] } }, 0);
  const [start] = scheduler.step({ kind: "workerReady", slot: 0, ask: 1, ...a }, 0);
  assert.ok(start?.kind === "startAttempt");
  const { attempt } = start;
  scheduler.step({ kind: "attemptFinished", attempt, output: { rows: 3 }, counters: {}, ...a }, 0);
  const rows: number[] = [...viewOutputs(scheduler, "j", "map")].map(({ output }) => output.rows);
  assert.deepEqual(rows, [3]);
  const told = scheduler.takeFacts().flatMap((fact): number[] => {
    return fact.kind === "attempt" && fact.state.kind === "SUCCEEDED" ? [fact.state.output.rows] : [];
  });
  assert.deepEqual(told, [3]);
  const failed = {
    kind: "jobCommitFailed",
    job: "j",
    blame: "system",
    code: "DISK_FULL",
    message: "full",
  } as const;
  const [ended] = scheduler.step({ ...failed, detail: "no room" }, 0);
  assert.ok(ended?.kind === "jobEnded");
  const detail: string | null | undefined = ended.cause?.detail;
  assert.equal(detail, "no room");
});
