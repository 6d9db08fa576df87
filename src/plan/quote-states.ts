import { MiB } from "../base/size.ts";
import { openRange, type PlannedFile } from "../storage/read-range.ts";

const READ_BYTES = MiB;
/** Above one quote in so many bytes a plain loop is faster than a search per quote. */
const DENSE = 64;

/**
 * For each start (ascending): whether that byte lies inside quotes, that is, whether an odd number of quotes
 * precedes it. Reads the file up to the last start, once. Right for files in which quotes only enclose fields
 * and stand doubled within them (RFC 4180); a reader reports the record of any other quote as bad.
 */
export async function quoteStates(
  file: PlannedFile,
  quote: number,
  starts: readonly number[],
  step?: () => void,
): Promise<boolean[]> {
  const range = await openRange(file);
  try {
    let front = Buffer.allocUnsafeSlow(READ_BYTES);
    let back = Buffer.allocUnsafeSlow(READ_BYTES);
    const end = starts.at(-1) ?? 0;
    const load = async (target: Buffer, at: number): Promise<Buffer> => {
      const some = target.subarray(0, Math.max(0, Math.min(READ_BYTES, end - at)));
      await range.read(some, at);
      return some;
    };
    const states: boolean[] = [];
    let quotes = 0;
    let pending = load(front, 0);
    for (let base = 0; base < end; base += READ_BYTES) {
      const bytes = await pending;
      step?.();
      // The next block is read while this one is counted.
      pending = load(back, base + READ_BYTES);
      pending.catch(() => undefined);
      let counted = 0;
      for (let to = starts[states.length]! - base; to <= bytes.length; to = starts[states.length]! - base) {
        quotes += countByte(bytes, quote, counted, to);
        states.push(quotes % 2 === 1);
        counted = to;
      }
      quotes += countByte(bytes, quote, counted, bytes.length);
      [front, back] = [back, front];
    }
    await pending;
    while (states.length < starts.length) states.push(quotes % 2 === 1);
    return states;
  } finally {
    await range.close();
  }
}

/** How often `byte` occurs in bytes[start, end). */
export function countByte(bytes: Buffer, byte: number, start: number, end: number): number {
  const within = bytes.subarray(0, end);
  let count = 0;
  let at = start;
  for (let found = within.indexOf(byte, at); found !== -1; found = within.indexOf(byte, at)) {
    count++;
    at = found + 1;
    if (count > 16 && count * DENSE > at - start) return count + countByLoop(bytes, byte, at, end);
  }
  return count;
}

function countByLoop(bytes: Buffer, byte: number, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; at++) if (bytes[at] === byte) count++;
  return count;
}
