import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { SheafError } from "../../base/errors.ts";
import { formatSize } from "../../base/size.ts";
import { suggest } from "../../base/suggest.ts";
import type { Generator } from "../../generate/index.ts";
import { localPath } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type HelpSection, type Invocation, exitCodes } from "../command.ts";
import { type FlagValues, inCategory, repeatedFlag, switchFlag, types, valueFlag } from "../flag.ts";
import { displayFlags, jsonFlag } from "../flags.ts";
import { displayPath, formatByteRate, formatDuration } from "../ui/text.ts";
import { type World, dataWriter, stopOnSignal, writeJson, writeTo } from "../world.ts";

export const genFlags = inCategory("Output", {
  size: valueFlag("-s, --size SIZE", types.size({ min: 0 }), "Stop at this size; the last record is whole", {
    details: "Give --size, --records or both: whichever comes first ends the data.",
  }),
  records: valueFlag("-n, --records N", types.integer({ min: 0 }), "Stop after this many records"),
  seed: valueFlag("--seed N", types.integer({ min: 0 }), "Another seed, other data", { default: "1" }),
  set: repeatedFlag("--set NAME=VALUE", types.assignment, "Set an option of the kind; may be repeated"),
  overwrite: switchFlag("--overwrite", "Replace OUT if it exists"),
  json: jsonFlag,
  quiet: displayFlags.quiet,
});

export const genCommand: CliCommand<typeof genFlags> = {
  name: "gen",
  summary: "Make test data of any size",
  details: [
    "Writes data of the given KIND to OUT, or to standard output when OUT is left out or -. The same kind, size, seed " +
      "and options give the same bytes on every machine.",
  ],
  arguments: [
    { name: "KIND", doc: "Kind of data; see Kinds", required: true },
    { name: "OUT", doc: "File to write; default standard output", required: false, complete: "path" },
  ],
  flags: genFlags,
  examples: [
    ["sheaf gen text books.txt --size 256MiB", "A quarter GiB of English-like text"],
    [
      "sheaf gen measurements m.txt --records 10_000_000 --seed 7",
      "Lines as in the one billion row challenge",
    ],
    ["sheaf gen text --records 5 --set words=20", "A look at it, with few different words"],
  ],
  appendix: genKindsHelp,
  run,
};

/** The kinds of data there are, and the options of each. */
async function genKindsHelp(): Promise<readonly HelpSection[]> {
  const { generators } = await import("../../generate/index.ts");
  const kinds = generators.map((kind): [string, string] => [kind.kind, `${kind.summary}.`]);
  const options = generators.flatMap((kind) =>
    kind.options.map((option): [string, string] => [
      `${kind.kind} ${option.name}=${option.default}`,
      `${option.summary}, ${option.min} to ${option.max}`,
    ]),
  );
  return [
    { title: "Kinds", entries: kinds },
    { title: "Options of the kinds, by --set, with their defaults", entries: options },
  ];
}

const SEED_DEFAULT = 1;

async function run({ flags, positionals, world }: Invocation<typeof genFlags>): Promise<ExitCode> {
  const [kind, out] = positionals;
  const chunks = (await findGenerator(kind!)).write(requestOf(flags, kind!));
  if (out === undefined || out === "-") {
    if (flags.json === true) {
      throw new SheafError("USAGE", "--json writes to standard output, and so would the data", {
        hint: "Give OUT.",
      });
    }
    const write = dataWriter(world.stdout);
    for (const chunk of chunks) if (!(await write(chunk))) break;
    return exitCodes.ok;
  }
  return writeFile(localPath(out, "OUT", world.cwd), chunks, flags, world);
}

async function findGenerator(kind: string): Promise<Generator> {
  const { generators } = await import("../../generate/index.ts");
  const found = generators.find((one) => one.kind === kind);
  if (found !== undefined) return found;
  const kinds = generators.map((one) => one.kind);
  const near = suggest(kind, kinds);
  throw new SheafError("USAGE", `there is no kind of data "${kind}"`, {
    hint: near === undefined ? `There are: ${kinds.join(", ")}.` : `Did you mean ${near}?`,
  });
}

function requestOf(flags: FlagValues<typeof genFlags>, kind: string): Parameters<Generator["write"]>[0] {
  if (flags.size === undefined && flags.records === undefined) {
    throw new SheafError("USAGE", `sheaf gen ${kind}: no size is given`, {
      hint: "Give --size, for example --size 64MiB, or --records.",
    });
  }
  const options: Record<string, number> = {};
  for (const [name, text] of flags.set) {
    const value = text.trim() === "" ? Number.NaN : Number(text.replaceAll("_", ""));
    if (Number.isNaN(value)) {
      throw new SheafError("USAGE", `--set ${name}: "${text}" is not a number`, {
        hint: "See sheaf help gen for the options of each kind.",
      });
    }
    options[name] = value;
  }
  return {
    seed: flags.seed ?? SEED_DEFAULT,
    ...(flags.size !== undefined && { bytes: flags.size }),
    ...(flags.records !== undefined && { records: flags.records }),
    options,
  };
}

/** The file appears under its name when it is complete. */
async function writeFile(
  path: string,
  chunks: Iterable<Uint8Array>,
  flags: FlagValues<typeof genFlags>,
  world: World,
): Promise<ExitCode> {
  if (existsSync(path) && flags.overwrite !== true) {
    throw new SheafError("OUTPUT_EXISTS", `${path} exists`, { hint: "Give another name, or --overwrite." });
  }
  const stop = stopOnSignal({ say: () => undefined, end: () => undefined }, world);
  const startedMs = world.clock.nowMs();
  const unfinished = `${path}.unfinished-${process.pid}`;
  let bytes = 0;
  try {
    const file = await openNew(unfinished, path);
    try {
      for (const chunk of chunks) {
        stop.signal.throwIfAborted();
        await file.writeFile(chunk);
        bytes += chunk.length;
      }
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw asDiskError(error, path);
  } finally {
    stop.release();
  }
  const elapsedMs = world.clock.nowMs() - startedMs;
  if (flags.json === true) {
    await writeJson(world, { kind: "generated", path, bytes, elapsedMs });
  } else if (flags.quiet !== true) {
    const rate = formatByteRate(bytes, elapsedMs);
    const shown = displayPath(path, world.cwd);
    await writeTo(world.stderr, `${shown}: ${formatSize(bytes)} in ${formatDuration(elapsedMs)} (${rate})\n`);
  }
  return exitCodes.ok;
}

async function openNew(unfinished: string, path: string): ReturnType<typeof open> {
  try {
    return await open(unfinished, "wx");
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new SheafError("OUTPUT_UNWRITABLE", `${path}: cannot be written (${why})`, {
      hint: "Does its directory exist, and may you write there?",
      cause,
    });
  }
}

function asDiskError(error: unknown, path: string): unknown {
  const full = error instanceof Error && "code" in error && error.code === "ENOSPC";
  if (!full) return error;
  return new SheafError("DISK_FULL", `${path}: no space left on the device`, {
    hint: "Nothing was left behind. Free some space, or write elsewhere.",
    cause: error,
  });
}
