import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { findJob } from "../../engine/job-history.ts";
import { outputPlace } from "../../engine/resolve-options.ts";
import { localPath } from "../../storage/store.ts";
import { isStored } from "../../storage/stores.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { styleFor } from "../ui/style.ts";
import { writeTo } from "../world.ts";

export const inspectFlags = inCategory("Output", {
  records: valueFlag(
    "-n, --records N",
    types.integer(settings.recordsShown),
    "Records to show of a run file",
    {
      default: String(settings.recordsShown.default),
    },
  ),
  json: jsonFlag,
});

export const inspectCommand: CliCommand<typeof inspectFlags> = {
  name: "inspect",
  summary: "Look into an output directory, a job directory or a run file",
  details: [
    "Of an output directory, here or in a storage: its files, held against the sizes and checksums in _SUCCESS; the command fails if one " +
      "differs. Of a run file (what tasks exchange): its header, partitions, blocks and first records. Of a job " +
      "directory: what sheaf show says of the job.",
  ],
  arguments: [
    { name: "PATH", doc: "File or directory, or the address of an output", required: true, complete: "path" },
  ],
  flags: inspectFlags,
  examples: [["sheaf inspect out", "Is out/ complete and undamaged?"]],
  run,
};

const successFileName = "_SUCCESS";

type Inspect = Invocation<typeof inspectFlags>;

async function run(invocation: Inspect): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const given = positionals[0]!;
  if (isStored(given)) return inspectOutput(outputPlace(given, world.cwd), invocation);
  const path = localPath(given, "PATH", world.cwd);
  if (!existsSync(path)) {
    throw new SheafError("NOT_FOUND", `${given}: there is no such file or directory`, {
      hint: "Give an output directory, a job directory or a run file.",
    });
  }
  if (statSync(path).isDirectory()) {
    if (existsSync(join(path, successFileName))) return inspectOutput(path, invocation);
    if (existsSync(join(path, "job.json"))) {
      const { showJob } = await import("./show.ts");
      const job = await findJob(dirname(dirname(path)), basename(path));
      await showJob(job, { json: flags.json === true, all: false, color: flags.color }, world);
      return exitCodes.ok;
    }
    throw new SheafError("NOT_FOUND", `${given}: neither an output directory nor a job directory`, {
      hint: `A complete output has a ${successFileName}, a job directory a job.json. This one has neither: it is not complete.`,
    });
  }
  const { isRunFile } = await import("./inspect/run-file.ts");
  if (basename(path) === successFileName) return inspectOutput(dirname(path), invocation);
  if (statSync(path).isFile() && isRunFile(path)) return inspectRunFile(path, invocation);
  throw new SheafError("NOT_FOUND", `${given}: not a run file`, {
    hint: "Output files are plain data in the job's format: look at them with head. inspect checks their directory.",
  });
}

async function inspectOutput(path: string, { flags, world }: Inspect): Promise<ExitCode> {
  const [{ checkCommitted }, { outputPage }] = await Promise.all([
    import("../../engine/committed-output.ts"),
    import("./inspect/pages.ts"),
  ]);
  const checked = await checkCommitted(path);
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
  const [{ openRunFile }, { runFilePage }] = await Promise.all([
    import("./inspect/run-file.ts"),
    import("./inspect/pages.ts"),
  ]);
  const file = openRunFile(path);
  try {
    const segments = file.view.segments.map((segment) => ({ ...segment, blocks: [...file.blocks(segment)] }));
    const wanted = flags.records ?? settings.recordsShown.default;
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
