import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, delimiter, join, resolve } from "node:path";
import type { CliCommand, ExitCode, Invocation } from "../command.ts";
import { stateDirectoryOf } from "../connection.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import type { World } from "../world.ts";
import { describeMrjob } from "./mrjob/describe.ts";
import { mrjobSource } from "./mrjob/source.ts";
import { runCommand } from "./run.ts";
import { runFlags } from "./run/flags.ts";
import { runFlagsOf } from "./run/options.ts";

/** Those of a run but for what is about the job's own code, or about workers in other languages. */
const {
  made: _made,
  estimate: _estimate,
  maxBad: _maxBad,
  set: _set,
  external: _external,
  listen: _listen,
  intermediate: _intermediate,
  workerTimeout: _workerTimeout,
  live: _live,
  materialize: _materialize,
  ...passed
} = runFlags;

export const mrjobFlags = {
  ...inCategory("Job", {
    python: valueFlag(
      "--python PROGRAM",
      types.string,
      "The Python that has mrjob, here and where tasks run",
      {
        default: "what mrjob.conf says (python_bin), else python3",
      },
    ),
  }),
  ...passed,
};

export const mrjobCommand: CliCommand<typeof mrjobFlags> = {
  name: "mrjob",
  summary: "Run a script of mrjob",
  details: [
    "SCRIPT is a Python script that ends with MRJob.run(), as it is. Each of its steps becomes a job whose map, combine " +
      "and reduce are the script itself, called as Hadoop Streaming would call it; a script of several steps becomes a " +
      "pipeline (sheaf show, sheaf resume). docs/mrjob.md says what of mrjob is done and what is refused.",
    "What stands after -- are options of the script: its own, and those of mrjob that are about the job, such as " +
      '--jobconf, --cmdenv and --files. mrjob.conf is read as for mrjob\'s runner "local".',
  ],
  arguments: [
    { name: "SCRIPT", doc: "Script of mrjob", required: true, complete: "path" },
    {
      name: "INPUT",
      doc: "Files, directories, globs, or - for standard input",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  passes: "OPTION",
  flags: mrjobFlags,
  examples: [
    ["sheaf mrjob wordcount.py books/*.txt -o counts", "Instead of python wordcount.py books/*.txt"],
    [
      "sheaf mrjob top.py logs/ -o top --python venv/bin/python -- --min-count 5",
      "With an option of the script's own",
    ],
  ],
  run,
};

async function run(invocation: Invocation<typeof mrjobFlags>): Promise<ExitCode> {
  const { flags, world } = invocation;
  const { python: asked, ...said } = flags;
  const [script, ...inputs] = invocation.positionals;
  const told = await describeMrjob(asked ?? "python3", script!, invocation.passed, world);
  // Tasks are told few variables; what mrjob itself was found by is one that they need.
  const described = { ...told, cmdenv: { ...told.cmdenv, ...modulePath(world, told.cmdenv) } };
  const python = asked === undefined && described.python.length > 0 ? described.python : [asked ?? "python3"];
  const name = basename(script!).replace(/\.\w+$/, "");
  const file = keptFile(
    mrjobSource(described, python, basename(script!)),
    name,
    stateDirectoryOf(world),
    Date.now(),
  );
  const asRun = runFlagsOf({ ...said, name: flags.name ?? name });
  return runCommand.run({ ...invocation, flags: asRun, positionals: [file, ...inputs] });
}

/** The caller's PYTHONPATH, behind the one that the script gives its tasks. */
export function modulePath(
  { cwd, env }: Pick<World, "cwd" | "env">,
  cmdenv: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const given = (env["PYTHONPATH"] ?? "").split(delimiter).filter((place) => place !== "");
  const own = cmdenv["PYTHONPATH"];
  const places = [...(own === undefined ? [] : [own]), ...given.map((place) => resolve(cwd, place))];
  return places.length === 0 ? {} : { PYTHONPATH: places.join(delimiter) };
}

/** So many scripts are kept: as many as pipelines, whose `sheaf resume` needs them. */
const KEPT_MAX = 100;
const DAY_MS = 86_400_000;

/**
 * Where `sheaf resume` finds it again: under a name that its content decides. Those that were used longest
 * ago are removed, but none of today, which may be running.
 * @param nowMs the time, milliseconds since 1970
 */
export function keptFile(source: string, name: string, stateDirectory: string, nowMs: number): string {
  const hash = createHash("sha256").update(source).digest("hex").slice(0, 16);
  const all = join(stateDirectory, "mrjob");
  const directory = join(all, hash);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${name}.mjs`);
  writeFileSync(file, source);
  utimesSync(directory, nowMs / 1000, nowMs / 1000);
  const used = readdirSync(all)
    .map((one) => ({
      path: join(all, one),
      ms: statSync(join(all, one), { throwIfNoEntry: false })?.mtimeMs ?? 0,
    }))
    .sort((a, b) => b.ms - a.ms);
  for (const { path, ms } of used.slice(KEPT_MAX))
    if (ms < nowMs - DAY_MS) rmSync(path, { recursive: true, force: true });
  return file;
}
