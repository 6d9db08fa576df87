import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { fieldText } from "./field-text.ts";
import { type WriterOptions, writerCompression } from "./tsv-writer.ts";

/**
 * One line per result: the value when there is one, else the key. Nothing is escaped: a text with newlines
 * makes several lines. Uint8Arrays are written as they are; other things as fieldText says.
 */
export function textWriter(options: WriterOptions = {}): Writer<Key, unknown> {
  return {
    kind: "text",
    extension: ".txt",
    ...writerCompression(options),
    nativeOutput: "text",
    encoder: () => new LineEncoder(),
  };
}

class LineEncoder implements Encoder<Key, unknown> {
  write(key: Key, value: unknown, sink: ByteSink): void {
    const line = value === undefined || value === null ? key : value;
    if (line instanceof Uint8Array) sink.bytes(line);
    else sink.text(typeof line === "string" ? line : fieldText(line));
    sink.byte(10);
  }
}
