import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { filesOfSplit, type ReadFile } from "../engine/chosen-records.ts";
import type { EngineScheduler } from "../engine/loop.ts";
import type { BadInputs } from "../protocol/job-view.ts";
import { viewOutputs } from "../scheduler/view.ts";
import type { ClusterJob } from "./cluster-job.ts";
import type { KeptOutput } from "./kept-output.ts";

/*
 * What it takes to run a job's bad records again is in its directory, from its end on: what its maps have
 * read is forgotten then.
 */

const fileName = "bad-inputs.json";

/** Keeps it, where a job that has succeeded has set records aside. @throws what the file system throws */
export function keepBadInputs(job: ClusterJob, scheduler: EngineScheduler<KeptOutput>): void {
  const files = [...badFiles(job, scheduler)];
  if (files.length === 0) return;
  const { name, file, inputs, outline, options, output, incremental = false } = job.submission;
  const kept: BadInputs = {
    job: job.id,
    name,
    file,
    inputs: [...inputs],
    inputNames: outline.inputs?.map((one) => one.name) ?? null,
    params: options.params,
    output,
    incremental,
    partBytes: options.partBytes,
    growing: options.growing ?? false,
    files,
  };
  writeFileSync(join(job.directory.path, fileName), JSON.stringify(kept), { mode: 0o600 });
}

/** @throws SheafError NOT_FOUND when nothing is kept */
export function badInputsIn(directory: string, job: string): BadInputs {
  try {
    return JSON.parse(readFileSync(join(directory, fileName), "utf8")) as BadInputs;
  } catch (cause) {
    throw new SheafError("NOT_FOUND", `nobody knows which files the bad records of ${job} are of`, {
      hint: "It has set none aside that have a place in a file, or was run by an earlier sheaf: run the whole job.",
      cause,
    });
  }
}

/** The files of the maps that have set records aside, each once for each input. */
function* badFiles({ id, planned }: ClusterJob, scheduler: EngineScheduler<KeptOutput>): Generator<ReadFile> {
  if (planned === null) return;
  const { map, mapAgents } = planned.plan;
  const seen = new Set<string>();
  for (const { task, output } of viewOutputs(scheduler, id, "map")) {
    if (output.stats.badRecords === 0) continue;
    const agent = mapAgents[task] ?? null;
    for (const file of filesOfSplit(map.at(task))) {
      const key = `${file.input} ${file.name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      yield agent === null ? file : { ...file, agent };
    }
  }
}
