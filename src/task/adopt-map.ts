import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { copyRun } from "../shuffle/copy-run.ts";
import { runDigest } from "../shuffle/run-fingerprint.ts";
import { readRunIndex } from "../shuffle/run-index.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import { runMap } from "./map-task.ts";
import { repartition } from "./repartition.ts";
import type { TaskSetting } from "./task-setting.ts";
import type { JobSettings, Keepable, KeptMap, MapTaskSpec, OutputPart, TaskSuccess } from "./task-spec.ts";
import { keptRunName, PROGRESS_CELLS } from "./task-spec.ts";

/** What a map attempt has made; counters where they are not those of its context. */
export type AdoptedMap = Omit<TaskSuccess, "kind" | "stats" | "counters"> &
  Partial<Pick<TaskSuccess, "counters">>;

/** Runs one map attempt, or takes over what an earlier run has made of its split. Throws as runMap. */
export async function mapOrAdopt(setting: TaskSetting<MapTaskSpec>): Promise<AdoptedMap> {
  const { spec, settings, memory } = setting;
  const adopted = spec.kept === undefined ? null : await adoptMap(setting, spec.kept);
  if (adopted !== null) return adopted;
  if (spec.kept !== undefined) memory.reset();
  const made = await runMap(setting);
  return settings.keepMaps === true ? keeping(setting, made) : made;
}

/**
 * Takes over what an earlier run has made of the split: its files get second names in the attempt's
 * directories, and are held against what that run said of them. Where keys now find other partitions than
 * then, the run file is written anew.
 * @returns null when they are not what they were: then the split has to be mapped
 */
async function adoptMap(setting: TaskSetting<MapTaskSpec>, kept: KeptMap): Promise<AdoptedMap | null> {
  const { spec, settings, services, stats } = setting;
  try {
    const sound = await soundFiles(setting, kept);
    const moved = samePartitions(kept, settings) ? sound : repartition(setting, sound);
    stats.badRecords = kept.stats.badRecords;
    const result = resultOf(moved, spec, settings.jobId);
    return spec.outputDirectory === undefined ? result : served(setting, moved, result);
  } catch (error) {
    services.signal.throwIfAborted();
    if (!isSheafError(error) || error.code !== "BLOCK_CORRUPT") throw error;
    rmSync(join(spec.directory, mapRunName), { force: true });
    services.log(`mapped again, since what an earlier run has kept of it is damaged: ${error.message}`);
    return null;
  }
}

/** What a map attempt has made, with what a later run may take over of it. */
async function keeping({ spec, context }: TaskSetting<MapTaskSpec>, made: AdoptedMap): Promise<AdoptedMap> {
  const asked = context.askedTask;
  if (asked !== null)
    return { ...made, keep: { kind: "not kept", why: `the job uses ${asked}, which depends on the task` } };
  const { output, badPath, emptyFiles } = made;
  const path = output?.path ?? null;
  const keep: Keepable = {
    kind: "kept",
    run: path === null ? null : { ...runDigest(path), ...besideOutput(spec, path) },
    bad: badPath === null ? null : await crc32cOfFile(badPath),
    // Bad records are kept with the name of their file, and so are files without any.
    namesMatter: context.askedPath || badPath !== null || emptyFiles !== undefined,
  };
  return { ...made, keep };
}

const mapRunName = "map.run";

/**
 * Where outputs lie apart from map outputs, what is kept has to lie with them: the run file gets a second
 * name there, or a copy.
 */
function besideOutput({ outputDirectory }: MapTaskSpec, path: string): { readonly path?: string } {
  if (outputDirectory === undefined) return {};
  const kept = join(outputDirectory, keptRunName);
  rmSync(kept, { force: true });
  linkOrCopy(path, kept);
  return { path: kept };
}

/**
 * There the map output is a file of the attempt's own, in its name: other machines fetch it. What is copied
 * is held against its checksums, so that no damage gets a new one.
 */
function served(
  { spec, settings, services }: TaskSetting<MapTaskSpec>,
  { run }: KeptMap,
  result: AdoptedMap & { readonly keep: Extract<Keepable, { kind: "kept" }> },
): AdoptedMap {
  if (run === null) return result;
  const { bytes, fingerprint, owner } = run;
  const own = join(spec.directory, mapRunName);
  const me = { jobId: settings.jobId, task: spec.index, attempt: spec.attempt };
  if (run.path === own) {
    const kept = { bytes, fingerprint, ...besideOutput(spec, own) };
    return { ...result, keep: { ...result.keep, run: kept } };
  }
  copyRun(run, { path: own, owner: me }, () => {
    services.progress[PROGRESS_CELLS.beat]! += 1;
    services.signal.throwIfAborted();
  });
  const output = { task: spec.index, attempt: spec.attempt, path: own };
  return { ...result, output, keep: { ...result.keep, run: { bytes, fingerprint, path: run.path, owner } } };
}

async function soundFiles({ spec }: TaskSetting<MapTaskSpec>, kept: KeptMap): Promise<KeptMap> {
  const outputs = spec.outputDirectory ?? spec.directory;
  const parts: OutputPart[] = [];
  for (const [index, part] of kept.parts.entries()) {
    const path = join(outputs, `kept-${index}${part.extension}`);
    await checkedCopy(part, path);
    parts.push({ ...part, path, partition: spec.index });
  }
  const bad = kept.bad === null ? null : { ...kept.bad, path: join(outputs, "kept-bad.jsonl") };
  if (kept.bad !== null) await checkedCopy(kept.bad, bad!.path);
  return { ...kept, parts, bad, run: kept.run === null ? null : soundRun(kept.run, outputs) };
}

/** Payloads are checked when they are read. */
function soundRun(run: NonNullable<KeptMap["run"]>, directory: string): NonNullable<KeptMap["run"]> {
  const path = join(directory, keptRunName);
  takeFile(run.path, path);
  readRunIndex(path, { identity: run.owner, place: { collection: 0, partition: 0 } });
  const { bytes, fingerprint } = runDigest(path);
  if (bytes !== run.bytes || fingerprint !== run.fingerprint)
    throw damaged(run.path, "it holds other records");
  return { ...run, path };
}

async function checkedCopy(
  file: { readonly path: string; readonly bytes: number; readonly crc32c: number },
  path: string,
): Promise<void> {
  takeFile(file.path, path);
  if (statSync(path).size !== file.bytes) throw damaged(file.path, `it has not ${file.bytes} bytes any more`);
  if ((await crc32cOfFile(path)).crc32c !== file.crc32c)
    throw damaged(file.path, "its checksum is another one");
}

function takeFile(from: string, to: string): void {
  try {
    linkOrCopy(from, to);
  } catch (error) {
    const known = asSheafError(error, { path: from, doing: "open" });
    throw known.code === "DISK_FULL" ? known : damaged(from, known.message);
  }
}

function damaged(path: string, problem: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", `${path}: ${problem}`, {
    hint: "The split is mapped again.",
    details: { path },
  });
}

/** Whether every key would go where it went then. */
function samePartitions(kept: KeptMap, { partitions, bounds }: JobSettings): boolean {
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  return kept.run === null || (same(kept.partitions, partitions) && same(kept.bounds, bounds));
}

function resultOf(map: KeptMap, { index, attempt }: MapTaskSpec, jobId: string) {
  const { run, bad, parts, counters, partitionBytes, pairs, hotKeys, emptyFiles } = map;
  // What was written anew is this attempt's own.
  const isOwn = run === null || (run.owner.jobId === jobId && run.owner.task === index);
  return {
    counters,
    output: { task: index, attempt, path: run?.path ?? null, ...(!isOwn && { owner: run.owner }) },
    parts,
    keys: [],
    partitionBytes,
    pairs,
    hotKeys,
    badPath: bad?.path ?? null,
    ...(emptyFiles !== null && { emptyFiles }),
    keep: {
      kind: "kept" as const,
      run: run === null ? null : { bytes: run.bytes, fingerprint: run.fingerprint },
      bad: bad === null ? null : { bytes: bad.bytes, crc32c: bad.crc32c },
      namesMatter: map.namesMatter,
    },
    adopted: map.stats,
  } satisfies AdoptedMap;
}
