import type { Reader } from "#src/job/reader.js";

/** A reader that is never asked to read: testJob hands the records over. */
export function reader<R>(): Reader<R> {
  return { kind: "test", framing: { kind: "stream" }, decoder: () => ({ decode() {} }) };
}
