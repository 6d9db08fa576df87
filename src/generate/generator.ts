import { SheafError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import { MiB } from "../base/size.ts";
import { suggest } from "../base/suggest.ts";
import { Cursor } from "./cursor.ts";

/**
 * A setting of one kind of data. All are numbers, so that a command line can show and read them by itself.
 */
export interface GeneratorOption {
  readonly name: string;
  readonly summary: string;
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** True when fractions are refused. */
  readonly integer: boolean;
}

export interface GenerateRequest {
  /** Any whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /**
   * Stop once this many bytes are written; the last record is whole, so the data may be longer by less than a
   * record.
   */
  readonly bytes?: number;
  /** Stop after this many records (headers not counted). With `bytes` too: whichever comes first. */
  readonly records?: number;
  /** Values for `Generator.options` by name; those left out have their defaults. */
  readonly options?: Readonly<Record<string, number>>;
}

/** One kind of data. Equal requests give equal bytes on every machine and Node version. */
export interface Generator {
  readonly kind: string;
  readonly summary: string;
  /** What one record is: "line", "event" ... */
  readonly record: string;
  readonly options: readonly GeneratorOption[];
  /**
   * The data in chunks of whole records of about 1 MiB, made as they are asked for. Each chunk is the
   * caller's to keep.
   * @throws SheafError USAGE when neither `bytes` nor `records` is given, or a value or option is wrong
   */
  write(request: GenerateRequest): Iterable<Uint8Array>;
}

/** What one kind of data has to say: how to write one record. */
export interface RecordMaker {
  /** No record (or header) is longer than this. */
  readonly recordBytesMax: number;
  header?(cursor: Cursor): void;
  /** Writes record `index` (0, 1, ... in order) at the cursor. */
  write(cursor: Cursor, index: number): void;
}

export interface GeneratorDefinition {
  readonly kind: string;
  readonly summary: string;
  readonly record: string;
  readonly options: readonly GeneratorOption[];
  /** `option(name)` is the value of a declared option. Called once per `write`. */
  maker(random: Random, option: (name: string) => number): RecordMaker;
}

const CHUNK_BYTES = MiB;

export function defineGenerator(definition: GeneratorDefinition): Generator {
  const { kind, summary, record, options } = definition;
  return {
    kind,
    summary,
    record,
    options,
    write(request) {
      const bytes = limit(request.bytes, `${kind}: size`);
      const records = limit(request.records, `${kind}: record count`);
      if (bytes === Infinity && records === Infinity) {
        throw new SheafError("USAGE", `${kind}: no end is given`, { hint: "Give a size or a record count." });
      }
      const values = resolveOptions(definition, request.options ?? {});
      const seed = wholeNumber(request.seed, `${kind}: seed`);
      // The kind is mixed in, so that different data of one seed do not walk the same random sequence.
      const maker = definition.maker(seededRandom(`${kind} ${seed}`), (name) => {
        const value = values.get(name);
        if (value === undefined) throw new SheafError("INTERNAL", `${kind}: option ${name} is not declared`);
        return value;
      });
      return chunks(maker, bytes, records);
    },
  };
}

function* chunks(maker: RecordMaker, bytes: number, records: number): Iterable<Uint8Array> {
  const cursor = new Cursor(CHUNK_BYTES + maker.recordBytesMax);
  let index = 0;
  let before = 0;
  if (records > 0 && bytes > 0) maker.header?.(cursor);
  while (index < records && before + cursor.at < bytes) {
    const target = Math.min(CHUNK_BYTES, bytes - before);
    while (cursor.at < target && index < records) maker.write(cursor, index++);
    before += cursor.at;
    yield cursor.take();
  }
  if (cursor.at > 0) yield cursor.take();
}

function resolveOptions(
  definition: GeneratorDefinition,
  given: Readonly<Record<string, number>>,
): ReadonlyMap<string, number> {
  const values = new Map(definition.options.map((option) => [option.name, option.default]));
  for (const [name, value] of Object.entries(given)) {
    const option = definition.options.find((one) => one.name === name);
    if (option === undefined) throw unknownOption(definition, name);
    if (!(value >= option.min && value <= option.max) || (option.integer && !Number.isInteger(value))) {
      const what = option.integer ? "a whole number" : "a number";
      throw new SheafError("USAGE", `${definition.kind}: ${name} is ${value}`, {
        hint: `Give ${what} from ${option.min} to ${option.max}.`,
      });
    }
    values.set(name, value);
  }
  return values;
}

function unknownOption(definition: GeneratorDefinition, name: string): SheafError {
  const names = definition.options.map((option) => option.name);
  const near = suggest(name, names);
  const list = names.length === 0 ? "It has none." : `It has: ${names.join(", ")}.`;
  return new SheafError("USAGE", `${definition.kind}: no option "${name}"`, {
    hint: near === undefined ? list : `Did you mean "${near}"? ${list}`,
  });
}

function limit(value: number | undefined, what: string): number {
  return value === undefined ? Infinity : wholeNumber(value, what);
}

function wholeNumber(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new SheafError("USAGE", `${what} is ${value}`, { hint: "Give a whole number, 0 or more." });
}
