import { randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { pauseFor } from "../base/retry.ts";
import { fromWireValue } from "../base/wire-json.ts";
import type { CommitPlan } from "../engine/commit.ts";
import { checkMends, keptIn } from "../engine/explain.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import { IncrementalRun } from "../incremental/incremental-run.ts";
import { printJob } from "../incremental/job-print.ts";
import {
  checkMark,
  fetchUnits,
  keptMapIn,
  parseState,
  type State,
  stateText,
} from "../incremental/kept-state.ts";
import type { IncrementalReport, MapDone } from "../incremental/run-notes.ts";
import { doneText, notesText, parseDone, parseNotes, reportOf, stateOf } from "../incremental/run-notes.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import type { Preparation } from "../protocol/task-messages.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { isStored, storedOutput } from "../storage/stores.ts";
import { manyAtOnce, stageFiles } from "../storage/upload-output.ts";
import type { Split } from "../task/split.ts";
import { keptRunName, type KeptMap, type TaskSuccess } from "../task/task-spec.ts";
import { type Staging, stagingOf } from "./staging.ts";

/*
 * An incremental run on a cluster. Whoever plans it notes beside the output what it has found, and the state
 * of the earlier run; whoever maps leaves what is to be kept in the directory of the attempt; whoever commits
 * puts the one and the other together. So nothing of it passes through the coordinator but names.
 */

type Planned = Extract<ErrandResult, { kind: "planned" }>;
type PlanErrand = Extract<Errand, { kind: "plan" }>;
type CommitErrand = Extract<Errand, { kind: "commit" }>;

/** Texts that processes of a job leave each other beside its output, by their names. */
export interface NotePlace {
  /** The output: a path, or an address that ends in "/". */
  readonly output: string;
  /** Another one that writes it at the same time does no harm. */
  write(name: string, text: string): Promise<void>;
  /** "" when there is none. */
  read(name: string): Promise<string>;
}

/** Of an output in a directory that all agents see. */
export function notesBeside({ output, root }: Staging): NotePlace {
  return {
    output,
    write: (name, text) => writeWhole(join(root, name), text),
    read: (name) => textOf(join(root, name)),
  };
}

/** Of an output in a storage. @throws SheafError USAGE where none are kept; as storedOutput */
export async function notesStored(output: string, job: string): Promise<NotePlace> {
  const stored = await storedOutput(output, job);
  if (stored.note === undefined || stored.noted === undefined) {
    throw new SheafError(
      "USAGE",
      `incremental: the storage of ${output} takes results of agents, and no notes`,
      {
        hint: "Leave incremental out, or write to a directory that all agents see.",
        details: { path: output },
      },
    );
  }
  return {
    output,
    write: (name, text) => stored.note!(name, text),
    read: async (name) => (await stored.noted!(name)) ?? "",
  };
}

const notesName = (notes: string): string => `notes-${notes}.json`;
const stateName = (notes: string): string => `state-${notes}.json`;
/** Of a map attempt: in its directory beside the output, or where there is none beside those of others. */
const unitFile = "unit.json";
const unitName = (unit: string): string => `attempts/${unit}/${unitFile}`;
const storedUnitName = (unit: string): string => `unit-${unit}.json`;

/** What is kept of an earlier run, while a job is planned. */
export interface KeptPlan {
  readonly run: IncrementalRun;
  told(plan: JobPlan): Pick<Planned, "incremental" | "splits">;
  /** Leaves beside the output what mapping and committing need. */
  note(): Promise<void>;
}

/** null for a job that maps all of its input. */
export async function openKept(errand: PlanErrand, place: NotePlace): Promise<KeptPlan | null> {
  const { incremental, options } = errand;
  if (incremental === undefined) return null;
  const { code, aux, explain, mends = false } = incremental;
  const { collections } = errand.outline;
  const { partBytes, badBudget } = options;
  const params = fromWireValue(options.params) as Record<string, unknown>;
  const run = await IncrementalRun.open({
    output: place.output,
    job: printJob({ code, partBytes, params, aux: Object.entries(aux), collections }),
    collections: collections.length,
    keepBad: badBudget !== null,
    wallMs: () => systemClock.wallMs(),
    pause: (ms) => pauseFor(ms, undefined),
    isAwaited: true,
    mends,
  });
  if (mends) checkMends(run.full);
  // Another agent may plan the job at the same time, of what lies there by then.
  const notes = randomBytes(8).toString("hex");
  return {
    run,
    told: (plan) => {
      const splits = plan.tasks.map.map((split): Split => {
        const kept = plan.kept.get(split.index);
        if (kept !== undefined) return { ...split, kept };
        return explain ? { ...split, why: run.whyRuns(split) } : split;
      });
      return {
        // What schemas imply is not readonly; nobody writes to it.
        splits: splits as Planned["splits"],
        incremental: { notes, ...keptIn(plan, run) },
      };
    },
    note: async () => {
      if (run.state !== null) await place.write(stateName(notes), stateText(run.state));
      await place.write(notesName(notes), notesText(await run.notes()));
    },
  };
}

/** What earlier runs have kept of the maps of jobs, as far as this machine was asked for it. */
export class KeptMaps {
  /** By the job as it is prepared here: they go with it. */
  readonly #states = new WeakMap<object, Promise<State | null>>();

  /**
   * What can be taken over for a split; undefined: it is to be mapped.
   * @param copies where what lies in a storage is copied to
   */
  async of(
    node: { readonly preparation: Pick<Preparation, "job" | "output" | "notes"> },
    { kept }: Split,
    {
      roots,
      copies,
      step,
    }: { readonly roots: readonly string[]; readonly copies: string; readonly step: () => void },
  ): Promise<KeptMap | undefined> {
    const { job, output, notes } = node.preparation;
    if (kept === undefined || notes === undefined || output.kind !== "shared") return undefined;
    const isAddress = isStored(output.path);
    const place = isAddress
      ? await notesStored(await insideRoots(output.path, roots), job)
      : notesBeside(await stagingOf(output.path, job, roots));
    let reading = this.#states.get(node);
    if (reading === undefined) this.#states.set(node, (reading = readNoted(place, stateName(notes))));
    const state = await reading;
    if (state === null || kept >= state.units.length) return undefined;
    if (!isAddress) return keptMapIn(place.output, state, kept);
    await fetchUnits(place.output, state, [kept], copies, step);
    return keptMapIn(copies, state, kept);
  }
}

async function readNoted(place: NotePlace, name: string): Promise<State | null> {
  const found = parseState(await place.read(name).catch(() => ""));
  return found.kind === "state" ? found.state : null;
}

/** Leaves what a later run may take over of a map in the attempt's directory beside the output. */
export function noteDone(directory: string, split: Split, result: TaskSuccess): Promise<void> {
  return writeWhole(join(directory, unitFile), unitText(split, result));
}

/**
 * The same where the output is in a storage, to which its run file goes, too.
 * @param result its parts are named as they were staged
 * @returns what names it
 */
export async function noteStaged(
  { output, job, unit }: { readonly output: string; readonly job: string; readonly unit: string },
  split: Split,
  result: TaskSuccess,
  step: () => void,
): Promise<string> {
  const { keep } = result;
  const place = await notesStored(output, job);
  let told = result;
  if (keep?.kind === "kept" && keep.run?.path !== undefined) {
    const { path } = keep.run;
    const [staged] = await stageFiles([{ source: path, name: path }], { output, job, step });
    told = { ...result, keep: { ...keep, run: { ...keep.run, path: staged! } } };
  }
  // Attempts of a coordinator that was restored may have the same number.
  const name = `${unit}-${randomBytes(4).toString("hex")}`;
  await place.write(storedUnitName(name), unitText(split, told));
  return name;
}

function unitText(split: Split, result: TaskSuccess): string {
  const { kind: _kind, keys: _keys, ...kept } = result;
  const { kept: _unit, why: _why, ...read } = split;
  return doneText({ split: read, result: kept });
}

interface KeptParts {
  readonly state: NonNullable<CommitPlan["state"]>;
  readonly check: NonNullable<CommitPlan["check"]>;
  /** null where that is not known any more. */
  report(): IncrementalReport | null;
}

/**
 * What the output is to keep for the next run. What is damaged is left out, and is mapped by that.
 * @param staging null: the output is in a storage
 * @returns null when it has all been done before, and what it was made of is gone
 */
export async function keptParts(
  { job, incremental }: CommitErrand,
  place: NotePlace,
  step: () => void,
  staging: Staging | null,
): Promise<KeptParts | null> {
  const { notes: name, units, partitions, bounds } = incremental!;
  const notes = parseNotes(await place.read(notesName(name)));
  if (notes === null) return null;
  const read = async (unit: string): Promise<MapDone | null> => {
    const one = parseDone(await place.read(staging === null ? storedUnitName(unit) : unitName(unit)));
    // A storage places what the job has staged, and nothing else.
    return one === null || staging === null ? one : ownRun(one, join(staging.attempts, unit));
  };
  const done = (await manyAtOnce(units, step, read)).filter((one) => one !== null);
  let bytes = 0;
  return {
    check: () => checkMark(place.output, notes.mark),
    state: async (placed) => {
      const files = await stateOf(notes, done, { jobId: job, partitions, bounds }, placed, step);
      bytes = files.bytes;
      return files;
    },
    report: () =>
      reportOf(
        notes,
        done.map(({ result }) => result),
        bytes,
      ),
  };
}

/** User code can write there, too: nothing but the attempt's own run file is ever moved. */
function ownRun({ split, result }: MapDone, directory: string): MapDone {
  const { keep } = result;
  if (keep?.kind !== "kept" || keep.run === null) return { split, result };
  const run = { ...keep.run, path: join(directory, keptRunName) };
  return { split, result: { ...result, keep: { ...keep, run } } };
}

/** "" when there is no such file. @throws SheafError when it cannot be read */
async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw asSheafError(error, { path, doing: "read" });
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(aside, text, { mode: 0o600 });
    await rename(aside, path);
  } catch (error) {
    throw asSheafError(error, { path, doing: "write" });
  }
}
