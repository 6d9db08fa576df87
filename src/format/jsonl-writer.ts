import { SheafError } from "../base/errors.ts";
import type { Key } from "../job/key.ts";
import { isPlainObject } from "../job/plain-data.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { jsonText } from "./field-text.ts";
import type { RowShape } from "./row-layout.ts";
import { type WriterOptions, writerCompression } from "./tsv-writer.ts";

export interface JsonWriterOptions extends WriterOptions {
  /**
   * "pair": {"key":...,"value":...}. "record": the value alone, or the key where there is none. Default:
   * "pair"; in a map-only job "record" where the results are objects with null as key.
   */
  readonly shape?: RowShape;
}

/**
 * One line per result: {"key":...,"value":...}, no "value" when it is undefined; or what `shape` says. Values
 * as jsonText writes them.
 */
export function jsonlWriter(options: JsonWriterOptions = {}): Writer<Key, unknown> {
  const made: Writer<Key, unknown> = {
    kind: "jsonl",
    extension: ".jsonl",
    ...writerCompression(options),
    encoder: (place) => {
      if (options.shape === "record") return { write: writeRecord };
      return options.shape === "pair" || place?.mapOnly !== true
        ? { write: writePair }
        : new MapOnlyEncoder();
    },
    estimates: () => made,
  };
  return made;
}

function writePair(key: Key, value: unknown, sink: ByteSink): void {
  const keyText = jsonText(key);
  sink.text(value === undefined ? `{"key":${keyText}}\n` : `{"key":${keyText},"value":${jsonText(value)}}\n`);
}

function writeRecord(key: Key, value: unknown, sink: ByteSink): void {
  sink.text(`${jsonText(value === undefined ? key : value)}\n`);
}

/** Objects without a key are records. All results of a job are, or none. */
class MapOnlyEncoder implements Encoder<Key, unknown> {
  #shape: RowShape | undefined;

  get layout(): string | undefined {
    return this.#shape === undefined ? undefined : `lines of the shape "${this.#shape}"`;
  }

  write(key: Key, value: unknown, sink: ByteSink): void {
    const shape = key === null && isPlainObject(value) ? "record" : "pair";
    this.#shape ??= shape;
    if (this.#shape !== shape) {
      const hint = 'Say how to write them: jsonl({ shape: "record" }) or jsonl({ shape: "pair" }).';
      const message = "jsonl: some results are objects with null as key, and others are not";
      throw new SheafError("VALUE_INVALID", message, { hint });
    }
    if (shape === "record") writeRecord(key, value, sink);
    else writePair(key, value, sink);
  }
}
