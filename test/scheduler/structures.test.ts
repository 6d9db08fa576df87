import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Chain, newLink, unlink } from "#src/scheduler/chain.js";
import { Heap, RunningMedian } from "#src/scheduler/heap.js";
import { resolvePolicy } from "#src/scheduler/policy.js";

test("a heap gives its items in order, whatever is pushed and popped between", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 50 }))), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
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
