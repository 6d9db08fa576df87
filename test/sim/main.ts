import { parseArgs } from "node:util";
import { systemClock } from "#src/base/clock.js";
import { measureCost, measureRestore } from "./cost-curve.js";
import { simulate } from "./simulate.js";
import { Totals } from "./totals.js";
import { Violation } from "./violation.js";

const HELP = `Simulates the scheduler in worlds full of faults and checks its invariants after every run.

  npm run simulate                        seeds 0 to 999
  npm run simulate -- --seeds 10000       seeds 0 to 9999; prints totals
  npm run simulate -- --from 5000         the first seed (default 0)
  npm run simulate -- --seed 123          one seed again, exactly as before
  npm run simulate -- --seed 123 --trace  with every event and command
  npm run simulate -- --cost              cost per event from 10 to 1,000 nodes and 1,000 to 100,000 tasks`;

function main(): void {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "0" },
      seed: { type: "string" },
      trace: { type: "boolean", default: false },
      cost: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
  } else if (values.cost) {
    printCost();
  } else {
    const from = Number(values.seed ?? values.from);
    const count = values.seed === undefined ? Number(values.seeds) : 1;
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count)) {
      console.error(`--seed, --seeds and --from take whole numbers\n\n${HELP}`);
      process.exitCode = 2;
      return;
    }
    runSeeds(from, count, values.trace);
  }
}

function runSeeds(from: number, count: number, trace: boolean): void {
  const totals = new Totals();
  let failed = 0;
  const begunMs = systemClock.nowMs();
  let told = begunMs;
  for (let seed = from; seed < from + count; seed++) {
    try {
      totals.add(
        simulate(seed, { clock: systemClock, ...(trace ? { trace: (line) => console.log(line) } : {}) }),
      );
    } catch (error) {
      failed++;
      console.error(error instanceof Violation ? `VIOLATION ${error.message}` : error);
      console.error(`  again: npm run simulate -- --seed ${seed} --trace`);
    }
    if (systemClock.nowMs() - told < 10_000) continue;
    told = systemClock.nowMs();
    console.error(
      `${seed - from + 1} of ${count} seeds, ${failed} failed, ${Math.round((told - begunMs) / 1_000)} s`,
    );
  }
  for (const line of totals.lines()) console.log(line);
  console.log(`failed     ${failed}`);
  console.log(`took       ${((systemClock.nowMs() - begunMs) / 1_000).toFixed(1)} s`);
  if (failed > 0) process.exitCode = 1;
}

function printCost(): void {
  for (const facts of [false, true]) measureCost(10, 20_000, { facts, grants: facts }); // warms up
  console.log(
    "nodes    tasks     events   us/event   with facts   with grants   dearest event ms   restore ms",
  );
  for (const tasks of [1_000, 10_000, 100_000]) {
    for (const nodes of [10, 100, 1_000]) {
      const point = measureCost(nodes, tasks);
      const cells = [
        String(nodes).padEnd(6),
        String(tasks).padStart(7),
        String(point.events).padStart(10),
        point.usPerEvent.toFixed(2).padStart(10),
        measureCost(nodes, tasks, { facts: true }).usPerEvent.toFixed(2).padStart(12),
        measureCost(nodes, tasks, { grants: true }).usPerEvent.toFixed(2).padStart(13),
        point.worstMs.toFixed(1).padStart(18),
        measureRestore(nodes, tasks).toFixed(0).padStart(12),
      ];
      console.log(cells.join(" "));
    }
  }
}

main();
