import { rmSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { systemClock } from "../base/clock.ts";
import { process } from "../base/own-globals.ts";
import { PROGRESS_CELLS } from "../task/task-spec.ts";
import { AttemptWatch } from "../worker/attempt-watch.ts";
import { endedFailure } from "../worker/failure.ts";
import { tellFailure, tellStatus } from "./channel.ts";
import { STATES, STATE_CELL, type WatchData } from "./watch.ts";

/*
 * The thread of a task program that user code cannot block: it tells the engine that the task is alive while
 * its board moves, and ends the program when the task stands still, or when the engine's process is gone.
 */

const { board, state, parent, task, phase, scratch, noProgressMs } = workerData as WatchData;
const lookMs = 500;
const statusMs = 30_000;
const cells = new Float64Array(board);
const states = new Int32Array(state);
const watch = new AttemptWatch(systemClock.nowMs());
let running = false;
let told = { ms: systemClock.nowMs(), beat: 0 };

setInterval(() => {
  const nowMs = systemClock.nowMs();
  if (parent > 1 && process.ppid !== parent) end();
  const runs = Atomics.load(states, STATE_CELL) !== STATES.resting;
  if (runs !== running) {
    running = runs;
    if (runs) watch.runs(null, nowMs);
    else watch.rests(nowMs);
  }
  const stillMs = watch.look(cells, nowMs);
  if (runs && stillMs >= noProgressMs) {
    const message = `${task} finished no record for ${Math.round(stillMs)} ms`;
    tellFailure(task, endedFailure("NO_PROGRESS", message, phase, []));
    end();
  }
  const beat = cells[PROGRESS_CELLS.beat]!;
  if (nowMs - told.ms < statusMs || beat === told.beat) return;
  told = { ms: nowMs, beat };
  tellStatus(
    `sheaf ${task}: ${cells[PROGRESS_CELLS.recordsIn]! || cells[PROGRESS_CELLS.recordsOut]!} records`,
  );
}, lookMs);

function end(): void {
  rmSync(scratch, { recursive: true, force: true });
  process.kill(process.pid, "SIGKILL");
}
