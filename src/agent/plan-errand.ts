import { isAbsolute } from "node:path";
import { systemClock } from "../base/clock.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { pauseFor } from "../base/retry.ts";
import { checkChosen } from "../engine/chosen-records.ts";
import { committedDigest } from "../engine/committed-output.ts";
import { pathsByInput } from "../engine/inputs.ts";
import { identifiedMax } from "../engine/once.ts";
import { planJob } from "../engine/plan-job.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { checkKept, checkOutput } from "../storage/atomic-output.ts";
import { filesIdentity, type ListedFile } from "../storage/file-identity.ts";
import { patternBase } from "../storage/glob.ts";
import { listInput } from "../storage/list-input.ts";
import type { InputFile } from "../storage/list-input.ts";
import { splitAddress } from "../storage/store.ts";
import { isStored, isStrange } from "../storage/stores.ts";
import type { InputOutline, JobOutline } from "../worker/messages.ts";
import { moving } from "./commit-errand.ts";
import { type KeptPlan, type NotePlace, notesBeside, notesStored, openKept } from "./kept-maps.ts";
import { makeStaging, type Staging, stagingOf } from "./staging.ts";

export type PlanErrand = Extract<Errand, { kind: "plan" }>;
type Planned = Omit<Extract<ErrandResult, { kind: "planned" }>, "agent" | "incarnation">;

/** What inputs are called that each agent has of its own: "agent:/data/logs/*.gz". */
const agentPrefix = "agent:";
const checksAtOnce = 64;

/**
 * Lists and cuts a job's input, and sees to it that its output can be made. Of agent-local inputs only this
 * machine's files: none of them is no error, since others may have some.
 * @param step called again and again while it moves on; what it throws ends the errand
 * @throws SheafError as planJob and checkOutput; FORBIDDEN for paths outside the roots
 */
export async function planErrand(
  errand: PlanErrand,
  agent: string,
  roots: readonly string[],
  step: () => void,
): Promise<Planned> {
  const { output, agentLocal, outline } = errand;
  const { only } = errand.options;
  const nodes = agentLocal && "tasks" in outline.input ? outline.input.nodes : undefined;
  if (nodes !== undefined) return planNode(errand, nodes.paths, { name: agent, roots: [...roots] });
  const address = output.kind === "shared" && splitAddress(output.path) !== null ? output.path : null;
  const staging =
    output.kind === "shared" && address === null ? await stagingOf(output.path, errand.job, roots) : null;
  const overwrite = output.kind === "shared" && output.overwrite;
  const records =
    errand.materialize === undefined ? null : await stagingOf(errand.materialize, errand.job, roots);
  if (records !== null) await checkOutput(records.output, { overwrite });
  const place = address ?? staging?.output ?? null;
  if (address !== null) await insideRoots(address, roots);
  if (address !== null) knownHere(address, agent);
  if (place !== null) await moving(step, checkPlace(place, overwrite, errand.once === true));
  const files: InputFile[][] = [];
  for (const inputs of pathsByInput(errand.outline, errand.inputs, only !== undefined)) {
    const paths = inputs
      .filter((input) => input.startsWith(agentPrefix) === agentLocal)
      .map((input) => (agentLocal ? input.slice(agentPrefix.length) : input));
    for (const path of paths) knownHere(path, agent);
    const listed = await listInside(paths, roots, agentLocal, step);
    files.push(agentLocal ? listed.map((file) => localFile(file, agent)) : listed);
  }
  const kept =
    errand.incremental === undefined ? null : await openKept(errand, await notesOf(errand, staging));
  if (only !== undefined) checkChosen(files.map(listedFiles), only, agentLocal ? agent : null);
  const planned = await cut(errand, files, kept, step);
  step();
  if (address !== null && overwrite)
    await checkKept(
      address,
      files.flat().map(({ path }) => path),
    );
  for (const one of [staging, records]) if (one !== null) await prepareOutput(one, overwrite, files.flat());
  if (kept !== null) await moving(step, kept.note());
  if (place === null || errand.once !== true || agentLocal) return planned;
  const existing = await moving(step, committedDigest(place, step));
  return existing === undefined ? planned : { ...planned, existing };
}

/** Where an incremental run leaves its notes. */
function notesOf({ output, job }: PlanErrand, staging: Staging | null): Promise<NotePlace> | NotePlace {
  if (staging !== null) return notesBeside(staging);
  if (output.kind === "shared") return notesStored(output.path, job);
  throw new SheafError("INTERNAL", "an incremental run without an output that all agents see");
}

/** What a job does on this agent is one task. @throws SheafError FORBIDDEN for a path outside the roots */
async function planNode(
  { options }: PlanErrand,
  paths: readonly string[],
  node: { name: string; roots: string[] },
): Promise<Planned> {
  for (const path of paths) await insideRoots(fixedPart(path), node.roots);
  const splits = [{ index: 0, pieces: [{ kind: "generate" as const, index: 0, tasks: 1, node }], bytes: 0 }];
  const partitions = options.partitions.map((count) => count ?? 1);
  return { kind: "planned", splits, sample: [], files: 0, bytes: 0, partitions, identity: null };
}

function listedFiles(files: readonly InputFile[]): ListedFile[] {
  return files.map(({ bytes, ...file }) => ({ ...file, fileBytes: bytes }));
}

/** @throws SheafError USAGE for a storage not known here */
function knownHere(address: string, agent: string): void {
  if (!isStrange(address)) return;
  const { scheme } = splitAddress(address)!;
  throw new SheafError("USAGE", `agent ${agent} knows no storage for ${scheme}://`, {
    hint: `Start all agents with --store ${scheme}=FILE, the module that makes it: docs/storage.md.`,
    details: { path: address },
  });
}

async function checkPlace(output: string, overwrite: boolean, once: boolean): Promise<void> {
  try {
    await checkOutput(output, { overwrite });
  } catch (error) {
    if (!once || !isSheafError(error) || error.code !== "OUTPUT_EXISTS") throw error;
  }
}

/** Agents may have files of the same names: each one's are its own. */
function localFile(file: InputFile, agent: string): InputFile {
  return { ...file, name: `${agent}:${file.path}`, place: `${agent}:${file.place ?? file.path}` };
}

async function prepareOutput(
  staging: Staging,
  overwrite: boolean,
  files: readonly InputFile[],
): Promise<void> {
  const paths = files.map(({ path }) => path);
  if (overwrite) await checkKept(staging.output, paths);
  await makeStaging(staging);
}

/** Small files are spread over so many tasks for each slot there is: agents cannot hand over what is slow. */
const tasksPerWorker = 4;

async function cut(
  errand: PlanErrand,
  files: readonly InputFile[][],
  kept: KeptPlan | null,
  step: () => void,
): Promise<Planned> {
  const { options, agentLocal, workers, outline } = errand;
  const inputs = pathsByInput(outline, errand.inputs, options.only !== undefined).flat();
  // All inputs are of the other kind, or this machine has none of its own.
  const isOthers = !agentLocal && inputs.length > 0 && inputs.every((input) => input.startsWith(agentPrefix));
  if (isOthers || (agentLocal && files.flat().length === 0)) {
    const partitions = options.partitions.map((count) => count ?? 1);
    return { kind: "planned", splits: [], sample: [], files: 0, bytes: 0, partitions, identity: "" };
  }
  const plan = await planJob(outlineOf(outline), {
    inputs: files,
    splitBytes: options.splitBytes,
    workers,
    mappers: options.mappers,
    partitions: kept?.run.partitionsOf(options.partitions) ?? options.partitions,
    growing: options.growing ?? false,
    made: options.made,
    spread: workers * tasksPerWorker,
    step,
    ...(kept !== null && { arrange: (all) => moving(step, kept.run.arrange(all)) }),
  });
  const once = errand.once === true;
  const pause = once ? (ms: number) => pauseFor(ms, undefined) : null;
  const { wallMs } = systemClock;
  const isFew = once || plan.files <= identifiedMax;
  const identity = isFew ? await filesIdentity(plan.listed, { wallMs, pause, step }) : null;
  const told = { ...plannedOf(plan), identity: identity === null ? null : `${process.version} ${identity}` };
  return kept === null ? told : { ...told, ...kept.told(plan) };
}

function plannedOf(plan: JobPlan): Planned {
  const { tasks, files, bytes, partitions, warnings } = plan;
  // What schemas imply is not readonly; nobody writes to it.
  const splits = tasks.map as Planned["splits"];
  const sample = tasks.sample as Planned["sample"];
  const told = warnings.length === 0 ? {} : { warnings: [...warnings] };
  return { kind: "planned", splits, sample, files, bytes, partitions: [...partitions], ...told };
}

/** @param lenient paths that mean nothing are left out */
async function listInside(
  paths: readonly string[],
  roots: readonly string[],
  lenient: boolean,
  step: () => void,
): Promise<InputFile[]> {
  const there: string[] = [];
  for (const path of paths) {
    // Before anything is listed, so that what is outside does not show by how it is refused.
    await insideRoots(fixedPart(path), roots);
    if (!lenient || (await meansSomething(path))) there.push(path);
  }
  const files = await listInput(there, { step });
  for (let at = 0; at < files.length; at += checksAtOnce) {
    step();
    await Promise.all(files.slice(at, at + checksAtOnce).map(({ path }) => insideRoots(path, roots)));
  }
  return files;
}

/** Of the path, or of all that a pattern matches. */
function fixedPart(path: string): string {
  if (isStored(path)) return path;
  if (isAbsolute(path)) return patternBase(path);
  throw new SheafError("USAGE", `the input ${path} is relative, and this machine is not where it was given`, {
    hint: "Give absolute paths of files that the agents see, or agent:/path for each agent's own files.",
  });
}

async function meansSomething(path: string): Promise<boolean> {
  try {
    await listInput([path]);
    return true;
  } catch (error) {
    if (isSheafError(error) && error.code === "INPUT_MISSING") return false;
    throw error;
  }
}

/** As the planner knows it: on the wire a delimiter is a text. */
function outlineOf({ input, inputs, ...rest }: PlanErrand["outline"]): JobOutline {
  const several = inputs?.map(({ name, input: one }) => ({ name, input: inputOf(one) }));
  return { ...rest, input: inputOf(input), ...(several !== undefined && { inputs: several }) };
}

function inputOf(input: PlanErrand["outline"]["input"]): InputOutline {
  if (!("framing" in input) || input.framing.kind !== "delimiter") return input as InputOutline;
  const delimiter = new Uint8Array(Buffer.from(input.framing.delimiter, "base64"));
  return { ...input, framing: { kind: "delimiter", delimiter } } as InputOutline;
}
