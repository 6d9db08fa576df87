import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { TestContext } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import type { IncrementalReport } from "#src/incremental/run-notes.js";
import { Bench } from "../runner/support.ts";

/** A bench whose runs go on from each other, each held against a full run of the same inputs. */
export class Days extends Bench {
  readonly logs: string;
  job: string;

  constructor(t: TestContext, job: string) {
    super(t);
    this.job = job;
    this.logs = join(this.root, "logs");
    mkdirSync(this.logs);
  }

  /** Writes a day of log lines that depend on nothing but its number and seed; returns its bytes. */
  day(day: number, seed = day, lines = 60): number {
    const text = dayText(day, seed, lines);
    this.file(`logs/day-${String(day).padStart(2, "0")}.log`, text);
    return Buffer.byteLength(text);
  }

  /** An incremental run, in this thread. */
  async go(options: LocalRunOptions = {}): Promise<RunResult & { readonly incremental: IncrementalReport }> {
    const result = await this.run(this.job, {
      on: "inline",
      inputs: this.logs,
      incremental: true,
      ...options,
    });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.ok(result.incremental !== null);
    assert.deepEqual(this.left(), ["out"]);
    return result as RunResult & { readonly incremental: IncrementalReport };
  }

  /** As `go`, and its output is, byte for byte, that of a full run. */
  async same(options: LocalRunOptions = {}): Promise<IncrementalReport & { readonly bytesIn: number }> {
    const { incremental, stats, counters, badRecords } = await this.go(options);
    const events = [...this.events];
    const output = join(this.root, "full");
    const full = await this.run(this.job, {
      on: "inline",
      inputs: this.logs,
      output,
      overwrite: true,
      ...options,
    });
    assert.equal(full.status, "SUCCEEDED", full.error?.report);
    this.events.splice(0, this.events.length, ...events);
    const [ours, theirs] = [tree(this.output), tree(output)];
    assert.deepEqual([...ours.keys()], [...theirs.keys()]);
    for (const [name, bytes] of theirs) assert.deepEqual(ours.get(name), bytes, name);
    assert.deepEqual(counters, full.counters);
    assert.equal(badRecords, full.badRecords);
    const { bytesIn } = stats;
    assert.equal(bytesIn + incremental.kept.bytes, full.stats.bytesIn);
    assert.equal(stats.recordsIn + incremental.kept.records, full.stats.recordsIn);
    return { ...incremental, bytesIn };
  }

  /** What --explain has said of the last run's map tasks. */
  explained(): string[] {
    return this.of("task-explained")
      .filter(({ task }) => task.startsWith("map"))
      .map(({ runs, why }) => (runs ? `runs: ${why}` : "kept"));
  }

  /** A copy of the output, to be put back. */
  saved(): () => void {
    const copy = join(this.root, `saved-${Math.round(performance.now() * 1000)}`);
    cpSync(this.output, copy, { recursive: true });
    return () => {
      rmSync(this.output, { recursive: true, force: true });
      cpSync(copy, this.output, { recursive: true });
    };
  }
}

export function dayText(day: number, seed: number, lines: number): string {
  const random = seededRandom(`day ${seed}`);
  return Array.from({ length: lines }, (_, i) => {
    const user = `u${Math.floor(random.next() * 9)}`;
    // Sums of these depend on the order, unless they are exact.
    const value = (random.next() - 0.5) * 10 ** Math.floor(random.next() * 12 - 3);
    return `${day} ${user} ${value} ${i % 4}\n`;
  }).join("");
}

/** Files of an output but its state, by name. */
export function tree(output: string): Map<string, Buffer> {
  return new Map(
    readdirSync(output, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => !relative(output, path).startsWith("_state"))
      .sort()
      .map((path) => [relative(output, path), readFileSync(path)]),
  );
}

/** Every kind of reduce there is, in one job: exact sums, states, ties, order, groups, files of map tasks. */
export const everything = `
  import { argMax, collect, count, distinct, first, job, last, mean, quantiles } from "sheaf";
  import { stddev, sum, text, topK } from "sheaf";
  const byUser = (of: any) => ({ reduce: of });
  export default job({
    input: text(),
    params: { factor: 1 },
    map(line, emit, ctx) {
      const [day, user, value, tie] = line.split(" ");
      const amount = Number(value) * (ctx.params as any).factor;
      ctx.count("lines");
      ctx.count("day " + day);
      const to = emit as any;
      for (const name of ["sum", "mean", "dev", "quantiles"]) to[name](user, amount);
      for (const name of ["first", "last", "all", "free", "identity"]) to[name](user, line);
      to.count(user);
      to.distinct(user, tie);
      to.best(user, { tie: Number(tie), line });
      to.top(user, { tie: Number(tie), line });
      to.grouped([user, -amount], line);
      to.combined(user, 1);
      to.placed(user, amount);
    },
    collections: {
      sum: byUser(sum()), mean: byUser(mean()), dev: byUser(stddev()),
      quantiles: byUser(quantiles([0.5, 0.9])),
      first: byUser(first()), last: byUser(last()), all: byUser(collect()), count: byUser(count()),
      distinct: byUser(distinct()),
      best: byUser(argMax({ by: (one: any) => one.tie })),
      top: byUser(topK(3, { by: (one: any) => one.tie })),
      free: { reduce: (_key: any, lines: Iterable<string>) => [...lines].join("|") },
      identity: { order: "hash" },
      grouped: { groupBy: 1, reduce: (_key: any, lines: Iterable<string>) => [...lines].join("|") },
      combined: {
        combine: (_key: any, ones: Iterable<number>) => [...ones].reduce((a, b) => a + b, 0),
        reduce: (_key: any, ones: Iterable<number>) => [...ones].reduce((a, b) => a + b, 0),
      },
      placed: {
        partition: (key: any, partitions: number) => Number(String(key).slice(1)) % partitions,
        reduce: (_key: any, values: Iterable<number>) => [...values].join(" "),
      },
    },
  } as any);
`;

/** A job whose output shows the order of the values, their exact sum, and a counter. */
export const few = `
  import { collect, job, sum, text } from "sheaf";
  export default job({
    input: text(),
    map(line, emit, ctx) {
      const [, user, value] = line.split(" ");
      ctx.count("lines");
      emit.sum(user!, Number(value));
      emit.all(user!, line);
    },
    collections: { sum: { reduce: sum() }, all: { reduce: collect() } },
  });
`;
