import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import type { FilePiece } from "../format/chunk.ts";
import { openChunks } from "../format/chunks.ts";
import { fieldsOf } from "../job/field-map.ts";
import type { Job } from "../job/job-plan.ts";
import type { NativeScan, Reader } from "../job/reader.ts";
import { isSource } from "../job/reader.ts";
import * as layout from "../kernel/layout.ts";
import { fillLetterPage } from "../kernel/letters.ts";
import type { Collector } from "../shuffle/collector.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import { SortCollector } from "../shuffle/sort-collector.ts";
import { TableCollector } from "../shuffle/table-collector.ts";
import type { NativePlan } from "./native-columns.ts";
import { NativeColumns } from "./native-columns.ts";
import type { JobSettings } from "./task-spec.ts";

/** How kernels can run the job's map phase, or undefined when records have to go through JavaScript. */
export function nativePlan(job: Job, settings: JobSettings): NativePlan | undefined {
  const [collection, second] = job.collections;
  if (isSource(job.input) || collection === undefined || second !== undefined || job.named) return undefined;
  if (job.setup !== undefined || job.teardown !== undefined) return undefined;
  if (settings.sample < 1 || settings.keepBad) return undefined;
  if (collection.partition !== undefined || collection.groupBy !== undefined || collection.mapOnly)
    return undefined;
  const scan = job.input.native;
  if (scan?.kind === "columns") return columnsPlan(scan, job);
  if (job.map !== undefined) return undefined;
  if (scan?.kind === "words" && collection.aggregator?.numeric?.countsOnly === true) {
    return { kind: "words", lowerCase: scan.lowerCase };
  }
  const sorted = collection.aggregator === undefined && collection.combine === undefined;
  if (scan?.kind === "lines" && sorted) return { kind: "lines" };
  return undefined;
}

/**
 * `columns("a", "b")` over rows of just these columns, a string and a number, into an aggregator of plain
 * numbers. Rows with more typed columns go through JavaScript: kernels would not notice a wrong value in a
 * column they skip.
 */
function columnsPlan(scan: Extract<NativeScan, { kind: "columns" }>, job: Job): NativePlan | undefined {
  const fields = fieldsOf(job.map);
  const numeric = job.collections[0]?.aggregator?.numeric;
  if (fields === undefined || numeric === undefined) return undefined;
  const { key, value } = fields;
  if ((scan.types?.[key] ?? "string") !== "string") return undefined;
  for (const [name, type] of Object.entries(scan.types ?? {})) {
    if (name !== key && name !== value && type !== "string") return undefined;
  }
  if (value === null) return numeric.countsOnly === true ? { kind: "columns", scan, key, value } : undefined;
  if (value === key || scan.types?.[value] !== "number") return undefined;
  return numeric.folds === undefined ? undefined : { kind: "columns", scan, key, value };
}

/** Feeds the bytes of a split to the kernels that fill a collector. */
export class NativeMap {
  readonly #plan: NativePlan;
  readonly #memory: TaskMemory;
  readonly #collector: Collector;
  readonly #control: number;
  #window: number;
  #windowBytes: number;
  #finished = 0;
  #end = 0;
  #stuckAt = 0;
  #rows: NativeColumns | undefined;

  constructor(plan: NativePlan, memory: TaskMemory, collector: Collector) {
    this.#plan = plan;
    this.#memory = memory;
    this.#collector = collector;
    this.#control = memory.take(layout.CTL_BYTES);
    this.#windowBytes = 0;
    this.#window = 0;
  }

  /**
   * Maps the records of one piece; `moved` hears of bytes and records done and of bytes taken from the disk,
   * chunk by chunk, and says whether to go on.
   */
  async run(
    reader: Reader<unknown>,
    piece: FilePiece,
    signal: AbortSignal,
    moved: (bytes: number, records: number, taken: number) => boolean,
  ): Promise<void> {
    const chunks = await openChunks(piece, reader.framing, {
      chunkBytes: limits.readChunkBytes,
      recordBytesMax: reader.recordBytesMax ?? settings.recordBytes.default,
      signal,
      content: reader.content,
      hasHeader: reader.needsHeader === true,
    });
    try {
      if (this.#plan.kind === "columns") {
        const header = reader.needsHeader === true ? chunks.header : undefined;
        this.#rows ??= new NativeColumns(this.#plan, this.#memory, this.#collector);
        if (!this.#rows.enter(reader, piece, header))
          throw new SheafError("INTERNAL", "columns without their names");
      }
      for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) {
        const { bytes } = chunk;
        if (bytes.length > this.#windowBytes) {
          this.#windowBytes = Math.max(bytes.length, limits.readChunkBytes + 64 * 1024);
          this.#window = this.#memory.take(this.#windowBytes + layout.HEAP_SLACK);
        }
        this.#memory.heap.u8.set(bytes, this.#window);
        this.#scan(bytes.length, chunk.offset, piece);
        const records = this.#records();
        const goOn = moved(bytes.length, records - this.#finished, chunks.taken);
        this.#finished = records;
        if (!goOn) break;
      }
    } finally {
      await chunks.close();
    }
  }

  #records(): number {
    return this.#memory.heap.u32[(this.#control + layout.CTL_RECORDS) >>> 2]!;
  }

  #scan(length: number, offset: number, piece: FilePiece): void {
    const { heap } = this.#memory;
    heap.u32[(this.#control + layout.CTL_RECORDS) >>> 2] = 0;
    this.#finished = 0;
    const end = this.#window + length;
    this.#end = end;
    for (let at = this.#window; ;) {
      const status = this.#step(at, end);
      at = heap.u32[(this.#control + layout.CTL_POSITION) >>> 2]!;
      if (status === layout.STATUS_DONE) break;
      at = this.#answer(status, at, offset, piece);
    }
    if (this.#collector instanceof TableCollector) this.#collector.addedByKernel(this.#records());
  }

  #step(at: number, end: number): number {
    const { kernels } = this.#memory.heap;
    const collector = this.#collector;
    if (this.#rows !== undefined && collector instanceof TableCollector) {
      return kernels.scanColumns(
        collector.table,
        this.#control,
        at,
        end,
        this.#rows.columns,
        layout.FLAG_FINAL,
      );
    }
    if (collector instanceof TableCollector && this.#plan.kind === "words") {
      const flags = layout.FLAG_FINAL | (this.#plan.lowerCase ? layout.FLAG_LOWER_CASE : 0);
      return kernels.scanWords(collector.table, this.#control, at, end, flags);
    }
    if (collector instanceof SortCollector && this.#plan.kind === "lines") {
      const { partitioning } = collector;
      const hashed = partitioning.kind === "hash" && partitioning.partitions > 1;
      const flags = layout.FLAG_FINAL | layout.FLAG_VALIDATE | (hashed ? layout.FLAG_HASH : 0);
      collector.lendArena();
      const status = kernels.appendLines(collector.arena, this.#control, at, end, flags);
      collector.returnArena();
      return status;
    }
    throw new SheafError("INTERNAL", "a native plan without its collector");
  }

  /** Does what the kernel could not; returns where it goes on. */
  #answer(status: number, at: number, offset: number, piece: FilePiece): number {
    const { heap } = this.#memory;
    const detail = heap.u32[(this.#control + layout.CTL_DETAIL) >>> 2]!;
    const collector = this.#collector;
    switch (status) {
      case layout.STATUS_FULL:
        if (collector instanceof TableCollector) {
          // Not even the empty table has room: the general way makes a larger one.
          if (collector.empty) return this.#byHand(at, this.#wordEnd(at), offset);
          collector.spill();
          return at;
        }
        return this.#fullArena(collector as SortCollector, at);
      case layout.STATUS_NEED_PAGE:
        fillLetterPage(heap, detail);
        return at;
      case layout.STATUS_NEED_JS:
        return this.#byHand(at, detail, offset);
      case layout.STATUS_INVALID: {
        const place = offset + at - this.#window;
        throw new SheafError(
          "RECORD_INVALID",
          `${piece.name}: the bytes at offset ${place} are not valid UTF-8`,
          {
            hint: 'Give the reader { invalid: "replace" } to read such bytes as U+FFFD, or { invalid: "bytes" } for raw lines.',
            details: { path: piece.name, offset: place },
          },
        );
      }
      default:
        throw new SheafError("INTERNAL", `scan answered status ${status}`);
    }
  }

  /**
   * Has the row at `at`, or the word [at, end), decoded and emitted in JavaScript.
   * @returns where the kernel goes on
   */
  #byHand(at: number, end: number, offset: number): number {
    const collector = this.#collector;
    const rows = this.#rows;
    let next = end;
    let records = 1;
    if (rows !== undefined) {
      next = rows.takeRow(at, this.#end, offset + at - this.#window);
      records = rows.taken;
    } else {
      const word = this.#memory.bytes.toString("utf8", at, end);
      const lowerCase = this.#plan.kind === "words" && this.#plan.lowerCase;
      collector.emit(lowerCase ? word.toLowerCase() : word, undefined);
    }
    this.#memory.heap.u32[(this.#control + layout.CTL_RECORDS) >>> 2]! += records;
    // Counted again with what the kernel has added.
    if (collector instanceof TableCollector) collector.emitted -= records;
    return next;
  }

  #wordEnd(at: number): number {
    const [word = ""] = /^\p{L}+/u.exec(this.#memory.bytes.toString("utf8", at, this.#end)) ?? [];
    return at + Buffer.byteLength(word);
  }

  #fullArena(collector: SortCollector, at: number): number {
    if (collector.empty) {
      const { bytes } = this.#memory;
      const newline = bytes.indexOf(10, at);
      const length = (newline < 0 ? this.#window + this.#windowBytes : newline) - at;
      collector.reserve((length + 64) * 8);
    } else if (at === this.#stuckAt) collector.spill();
    // A loan is only a share of what is left: when not even one line fits into it, the next is made of an
    // empty region.
    this.#stuckAt = at;
    return at;
  }
}
