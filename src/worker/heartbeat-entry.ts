import { workerData } from "node:worker_threads";
import { writeBoard } from "./board-pipe.ts";
import { endThisProcess } from "./end-group.ts";

/* Writes the progress board to the parent of this process, four times a second; see process-entry.ts. */

const board = new Uint8Array(workerData as SharedArrayBuffer);
setInterval(() => {
  try {
    writeBoard(board);
  } catch {
    endThisProcess();
  }
}, 250);
