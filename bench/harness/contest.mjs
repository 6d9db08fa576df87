// Several programs that do the same work, measured in turn: A B C A B C ..., so that a machine that is slow
// for a minute is slow for all of them. The median of each counts.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { measure } from "./measure.mjs";

/**
 * @param {{name: string, command?: string[], skipped?: string, once?: boolean, outputs?: string[],
 *   check?: () => string | null | Promise<string | null>}[]} contenders
 * `skipped` says why one is not run; `once`: one round is enough for a slow one; `outputs` are removed before
 * each run; `check` answers what is wrong with the output of the first round.
 * @returns rows {name, skipped, seconds, all, peakBytes, cpuSeconds, wrong} in the order of the contenders
 */
export async function contest(contenders, { rounds, log }) {
  const rows = contenders.map(({ name, skipped = null }) => {
    return { name, skipped, seconds: null, all: [], peakBytes: null, cpuSeconds: null, wrong: null };
  });
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const row = rows[i];
      if (row.skipped !== null || (contender.once && round > 0)) continue;
      for (const path of contender.outputs ?? []) rmSync(path, { recursive: true, force: true });
      // What the one before has written is not to be paid for by the next.
      spawnSync("sync");
      try {
        const got = await measure(contender.command);
        log(`  ${contender.name}: ${got.seconds.toFixed(2)} s (round ${round + 1})`);
        row.all.push(got.seconds);
        row.peakBytes = Math.max(row.peakBytes ?? 0, got.peakBytes ?? 0) || null;
        row.cpuSeconds = got.cpuSeconds;
        if (round === 0 && contender.check) row.wrong = await contender.check();
      } catch (error) {
        row.skipped = `failed: ${error.message}`;
      }
    }
  }
  for (const row of rows) row.seconds = median(row.all);
  for (const { outputs } of contenders)
    for (const path of outputs ?? []) rmSync(path, { recursive: true, force: true });
  return rows;
}

export function median(values) {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
