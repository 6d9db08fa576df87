import { open, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import { sliceFiles } from "../protocol/slices.ts";
import type { KeptSlices } from "../protocol/slices.ts";
import type { Preparation } from "../protocol/task-messages.ts";
import { type AttemptRef, isFinal } from "../scheduler/ids.ts";
import { jobPolicyDefaults } from "../scheduler/policy.ts";
import { slicePartition } from "../shuffle/partition-slice.ts";
import type { PartitionSlice, SlicePiece } from "../shuffle/partition-slice.ts";
import { readRunIndex } from "../shuffle/run-index.ts";
import type { ReduceInput, ReduceTaskSpec, TaskFailure } from "../task/task-spec.ts";
import type { AgentWorld } from "./agent-options.ts";
import { uploadMade } from "./attempt-report.ts";

/** Whether the failure may be the one that fails its task, and so the job. */
export function mayBeLast({ attempt }: AttemptRef, failure: TaskFailure, { attempts }: Preparation): boolean {
  if (attempts === undefined || failure.code === "CANCELLED") return false;
  const { workersLostMax } = jobPolicyDefaults;
  const most = failure.code === "WORKER_LOST" ? Math.min(attempts, workersLostMax) : attempts;
  return isFinal(failure) || attempt >= most;
}

/**
 * Hands in what a reduce that has failed has read, for its capsule: of each map output the slice of its
 * partition, one behind the other in a file, and a list of them. Beyond a limit only the list, saying why.
 * @throws SheafError whatever keeps it from that
 */
export async function keepSlices(
  world: AgentWorld,
  ref: AttemptRef,
  spec: ReduceTaskSpec,
  signal: AbortSignal,
): Promise<void> {
  const { collection, partition, directory } = spec;
  const inputs = spec.inputs.flatMap((input) =>
    input.path === null ? [] : [{ ...input, path: input.path }],
  );
  const cut = inputs.map(({ path, window }) =>
    slicePartition(readRunIndex(path, { place: { collection, partition }, window })),
  );
  const bytes = cut.reduce((sum, slice) => sum + slice.bytes, 0);
  const most = limits.capsuleSliceBytesMax;
  const list: KeptSlices =
    bytes > most
      ? { inputs: [], missing: `its inputs are ${formatSize(bytes)}, more than ${formatSize(most)}` }
      : { inputs: placesOf(inputs, cut), missing: null };
  const [pack, listed] = [join(directory, sliceFiles.pack), join(directory, sliceFiles.list)];
  if (list.missing === null) {
    await writePack(pack, inputs, cut);
    await uploadMade(world, ref, pack, signal);
  }
  await writeFile(listed, JSON.stringify(list), { mode: 0o600 });
  await uploadMade(world, ref, listed, signal);
}

function placesOf(inputs: readonly ReduceInput[], slices: readonly PartitionSlice[]): KeptSlices["inputs"] {
  let offset = 0;
  return slices.map(({ bytes }, index) => {
    const { task, attempt } = inputs[index]!;
    const place = { task, attempt, offset, bytes };
    offset += bytes;
    return place;
  });
}

async function writePack(
  path: string,
  inputs: readonly { readonly path: string }[],
  slices: readonly PartitionSlice[],
): Promise<void> {
  const target = await open(path, "w", 0o600);
  try {
    for (const [index, { pieces }] of slices.entries()) {
      const source = await open(inputs[index]!.path);
      try {
        for (const piece of pieces) await target.writeFile(await bytesOf(piece, source));
      } finally {
        await source.close();
      }
    }
  } finally {
    await target.close();
  }
}

async function bytesOf(piece: SlicePiece, source: FileHandle): Promise<Buffer> {
  if (piece.kind === "made") return piece.bytes;
  const bytes = Buffer.allocUnsafe(piece.length);
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await source.read(bytes, done, bytes.length - done, piece.offset + done);
    // The file is cut: its checksum will not fit.
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}
