// The bound of word count with a string map: the map function alone in a tight loop over the lines on as many
// threads, with an emit that does nothing. No engine that calls this map can be faster.
// usage: node wordcount-bound.mjs INPUT THREADS
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { eachLine, lineRanges, readLines } from "./ranges.mjs";

if (isMainThread) {
  const [input, threads] = process.argv.slice(2);
  for (const range of lineRanges(input, Number(threads))) {
    new Worker(new URL(import.meta.url), { workerData: { input, range } });
  }
} else {
  const map = (line, emit) => {
    for (const word of line.match(/\p{L}+/gu) ?? []) emit(word, 1);
  };
  const emit = () => {};
  readLines(workerData.input, workerData.range, (bytes) =>
    eachLine(bytes.toString("utf8"), (line) => map(line, emit)),
  );
}
