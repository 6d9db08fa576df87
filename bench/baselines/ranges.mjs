// What hand-written threads need: ranges of a file that begin and end at line breaks, read chunk by chunk.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const NEWLINE = 10;

/** `parts` ranges [start, end) of about equal size that cover the file, cut after newlines. */
export function lineRanges(path, parts) {
  const file = openSync(path, "r");
  const size = fstatSync(file).size;
  const probe = Buffer.allocUnsafe(1 << 16);
  const cut = (from) => {
    for (let at = from; at < size;) {
      const got = readSync(file, probe, 0, probe.length, at);
      const newline = probe.subarray(0, got).indexOf(NEWLINE);
      if (newline >= 0) return at + newline + 1;
      at += got;
    }
    return size;
  };
  const cuts = [0];
  for (let i = 1; i < parts; i++) cuts.push(cut(Math.max(cuts[i - 1], Math.floor((size * i) / parts))));
  cuts.push(size);
  closeSync(file);
  return cuts.slice(0, -1).map((start, i) => ({ start, end: cuts[i + 1] }));
}

/**
 * Calls `take(bytes)` with stretches of whole lines of the range. The bytes are overwritten after the call.
 */
export function readLines(path, { start, end }, take, chunkBytes = 1 << 20) {
  const file = openSync(path, "r");
  const buffer = Buffer.allocUnsafe(2 * chunkBytes);
  let kept = 0;
  for (let at = start; at < end;) {
    const got = readSync(file, buffer, kept, Math.min(chunkBytes, end - at), at);
    at += got;
    const filled = kept + got;
    const whole = at >= end ? filled : buffer.subarray(0, filled).lastIndexOf(NEWLINE) + 1;
    take(buffer.subarray(0, whole));
    buffer.copyWithin(0, whole, filled);
    kept = filled - whole;
  }
  closeSync(file);
}

/** Calls `each` with every line of a decoded stretch of whole lines. */
export function eachLine(text, each) {
  for (let from = 0; from < text.length;) {
    let to = text.indexOf("\n", from);
    if (to < 0) to = text.length;
    each(text.slice(from, to));
    from = to + 1;
  }
}
