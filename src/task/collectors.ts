import { limits } from "../base/limits.ts";
import { KiB } from "../base/size.ts";
import { keyPrefixLength } from "../codec/key-codec.ts";
import { execOf } from "../job/exec.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { CombineFunction } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import { BlockOutput } from "../shuffle/block-output.ts";
import { combineCells, isIterator } from "../shuffle/cell-values.ts";
import type { Collector } from "../shuffle/collector.ts";
import type { HotKeys } from "../shuffle/hot-keys.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import type { Partitioning } from "../shuffle/partitioning.ts";
import { chooseByFunction, chooseByPrefix } from "../shuffle/partitioning.ts";
import type { RunWriter } from "../shuffle/run-writer.ts";
import { SortCollector } from "../shuffle/sort-collector.ts";
import { Spiller } from "../shuffle/spill.ts";
import { StateCollector } from "../shuffle/state-collector.ts";
import { TableCollector } from "../shuffle/table-collector.ts";
import { PhaseError } from "./scene.ts";
import type { JobSettings } from "./task-spec.ts";

/**
 * What a collector needs however many there are; a job of hundreds of collections takes more than its budget.
 */
const REGION_BYTES_MIN = 128 * KiB;

/** Raw size of blocks under a memory budget: small budgets need small windows, or a merge would not fit. */
export function blockBytesFor(memoryBytes: number): number {
  return Math.max(16 * KiB, Math.min(limits.blockBytes, Math.floor(memoryBytes / 256)));
}

/**
 * A bound of a total order; with groupBy one that no group lies across: the prefix is the first of its group.
 */
function wholeGroups(bound: string, groupBy: number | undefined): Buffer {
  const bytes = Buffer.from(bound, "base64");
  return groupBy === undefined ? bytes : bytes.subarray(0, keyPrefixLength(bytes, 0, bytes.length, groupBy));
}

/** How the keys of one collection find their partition. */
export function partitioningOf(
  plan: CollectionPlan,
  collection: number,
  settings: JobSettings,
): Partitioning {
  const partitions = settings.partitions[collection]!;
  const bounds = settings.bounds[collection];
  if (partitions > 1 && plan.order === "total" && bounds != null) {
    return { kind: "range", partitions, bounds: bounds.map((bound) => wholeGroups(bound, plan.groupBy)) };
  }
  if (plan.partition !== undefined) {
    const choose = chooseByFunction(plan.partition, partitions);
    return {
      kind: "each",
      partitions,
      choose: (memory, keyPtr, keyLength, key) => {
        try {
          return choose(memory, keyPtr, keyLength, key);
        } catch (error) {
          throw new PhaseError("partition", error, key);
        }
      },
    };
  }
  // In one partition too: keys that are too short for groupBy are refused at emit.
  if (plan.groupBy !== undefined) {
    return { kind: "each", partitions, choose: chooseByPrefix(plan.groupBy, partitions) };
  }
  return { kind: "hash", partitions };
}

/** The user's combiner, its errors told apart from those of whatever record made it run. */
function combineInPhase(combine: CombineFunction<Key, unknown>): CombineFunction<Key, unknown> {
  return (key, values) => {
    try {
      const returned = combine(key, values);
      return isIterator(returned) ? eachInPhase(key, returned) : returned;
    } catch (error) {
      throw inCombine(key, error);
    }
  };
}

function* eachInPhase(key: Key, values: Iterable<unknown>): Generator<unknown, void, undefined> {
  try {
    yield* values;
  } catch (error) {
    throw inCombine(key, error);
  }
}

function inCombine(key: Key, error: unknown): PhaseError {
  return new PhaseError("combine", error, key);
}

/**
 * The collectors of a map attempt, one for each collection that is shuffled (undefined for map-only ones).
 * What they write goes past `hot`; `spilling` is told before states of a collection are written. They share
 * the memory's budget in equal parts, one window for blocks, and one run file.
 */
export function createCollectors(
  plans: readonly CollectionPlan[],
  settings: JobSettings,
  memory: TaskMemory,
  writer: () => RunWriter,
  hot: HotKeys,
  spilling?: (collection: number) => void,
): readonly (Collector | undefined)[] {
  const shuffled = plans.filter((plan) => !plan.mapOnly).length;
  if (shuffled === 0) return plans.map(() => undefined);
  const blockBytes = blockBytesFor(settings.memoryBytes);
  const output = new BlockOutput(memory, blockBytes);
  const spiller = new Spiller(memory, writer, output, hot);
  // Scratch for keys and structs is taken besides the regions.
  const regionBytes = Math.max(Math.floor((memory.free - 64 * KiB) / shuffled) - 32 * KiB, REGION_BYTES_MIN);
  return plans.map((plan, collection) => {
    if (plan.mapOnly) return undefined;
    const place = {
      memory,
      regionBytes,
      spiller,
      collection,
      partitioning: partitioningOf(plan, collection, settings),
      ...(spilling !== undefined && { spilling: () => spilling(collection) }),
    };
    const { aggregator, combine } = plan;
    if (aggregator?.numeric !== undefined && plan.groupBy === undefined) {
      return new TableCollector(place, aggregator.numeric);
    }
    if (aggregator !== undefined && plan.groupBy === undefined) {
      return new StateCollector(place, aggregator, output, writer);
    }
    const rewrite =
      combine === undefined || execOf(combine) !== undefined
        ? undefined
        : combineCells(
            memory,
            output,
            writer,
            combineInPhase(combine),
            inCombine,
            (keyAt, keyLength, values) => hot.add(collection, keyAt, keyLength, values),
          );
    return new SortCollector(place, rewrite);
  });
}
