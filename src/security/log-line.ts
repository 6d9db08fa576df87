import { Redactor } from "./redact.ts";

/** Anything lines are written to: a stream, a file, another logger. */
export interface LineSink {
  write(text: string): unknown;
}

/**
 * Control characters, and those that change what a terminal or an editor shows of the characters around
 * them: C0, DEL and C1, line and paragraph separators, marks of direction, zero widths.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const escapeOne = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * A text as one line that does nothing to a terminal: control characters are written as \\u001b and the like.
 * @param kept characters that stay as they are, for texts that may have lines or tabs
 */
export function escapeControls(text: string, kept = ""): string {
  return text.replaceAll(controls, (char) => (kept.includes(char) ? char : escapeOne(char)));
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
