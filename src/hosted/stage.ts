import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { machine, type } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describeThrown, SheafError } from "../base/errors.ts";
import { settings as bounds } from "../base/limits.ts";
import { builtUrl, packageUrl, packageVersion } from "../base/package-places.ts";
import { MiB } from "../base/size.ts";
import { toWireJson } from "../base/wire-json.ts";
import type { TaskTable } from "../engine/plan-job.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { AuxCopies } from "../task/aux.ts";
import type { Split } from "../task/split.ts";
import type { JobSettings } from "../task/task-spec.ts";
import { noProgressSetting } from "../worker/failure.ts";
import type { JobOutline } from "../worker/messages.ts";
import { type Archive, archiveOf, filesBelow } from "./archive.ts";
import { partitionsMax } from "./blocks.ts";
import type { NoProgress } from "./host-engine.ts";
import { packagesFor, sheafFiles } from "./packages.ts";
import {
  HOSTED_VERSION,
  hadoopConfDirectory,
  type HostedSpec,
  type MapRecord,
  ownMachine,
  specFile,
  splitLine,
} from "./spec.ts";

/*
 * The home of a hosted job, a directory on the machine that submits it: node/bin/node, sheaf/ (the package as
 * tasks need it, run.sh first), job/ (spec.json and all that it names). Where tasks run on this machine they
 * use it as it is. Else each of the three is an archive, which engines unpack where a task runs.
 */

/** What a hosted job is made of, as it was planned on this machine. */
export interface StageRequest {
  /** A directory, which may exist. */
  readonly home: string;
  /** Path of job.mjs; portable.mjs lies beside it, see BundledJob. */
  readonly bundle: string;
  /** With bounds, where keys have an order: samples are taken before. */
  readonly settings: JobSettings;
  readonly tasks: Pick<TaskTable, "map" | "reduce">;
  /** JavaScript heap of a task; null: Node's own limit. */
  readonly heapBytes: number | null;
  /** A Node for the nodes; null: that of this process. */
  readonly nodeBin: string | null;
  /** Tasks run on this machine: nothing is copied. */
  readonly isLocal: boolean;
  /** How maps are told what they are to do: by values of records, or by lines of a file. */
  readonly inputForm: HostedSpec["input"];
  /** Directory of Hadoop's configuration, of which copies travel; null: there is none. */
  readonly hadoopConf: string | null;
  /** A task that finishes no record for so long is ended. Default: as of every run. */
  readonly noProgress?: NoProgress;
  /** Directory of built modules. Default: that of this module. */
  readonly built?: URL;
}

/** What engines need to know of a home. */
export interface StagedHome {
  /** A line for each map task: hosts, a tab, what the task is told as JSON. */
  readonly splits: string;
  /** Lines of it: one for a job without map tasks, too. */
  readonly mapTasks: number;
  readonly reduces: number;
}

/**
 * What no task of another engine can do, of what this run was asked for.
 * @throws SheafError USAGE naming it
 */
export function refuseHosted(outline: JobOutline, settings: JobSettings): void {
  const { input } = outline;
  const asked: readonly (readonly [boolean, string, string])[] = [
    [
      "tasks" in input && input.forMs !== undefined,
      "a source that ends after a time (forMs)",
      "give it a count",
    ],
    [
      "tasks" in input && input.hasUntil === true,
      "a source that ends by a condition (until)",
      "give it a count",
    ],
    [settings.live !== undefined, "partial results while the job runs (--live)", "leave it out"],
    [settings.keepMaps === true, "an incremental run (--incremental)", "leave it out"],
    [settings.probe !== undefined, "a forecast (sheaf plan --try)", "make it on this machine"],
    [settings.only !== undefined, "a run over single records (sheaf bad retry)", "make it on this machine"],
  ];
  for (const [isAsked, what, instead] of asked) {
    if (!isAsked) continue;
    throw new SheafError("USAGE", `tasks on Hadoop and Spark cannot do what was asked for: ${what}`, {
      hint: `Tasks there hear nothing while they run: ${instead}, or run the job with sheaf's own workers.`,
    });
  }
}

/** Makes the home. @throws SheafError LIMIT_EXCEEDED, DISK_FULL, USAGE for a Node that cannot be run */
export async function stageHome(request: StageRequest): Promise<StagedHome> {
  const { home, tasks, settings, heapBytes, isLocal, built = builtUrl } = request;
  if (tasks.reduce.length > partitionsMax) {
    throw new SheafError(
      "LIMIT_EXCEEDED",
      `there are ${tasks.reduce.length} reduce tasks, more than ${partitionsMax}`,
      {
        hint: "Ask for fewer --partitions.",
      },
    );
  }
  const job = join(home, "job");
  const node = resolve(request.nodeBin ?? process.execPath);
  const { platform, arch, isGlibc, glibc } = ownMachine();
  const needs = node === process.execPath ? glibc : aboutNode(node).glibc;
  try {
    mkdirSync(join(home, "node", "bin"), { recursive: true, mode: 0o700 });
    mkdirSync(job, { recursive: true, mode: 0o700 });
    symlinkSync(node, join(home, "node", "bin", "node"));
    placePackage(join(home, "sheaf"), fileURLToPath(built));
    copyConf(request.hadoopConf, join(job, hadoopConfDirectory));
    const portable = join(dirname(request.bundle), "portable.mjs");
    const bundle = isLocal ? portable : carry(portable, job, "bundle/portable.mjs");
    const spec = {
      version: HOSTED_VERSION,
      settings: {
        ...(isLocal ? settings : carried(settings, job)),
        memoryMaxBytes: memoryMax(settings),
      },
      bundle,
      maps: tasks.map.length,
      reduces: tasks.reduce,
      input: request.inputForm,
      heapBytes,
      noProgressMs: request.noProgress?.ms ?? bounds.noProgressMs.default,
      noProgressSetting: request.noProgress?.setting ?? noProgressSetting,
      machine: { platform, arch, isGlibc },
      origin: { built: built.href, bundle: pathToFileURL(request.bundle).href },
    };
    writeFileSync(join(job, specFile), toWireJson(spec));
    const heap = heapBytes === null ? "-" : Math.ceil(heapBytes / MiB);
    const space = isLocal ? "free" : "counted";
    writeFileSync(join(job, "start"), `${type()} ${machine()} ${needs ?? "-"} ${heap} ${space}\n`);
    const splits = join(home, "splits");
    writeFileSync(splits, splitLines(tasks.map, request.inputForm));
    return { splits, mapTasks: Math.max(1, tasks.map.length), reduces: tasks.reduce.length };
  } catch (error) {
    throw asSheafError(error, { path: home, doing: "write" });
  }
}

/**
 * Clusters that count address space count what a memory may grow to. Records that do not fit into the budget
 * have to fit into this.
 */
function memoryMax({ memoryBytes }: JobSettings): number {
  return memoryBytes + MiB * 512;
}

/** Lines are made equally long as long as that makes no more than so many bytes of them. */
const evenBytesMax = 64 * MiB;

/**
 * The list of a job's map tasks. Engines that run nothing for no input have one all the same, which says so
 * to the reduces.
 */
export function splitLines(splits: readonly Split[], form: StageRequest["inputForm"]): string {
  const records = splits.map((split, index): MapRecord => ({ index, split }));
  const lines = (records.length > 0 ? records : [{ index: -1, split: null } as const]).map(splitLine);
  return (form === "record" ? lines : evenLines(lines)).join("");
}

/**
 * Hadoop numbers tasks by the length of what they read, the longest first: equally long, they have the
 * numbers of their lines. NLineInputFormat counts the first one short by a byte.
 */
function evenLines(lines: readonly string[]): readonly string[] {
  const sizes = lines.map((line) => Buffer.byteLength(line));
  const longest = sizes.reduce((most, size) => Math.max(most, size), 0);
  if (longest * lines.length > evenBytesMax) return lines;
  return lines.map((line, index) => {
    const spaces = longest - sizes[index]! + (index === 0 ? 1 : 0);
    return `${line.slice(0, -1)}${" ".repeat(spaces)}\n`;
  });
}

/** run.sh lies in sheaf/ itself, where engines find it. */
function placePackage(sheaf: string, dist: string): void {
  mkdirSync(sheaf, { mode: 0o700 });
  symlinkSync(join(dist, "hosted", "run.sh"), join(sheaf, "run.sh"));
  symlinkSync(fileURLToPath(new URL("package.json", packageUrl)), join(sheaf, "package.json"));
  symlinkSync(dist.replace(/\/$/, ""), join(sheaf, "dist"));
}

function copyConf(from: string | null, to: string): void {
  if (from === null) return;
  for (const name of ["core-site.xml", "hdfs-site.xml"]) {
    if (!existsSync(join(from, name))) continue;
    mkdirSync(to, { recursive: true });
    copyFileSync(join(from, name), join(to, name));
  }
}

/** Copies a file into the job's directory; its name there. */
function carry(path: string, job: string, name: string): string {
  const to = join(job, name);
  mkdirSync(dirname(to), { recursive: true });
  try {
    copyFileSync(path, to);
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
  return name;
}

/** The settings with side data and files in the job's directory. */
function carried(settings: JobSettings, job: string): JobSettings {
  const { auxFiles = {}, files = [] } = settings;
  const aux = Object.entries(auxFiles).map(([source, copies]): [string, AuxCopies[string]] => [
    source,
    copies.map((copy) => {
      const name = `aux/${copy.sha256.slice(0, 16)}/${basename(copy.path)}`;
      return { ...copy, path: existsSync(join(job, name)) ? name : carry(copy.path, job, name) };
    }),
  ]);
  return {
    ...settings,
    auxFiles: Object.fromEntries(aux),
    ...(files.length > 0 && {
      files: files.map(({ origin: _here, ...file }) => ({
        ...file,
        path: carry(file.path, job, `files/${file.name}`),
      })),
    }),
  };
}

interface AboutNode {
  readonly version: string;
  readonly platform: string;
  readonly arch: string;
  /** That it was made with: older ones will not do. null: it needs none. */
  readonly glibc: string | null;
}

const ask =
  "const h=process.report.getReport().header;process.stdout.write(JSON.stringify({version:process.version," +
  "platform:process.platform,arch:process.arch,glibc:h.glibcVersionCompiler??null}))";

/** What a Node says of itself. @throws SheafError USAGE when it cannot be run here, or is too old */
export function aboutNode(path: string): AboutNode {
  const refuse = (problem: string, hint: string): SheafError =>
    new SheafError("USAGE", `--node-bin ${path}: ${problem}`, { hint });
  let about: AboutNode;
  try {
    const env = { PATH: process.env["PATH"] };
    about = JSON.parse(
      execFileSync(path, ["-e", ask], { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] }),
    );
  } catch (error) {
    throw refuse(
      `cannot be run on this machine: ${describeThrown(error).split("\n")[0]}`,
      "It has to be a Node for this kind of machine: native packages go with it that are installed here. Submit from " +
        "a machine like the nodes of the cluster.",
    );
  }
  const [major, minor] = about.version.slice(1).split(".").map(Number) as [number, number];
  if (major < 20 || (major === 20 && minor < 19))
    throw refuse(`is Node ${about.version}`, "sheaf needs Node 20.19 or later.");
  if (about.platform !== process.platform || about.arch !== process.arch) {
    throw refuse(
      `is for ${about.platform} ${about.arch}, and this machine is ${process.platform} ${process.arch}`,
      "Native packages that are installed here go with it: submit from a machine like the nodes of the cluster.",
    );
  }
  return about;
}

/** The three parts of a home as archives, to be unpacked as node/, sheaf/ and job/ beside each other. */
export interface HomeArchives {
  readonly node: Archive;
  readonly sheaf: Archive;
  readonly job: Archive;
}

/**
 * @param inputs addresses that tasks read: what these need of packages travels
 * @throws SheafError PACKAGE_MISSING
 */
export async function homeArchives(
  home: string,
  inputs: readonly string[],
  built: URL = builtUrl,
): Promise<HomeArchives> {
  const node = join(home, "node", "bin", "node");
  const { version, platform, arch } = aboutNode(node);
  const settings = JSON.parse(readFileSync(join(home, "job", specFile), "utf8")) as {
    settings: { jobId: string };
  };
  return {
    node: await archiveOf(`node-${version}-${platform}-${arch}`, [{ name: "bin/node", path: node }]),
    sheaf: await archiveOf(
      `sheaf-${packageVersion()}-${platform}-${arch}`,
      sheafFiles(packagesFor(inputs), built),
    ),
    job: await archiveOf(
      `job-${settings.settings.jobId}`,
      filesBelow(join(home, "job"), "", () => false),
    ),
  };
}
