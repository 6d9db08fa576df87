import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { lstat, mkdir, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crcText } from "../base/crc32.ts";
import { SheafError, describeThrown } from "../base/errors.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { RunResult } from "../engine/options.ts";
import { resultOf } from "../engine/result.ts";
import { workerEnvironment } from "../security/worker-environment.ts";
import type { ScriptSpec } from "../steps/script.ts";
import { commitDirectory, createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { holderOf, isHeldBy, readHolder } from "../storage/file-lock.ts";
import { errnoOf } from "../storage/fs-error.ts";
import { emptyStats } from "../task/task-spec.ts";
import { resultOfThrown, writeManifest } from "./step-output.ts";

export interface ScriptRun {
  readonly name: string;
  readonly spec: ScriptSpec;
  /** The pipeline's: it runs in its directory. */
  readonly file: string;
  /** Of this run of the step. */
  readonly directory: string;
  /** What it reads of steps, by name. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly signal: AbortSignal | undefined;
  log(stream: "stdout" | "stderr", text: string): void;
}

/** From the request to end until a script is killed. */
const graceMs = 5_000;
/** Of what it printed last, told when it fails. */
const tailLines = 10;
const lineCharsMax = 100_000;
const pidName = "script.pid";

/** Runs the script, and makes what it has written the output of the step, at once. */
export async function runScript(script: ScriptRun): Promise<RunResult> {
  const { name, directory, outputs } = script;
  const startedMs = performance.now();
  await mkdir(directory, { recursive: true });
  const temp = await createTempOutput(join(directory, "files"));
  const stats = { ...emptyStats };
  const known = { jobId: "", name, stats };
  try {
    await execute(script, temp);
    stats.elapsedMs = performance.now() - startedMs;
    if (script.signal?.aborted === true) return resultOf({ ...known, status: "CANCELLED" });
    const parts = await writtenParts(temp, outputs);
    stats.bytesOut = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    await writeManifest(temp, { name, counters: {}, badRecords: 0 }, parts);
    await commitDirectory(temp, join(directory, "files"));
    return resultOf({ ...known, status: "SUCCEEDED", parts });
  } catch (error) {
    stats.elapsedMs = performance.now() - startedMs;
    await discardTempOutput(temp);
    const { signal } = script;
    return resultOfThrown(error, known, {
      signal,
      code: "USER_CODE",
      hint: "Look at the step's log: sheaf show @.",
    });
  }
}

async function execute(
  { spec, file, inputs, directory, signal, log }: ScriptRun,
  out: string,
): Promise<void> {
  const base = dirname(file);
  const paths = Object.entries(spec.paths).map(([one, path]) => [one, resolve(base, path)] as const);
  const places: Readonly<Record<string, string>> = { ...Object.fromEntries(paths), ...inputs };
  for (const [one, path] of paths) {
    await lstat(path).catch(() => {
      throw new SheafError("INPUT_MISSING", `in.${one}: there is no ${path}`, {
        hint: "Paths of a script lie beside the pipeline's file.",
      });
    });
  }
  const words = spec.run.map((word) =>
    word.replace(/\{(in|out)\.([\w.-]+)\}/g, (all, kind: string, one: string) =>
      kind === "in" ? (places[one] ?? all) : join(out, one),
    ),
  );
  const [program, ...args] = words as [string, ...string[]];
  const isAborted = (): boolean => signal?.aborted === true;
  // It may have been, while the files were looked at.
  if (isAborted()) return;
  const isBeside = program.startsWith("./") || program.startsWith("../");
  const child = spawn(isBeside ? resolve(base, program) : program, args, {
    cwd: base,
    env: { ...workerEnvironment(process.env), ...spec.env },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: what it starts ends with it.
    detached: true,
  });
  const tail: string[] = [];
  for (const stream of ["stdout", "stderr"] as const) {
    linesOf(child[stream], (line) => {
      tail.push(line);
      if (tail.length > tailLines) tail.shift();
      log(stream, line);
    });
  }
  let late = false;
  let killed: NodeJS.Timeout | undefined;
  const end = (): void => {
    kill(child.pid, "SIGTERM");
    killed ??= setTimeout(() => kill(child.pid, "SIGKILL"), graceMs);
  };
  const timer =
    spec.timeoutMs === null ? undefined : setTimeout(() => ((late = true), end()), spec.timeoutMs);
  let cut: NodeJS.Timeout | undefined;
  signal?.addEventListener("abort", end);
  try {
    const [exited, closed] = [once(child, "exit"), once(child, "close")];
    // What keeps it from starting is heard by the next.
    for (const one of [exited, closed]) one.catch(() => undefined);
    await once(child, "spawn");
    notePid(directory, child.pid!);
    const [code, by] = (await exited) as [number | null, string | null];
    for (const one of [timer, killed]) clearTimeout(one);
    // What it left running would write on, and keep its pipes open.
    kill(child.pid, "SIGKILL");
    // What has left the group, too, is not waited for.
    cut = setTimeout(() => (child.stdout.destroy(), child.stderr.destroy()), graceMs);
    await closed;
    if (isAborted()) return;
    if (late) throw failed(`it took longer than ${spec.timeoutMs} ms and was ended`, tail);
    if (code === null) throw failed(`it was ended by ${by}`, tail);
    if (!spec.exitCodes.includes(code)) throw failed(`${program} ended with exit code ${code}`, tail);
  } catch (error) {
    if (error instanceof SheafError || errnoOf(error) === undefined) throw error;
    const why = errnoOf(error) === "ENOENT" ? "is not found" : describeThrown(error);
    throw new SheafError("USER_CODE", `${program} ${why}`, {
      hint: "Programs are looked up in PATH; ./NAME lies beside the pipeline's file.",
    });
  } finally {
    for (const one of [timer, killed, cut]) clearTimeout(one);
    signal?.removeEventListener("abort", end);
    // Nobody waits for it any more.
    if (child.exitCode === null && child.signalCode === null) kill(child.pid, "SIGKILL");
    rmSync(join(directory, pidName), { force: true });
  }
}

function failed(why: string, tail: readonly string[]): SheafError {
  const said = tail.length === 0 ? "It printed nothing." : `It said last:\n${tail.join("\n")}`;
  return new SheafError("USER_CODE", why, { hint: said });
}

/** Calls back with every line, without its end; one that is too long in pieces. */
function linesOf(stream: NodeJS.ReadableStream, tell: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) tell(line);
    if (rest.length > lineCharsMax) tell(rest.slice(0, lineCharsMax));
    if (rest.length > lineCharsMax) rest = rest.slice(lineCharsMax);
  });
  stream.on("end", () => {
    if (rest !== "") tell(rest);
  });
}

function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone.
  }
}

/** Which process this run has started, so that whoever goes on after a crash can end it. */
function notePid(directory: string, pid: number): void {
  writeFileSync(join(directory, pidName), JSON.stringify(holderOf(pid)));
}

/** Ends the script that a run which was killed has left, if it is sure to be that which still runs. */
export function endLeftScript(directory: string): void {
  const holder = readHolder(join(directory, pidName));
  if (holder !== null && holder.began !== null && isHeldBy(holder)) kill(holder.pid, "SIGKILL");
}

/** The files that the script has written: each output, and nothing else. */
async function writtenParts(directory: string, outputs: readonly string[]): Promise<CommittedPart[]> {
  const parts: CommittedPart[] = [];
  const visit = async (below: string, collection: string): Promise<void> => {
    const path = join(directory, below);
    const status = await lstat(path);
    if (status.isDirectory()) {
      for (const one of (await readdir(path)).toSorted()) await visit(join(below, one), collection);
    } else if (status.isFile()) {
      const partition = parts.filter((part) => part.collection === collection).length;
      const { bytes, crc32c } = await crc32cOfFile(path);
      parts.push({ file: below, collection, partition, bytes, records: 0, crc32c: crcText(crc32c) });
    } else throw failed(`${below} of what it wrote is neither a file nor a directory`, []);
  };
  const there = await readdir(directory);
  const stray = there.find((one) => !outputs.includes(one));
  if (stray !== undefined) {
    throw new SheafError("USER_CODE", `it wrote ${stray}, which is none of its outputs`, {
      hint: `Name it: out: { "${stray}": text() }. Or write it elsewhere.`,
    });
  }
  for (const one of outputs) {
    if (!there.includes(one)) throw failed(`it has not written its output ${one}, {out.${one}}`, []);
    await visit(one, one);
  }
  return parts;
}
