import { escapeControls } from "../base/escape-controls.ts";
import { Redactor } from "./redact.ts";

/** Anything lines are written to: a stream, a file, another logger. */
export interface LineSink {
  write(text: string): unknown;
}

/**
 * A destination for pino, or for any logger that writes lines of JSON: every line arrives in `sink` as one
 * line, without control characters and secrets, whatever has been logged and through which serializer.
 */
export function safeLogStream(sink: LineSink, redactor = new Redactor()): { write(line: string): void } {
  return { write: (line) => void sink.write(`${clean(line.replace(/\r?\n$/, ""), redactor)}\n`) };
}

/** In JSON an escape stands for its character: the line means the same as before. */
function clean(line: string, redactor: Redactor): string {
  return redactor.redact(escapeControls(line));
}
