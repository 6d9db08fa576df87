import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TASK_STATUS } from "#src/protocol/version.js";
import { until } from "../kit/wait.js";
import { job, mapOrder, Stage, wordCount } from "./support.js";

test("what an attempt prints is with the coordinator before its report, and kept in a file", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const map = `console.log("out " + line); console.error("err " + line); ctx.log("log " + line);`;
  await stage.prepare(wordCount({ map }));
  let linesAtReport = -1;
  stage.coordinator.interfere = (route) => {
    if (route.includes("/task/")) linesAtReport = stage.coordinator.logs.length;
    return null;
  };
  await stage.coordinator.run(mapOrder(stage.split("be\n")));
  const told = stage.coordinator.logs.map(
    ({ task, attempt, stream, text }) => `${task}.${attempt} ${stream} ${text}`,
  );
  assert.deepEqual(told.sort(), [
    "map-00000.1 log log be",
    "map-00000.1 stderr err be",
    "map-00000.1 stdout out be",
  ]);
  assert.equal(linesAtReport, 3);
  const file = join(stage.state, "logs", job, "map-00000.1.log");
  await until("the file", () => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0);
  assert.match(readFileSync(file, "utf8"), /^stdout: out be$/m);
});

test("a million lines and a line of 100 MB are cut to what is kept, and nothing waits for them", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const map = `
    const piece = "x".repeat(2 ** 20);
    if (line === "many") for (let i = 0; i < 1e6; i++) console.log("line " + i);
    if (line === "long") for (let i = 0; i < 100; i++) process.stdout.write(piece);
    if (line !== "raw") return;
    // Past what the worker captures, through the pipe to the agent.
    const { writeSync } = await import("node:fs");
    for (let i = 0; i < 40;) {
      try {
        writeSync(1, piece.slice(0, 2 ** 16));
        i++;
      } catch {}
    }`;
  await stage.prepare(wordCount({ map }).replace("map(line", "async map(line"));
  for (const [index, line] of ["many", "long", "raw"].entries()) {
    const report = await stage.coordinator.run(mapOrder(stage.split(`${line}\n`, index)));
    assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
  }
  const chars = stage.coordinator.logs.reduce((sum, { text }) => sum + text.length, 0);
  assert.ok(chars < 4 * 2 ** 20, `${chars} characters were sent`);
  assert.ok(stage.coordinator.logs.some(({ text }) => text.includes("were printed and dropped")));
  assert.ok(stage.coordinator.logs.every(({ text }) => text.length < 200_000));
  const logs = join(stage.state, "logs", job);
  for (const name of readdirSync(logs)) assert.ok(statSync(join(logs, name)).size < 2.5 * 2 ** 20, name);
});

test("attempts that print do not wait for a coordinator that takes no lines", async (t) => {
  const stage = new Stage(t);
  stage.coordinator.interfere = (route) => (route.endsWith("/logs") ? "lose-request" : null);
  await stage.start();
  await stage.prepare(wordCount({ map: `console.log("x".repeat(1000));` }));
  const report = await stage.coordinator.run(mapOrder(stage.split("be\n")));
  assert.equal(report.status, TASK_STATUS.FINISHED);
});
