import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { escapeControls } from "#src/base/escape-controls.js";
import { applyEvent, emptyProgress, phaseEndLine, phaseRates, progressLines } from "#src/cli/ui/progress.js";
import { liveRegion } from "#src/cli/ui/reporter.js";
import { ansiStyle, plainStyle, styleFor } from "#src/cli/ui/style.js";
import { textWidth, truncateText } from "#src/cli/ui/text.js";
import type { PhaseProgress, RunEvent } from "#src/engine/events.js";

const stats = {
  recordsIn: 1000,
  bytesIn: 2_097_152,
  recordsOut: 10,
  bytesOut: 100,
  emitted: 5000,
  shuffleBytes: 300,
  spills: 0,
  badRecords: 0,
  groups: 7,
  elapsedMs: 100,
  cpuMs: 90,
};

function map(fraction: number, bytesIn: number, recordsIn: number): PhaseProgress {
  return {
    phase: "map",
    tasks: 20,
    finished: 12,
    running: 2,
    fraction,
    recordsIn,
    bytesIn,
    recordsOut: 0,
    spillBytes: 1_258_291_200,
  };
}

function modelAfter(...events: RunEvent[]) {
  const model = emptyProgress();
  for (const event of events) applyEvent(model, event);
  return model;
}

const midway = () =>
  modelAfter(
    { atMs: 0, kind: "phase-started", phase: "map", tasks: 20 },
    { atMs: 1000, kind: "progress", phases: [map(0.25, 100_000_000, 1_000_000)], workers: 2, badRecords: 0 },
    { atMs: 2000, kind: "progress", phases: [map(0.5, 200_000_000, 2_000_000)], workers: 2, badRecords: 3 },
  );

test("a progress line says what matters and never more than fits", () => {
  const model = midway();
  const [wide] = progressLines(model, 2000, 140, plainStyle);
  assert.match(
    wide!,
    /^map {4}━{14}─{14} {2}50% {2}2 s left {2}95\.4 MiB\/s {2}1\.00M rec\/s {2}12\/20 tasks {2}2 running {2}2,000,000 records {2}spill 1\.2 GiB {2}3 bad$/,
  );
  for (let columns = 10; columns <= 200; columns++) {
    const [line] = progressLines(model, 2000, columns, ansiStyle);
    assert.ok(textWidth(line!) <= columns, `${columns} columns: ${textWidth(line!)}`);
  }
  assert.match(progressLines(model, 2000, 39, plainStyle)[0]!, /^map    ━+─+  50%  2 s left/);
});

test("a source of one slow record at a time shows how many are done, and its rate with a decimal", () => {
  const at = (recordsIn: number): PhaseProgress => ({
    ...map(0, 0, recordsIn),
    tasks: 1,
    finished: 0,
    running: 1,
    spillBytes: 0,
  });
  const model = modelAfter(
    { atMs: 0, kind: "phase-started", phase: "map", tasks: 1 },
    { atMs: 2000, kind: "progress", phases: [at(1)], workers: 1, badRecords: 0 },
    { atMs: 4000, kind: "progress", phases: [at(3)], workers: 1, badRecords: 0 },
  );
  const [line] = progressLines(model, 4000, 100, plainStyle);
  assert.match(line!, /^map {4}─+ {3}0% {2}4\.00 s {2}0\.8 rec\/s {2}0\/1 tasks {2}1 running {2}3 records$/);
});

test("rates are of the last seconds, the time left of the whole phase", () => {
  const phase = midway().phases.get("map")!;
  assert.deepEqual(phaseRates(phase, 2000), {
    bytesPerSecond: 100_000_000,
    recordsPerSecond: 1_000_000,
    leftMs: 2000,
  });
  assert.equal(phaseRates(phase, 900).leftMs, undefined);
});

test("a phase that has ended has no line, but a lasting one", () => {
  const model = midway();
  applyEvent(model, { atMs: 3000, kind: "attempt-finished", task: "map-00000", attempt: 1, stats });
  // A map that ran again is counted once.
  applyEvent(model, { atMs: 3100, kind: "attempt-finished", task: "map-00000", attempt: 2, stats });
  applyEvent(model, { atMs: 4000, kind: "phase-finished", phase: "map", elapsedMs: 4000 });
  assert.deepEqual(progressLines(model, 4000, 80, plainStyle), []);
  assert.equal(phaseEndLine(model.phases.get("map")!), "map     stopped after 4.00 s  12 of 20 tasks done");
  for (let i = 1; i < 20; i++) {
    const task = `map-${String(i).padStart(5, "0")}`;
    applyEvent(model, { atMs: 3000, kind: "attempt-finished", task, attempt: 1, stats });
  }
  assert.equal(
    phaseEndLine(model.phases.get("map")!),
    "map     20 tasks  4.00 s  20,000 records  40 MiB  10 MiB/s",
  );
});

test("a phase whose tasks an engine has done, and not yet told of, is no stopped one", () => {
  const model = midway();
  const phases = [{ ...map(1, 0, 0), finished: 20, running: 0 }];
  applyEvent(model, { atMs: 3900, kind: "progress", phases, workers: 0, badRecords: 0 });
  applyEvent(model, { atMs: 4000, kind: "phase-finished", phase: "map", elapsedMs: 4000 });
  assert.equal(phaseEndLine(model.phases.get("map")!), "map     20 tasks  4.00 s");
});

test("the live region draws in place, lets text through above, and gives the cursor back", () => {
  let written = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk);
      done();
    },
  });
  const region = liveRegion(Object.assign(stream, { columns: 20 }));
  const take = (): string => {
    const text = written;
    written = "";
    return text;
  };
  region.draw(["one", "two"]);
  assert.equal(take(), "\x1b[?25lone\ntwo\n");
  region.draw(["1"]);
  assert.equal(take(), "\x1b[G\x1b[2A\x1b[J1\n");
  region.above("said\n");
  assert.equal(take(), "\x1b[G\x1b[1A\x1b[Jsaid\n1\n");
  region.draw(["x".repeat(30)]);
  assert.equal(take(), `\x1b[G\x1b[1A\x1b[J${"x".repeat(18)}…\n`);
  Object.assign(stream, { columns: 10 });
  region.end();
  assert.equal(take(), "\x1b[G\x1b[2A\x1b[J\x1b[?25h");
  region.end();
  region.draw([]);
  assert.equal(take(), "");
});

test("widths: wide characters two columns, marks and colours none", () => {
  const cases: readonly [string, number][] = [
    ["abc", 3],
    ["日本", 4],
    ["e\u0301", 1],
    ["😀", 2],
    ["✅", 2],
    ["⚡ done", 7],
    ["👨‍👩‍👧", 2],
    [ansiStyle.red("ab"), 2],
    ["", 0],
  ];
  for (const [text, width] of cases) assert.equal(textWidth(text), width, JSON.stringify(text));
  assert.equal(truncateText("日本語", 5), "日本…");
  assert.equal(truncateText("日本語", 4), "日…");
  assert.equal(truncateText(ansiStyle.red("abcdef"), 4), ansiStyle.red("abc…"));
  assert.equal(escapeControls("a\tb\n\x1b[31m\u2028"), "a\\tb\\n\\u001b[31m\\u2028");
});

test("colours: on a terminal, unless NO_COLOR or a dumb one; always and never win", () => {
  const terminal = { isTTY: true };
  assert.equal(styleFor(terminal, {}), ansiStyle);
  assert.equal(styleFor({}, {}), plainStyle);
  assert.equal(styleFor(terminal, { NO_COLOR: "1" }), plainStyle);
  assert.equal(styleFor(terminal, { NO_COLOR: "" }), ansiStyle);
  assert.equal(styleFor(terminal, { TERM: "dumb" }), plainStyle);
  assert.equal(styleFor({}, { FORCE_COLOR: "1" }), ansiStyle);
  assert.equal(styleFor(terminal, { NO_COLOR: "1" }, "always"), ansiStyle);
  assert.equal(styleFor(terminal, {}, "never"), plainStyle);
});
