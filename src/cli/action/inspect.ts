import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { findJob } from "../../engine/job-history.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { inspectFlags } from "../flags/inspect-flags.ts";
import { checkOutput, successFileName } from "../output-check.ts";
import { isRunFile, openRunFile } from "../run-file.ts";
import { outputPage, runFilePage } from "../ui/inspect-page.ts";
import { styleFor } from "../ui/style.ts";
import { writeTo } from "../world.ts";
import { showJob } from "./show.ts";

const RECORDS_DEFAULT = 10;

type Inspect = Invocation<typeof inspectFlags>;

export async function run(invocation: Inspect): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const given = positionals[0]!;
  const path = resolve(world.cwd, given);
  if (!existsSync(path)) {
    throw new SheafError("NOT_FOUND", `${given}: there is no such file or directory`, {
      hint: "Give an output directory, a job directory or a run file.",
    });
  }
  if (statSync(path).isDirectory()) {
    if (existsSync(join(path, successFileName))) return inspectOutput(path, invocation);
    if (existsSync(join(path, "job.json"))) {
      const job = await findJob(dirname(dirname(path)), basename(path));
      await showJob(job, { json: flags.json === true, all: false, color: flags.color }, world);
      return exitCodes.ok;
    }
    throw new SheafError("NOT_FOUND", `${given}: neither an output directory nor a job directory`, {
      hint: `A complete output has a ${successFileName}, a job directory a job.json. This one has neither: it is not complete.`,
    });
  }
  if (basename(path) === successFileName) return inspectOutput(dirname(path), invocation);
  if (statSync(path).isFile() && isRunFile(path)) return inspectRunFile(path, invocation);
  throw new SheafError("NOT_FOUND", `${given}: not a run file`, {
    hint: "Output files are plain data in the job's format: look at them with head. inspect checks their directory.",
  });
}

async function inspectOutput(path: string, { flags, world }: Inspect): Promise<ExitCode> {
  const checked = await checkOutput(path);
  const style = styleFor(world.stdout, world.env, flags.color);
  const sound = checked.parts.every((one) => one.damage === null);
  const text =
    flags.json === true
      ? JSON.stringify({ kind: "output", path, sound, ...checked })
      : outputPage(path, checked, style);
  await writeTo(world.stdout, `${text}\n`);
  return sound ? exitCodes.ok : exitCodes.failed;
}

async function inspectRunFile(path: string, { flags, world }: Inspect): Promise<ExitCode> {
  const file = openRunFile(path);
  try {
    const segments = file.view.segments.map((segment) => ({ ...segment, blocks: [...file.blocks(segment)] }));
    const wanted = flags.records ?? RECORDS_DEFAULT;
    const records: ReturnType<typeof file.records> = [];
    for (const segment of file.view.segments) {
      if (records.length < wanted) records.push(...file.records(segment, wanted - records.length));
    }
    const style = styleFor(world.stdout, world.env, flags.color);
    const sound = segments.every((segment) => segment.blocks.every((block) => block.damage === null));
    const shown = {
      path,
      view: file.view,
      segments,
      records,
      total: file.view.segments.reduce((n, s) => n + s.records, 0),
    };
    const page = runFilePage(shown, { json: flags.json === true, style });
    await writeTo(world.stdout, `${page}\n`);
    return sound ? exitCodes.ok : exitCodes.failed;
  } finally {
    file.close();
  }
}
