import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawGraph } from "#src/cli/command/show/step-graph.js";
import { decide, graphOf, madeOf, readBy, type StepNow, wantedOf } from "#src/pipeline/plan.js";
import {
  type PipelineState,
  type StepFacts,
  applyEntry,
  emptyState,
  pipelineStateOf,
} from "#src/pipeline/state.js";
import type { JobOutline, StepOutline } from "#src/worker/messages.js";

function outline(name: string, reads: readonly string[], more: Partial<StepOutline> = {}): StepOutline {
  const reader = { kind: "records", framing: { kind: "stream" }, needsHeader: false } as const;
  const input = (of: string) => ({
    ...reader,
    compression: "none",
    recordBytesMax: null,
    step: { of, output: "" },
  });
  const files = { ...reader, compression: "auto", recordBytesMax: null } as const;
  const job = {
    name: null,
    params: {},
    aux: [],
    hasExpect: false,
    seed: 0,
    input: reads.length === 0 ? files : input(reads[0]!),
    ...(reads.length > 1 && { inputs: reads.map((of) => ({ name: of, input: input(of) })) }),
    collections: [{ name: "", partitions: null, order: "hash", mapOnly: false }],
  } as unknown as JobOutline;
  return { name, kind: "job", job, spec: null, rounds: null, keep: false, after: [], inputs: [], ...more };
}

const there = { records: true, files: true };
const gone = { records: false, files: false };
const facts = (step: string, more: Partial<StepFacts> = {}): Omit<StepFacts, "needs"> => ({
  code: step,
  params: "{}",
  options: "{}",
  files: {},
  elsewhere: [],
  ...more,
});

/** The state after these steps have been done with these facts. */
function doneState(steps: readonly StepOutline[], done: readonly string[]): PipelineState {
  let state = emptyState;
  for (const step of steps) {
    if (!done.includes(step.name)) continue;
    const needs = Object.fromEntries(
      [...readBy(step), ...step.after].map((need) => [need, state.steps[need]?.done?.made ?? ""]),
    );
    const all = { ...facts(step.name), needs };
    const summary = {
      recordsIn: 0,
      recordsOut: 0,
      bytesIn: 0,
      bytesOut: 0,
      badRecords: 0,
      cpuMs: 0,
      elapsedMs: 0,
      counters: {},
      parts: [],
    };
    const begun = { run: 1, facts: all, forms: there, made: madeOf(step.name, all) };
    state = applyEntry(state, { kind: "step-begun", step: step.name, ...begun });
    state = applyEntry(state, { kind: "step-done", step: step.name, run: 1, summary });
  }
  return state;
}

/** a -> b -> d, a -> c -> d, and e for itself. */
const diamond = [
  outline("a", []),
  outline("b", ["a"]),
  outline("c", ["a"]),
  outline("d", ["b", "c"]),
  outline("e", []),
];

function running(
  done: readonly string[],
  now: Readonly<Record<string, Partial<StepNow>>> = {},
  selection: Parameters<typeof wantedOf>[1] = {},
): Record<string, string | null> {
  const wanted = wantedOf(diamond, selection);
  const all = Object.fromEntries(
    diamond.map(({ name }) => [name, { facts: facts(name), there, ...now[name] }]),
  );
  const reasons = decide(graphOf(diamond, wanted, false), wanted, doneState(diamond, done), all);
  return Object.fromEntries(reasons);
}

test("what was done is not done again, and the reason for what is done is told", () => {
  const first = "it has not run yet";
  assert.deepEqual(running([]), { a: first, b: first, c: first, d: first, e: first });
  assert.deepEqual(running(["a", "b", "e"]), { a: null, b: null, c: first, d: first, e: null });
  const code = running(["a", "b", "c", "d", "e"], { c: { facts: facts("c", { code: "other" }) } });
  assert.deepEqual(code, { a: null, b: null, c: "its code has changed", d: "c runs again", e: null });
  const files = running(["a", "b", "c", "d", "e"], { e: { facts: facts("e", { files: { "/x": "1" } }) } });
  assert.equal(files["e"], "its inputs have changed: /x");
  assert.equal(running(["a", "b", "c", "d", "e"], { e: { facts: null } })["e"], "its inputs have changed");
  const params = running(["a", "e"], { a: { facts: facts("a", { params: '{"n":1}' }) } });
  assert.deepEqual([params["a"], params["b"]], ["its params have changed", first]);
});

test("a step whose output is gone runs again when one that runs reads it, and only then", () => {
  assert.deepEqual(running(["a", "b", "c", "d", "e"], { a: { there: gone }, b: { there: gone } }), {
    a: null,
    b: null,
    c: null,
    d: null,
    e: null,
  });
  const again = running(["a", "b", "c", "e"], { a: { there: gone }, b: { there: gone } });
  assert.equal(again["b"], "its output is gone, and d reads it");
  assert.equal(again["a"], "its output is gone, and b reads it");
  assert.equal(again["c"], null);
  // What it writes again is the same: who has read it need not.
  assert.equal(
    running(["a", "b", "c", "d", "e"], { d: { there: gone } })["d"],
    "the files of its output are not there any more",
  );
});

test("what reads places on agents may write something else again", () => {
  const done = ["a", "b", "c", "d", "e"];
  const wanted = wantedOf(diamond, { from: "c" });
  const decided = (elsewhere: string[]): string | null | undefined => {
    const now = Object.fromEntries(
      diamond.map(({ name }) => [name, { facts: facts(name, name === "a" ? { elsewhere } : {}), there }]),
    );
    now["a"]!.there = gone;
    let state = doneState(diamond, done);
    const a = state.steps["a"]!;
    const same = { ...a.done!, facts: { ...a.done!.facts, elsewhere } };
    state = { ...state, steps: { ...state.steps, a: { ...a, done: same } } };
    return decide(graphOf(diamond, wanted, false), wanted, state, now).get("b");
  };
  assert.equal(decided([]), null);
  assert.equal(decided(["agent:/logs"]), "a runs again");
});

test("--only, --from and --until choose steps", () => {
  const all = ["a", "b", "c", "d", "e"];
  assert.deepEqual(running(all, {}, { only: "b" }), { b: "--only b asks for it" });
  assert.deepEqual(running([], {}, { only: "b" }), { a: "it has not run yet", b: "--only b asks for it" });
  assert.deepEqual(running([], {}, { until: "c" }), { a: "it has not run yet", c: "it has not run yet" });
  const from = running(all, {}, { from: "c" });
  assert.deepEqual(from, { a: null, b: null, c: "--from c asks for it", d: "--from c asks for it", e: null });
  assert.throws(() => running(all, {}, { from: "x" }), /--from: the pipeline has no step "x"/);
  assert.throws(() => running(all, {}, { from: "a", until: "d" }), /exclude each other/);
});

test("for random graphs, changes and losses: what runs is what must, each step behind those it needs", () => {
  const graphs = fc.array(fc.array(fc.nat(20), { maxLength: 3 }), { minLength: 1, maxLength: 7 });
  const each = fc.record({ done: fc.boolean(), changed: fc.boolean(), there: fc.boolean() });
  fc.assert(
    fc.property(graphs, fc.array(each, { minLength: 7, maxLength: 7 }), (reads, states) => {
      const steps = reads.map((numbers, index) => {
        const names = index === 0 ? [] : [...new Set(numbers.map((one) => `s${one % index}`))];
        return outline(`s${index}`, names);
      });
      const wanted = wantedOf(steps);
      const graph = graphOf(steps, wanted, false);
      const done = steps.filter((_, index) => states[index]!.done).map(({ name }) => name);
      const now = Object.fromEntries(
        steps.map(({ name }, index) => [
          name,
          {
            facts: facts(name, states[index]!.changed ? { code: "other" } : {}),
            there: states[index]!.there ? there : gone,
          },
        ]),
      );
      const state = doneState(steps, done);
      const reasons = decide(graph, wanted, state, now);
      for (const step of graph) {
        const { name, needs } = step;
        const index = Number(name.slice(1));
        const runs = reasons.get(name) !== null;
        const isDone = done.includes(name);
        // What was not done, or is another now, runs.
        if (!isDone || states[index]!.changed) assert.ok(runs, `${name} must run`);
        // Who runs finds what it reads.
        if (runs)
          for (const need of needs)
            assert.ok(
              reasons.get(need) !== null || states[Number(need.slice(1))]!.there,
              `${name} reads ${need}`,
            );
        // Nothing runs without a reason of its own, of one it needs, or of one that reads it.
        const isMissed = step.delivered || step.readers.some((reader) => reasons.get(reader) !== null);
        const because =
          !isDone ||
          states[index]!.changed ||
          (!states[index]!.there && isMissed) ||
          needs.some((need) => reasons.get(need) !== null || !done.includes(need));
        if (runs) assert.ok(because, `${name} runs for nothing`);
        if (!runs && isDone) for (const need of needs) assert.ok(!states[Number(need.slice(1))]!.changed);
      }
    }),
    { numRuns: 300 },
  );
});

test("the state follows from the journal, however often a run is begun and lost", () => {
  const all = { ...facts("a"), needs: {} };
  const begun = { kind: "step-begun", step: "a", facts: all, forms: there, made: "m" } as const;
  const lost = pipelineStateOf([
    { ...begun, run: 1 },
    { ...begun, run: 2 },
    { kind: "ended", status: "FAILED" },
  ]);
  assert.deepEqual([lost.steps["a"]?.runs, lost.steps["a"]?.done, lost.ended], [2, null, "FAILED"]);
  const failed = applyEntry(lost, { kind: "step-failed", step: "a", run: 2, message: "" });
  assert.equal(failed.steps["a"]?.begun, null);
});

test("the graph is drawn with a line for each step, and lines that lead to those that need it", () => {
  const draw = (steps: Record<string, string[]>): string[] =>
    drawGraph(Object.entries(steps).map(([name, needs]) => ({ name, needs }))).map(
      ({ step, text }) => `${text}${step === null ? "" : ` ${step}`}`,
    );
  assert.deepEqual(draw({ a: [], b: ["a"], c: ["b"] }), ["o a", "o b", "o c"]);
  assert.deepEqual(draw({ a: [], b: ["a"], c: ["a"], d: ["b", "c"] }), [
    "o a",
    "├─┐",
    "o │ b",
    "│ o c",
    "├─┘",
    "o d",
  ]);
  assert.deepEqual(draw({ a: [], x: [], b: ["a", "x"], c: ["a"], y: ["x"] }), [
    "o a",
    "├─┐",
    "│ │ o x",
    "│ │ ├─┐",
    "├─┼─┘ │",
    "o │   │ b",
    "  o   │ c",
    "      o y",
  ]);
});
