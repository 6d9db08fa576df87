import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Forecast } from "#src/engine/forecast.js";
import { keepForecast, keptForecast } from "#src/engine/plan-memory.js";
import type { PlannedFor } from "#src/engine/plan-memory.js";

const forecast = { elapsedMs: { low: 1, expected: 2, high: 3 } } as Forecast;
const plan = { paths: ["a.txt"], bytes: 7 };

test("a prediction is found again for the same, and params that have no form as JSON fail nothing", (t) => {
  const state = mkdtempSync(join(tmpdir(), "sheaf-plans-"));
  t.after(() => rmSync(state, { recursive: true }));
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const broken = { toJSON: () => assert.fail("a form is asked for") };
  const about = (params: PlannedFor["params"]): PlannedFor => ({ code: "c", params, sample: 1, plan });
  keepForecast(state, about({ n: 1n }), forecast);
  assert.deepEqual(keptForecast(state, about({ n: 1n })), forecast);
  for (const params of [{ cyclic }, { broken }]) {
    keepForecast(state, about(params), forecast);
    assert.equal(keptForecast(state, about(params)), null);
  }
});

test("where nothing was ever predicted, nobody goes through the paths of the input", (t) => {
  const state = mkdtempSync(join(tmpdir(), "sheaf-plans-"));
  t.after(() => rmSync(state, { recursive: true }));
  let asked = 0;
  const counting = {
    bytes: 7,
    get paths() {
      asked++;
      return [];
    },
  };
  const about: PlannedFor = { code: "c", params: {}, sample: 1, plan: counting };
  assert.deepEqual([keptForecast(state, about), asked], [null, 0]);
  mkdirSync(join(state, "plans"));
  assert.deepEqual([keptForecast(state, about), asked], [null, 1]);
});
