import { writeSync } from "node:fs";
import type { Readable } from "node:stream";
import { PROGRESS_BYTES } from "../task/task-spec.ts";

/* How a child process passes its progress board on: whole copies, one after the other, on a pipe. */

/** File descriptor of the pipe in the child. */
export const boardDescriptor = 3;

/**
 * Child's half. A copy is far below PIPE_BUF, so copies of several threads never mix. @throws when nobody
 * reads
 */
export function writeBoard(board: Uint8Array): void {
  for (;;) {
    try {
      writeSync(boardDescriptor, board);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

/** Parent's half: keeps `board` up to date. A copy may arrive in pieces. */
export function readBoard(pipe: Readable, board: Float64Array): void {
  const bytes = new Uint8Array(board.buffer);
  const copy = new Uint8Array(PROGRESS_BYTES);
  let filled = 0;
  pipe.on("data", (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length;) {
      const taken = Math.min(PROGRESS_BYTES - filled, chunk.length - at);
      copy.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < PROGRESS_BYTES) continue;
      bytes.set(copy);
      filled = 0;
    }
  });
  pipe.on("error", () => undefined);
}
