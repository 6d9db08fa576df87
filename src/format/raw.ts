import { SheafError } from "../base/errors.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, Writer } from "../job/writer.ts";
import { wholeText } from "./field-text.ts";
import { type WriterOptions, writerCompression } from "./tsv-writer.ts";

export interface RawOptions extends WriterOptions {
  /** Bytes that every record must have; others are refused. Default: any number. */
  readonly recordBytes?: number;
  /** Extension of the files, with its dot. Default ".bin". */
  readonly extension?: string;
}

/**
 * Bytes back to back, nothing between them: the value, or the key when there is no value. Takes Uint8Arrays
 * and strings (as UTF-8). With `recordBytes` it writes what fixedLength reads.
 */
export function raw(options: RawOptions = {}): Writer<Key, unknown> {
  const { recordBytes } = options;
  const write = (key: Key, value: unknown, sink: ByteSink): void => {
    const record = value === undefined || value === null ? key : value;
    const bytes = typeof record === "string" ? Buffer.from(wholeText(record)) : record;
    if (!(bytes instanceof Uint8Array)) {
      throw new SheafError("VALUE_INVALID", `raw writes Uint8Arrays and strings, not a ${typeof record}`, {
        hint: "Turn the result into bytes in map or reduce, or use another output format.",
      });
    }
    if (recordBytes !== undefined && bytes.length !== recordBytes) {
      throw new SheafError(
        "VALUE_INVALID",
        `raw: a record has ${bytes.length} bytes, ${recordBytes} are asked for`,
        { hint: "Pad or cut it in map or reduce, or leave recordBytes out." },
      );
    }
    sink.bytes(bytes);
  };
  return {
    kind: "raw",
    extension: options.extension ?? ".bin",
    ...writerCompression(options),
    encoder: () => ({ write }),
  };
}
