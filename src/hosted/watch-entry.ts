import { rmSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { systemClock } from "../base/clock.ts";
import { process } from "../base/own-globals.ts";
import { PROGRESS_CELLS } from "../task/task-spec.ts";
import { AttemptWatch } from "../worker/attempt-watch.ts";
import { endedFailure } from "../worker/failure.ts";
import { tellFailure, tellStatus } from "./channel.ts";
import { STATES, STATE_CELL, type WatchData, withPlace } from "./watch.ts";

/*
 * The thread of a task program that user code cannot block: it ends the program when the task stands still
 * for too long, or when the engine is gone, and until then tells the engine that the task is alive. So there
 * is one limit, the task's own; that of the engine is left for programs that are stopped whole.
 */

const about = workerData as WatchData;
const { board, state, parent, task, phase, scratch, noProgressMs, statusMs, traced } = about;
const lookMs = 500;
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
    if (runs) watch.runs(traced?.trace ?? null, nowMs);
    else watch.rests(nowMs);
  }
  const stillMs = watch.look(cells, nowMs);
  if (runs && stillMs >= noProgressMs) {
    const message = `${task} finished no record for ${Math.round(stillMs)} ms`;
    const failure = endedFailure("NO_PROGRESS", message, phase, [], about.noProgressSetting);
    tellFailure(task, withPlace(failure, traced, cells));
    end();
  }
  const beat = cells[PROGRESS_CELLS.beat]!;
  // What is not user code's work moves on with the engine, which sees that itself.
  if (nowMs - told.ms < statusMs || (!runs && beat === told.beat)) return;
  told = { ms: nowMs, beat };
  tellStatus(
    `sheaf ${task}: ${cells[PROGRESS_CELLS.recordsIn]! || cells[PROGRESS_CELLS.recordsOut]!} records`,
  );
}, lookMs);

function end(): void {
  rmSync(scratch, { recursive: true, force: true });
  process.kill(process.pid, "SIGKILL");
}
