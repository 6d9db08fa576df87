import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { formatSize } from "../../base/size.ts";
import { suggest } from "../../base/suggest.ts";
import { generators } from "../../generate/index.ts";
import type { Generator } from "../../generate/index.ts";
import type { Invocation } from "../command.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { FlagValues } from "../flag.ts";
import type { genFlags } from "../flags/gen-flags.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { formatByteRate } from "../ui/numbers.ts";
import { displayPath } from "../ui/summary.ts";
import type { World } from "../world.ts";
import { dataWriter, writeTo } from "../world.ts";

const SEED_DEFAULT = 1;

export async function run({ flags, positionals, world }: Invocation<typeof genFlags>): Promise<ExitCode> {
  const [kind, out] = positionals;
  const chunks = findGenerator(kind!).write(requestOf(flags, kind!));
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
  return writeFile(resolve(world.cwd, out), chunks, flags, world);
}

function findGenerator(kind: string): Generator {
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
  const stop = stopOnSignal({ onEvent: () => undefined, say: () => undefined, end: () => undefined }, world);
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
    await writeTo(world.stdout, `${JSON.stringify({ kind: "generated", path, bytes, elapsedMs })}\n`);
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
