import { SheafError } from "../base/errors.ts";
import { keyPrefixLength, printKey } from "../codec/key-codec.ts";
import { plainKey } from "../job/descending.ts";
import type { Key } from "../job/key.ts";
import { partitionOf } from "../kernel/typescript/hash.ts";
import type { TaskMemory } from "./memory.ts";

/**
 * How keys of a collection find their partition.
 * - `hash`: by the hash of the key's bytes; kernels do it when runs are written;
 * - `range`: by the bounds of a total order, found in the sorted run when it is written;
 * - `each`: decided at emit, by the user's function or by the prefix that groups (groupBy), and kept in the
 *   cell.
 */
export type Partitioning =
  | { readonly kind: "hash"; readonly partitions: number }
  | { readonly kind: "range"; readonly partitions: number; readonly bounds: readonly Buffer[] }
  | { readonly kind: "each"; readonly partitions: number; readonly choose: ChoosePartition };

/** Partition of the key encoded at [keyPtr, keyPtr + keyLength) of the memory. */
export type ChoosePartition = (memory: TaskMemory, keyPtr: number, keyLength: number, key: Key) => number;

/** The user's `partition` function, its answer checked. */
export function chooseByFunction(
  partition: (key: Key, partitions: number) => number,
  partitions: number,
): ChoosePartition {
  return (_memory, _keyPtr, _keyLength, emitted) => {
    const key = plainKey(emitted);
    const answer: unknown = partition(key, partitions);
    if (typeof answer === "number" && Number.isInteger(answer) && answer >= 0 && answer < partitions)
      return answer;
    const what =
      typeof answer === "object" && answer !== null && "then" in answer ? "a promise" : String(answer);
    throw new SheafError(
      "PARTITION_INVALID",
      `partition(${printKey(key)}, ${partitions}) answered ${what}; it must be an integer from 0 to ${partitions - 1}`,
      {
        hint: "Return e.g. Math.abs(n) % partitions, and return it at once: partition functions cannot be async.",
      },
    );
  };
}

/** Keys whose first `groupBy` elements are equal meet in one partition. */
export function chooseByPrefix(groupBy: number, partitions: number): ChoosePartition {
  return (memory, keyPtr, keyLength) => {
    const length = keyPrefixLength(memory.bytes, keyPtr, keyPtr + keyLength, groupBy);
    return partitionOf(memory.heap.kernels.hashKey(keyPtr, length), partitions);
  };
}
