import { sampledResult } from "../job/estimate.ts";
import type { Key } from "../job/key.ts";
import type { Writer } from "../job/writer.ts";
import { tsvWriter } from "./tsv-writer.ts";

/**
 * Writes each result below a directory of its own name: `output: route((key, value) => value.date, jsonl())`
 * makes `out/2024-01-01/part-00000.jsonl` and so on (Spark's partitionBy, Hadoop's MultipleOutputs). A name
 * may have several levels: "2024/01/01". It must be one that every file system takes, not begin with "." or
 * "_", and not differ from another in case alone: else the job fails, naming it.
 * @param name depends on nothing but its arguments; called for every result, sometimes twice
 * @param writer what the files hold. Default tsv()
 */
export function route<K extends Key, O>(
  name: (key: K, value: O) => string,
  writer: Writer<K, O> = tsvWriter() as Writer<K, O>,
): Writer<K, O> {
  const { nativeOutput: _, estimates, ...rest } = writer;
  const encoder: Writer<K, O>["encoder"] = (...place) => writer.encoder(...place);
  if (estimates === undefined) return { ...rest, encoder, route: name };
  // Where a result goes is asked of what it was made of, which has the type that `name` knows.
  const routed = (key: Key, value: unknown): string => name(key as K, sampledResult(value) as O);
  return { ...rest, encoder, route: name, estimates: () => route(routed, estimates.call(writer)) };
}
