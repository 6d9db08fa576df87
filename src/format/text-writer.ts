import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { fieldText, wholeText } from "./field-text.ts";
import { escapeTsv, type WriterOptions, writerCompression } from "./tsv-writer.ts";

export interface TextWriterOptions extends WriterOptions {
  /**
   * false (default): texts are written as they are, and one with a newline in it is refused, since it would
   * be several lines. true: tab, newline, carriage return and backslash are written \t \n \r \\.
   */
  readonly escape?: boolean;
}

/**
 * One line per result: the value when there is one, else the key. Uint8Arrays are written as they are; other
 * things as fieldText says.
 */
export function textWriter(options: TextWriterOptions = {}): Writer<Key, unknown> {
  const { escape = false } = options;
  return {
    kind: "text",
    extension: ".txt",
    ...writerCompression(options),
    ...(!escape && { nativeOutput: "text" as const }),
    encoder: () => (escape ? new EscapedLineEncoder() : new LineEncoder()),
  };
}

const NEWLINE = 10;

class LineEncoder implements Encoder<Key, unknown> {
  write(key: Key, value: unknown, sink: ByteSink): void {
    const line = value === undefined || value === null ? key : value;
    if (line instanceof Uint8Array) {
      if (line.includes(NEWLINE)) throw severalLines(line);
      sink.bytes(line);
    } else if (typeof line === "string") {
      if (line.includes("\n")) throw severalLines(line);
      sink.text(wholeText(line));
    } else {
      // JSON, numbers and dates are one line whatever they hold.
      sink.text(fieldText(line));
    }
    sink.byte(NEWLINE);
  }
}

class EscapedLineEncoder implements Encoder<Key, unknown> {
  write(key: Key, value: unknown, sink: ByteSink): void {
    const line = value === undefined || value === null ? key : value;
    if (line instanceof Uint8Array) {
      const { buffer, byteOffset, byteLength } = line;
      const bytes = Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
      sink.bytes(Buffer.from(escapeTsv(bytes), "latin1"));
    } else sink.text(escapeTsv(fieldText(line)));
    sink.byte(NEWLINE);
  }
}

function severalLines(line: string | Uint8Array): SheafError {
  return new SheafError(
    "VALUE_INVALID",
    `text: a result with a newline would be several lines: ${printValue(line)}`,
    {
      hint: "Write text({ escape: true }), tsv() or jsonl(), which escape it; raw() for bytes with no line ends of ours.",
    },
  );
}
