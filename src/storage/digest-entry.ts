import { closeSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { CHUNK_BYTES, tagOf } from "./content-digest.ts";
import type { TagAnswer, TagRequest } from "./digest-threads.ts";

/** A thread of digest-threads.ts: answers each request, one after the other. */
const key = Buffer.from(workerData as Uint8Array);
const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);

parentPort?.on("message", (request: TagRequest) => {
  let answer: TagAnswer;
  try {
    answer = answerTo(request);
  } catch {
    // Whoever asks looks at the file itself then, and says what is wrong with it.
    answer = { number: request.number, tags: null, cuts: [] };
  }
  parentPort?.postMessage(answer);
});

function answerTo({ number, path, from, to, cuts }: TagRequest): TagAnswer {
  const fd = openSync(path, "r");
  try {
    const tags: Buffer[] = [];
    const cut: Buffer[] = [];
    for (let at = from; at < to; at += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, to - at));
      for (let done = 0; done < chunk.length;) {
        const got = readSync(fd, chunk, done, chunk.length - done, at + done);
        if (got === 0) throw new Error("it ends too early");
        done += got;
      }
      tags.push(tagOf(chunk, key));
      for (const end of cuts)
        if (end > at && end <= at + chunk.length) cut.push(tagOf(chunk.subarray(0, end - at), key));
    }
    return { number, tags: Buffer.concat(tags), cuts: cut };
  } finally {
    closeSync(fd);
  }
}
