import { KiB, MiB, formatSize } from "../base/size.ts";
import type { Forecast } from "./forecast.ts";
import { hotKeyText, hotOnes } from "./shuffle-tally.ts";

/** A flag that would do the job good, and why. */
export interface Advice {
  /** As it is given: "--partitions 2"; null: nothing to set, but to know. */
  readonly flag: string | null;
  readonly why: string;
}

/** What a reduce task takes well, of the bytes it is sent. */
const PARTITION_BYTES = 256 * MiB;
/** So little goes through one partition as quickly as through many. */
const SMALL_SHUFFLE = 8 * MiB;
/** Map tasks shorter than this spend their time on beginning. */
const SHORT_TASK_MS = 50;
/** So long a map should not be the last one alone. */
const LONG_TASK_MS = 5_000;

/** What to set, most important first. `set` are the flags that were given. */
export function adviceOf(
  forecast: Forecast,
  given: { readonly memoryBytes: number; readonly keepsBad: boolean; readonly machineBytes: number },
): Advice[] {
  return [
    ...ofBadRecords(forecast, given),
    ...ofPartitions(forecast),
    ...ofSplits(forecast),
    ...ofMemory(forecast, given),
    ...hotOnes(forecast.hotKeys).map((hot) => ({ flag: null, why: hotKeyText(hot) })),
  ];
}

function ofBadRecords({ bad, records }: Forecast, { keepsBad }: { readonly keepsBad: boolean }): Advice[] {
  if (bad === null || keepsBad) return [];
  const percent = Number((bad.share.high * 200).toPrecision(1));
  const about = Math.ceil(bad.share.expected * records.expected);
  const first = bad.example === null ? "" : `; the first: ${bad.example}`;
  return [
    {
      flag: `--max-bad ${Math.min(100, percent)}%`,
      why: `about ${about} records are bad, and the first one fails the job${first}`,
    },
  ];
}

function ofPartitions({ shuffleBytes, reduceTasks, workers, partitions }: Forecast): Advice[] {
  const names = Object.keys(partitions);
  // How much of the shuffle each of several collections has is not told.
  if (reduceTasks === 0 || names.length !== 1) return [];
  const flag = (count: number): string => `--partitions ${count}`;
  const size = formatSize(Math.round(shuffleBytes.expected));
  if (shuffleBytes.expected < SMALL_SHUFFLE && shuffleBytes.high < PARTITION_BYTES && reduceTasks > 1)
    return [
      { flag: flag(1), why: `only ${size} are shuffled: one reduce task, and one output file, will do` },
    ];
  const needed = Math.ceil(shuffleBytes.expected / PARTITION_BYTES);
  if (needed > reduceTasks) {
    const each = formatSize(Math.round(shuffleBytes.expected / reduceTasks));
    return [
      { flag: flag(Math.max(needed, workers)), why: `${size} are shuffled, ${each} for each reduce task` },
    ];
  }
  if (reduceTasks < workers && shuffleBytes.expected > workers * SMALL_SHUFFLE)
    return [
      {
        flag: flag(workers),
        why: `${size} are shuffled, and only ${reduceTasks} of ${workers} workers would reduce`,
      },
    ];
  return [];
}

function ofSplits({ mapTasks, workers, mapMs, longestMapMs, bytes }: Forecast): Advice[] {
  const mean = (mapMs.expected * Math.min(workers, mapTasks)) / Math.max(1, mapTasks);
  if (mapTasks < workers && longestMapMs > LONG_TASK_MS) {
    const why = `${mapTasks} map tasks for ${workers} workers; files that cannot be cut (compressed ones) stay whole`;
    return [{ flag: `--mappers ${workers * 3}`, why }];
  }
  if (mapTasks > workers && longestMapMs > LONG_TASK_MS && longestMapMs > mapMs.expected * 0.8) {
    const alone = `one map task takes ${Math.round(longestMapMs / 1000)} s, nearly all of the time`;
    return [
      { flag: null, why: `${alone}: a file that cannot be cut? Several smaller ones are read side by side` },
    ];
  }
  if (mean < SHORT_TASK_MS && mapTasks > 8 * workers && bytes > 0) {
    const size = Math.min(
      64 * MiB,
      Math.max(64 * KiB, Math.ceil((bytes / mapTasks) * (500 / Math.max(1, mean)))),
    );
    const why = `${mapTasks} map tasks of about ${Math.round(mean)} ms each`;
    return [{ flag: `--split-size ${sizeWord(size)}`, why }];
  }
  return [];
}

/** As a flag takes it. */
function sizeWord(bytes: number): string {
  return formatSize(bytes).replace(" ", "");
}

function ofMemory(
  { runsPerTask, partitions, workers, peakBytes }: Forecast,
  { memoryBytes, machineBytes }: { readonly memoryBytes: number; readonly machineBytes: number },
): Advice[] {
  const advice: Advice[] = [];
  const runs = runsPerTask / Math.max(1, Object.keys(partitions).length);
  const wanted = 2 ** Math.ceil(Math.log2(memoryBytes * runs));
  if (runs > 1.5 && wanted * workers < machineBytes / 2)
    advice.push({
      flag: `--memory ${sizeWord(wanted)}`,
      why: `a map task sorts ${runs.toFixed(1)} runs on disk in ${formatSize(memoryBytes)}; with more memory it would be one`,
    });
  if (peakBytes > machineBytes * 0.8)
    advice.push({
      flag: "--workers",
      why: `${formatSize(peakBytes)} of ${formatSize(machineBytes)} memory were in use: fewer workers are safer`,
    });
  return advice;
}
