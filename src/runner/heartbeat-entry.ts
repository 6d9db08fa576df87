import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";

/* Writes the progress board to the parent of this process, four times a second; see process-entry.ts. */

const progressDescriptor = 3;
const board = new Uint8Array(workerData as SharedArrayBuffer);
setInterval(() => {
  try {
    writeSync(progressDescriptor, board);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") process.kill(process.pid, "SIGKILL");
  }
}, 250);
