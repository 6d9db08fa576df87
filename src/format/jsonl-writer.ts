import type { Key } from "../job/key.ts";
import type { ByteSink, Writer } from "../job/writer.ts";
import { jsonText } from "./field-text.ts";
import { type WriterOptions, writerCompression } from "./tsv-writer.ts";

/**
 * One line {"key":...,"value":...} per result; no "value" when it is undefined. Values as jsonText writes
 * them.
 */
export function jsonlWriter(options: WriterOptions = {}): Writer<Key, unknown> {
  const write = (key: Key, value: unknown, sink: ByteSink): void => {
    const keyText = jsonText(key);
    sink.text(
      value === undefined ? `{"key":${keyText}}\n` : `{"key":${keyText},"value":${jsonText(value)}}\n`,
    );
  };
  return { kind: "jsonl", extension: ".jsonl", ...writerCompression(options), encoder: () => ({ write }) };
}
