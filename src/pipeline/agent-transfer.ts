import { closeSync, openSync, rmSync, truncateSync, writeSync } from "node:fs";
import { lstat, mkdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { MiB } from "../base/size.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { RunResult } from "../engine/run-result.ts";
import { changedOnNode, type NodeFile, type ReadRange, type WantedFile } from "../steps/node-files.ts";
import { type NodeTask, readNodeKey } from "../steps/node-job.ts";
import { agentPlace } from "../steps/script.ts";
import { syncPath } from "../storage/atomic-output.ts";
import { crc32cOfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { placeBelow } from "./stored-transfer.ts";

/** Has agents do something, as a job that is collected. */
export type RunOnNodes = (task: NodeTask) => Promise<RunResult>;

export interface AgentCopying {
  readonly run: RunOnNodes;
  readonly signal: AbortSignal | undefined;
  /** So many more bytes, and files, are there. */
  count(bytes: number, files: number): void;
}

/** A failed job of a transfer, whose result is that of the step. */
export class FailedOnNodes extends Error {
  readonly result: RunResult;
  constructor(result: RunResult) {
    super("a job of a transfer has failed");
    this.result = result;
  }
}

/** What one job moves: what was moved is not moved again when the transfer is cut off behind it. */
const batchBytes = 256 * MiB;
const batchFiles = 500;

/** A file of an agent, and where it goes. */
export interface AgentCopy extends NodeFile {
  readonly agent: string;
  /** On this machine. */
  readonly target: string;
}

type Pair = readonly [key: readonly [agent: string, output: string, below: string], value: unknown];

/** The pairs that come back from the agents. @throws FailedOnNodes */
async function* pairsOf(task: NodeTask, { run, signal }: AgentCopying): AsyncGenerator<Pair> {
  signal?.throwIfAborted();
  const result = await run(task);
  if (result.status !== "SUCCEEDED") throw new FailedOnNodes(result);
  try {
    for await (const [key, value] of result.records()) yield [readNodeKey(String(key)), value];
  } finally {
    await result.dispose();
  }
}

/**
 * The files that a place on agents means; of all agents they are below `to` by the agents' names.
 * @throws SheafError INPUT_MISSING when there is none; OUTPUT_UNWRITABLE; FailedOnNodes
 */
export async function listOnAgents(from: string, to: string, copying: AgentCopying): Promise<AgentCopy[]> {
  const { agent: only, path } = agentPlace(from)!;
  const copies: AgentCopy[] = [];
  const task = { kind: "list", agents: only === null ? [] : [only], path } as const;
  for await (const [[agent], value] of pairsOf(task, copying)) {
    const file = value as NodeFile;
    const below = placeBelow(file.place, file.path);
    copies.push({ ...file, agent, target: join(to, only === null ? placeBelow(agent, agent) : "", below) });
  }
  if (copies.length > 0) return copies;
  throw new SheafError("INPUT_MISSING", `${from}: no agent has such files`, {
    hint: "Look at the path, and that the agents whose files are meant are there: sheaf nodes.",
  });
}

/**
 * Makes copies here of files of agents, several at once, each by one rename. What is there and the same is
 * not fetched; of what was cut off the rest is.
 * @returns checksums, in order
 * @throws SheafError INPUT_CHANGED, OUTPUT_UNWRITABLE, DISK_FULL; FailedOnNodes
 */
export async function fetchFromAgents(
  copies: readonly AgentCopy[],
  copying: AgentCopying,
): Promise<string[]> {
  const wanted: { readonly copy: AgentCopy; readonly part: string; from: number; begun: boolean }[] = [];
  for (const copy of copies) {
    const { target, bytes, crc32c } = copy;
    const there = await lstat(target).catch(() => null);
    if (there !== null && !there.isFile()) {
      throw new SheafError("OUTPUT_UNWRITABLE", `${target} is there, and is no file`, {
        hint: "Remove it, or transfer to another directory.",
      });
    }
    if (there?.size === bytes && (await crc32cOfFile(target)).crc32c === crc32c) {
      copying.count(bytes, 1);
      continue;
    }
    await mkdir(dirname(target), { recursive: true }).catch((error: unknown) => {
      throw asSheafError(error, { path: target, doing: "create", code: "OUTPUT_UNWRITABLE" });
    });
    // Of what is another version, or was changed since, the checksum at the end tells.
    const part = join(dirname(target), `.${basename(target)}.sheaf-part-${copy.crc32c.toString(16)}`);
    const begun = await lstat(part).catch(() => null);
    const from = begun?.isFile() === true && begun.size <= bytes ? begun.size : 0;
    copying.count(from, 0);
    wanted.push({ copy, part, from, begun: from > 0 });
  }
  for (let at = 0; at < wanted.length;) {
    const batch: { readonly one: (typeof wanted)[number]; readonly range: ReadRange }[] = [];
    for (let left = batchBytes; at < wanted.length && left > 0 && batch.length < batchFiles;) {
      const one = wanted[at]!;
      const { agent, path, bytes } = one.copy;
      const to = Math.min(bytes, one.from + left);
      batch.push({ one, range: { agent, path, from: one.from, to } });
      left -= to - one.from;
      if (to < bytes) break;
      at++;
    }
    await fetchRanges(
      batch.map(({ one, range }) => ({ part: one.part, range })),
      copying,
    );
    for (const { one, range } of batch) {
      one.from = range.to;
      if (range.to === one.copy.bytes && !(await placed(one))) {
        if (!one.begun) throw changedOnNode(`agent ${one.copy.agent}: ${one.copy.path}`);
        // What an earlier try has left was not its beginning.
        copying.count(-range.to, 0);
        Object.assign(one, { from: 0, begun: false });
        wanted.push(one);
      } else if (range.to === one.copy.bytes) copying.count(0, 1);
    }
  }
  return copies.map(({ crc32c }) => crcText(crc32c));
}

/** Appends what the agents give to the parts. */
async function fetchRanges(
  ranges: readonly { readonly part: string; readonly range: ReadRange }[],
  copying: AgentCopying,
): Promise<void> {
  const files = new Map<string, number>();
  try {
    for (const [index, { part, range }] of ranges.entries()) {
      const file = openSync(part, range.from === 0 ? "w" : "r+");
      files.set(String(index), file);
      if (range.from > 0) truncateSync(part, range.from);
    }
    const ends = ranges.map(({ range }) => range.from);
    const task = { kind: "read", ranges: ranges.map(({ range }) => range) } as const;
    for await (const [[agent, output], value] of pairsOf(task, copying)) {
      const index = Number(output);
      const range = ranges[index]?.range;
      const bytes = value as Uint8Array;
      if (range?.agent !== agent || ends[index]! + bytes.length > range.to)
        throw new SheafError("MESSAGE_INVALID", `agent ${agent} has sent what was not asked for`, {
          hint: "Use the same version of sheaf everywhere.",
        });
      for (let at = 0; at < bytes.length;)
        at += writeSync(files.get(output)!, bytes, at, bytes.length - at, ends[index]! + at);
      ends[index]! += bytes.length;
      copying.count(bytes.length, 0);
    }
  } catch (error) {
    if (error instanceof FailedOnNodes) throw error;
    throw asSheafError(error, { path: ranges[0]!.part, doing: "write" });
  } finally {
    for (const file of files.values()) closeSync(file);
  }
}

/** Gives a part that is whole its name; false, and it is gone, when it is something else. */
async function placed({ copy, part }: { readonly copy: AgentCopy; readonly part: string }): Promise<boolean> {
  await syncPath(part);
  const { bytes, crc32c } = await crc32cOfFile(part);
  if (bytes !== copy.bytes || crc32c !== copy.crc32c) {
    rmSync(part, { force: true });
    return false;
  }
  await rename(part, copy.target);
  await syncPath(dirname(copy.target)).catch(() => undefined);
  return true;
}

/** A file of this machine that goes to agents. */
export interface SentCopy {
  readonly source: string;
  /** Below the place on the agents. */
  readonly below: string;
}

/**
 * Makes copies on agents, several at once, each by one rename; what is there and the same is not sent.
 * @returns the copies by their places, agent:NAME:/PATH
 * @throws SheafError INPUT_UNREADABLE; FailedOnNodes
 */
export async function sendToAgents(
  copies: readonly SentCopy[],
  to: string,
  copying: AgentCopying,
): Promise<CommittedPart[]> {
  const { agent: only, path } = agentPlace(to)!;
  const agents = only === null ? [] : [only];
  const files: (WantedFile & { readonly source: string })[] = [];
  for (const { source, below } of copies) {
    try {
      files.push({ source, path: join(path, below), ...(await crc32cOfFile(source)) });
    } catch (error) {
      throw asSheafError(error, { path: source, doing: "read" });
    }
  }
  const reached = new Set<string>();
  for (let at = 0; at < files.length;) {
    let end = at;
    for (let bytes = 0; end < files.length && end - at < batchFiles; end++)
      if (end > at && (bytes += files[end]!.bytes) > batchBytes) break;
    const some = files.slice(at, end);
    const looked = some.map(({ path: place, bytes, crc32c }) => ({ path: place, bytes, crc32c }));
    const missing = new Set<number>();
    for await (const [[agent, output]] of pairsOf({ kind: "look", agents, files: looked }, copying)) {
      if (output === "") reached.add(agent);
      else missing.add(Number(output));
    }
    const sent = some.filter((_, index) => missing.has(index));
    // The write is told to those that were looked at: an agent that has joined since is for another run.
    const task = { kind: "write", agents: [...reached], files: sent } as const;
    if (sent.length > 0) for await (const _ of pairsOf(task, copying));
    for (const { bytes } of some) copying.count(bytes, 1);
    at = end;
  }
  const all = files.flatMap((file) => [...reached].toSorted().map((agent) => ({ ...file, agent })));
  return all.map(({ agent, path: place, bytes, crc32c }, partition) => ({
    file: `agent:${agent}:${place}`,
    collection: "",
    partition,
    bytes,
    records: 0,
    crc32c: crcText(crc32c),
  }));
}
