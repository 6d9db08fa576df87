// Word count by hand on worker threads, tuned: ranges of the file, big reads, lines sliced out of one decoded
// string, a Map of mutable boxes (one look-up for a word seen before), small results sent back.
// usage: node wordcount-threads.mjs INPUT OUTPUT THREADS
import { writeFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { eachLine, lineRanges, readLines } from "./ranges.mjs";

if (isMainThread) {
  const [input, output, threads] = process.argv.slice(2);
  const totals = new Map();
  let running = 0;
  for (const range of lineRanges(input, Number(threads))) {
    running++;
    const worker = new Worker(new URL(import.meta.url), { workerData: { input, range } });
    worker.on("message", ({ words, counts }) => {
      words.forEach((word, i) => totals.set(word, (totals.get(word) ?? 0) + counts[i]));
    });
    worker.on("exit", () => {
      if (--running > 0) return;
      writeFileSync(output, [...totals].map(([word, count]) => `${word}\t${count}\n`).join(""));
    });
  }
} else {
  const boxes = new Map();
  const countLine = (line) => {
    const words = line.match(/\p{L}+/gu);
    if (words === null) return;
    for (let i = 0; i < words.length; i++) {
      const word = words[i];
      const box = boxes.get(word);
      if (box === undefined) boxes.set(word, { count: 1 });
      else box.count++;
    }
  };
  readLines(workerData.input, workerData.range, (bytes) => eachLine(bytes.toString("utf8"), countLine));
  parentPort.postMessage({
    words: [...boxes.keys()],
    counts: Int32Array.from(boxes.values(), (box) => box.count),
  });
}
