import type { Key } from "../job/key.ts";
import type { Writer } from "../job/writer.ts";

/** Writes nothing: for jobs whose counters are the result, or whose records the caller iterates. */
export function none(): Writer<Key, unknown> {
  return { kind: "none", extension: "", discards: true, encoder: () => ({ write: () => undefined }) };
}
