import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { packageVersion } from "../base/package-places.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { isFile } from "./job-files.ts";

/*
 * `--once`: a run whose result follows from what an earlier one's did need not be done again. What it follows
 * from is made one hash: the code, the content of its side data, the values of its params, the settings that
 * change what is written, and the identity of its input files (storage/file-identity.ts). Whatever is
 * forgotten here would make a wrong result in silence; what is taken in without need only a run too many. So
 * names, paths and versions of sheaf are in it.
 */

/** Input files of a run without `--once` that are looked at for the sake of a later one with it. */
export const identifiedMax = 10_000;

/** One hash of all of that. null when it cannot be told: some value has no form. */
export function onceKey(follows: readonly unknown[]): string | null {
  try {
    const text = formOf(["sheaf once", packageVersion(), process.version, ...follows]);
    return createHash("sha256").update(text).digest("hex");
  } catch {
    return null;
  }
}

/** An object's fields in one order, whatever the order they were given in. */
export function byName(values: object): [string, unknown][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Plain data as a text, two values having the same only if they are the same: unlike JSON for -0, NaN,
 * bigints, undefined, dates, maps, sets and bytes, too. Throws for what is no plain data.
 */
function formOf(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (value === null || value === undefined || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map(formOf).join()}]`;
  if (value instanceof Date) return `date ${value.getTime()}`;
  if (value instanceof Map || value instanceof Set)
    return `${value instanceof Map ? "map" : "set"} ${formOf([...value])}`;
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    return `${value.constructor.name} ${Buffer.from(buffer, byteOffset, byteLength).toString("hex")}`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof value !== "object" || (prototype !== null && prototype !== Object.prototype))
    throw new TypeError("no plain data");
  return `{${Object.entries(value).map(formOf).join()}}`;
}

/**
 * For options with which nothing is run again as long as the code is the same.
 * @param option the one that is refused
 * @throws SheafError USAGE when the job runs code that is not in its bundle, which may change unseen
 */
export function checkWholeCode(
  option: "once" | "incremental",
  bundle: Pick<BundledJob, "portablePath"> | null,
  external: readonly string[],
): void {
  const refused = (why: string, hint = `Leave ${option} out, or keep the code in the bundle.`): SheafError =>
    new SheafError("USAGE", `${option}: ${why}, so nobody can tell whether it has changed`, { hint });
  if (bundle === null) {
    const hint =
      'Give the job\'s file: run(new URL("./job.ts", import.meta.url), ...), or the option `file`.';
    throw refused("the code of a Job object cannot be compared", hint);
  }
  if (external.length > 0) throw refused(`${external.join(", ")} stays outside the bundle`);
  if (nativeAddOn.test(readFileSync(bundle.portablePath, "utf8")))
    throw refused("the job loads a native add-on, which stays outside the bundle");
}

/**
 * The same of a job on a cluster: each agent has programs of its own, which only their names tell.
 * @param paths what programPaths has found in the job
 * @throws SheafError USAGE naming the first that is, or looks like, a file outside of the job
 */
export function checkWholePrograms(option: "once" | "incremental", paths: readonly string[] = []): void {
  const outside = paths.find((path) => !device.test(path) && (likeFile.test(path) || isFile(path)));
  if (outside === undefined) return;
  throw new SheafError(
    "USAGE",
    `${option}: a program of the job is given ${outside}, a file of each agent's own, so nobody can tell whether it has changed`,
    {
      hint:
        `Name it in "files" of the job and give its name alone, or leave ${option} out. ` +
        'Where it is no path write it so that it does not look like one: "/x/ d" for "/x/d".',
    },
  );
}

const likeFile = /^(?:\/[\w.+@~-]+)+$/;

/** What is the same on every machine. Below /dev/shm lie files like any others. */
const device = /^\/dev\/(?:std(?:in|out|err)|null|zero|full|tty|u?random|fd\/\d+)$/;

/** The end of a file's name, in a text or (as node-gyp-build has it) in a pattern. */
const nativeAddOn = /\.node(?:["'`]|\$\/)/;
