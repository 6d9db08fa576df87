import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "#src/base/limits.js";
import { resolveOptions } from "#src/engine/resolve-options.js";
import { chaosText, fateOf } from "#src/worker/chaos.js";
import type { Fate } from "#src/worker/chaos.js";

function fates(chaos: { kill: number; slow: number; seed: number }, attempt = 1): (Fate | null)[] {
  return (["map", "reduce"] as const).flatMap((kind) =>
    Array.from({ length: 5_000 }, (_, index) => fateOf(chaos, { kind, index, attempt })),
  );
}

test("about as many attempts are hit as was asked for, all or none at the ends", () => {
  const count = (kill: number, slow: number, how: Fate["how"]): number =>
    fates({ kill, slow, seed: 1 }).filter((fate) => fate?.how === how).length;
  for (const share of [0.02, 0.3, 0.7]) {
    // Four standard deviations.
    const off = 4 * Math.sqrt(10_000 * share * (1 - share));
    assert.ok(Math.abs(count(share, 0.1, "kill") - 10_000 * share) < off, `kill ${share}`);
    assert.ok(Math.abs(count(0.1, share, "slow") - 10_000 * share) < off, `slow ${share}`);
  }
  assert.equal(count(1, 0, "kill"), 10_000);
  assert.equal(count(0.5, 0.5, "kill") + count(0.5, 0.5, "slow"), 10_000);
});

test("which are hit, and when, follows from the seed; later attempts of a task are never hit", () => {
  const chaos = { kill: 0.4, slow: 0.3, seed: 5 };
  assert.deepEqual(fates(chaos), fates({ ...chaos }));
  assert.notDeepEqual(fates(chaos), fates({ ...chaos, seed: 6 }));
  assert.notDeepEqual(fates(chaos, 1), fates(chaos, 2));
  for (const attempt of [1, 2, 3, 4, 100]) {
    const hit = fates({ kill: 1, slow: 0, seed: 7 }, attempt).filter((fate) => fate !== null);
    assert.equal(hit.length, attempt <= limits.chaosAttemptsMax ? 10_000 : 0);
    for (const { afterMs } of hit) assert.ok(afterMs >= 0 && afterMs < limits.chaosDelayMsMax);
  }
});

test("chaos is taken as shares, and written as the flag takes it", () => {
  const chaosOf = (chaos: object) => resolveOptions({ chaos }, "thread").chaos;
  assert.deepEqual(chaosOf({ kill: 0.05, seed: 9 }), { kill: 0.05, slow: 0, seed: 9 });
  const drawn = chaosOf({ slow: 1 })!;
  assert.ok(Number.isSafeInteger(drawn.seed) && drawn.seed >= 0);
  assert.equal(resolveOptions({}, "thread").chaos, null);
  assert.equal(chaosText({ kill: 0.07, slow: 0.29, seed: 3 }), "kill=7%,slow=29%,seed=3");
  const refused = [
    {},
    { kill: 0 },
    { kill: 1.1 },
    { kill: -0.1 },
    { kill: Number.NaN },
    { kill: "5%" },
    { kill: 0.6, slow: 0.6 },
    { kill: 0.1, seed: 1.5 },
    { kill: 0.1, seed: -1 },
    { kil: 0.1, slow: 0.1 },
  ];
  for (const chaos of refused)
    assert.throws(() => chaosOf(chaos), { code: "USAGE", message: /chaos/ }, JSON.stringify(chaos));
});
