import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { SheafError, describeThrown } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import { fromWireValue, toWireJson } from "../base/wire-json.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import type { AuxCopy } from "../task/aux.ts";
import type { JobSettings, ReduceInput, TaskFailure, TaskSpec } from "../task/task-spec.ts";
import type { SentAux } from "./aux-files.ts";

/** capsule.json: what it takes to run a failed task again. */
export interface Capsule {
  readonly version: 1;
  readonly jobId: string;
  readonly task: string;
  readonly attempt: number;
  readonly failure: TaskFailure;
  /** Its input files carry size and time of change; the inputs of a reduce lie in the capsule's `inputs`. */
  readonly spec: TaskSpec;
  readonly settings: JobSettings;
  /** Why the inputs of a reduce were not kept; null when they were, and for other tasks. */
  readonly missingInputs: string | null;
  /** Of a job on a cluster: the files of its side data, which its coordinator keeps, as in its submission. */
  readonly aux?: readonly SentAux[];
  /** Likewise the paths and patterns that its code has for them. */
  readonly auxSources?: readonly string[];
  /** Likewise of the files that its programs find; `blob` is their SHA-256. */
  readonly files?: readonly { readonly name: string; readonly blob: string; readonly mode: number }[];
}

/** Beyond this much the map outputs of a failed reduce are not kept. */
const inputBytesMax = limits.capsuleInputBytesMax;

/**
 * Writes a capsule; null when that fails, which is no failure of the job.
 * @param missing why the inputs of a reduce cannot be kept; null: they are here
 */
export function writeCapsule(
  jobDirectory: string,
  made: Omit<Capsule, "version" | "missingInputs">,
  missing: string | null = null,
): { readonly path: string; readonly missingInputs: string | null } | null {
  const path = join(jobDirectory, "capsules", made.task);
  try {
    mkdirSync(path, { recursive: true });
    const kept =
      made.spec.kind === "reduce" && missing === null
        ? keepInputs(made.spec.inputs, path)
        : { inputs: [], missing };
    const spec = made.spec.kind === "reduce" ? { ...made.spec, inputs: kept.inputs } : made.spec;
    const settings = keepFetched(made.settings, path);
    saveCapsule(jobDirectory, { version: 1, ...made, spec, settings, missingInputs: kept.missing });
    return { path, missingInputs: kept.missing };
  } catch {
    return null;
  }
}

/** Writes capsule.json into its directory in the job's. */
export function saveCapsule(jobDirectory: string, capsule: Capsule): void {
  const path = join(jobDirectory, "capsules", capsule.task, "capsule.json");
  writeFileSync(path, `${toWireJson(capsule, 2)}\n`);
}

/** Side data that was fetched for the run goes with it: the capsule has its own. */
function keepFetched(settings: JobSettings, path: string): JobSettings {
  const { auxFiles } = settings;
  if (auxFiles === undefined) return settings;
  const keep = (copy: AuxCopy): AuxCopy => {
    if (copy.fetched !== true || copy.bytes > inputBytesMax) return copy;
    const kept = join(path, `aux-${copy.place}`);
    linkOrCopy(copy.path, kept);
    return { ...copy, path: kept };
  };
  const copies = Object.entries(auxFiles).map(([source, some]) => [source, some.map(keep)] as const);
  return { ...settings, auxFiles: Object.fromEntries(copies) };
}

function keepInputs(
  inputs: readonly ReduceInput[],
  path: string,
): { inputs: ReduceInput[]; missing: string | null } {
  // Several may lie in one file.
  const paths = [...new Set(inputs.flatMap((input) => (input.path === null ? [] : [input.path])))];
  const bytes = paths.reduce((sum, one) => sum + statSync(one).size, 0);
  if (bytes > inputBytesMax) {
    return {
      inputs: [...inputs],
      missing: `its inputs are ${formatSize(bytes)}, more than ${formatSize(inputBytesMax)}`,
    };
  }
  mkdirSync(join(path, "inputs"), { recursive: true });
  const copies = new Map<string, string>();
  const kept = inputs.map((input) => {
    if (input.path === null) return input;
    const known = copies.get(input.path);
    if (known !== undefined) return { ...input, path: known };
    const copy = join(path, "inputs", `map-${String(input.task).padStart(5, "0")}-${basename(input.path)}`);
    linkOrCopy(input.path, copy);
    copies.set(input.path, copy);
    return { ...input, path: copy };
  });
  return { inputs: kept, missing: null };
}

/** @throws SheafError NOT_FOUND when there is none or it cannot be read */
export function readCapsule(jobDirectory: string, task: string): Capsule {
  const path = join(jobDirectory, "capsules", task, "capsule.json");
  try {
    return fromWireValue(JSON.parse(readFileSync(path, "utf8"))) as Capsule;
  } catch (cause) {
    throw new SheafError("NOT_FOUND", `${path}: no readable capsule (${describeThrown(cause)})`, {
      hint: "Only tasks that failed have one; `sheaf show @` lists them.",
      cause,
    });
  }
}
