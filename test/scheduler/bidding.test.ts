import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { bid, type Bidder, expectedLoadOf } from "#src/scheduler/bidding.js";

const agent = (node: string, utility: number, free: number, more: Partial<Bidder> = {}): Bidder => {
  return { node, utility, slots: 4, free, expectedLoad: 0, local: false, ...more };
};

const cases: readonly [string, number, readonly Bidder[], Record<string, number>, readonly number[]][] = [
  ["one idle agent is enough", 1, [agent("a", 100, 4)], { a: 1 }, [100]],
  [
    "work spreads over idle agents",
    3,
    [agent("a", 100, 4), agent("b", 100, 4), agent("c", 100, 4)],
    { a: 1, b: 1, c: 1 },
    [100],
  ],
  [
    "the bar goes down until there are enough",
    4,
    [agent("a", 100, 4), agent("b", 75, 4)],
    { a: 3, b: 1 },
    [100, 90, 80, 70, 60, 50],
  ],
  [
    "a busy machine waits for a lower bar",
    2,
    [agent("a", 31, 4), agent("b", 89, 1)],
    { a: 1, b: 1 },
    [100, 90, 80, 70, 60, 50, 40, 30],
  ],
  [
    "what holds input comes first among those above the bar",
    1,
    [agent("a", 99, 4), agent("b", 91, 4, { local: true })],
    { b: 1 },
    [100, 90],
  ],
  [
    "but not before the bar has come down to it",
    1,
    [agent("a", 91, 4), agent("b", 89, 4, { local: true })],
    { a: 1 },
    [100, 90],
  ],
  ["among equals the less loaded", 1, [agent("a", 91, 4), agent("b", 95, 4)], { b: 1 }, [100, 90]],
  ["then the name", 1, [agent("b", 95, 4), agent("a", 95, 4)], { a: 1 }, [100, 90]],
  [
    "earlier grants count before they are measured",
    1,
    [agent("a", 100, 2, { expectedLoad: 50 }), agent("b", 60, 4)],
    { b: 1 },
    [100, 90, 80, 70, 60],
  ],
  [
    "no slot is granted twice",
    9,
    [agent("a", 100, 1), agent("b", 100, 0)],
    { a: 1 },
    [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0],
  ],
  [
    "at 0 every free slot counts",
    6,
    [agent("a", 0, 4), agent("b", 5, 2)],
    { a: 4, b: 2 },
    [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0],
  ],
  ["nobody is there", 2, [], {}, [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0]],
];

for (const [name, wanted, agents, grants, bars] of cases) {
  test(`bidding: ${name}`, () => {
    const result = bid({ wanted, agents });
    assert.deepEqual(result.grants, grants);
    assert.deepEqual(
      result.rounds.map((round) => round.bar),
      bars,
    );
  });
}

test("each round says who answered with what, and what was taken", () => {
  const { rounds } = bid({
    wanted: 3,
    agents: [agent("a", 95, 2), agent("b", 40, 4), agent("c", 100, 0)],
  });
  assert.deepEqual(rounds[0], { bar: 100, answers: [] });
  assert.deepEqual(rounds[1], { bar: 90, answers: [{ node: "a", utility: 95, cores: 2, granted: 1 }] });
  assert.deepEqual(rounds[3], { bar: 70, answers: [{ node: "a", utility: 70, cores: 1, granted: 1 }] });
  assert.deepEqual(rounds.at(-1), { bar: 40, answers: [{ node: "b", utility: 40, cores: 4, granted: 1 }] });
});

test("too few cores and none at all are told with the reason", () => {
  const few = bid({ wanted: 5, agents: [agent("a", 100, 2), agent("b", 100, 1)] });
  assert.deepEqual([few.granted, few.reason], [3, "no more than 3 of 8 slots were free"]);
  const none = bid({ wanted: 5, agents: [agent("a", 100, 0), agent("b", 100, 0)] });
  assert.deepEqual([none.granted, none.reason], [0, "all 8 slots of 2 agents are granted to other jobs"]);
  assert.equal(bid({ wanted: 1, agents: [] }).reason, "no agent takes tasks");
});

test("wanting no cores, or half a core, is refused", () => {
  for (const wanted of [0, -1, 1.5, Number.NaN])
    assert.throws(() => bid({ wanted, agents: [] }), { code: "USAGE" });
});

test("what is expected of grants is what measuring does not show yet", () => {
  assert.equal(expectedLoadOf(4, 2, 100), 50);
  assert.equal(expectedLoadOf(4, 2, 50), 0);
  assert.equal(expectedLoadOf(4, 4, 70), 70);
  assert.equal(expectedLoadOf(4, 1, 10), 0);
  assert.equal(expectedLoadOf(0, 0, 100), 0);
});

const own = (grants: Readonly<Record<string, number>>, node: string): number =>
  Object.hasOwn(grants, node) ? grants[node]! : 0;

const bidders = fc.uniqueArray(
  fc.record({
    node: fc.string({ minLength: 1, maxLength: 3 }),
    utility: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(Number.NaN)),
    slots: fc.integer({ min: 1, max: 8 }),
    free: fc.integer({ min: 0, max: 8 }),
    expectedLoad: fc.integer({ min: 0, max: 100 }),
    local: fc.boolean(),
  }),
  { selector: (one) => one.node, maxLength: 12 },
);

test("whatever is bid: all that can be had of what is asked, in any order of agents", () => {
  fc.assert(
    fc.property(bidders, fc.integer({ min: 1, max: 40 }), (agents, wanted) => {
      const { grants, granted, rounds, reason } = bid({ wanted, agents });
      const free = (one: Bidder): number => Math.min(one.free, one.slots);
      const possible = agents.reduce((sum, one) => sum + free(one), 0);
      assert.equal(granted, Math.min(wanted, possible));
      assert.equal(reason === null, granted === wanted);
      assert.equal(
        Object.values(grants).reduce((a, b) => a + b, 0),
        granted,
      );
      for (const one of agents) assert.ok(own(grants, one.node) <= free(one));
      const taken = new Map<string, number>();
      for (const { bar, answers } of rounds) {
        for (const { node, utility, cores, granted: more } of answers) {
          assert.ok(utility >= bar && more <= cores);
          taken.set(node, (taken.get(node) ?? 0) + more);
        }
      }
      for (const [node, cores] of taken) assert.equal(cores, own(grants, node));
      assert.deepEqual(bid({ wanted, agents: [...agents].reverse() }).grants, grants);
    }),
  );
});

test("among agents without input none gets a core before one that is less loaded has one", () => {
  const remote = bidders.map((agents) => agents.map((one) => ({ ...one, local: false })));
  fc.assert(
    fc.property(remote, fc.integer({ min: 1, max: 12 }), (agents, wanted) => {
      const { grants } = bid({ wanted, agents });
      const bidOf = (one: Bidder): number => Math.max(0, (one.utility || 0) - one.expectedLoad);
      const can = agents.filter((one) => Math.min(one.free, one.slots) > 0);
      const least = Math.min(...can.filter((one) => Object.hasOwn(grants, one.node)).map(bidOf));
      for (const loser of can) if (!Object.hasOwn(grants, loser.node)) assert.ok(bidOf(loser) <= least);
    }),
  );
});
