import { createHash } from "node:crypto";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";
import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { ValueEncoder } from "../codec/value-codec.ts";
import { BufferSink } from "../format/byte-sink.ts";
import { fieldText } from "../format/field-text.ts";
import type { OpenFile, OutputFile } from "../format/output-file.ts";
import { outputFiles } from "../format/output-file.ts";
import { textWriter } from "../format/text-writer.ts";
import { tsvWriter } from "../format/tsv-writer.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, EncodePlace, Encoder, Writer } from "../job/writer.ts";
import { CollectedWriter } from "./collected.ts";
import { PhaseError } from "./scene.ts";
import type { JobSettings, OutputPart } from "./task-spec.ts";

const NEWLINE = 10;
const LAYOUT_CHARACTERS = 1_000;
/** Of an output that is one of many: its buffer grows up to this as results come. */
const NAMED_BUFFER_BYTES = 64 * KiB;

/** Where results go: to the files of a partition, or of each name in it. */
export interface TaskOutput {
  /** Results written so far. */
  readonly records: number;
  /** True when a file has reached the part size: call roll() before the next record, where that can be. */
  readonly full: boolean;
  /**
   * Where kernels may format results themselves: the writer's native form, when nothing else wants the
   * records.
   */
  readonly native: "tsv" | "text" | undefined;
  open(): Promise<void>;
  check(key: Key, value: unknown): void;
  write(key: Key, value: unknown): void;
  roll(): Promise<void>;
  writeLines(lines: Buffer, records: number): Promise<void>;
  finish(): Promise<readonly OutputPart[]>;
  discard(): void;
}

/**
 * The output files of one partition of one collection: encodes results with the job's writer and begins a new
 * file whenever one has reached the part size, always between two records.
 */
export class ResultOutput implements TaskOutput {
  readonly #collection: number;
  readonly #partition: number;
  readonly #directory: string;
  readonly #partBytes: number;
  readonly #named: NamedOutput | undefined;
  readonly #writer: Writer<Key, unknown> | undefined;
  readonly #place: EncodePlace;
  readonly #collected: CollectedWriter | undefined;
  readonly #keys = { bytes: Buffer.allocUnsafe(256) };
  readonly #values = new ValueEncoder();
  readonly #parts: OutputPart[] = [];
  #trial: BufferSink | undefined;
  #sink!: BufferSink;
  #encoder: Encoder<Key, unknown> | undefined;
  #create: OpenFile | undefined;
  #file: OutputFile | undefined;
  #fileRecords = 0;
  #headerBytes = 0;
  #isRolling = false;
  #direct = 0;
  /** Results written so far. */
  records = 0;

  constructor(
    plan: CollectionPlan,
    collection: number,
    partition: number,
    directory: string,
    settings: JobSettings,
    named?: NamedOutput,
  ) {
    this.#named = named;
    this.#collection = collection;
    this.#partition = partition;
    this.#directory = directory;
    this.#partBytes = settings.partBytes;
    this.#place = { mapOnly: plan.mapOnly };
    const writer = writerOf(plan);
    this.#writer = settings.output === "write" && writer.discards !== true ? writer : undefined;
    if (settings.collect) {
      const path = join(directory, `collected-${collection}-${partition}.run`);
      this.#collected = new CollectedWriter(
        path,
        { jobId: settings.jobId, task: partition, attempt: 1 },
        collection,
      );
    }
  }

  /** Opens the first file. */
  async open(): Promise<void> {
    const create = await this.opener();
    if (create !== undefined) this.openWith(create);
  }

  /** What opens the files of this output; undefined where none are written. */
  async opener(openMost?: number): Promise<OpenFile | undefined> {
    if (this.#writer === undefined) return undefined;
    const { compression } = this.#writer;
    return outputFiles({
      ...(compression !== undefined && { compression }),
      ...(openMost !== undefined && { openMost }),
    });
  }

  /** As open(), at once. */
  openWith(create: OpenFile): void {
    const writer = this.#writer!;
    const roll = this.#parts.length;
    const place = `${this.#collection}-${this.#partition}-${roll}`;
    const number = this.#named === undefined ? "" : `-${this.#named.index}`;
    const name = `out-${place}${number}${this.#extension()}`;
    const file = create(join(this.#directory, name));
    this.#file = file;
    this.#create = create;
    const [bufferBytes, onGrown] = this.#named === undefined ? [] : [NAMED_BUFFER_BYTES, this.#named.onGrown];
    this.#sink = new BufferSink((bytes) => file.write(bytes), bufferBytes, onGrown);
    this.#direct = 0;
    this.#fileRecords = 0;
    this.#encoder = writer.encoder(this.#place);
    this.#headerBytes = 0;
  }

  /**
   * Where kernels may format results themselves: the writer's native form, when nothing else wants the
   * records.
   */
  get native(): "tsv" | "text" | undefined {
    return this.#collected === undefined ? this.#writer?.nativeOutput : undefined;
  }

  /** Throws what write() would throw for this result, as far as that does not depend on results before it. */
  check(key: Key, value: unknown): void {
    if (this.#collected !== undefined) this.#values.encode(value);
    if (this.#writer === undefined) return;
    this.#trial ??= new BufferSink(() => undefined, 0);
    const encoder = this.#writer.encoder(this.#place);
    try {
      encoder.begin?.(this.#trial, [key, value]);
      encoder.write(key, value, this.#trial);
    } catch (error) {
      throw new PhaseError("write", error);
    }
  }

  write(key: Key, value: unknown): void {
    if (this.#encoder !== undefined) {
      try {
        if (this.#fileRecords === 0) this.#begin([key, value]);
        this.#encoder.write(key, value, this.#sink);
      } catch (error) {
        throw new PhaseError("write", error);
      }
      this.#fileRecords++;
    }
    if (this.#collected !== undefined) {
      const size = keySizeMax(key);
      if (this.#keys.bytes.length < size) this.#keys.bytes = Buffer.allocUnsafe(size * 2);
      const length = encodeKey(this.#keys.bytes, 0, key);
      this.#values.encode(value);
      this.#collected.add(
        this.#keys.bytes.subarray(0, length),
        this.#values.bytes.subarray(0, this.#values.length),
      );
    }
    this.records++;
  }

  #begin(first?: readonly [key: Key, value: unknown]): void {
    // Again where the first record was refused, and map went on: what it wrote then is there.
    if (this.#sink.bytesWritten > 0) return;
    const encoder = this.#encoder!;
    encoder.begin?.(this.#sink, first);
    // Where something closes the file, what opens it belongs to that.
    if (encoder.end === undefined) this.#headerBytes = this.#sink.bytesWritten;
  }

  /** True when the file has reached the part size: call roll() before the next record. */
  get full(): boolean {
    return this.#encoder !== undefined && this.#sink.bytesWritten + this.#direct >= this.#partBytes;
  }

  /** Ends the file and begins the next. */
  async roll(): Promise<void> {
    if (this.#isRolling) throw new SheafError("INTERNAL", "an output was to end a file twice at once");
    this.#isRolling = true;
    await this.#finishFile();
    this.openWith(this.#create!);
    this.#isRolling = false;
  }

  /** Memory that results wait in until they are written. There must have been one. */
  get heldBytes(): number {
    return this.#sink.heldBytes;
  }

  /** Writes what waits, and gives its memory back. */
  release(): void {
    this.#sink.release();
  }

  /**
   * Takes whole lines that a kernel has formatted, one for each of `records` results; rolls where the part
   * size is reached, as write() would have. `lines` is borrowed.
   */
  async writeLines(lines: Buffer, records: number): Promise<void> {
    let rest = lines;
    let left = records;
    this.records += records;
    while (rest.length > 0) {
      if (this.full) await this.roll();
      const room = this.#partBytes - this.#sink.bytesWritten - this.#direct;
      const cut = rest.length < room ? rest.length - 1 : rest.indexOf(NEWLINE, room - 1);
      const head = rest.subarray(0, cut + 1);
      const headRecords = head.length === rest.length ? left : countLines(head);
      this.#put(head, headRecords);
      left -= headRecords;
      rest = rest.subarray(cut + 1);
    }
  }

  #put(lines: Buffer, records: number): void {
    this.#sink.flush();
    this.#file!.write(lines);
    this.#direct += lines.length;
    this.#fileRecords += records;
  }

  /** Ends everything and tells the files written. A partition without results has one file that says so. */
  async finish(): Promise<readonly OutputPart[]> {
    await this.#finishFile();
    const collected = this.#collected?.finish();
    if (collected !== undefined) {
      this.#parts.push({
        kind: "collected",
        collection: this.#collection,
        partition: this.#partition,
        roll: 0,
        extension: ".run",
        records: this.records,
        ...collected,
      });
    }
    return this.#parts;
  }

  /** Closes and removes unfinished files. */
  discard(): void {
    this.#file?.discard();
    this.#collected?.abandon();
  }

  async #finishFile(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    // A roll that came right after the last record left a file with nothing in it.
    if (this.#fileRecords === 0 && this.#parts.length > 0) {
      file.discard();
      this.#file = undefined;
      return;
    }
    if (this.#fileRecords === 0) this.#begin();
    this.#encoder?.end?.(this.#sink);
    this.#sink.flush();
    const summary = await file.finish();
    const layout = shortLayout(this.#encoder?.layout);
    this.#file = undefined;
    if (this.#named !== undefined) this.#sink.release();
    this.#parts.push({
      kind: "output",
      collection: this.#collection,
      partition: this.#partition,
      roll: this.#parts.length,
      path: file.path,
      extension: this.#extension(),
      ...(this.#named !== undefined && { name: this.#named.name }),
      bytes: summary.bytes,
      records: this.#fileRecords,
      crc32c: summary.crc32c,
      ...(this.#headerBytes > 0 && { headerBytes: this.#headerBytes }),
      ...(layout !== undefined && { layout }),
    });
  }

  #extension(): string {
    const writer = this.#writer!;
    const packed = writer.compression === "gzip" ? ".gz" : writer.compression === "zstd" ? ".zst" : "";
    return `${writer.extension}${packed}`;
  }
}

/** Lines of programs are whole: a writer of text would leave out their keys. */
function writerOf({ output, lines }: CollectionPlan): Writer<Key, unknown> {
  if (lines === undefined || (output !== undefined && output.nativeOutput !== "text"))
    return output ?? tsvWriter();
  const put = (sink: ByteSink, part: unknown): void => {
    if (part instanceof Uint8Array) sink.bytes(part);
    else sink.text(fieldText(part));
  };
  return {
    ...(output ?? textWriter()),
    encoder: () => ({
      write(key, value, sink) {
        put(sink, key);
        if (value !== undefined) {
          sink.bytes(lines);
          put(sink, value);
        }
        sink.byte(NEWLINE);
      },
    }),
  };
}

/** It travels with every file: one of thousands of columns is told by its beginning and a hash of all. */
function shortLayout(layout: string | undefined): string | undefined {
  if (layout === undefined || layout.length <= LAYOUT_CHARACTERS) return layout;
  const hash = createHash("sha256").update(layout).digest("hex");
  return `${layout.slice(0, LAYOUT_CHARACTERS)}... (sha256 ${hash})`;
}

/** One of the names that results of a partition go by, and its number there. */
interface NamedOutput {
  readonly name: string;
  readonly index: number;
  /** Called with the bytes of memory that results wait in more than before, or less. */
  readonly onGrown: (bytes: number) => void;
}

function countLines(lines: Buffer): number {
  let count = 0;
  for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
