import type { FilePiece } from "../format/chunk.ts";
import type { BatchReader } from "../format/read-split.ts";
import { type EmptyFiles, sumEmptyFiles } from "./empty-files.ts";
import type { SplitPiece } from "./split.ts";
import type { TaskSetting } from "./task-setting.ts";
import { type MapTaskSpec, PROGRESS_CELLS } from "./task-spec.ts";

/** How far a map attempt is in its split: what the progress board shows, and where a probe leaves off. */
export class SplitProgress {
  /** Of the piece in hand, where its records are read one by one. */
  reader: BatchReader<unknown> | null = null;
  readonly #setting: TaskSetting<MapTaskSpec>;
  readonly #takesAll: boolean;
  readonly #startedMs: number;
  /** Bytes of the pieces that are done, as they were planned, and of the piece in hand. */
  #piecesBytes = 0;
  #pieceBytes = 0;
  #piece = 0;
  /** Of the pieces that are done. */
  #recordsBefore = 0;
  #emptyFiles: EmptyFiles | undefined;
  #leftAt: number | null = null;

  /** @param takesAll false: records are left out on purpose, so that a file without any tells nothing */
  constructor(setting: TaskSetting<MapTaskSpec>, takesAll: boolean) {
    this.#setting = setting;
    this.#takesAll = takesAll;
    this.#startedMs = setting.clock.nowMs();
  }

  /** Index of the piece in hand. */
  get piece(): number {
    return this.#piece;
  }

  /** Files that gave no record; undefined when there are none. */
  get emptyFiles(): EmptyFiles | undefined {
    return this.#emptyFiles;
  }

  /** What of the split was read when it was left off, as bytes on disk; see JobSettings.probe. */
  get leftAt(): number | null {
    return this.#leftAt;
  }

  /**
   * A batch is done, or a chunk.
   * @param records of the attempt so far
   * @param spillBytes likewise
   */
  moved(bytes: number, records: number, spillBytes: number): void {
    this.#setting.stats.bytesIn += bytes;
    this.#pieceBytes += bytes;
    this.tell(0, records, spillBytes);
  }

  /** Work has moved on, in the batch in hand by so many bytes: tells the progress board. */
  tell(bytesOfBatch: number, records: number, spillBytes: number): void {
    const { services, stats, spec } = this.#setting;
    const { progress } = services;
    const bytes = stats.bytesIn + bytesOfBatch;
    progress[PROGRESS_CELLS.beat]! += 1;
    progress[PROGRESS_CELLS.bytesIn] = bytes;
    progress[PROGRESS_CELLS.recordsIn] = records;
    const { bytes: splitBytes } = spec.split;
    if (splitBytes > 0) progress[PROGRESS_CELLS.fraction] = this.#taken(bytesOfBatch) / splitBytes;
    progress[PROGRESS_CELLS.spillBytes] = spillBytes;
  }

  /** The piece is done. @param records of the attempt so far */
  leave(piece: SplitPiece, records: number): void {
    if (piece.kind === "file") {
      this.#piecesBytes += piece.end - piece.start;
      this.#noteEmpty(piece, records);
    }
    this.#pieceBytes = 0;
    this.reader = null;
    this.#piece++;
  }

  /** Notes a file that gave no record. What a sample leaves out is no matter. */
  #noteEmpty({ name, start, end, fileBytes }: FilePiece, records: number): void {
    const isWhole = start === 0 && end === fileBytes && fileBytes > 0;
    if (records === this.#recordsBefore && isWhole && this.#takesAll) {
      this.#emptyFiles = sumEmptyFiles([this.#emptyFiles, { files: 1, names: [name] }]);
    }
    this.#recordsBefore = records;
  }

  /** Whether a probe has seen enough. */
  leavesOff(): boolean {
    if (!this.#isEnough()) return false;
    this.#leftAt = this.#taken(0);
    return true;
  }

  /** Likewise, where chunks are read. @param taken bytes of the piece as it lies on disk */
  leavesOffIn(piece: FilePiece, taken: number): boolean {
    if (!this.#isEnough()) return false;
    this.#leftAt = this.#piecesBytes + (piece.compression === "none" ? this.#pieceBytes : taken);
    return true;
  }

  #isEnough(): boolean {
    const { settings, clock, stats } = this.#setting;
    const { probe } = settings;
    if (probe === undefined) return false;
    return clock.nowMs() - this.#startedMs >= probe.ms || stats.bytesIn >= probe.bytes;
  }

  /** Bytes of the split's files that are done, as they lie on disk; of a compressed one about. */
  #taken(bytesOfBatch: number): number {
    const { pieces, bytes } = this.#setting.spec.split;
    const piece = pieces[this.#piece];
    if (piece?.kind !== "file") return 0;
    const whole = piece.end - piece.start;
    const part =
      piece.compression === "none" ? this.#pieceBytes + bytesOfBatch : (this.reader?.share ?? 0) * whole;
    return Math.min(bytes, this.#piecesBytes + Math.min(whole, part));
  }
}
