import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { MiB } from "#src/base/size.js";
import { ValueEncoder } from "#src/codec/value-codec.js";
import type { Job } from "#src/job/job-plan.js";
import type { Key } from "#src/job/key.js";
import { readCollected } from "#src/task/collected.js";
import { bytesOf, cutSplit } from "#src/task/cut-split.js";
import type { Split, SplitPiece } from "#src/task/split.js";
import { createTaskRunner } from "#src/task/task-runner.js";
import type {
  JobSettings,
  MapOutput,
  OutputPart,
  TaskFailure,
  TaskResult,
  TaskSuccess,
} from "#src/task/task-spec.js";
import { PROGRESS_BYTES } from "#src/task/task-spec.js";

export interface StageOptions {
  /** Bytes of a split; default: one split a file. */
  readonly splitSize?: number;
  /** Pieces of all files in one map task instead of one task a piece. */
  readonly together?: boolean;
  readonly settings?: Partial<JobSettings>;
  readonly partitions?: number;
  readonly progress?: Float64Array;
  /** As TaskServices has it: what is handed over is done by tasks that follow. */
  readonly turn?: () => Promise<number>;
  /** As TaskServices has it; needs settings.live. */
  readonly told?: (states: Uint8Array, records: number, made: number) => void;
  readonly attempt?: number;
  readonly signal?: AbortSignal;
}

/** What the tasks of a job gave. */
export interface Played {
  readonly maps: readonly TaskSuccess[];
  readonly reduces: readonly TaskSuccess[];
  /** All committed-to-be parts, in the order of collection, partition and roll. */
  readonly parts: readonly OutputPart[];
  readonly counters: Readonly<Record<string, number>>;
  readonly log: readonly string[];
  /** The bytes of all output parts of a collection, one after the other. */
  text(collection?: number): string;
  /** The bytes of each output part of a collection. */
  files(collection?: number): string[];
  collected(collection?: number): [Key, unknown][];
}

/** A directory of files, and tasks that run over them. */
export class Stage {
  readonly root: string;
  readonly pieces: { readonly path: string; readonly name: string; readonly bytes: number }[] = [];
  #runs = 0;

  constructor(t: TestContext) {
    this.root = mkdtempSync(join(tmpdir(), "sheaf-task-"));
    t.after(() => rmSync(this.root, { recursive: true, force: true }));
  }

  /** Adds an input file. */
  file(name: string, text: string | Uint8Array): this {
    const path = join(this.root, name);
    writeFileSync(path, text);
    this.pieces.push({ path, name, bytes: statSync(path).size });
    return this;
  }

  splits({ splitSize = Infinity, together = false }: StageOptions): Split[] {
    const pieces: SplitPiece[] = [];
    for (const { path, name, bytes } of this.pieces) {
      for (let start = 0; start < Math.max(bytes, 1); start += splitSize) {
        const end = Math.min(bytes, start + splitSize);
        const { mtimeMs } = statSync(path);
        const compression = name.endsWith(".gz") ? "gzip" : "none";
        pieces.push({ kind: "file", path, name, start, end, fileBytes: bytes, mtimeMs, compression });
      }
    }
    const sizes = (list: readonly SplitPiece[]): number =>
      list.reduce((sum, one) => sum + (one.kind === "file" ? one.end - one.start : 0), 0);
    if (together) return [{ index: 0, pieces, bytes: sizes(pieces) }];
    return pieces.map((piece, index) => ({ index, pieces: [piece], bytes: sizes([piece]) }));
  }

  settings(job: Job, options: StageOptions = {}): JobSettings {
    return {
      jobId: "job-of-test",
      name: "test",
      memoryBytes: 8 * MiB,
      partitions: job.collections.map(({ partitions }) => options.partitions ?? partitions ?? 1),
      bounds: job.collections.map(() => null),
      sample: 1,
      seed: job.seed,
      params: job.params,
      keepBad: false,
      collect: false,
      output: "write",
      partBytes: 64 * MiB,
      ...options.settings,
    };
  }

  /** Runs all tasks; the first failure is returned by itself. */
  async play(job: Job, options: StageOptions = {}): Promise<Played | TaskFailure> {
    const settings = this.settings(job, options);
    const runner = createTaskRunner(job, settings);
    const log: string[] = [];
    const services = {
      progress: options.progress ?? new Float64Array(PROGRESS_BYTES / 8),
      signal: options.signal ?? new AbortController().signal,
      log: (line: string) => void log.push(line),
      ...(options.turn === undefined ? {} : { turn: options.turn }),
      ...(options.told === undefined ? {} : { told: options.told }),
    };
    const base = join(this.root, `run-${this.#runs++}`);
    const attempt = options.attempt ?? 1;
    const directory = (name: string): string => {
      mkdirSync(join(base, name), { recursive: true });
      return join(base, name);
    };
    const maps: TaskSuccess[] = [];
    const generated = "records" in job.input ? (job.input as { tasks: number }).tasks : 0;
    const splits =
      generated > 0
        ? Array.from({ length: generated }, (_, index): Split => ({
            index,
            pieces: [{ kind: "generate", index, tasks: generated }],
            bytes: 0,
          }))
        : this.splits(options);
    const waiting = [...splits];
    let numbers = splits.length;
    for (let split = waiting.shift(); split !== undefined; split = waiting.shift()) {
      const done = await runner.run(
        { kind: "map", index: split.index, attempt, split, directory: directory(`map-${split.index}`) },
        services,
      );
      if (done.kind === "failure") return done;
      maps.push(done);
      if (done.rest === undefined) continue;
      const [, ...left] = cutSplit(split, done.rest)!;
      const rests = left.map((pieces) => ({ index: numbers++, pieces, bytes: bytesOf(pieces) }));
      waiting.unshift(...rests);
    }
    const inputs: MapOutput[] = maps.map(({ output }) => output!);
    const reduces: TaskSuccess[] = [];
    let index = 0;
    for (const [collection, plan] of job.collections.entries()) {
      if (plan.mapOnly) continue;
      for (let partition = 0; partition < settings.partitions[collection]!; partition++) {
        const done: TaskResult = await runner.run(
          {
            kind: "reduce",
            index,
            attempt,
            collection,
            partition,
            inputs,
            directory: directory(`reduce-${index}`),
          },
          services,
        );
        if (done.kind === "failure") return done;
        reduces.push(done);
        index++;
      }
    }
    const parts = [...maps, ...reduces].flatMap((task) => task.parts);
    parts.sort((a, b) => a.collection - b.collection || a.partition - b.partition || a.roll - b.roll);
    const counters: Record<string, number> = {};
    for (const task of [...maps, ...reduces]) {
      for (const [name, by] of Object.entries(task.counters)) counters[name] = (counters[name] ?? 0) + by;
    }
    const of = (kind: string, collection: number): OutputPart[] =>
      parts.filter((part) => part.kind === kind && part.collection === collection);
    const files = (collection = 0): string[] =>
      of("output", collection).map((part) => {
        const bytes = readFileSync(part.path);
        assert.equal(bytes.length, part.bytes);
        return bytes.toString("utf8");
      });
    return {
      maps,
      reduces,
      parts,
      counters,
      log,
      files,
      text: (collection = 0) => files(collection).join(""),
      collected: (collection = 0) =>
        of("collected", collection).flatMap((part) => [...readCollected(part.path)]),
    };
  }

  /** As play(), for jobs that succeed. */
  async ok(job: Job, options: StageOptions = {}): Promise<Played> {
    const played = await this.play(job, options);
    if ("kind" in played)
      assert.fail(`${played.code} in ${played.phase}: ${played.message}\n${played.stack ?? ""}`);
    return played;
  }

  /** As play(), for jobs that fail. */
  async fails(job: Job, options: StageOptions = {}): Promise<TaskFailure> {
    const played = await this.play(job, options);
    if (!("kind" in played))
      assert.fail(`the job did not fail; it wrote ${JSON.stringify(played.text().slice(0, 500))}`);
    return played;
  }
}

/** The bad records a map task kept. */
export function badOf(
  task: TaskSuccess,
): { path: string | null; offset: number; phase: string; code: string; error: string; record: string }[] {
  if (task.badPath === null) return [];
  return readFileSync(task.badPath, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as ReturnType<typeof badOf>[number]);
}

/** Lines for pairs(). */
export const PAIR_LINES = "b 1\na 2\nb 3\nc 4\nb 5\n";

/** A map: emits the word and the number of a line. */
export function pairs(line: string, emit: (key: string, value: number) => void): void {
  const [word, number] = line.split(" ");
  emit(word!, Number(number));
}

/** Whether values can be encoded. */
export function codecVerdict(value: unknown): "taken" | "refused" {
  try {
    new ValueEncoder().encode(value);
    return "taken";
  } catch {
    return "refused";
  }
}
