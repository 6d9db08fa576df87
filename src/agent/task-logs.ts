import { appendFile, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pauseOrAbort } from "../base/retry.ts";
import { MiB } from "../base/size.ts";
import type { LogLines } from "../protocol/task-messages.ts";
import { type AttemptRef, formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { LifeWorld } from "./agent-options.ts";

type Line = LogLines["lines"][number];

/** Of one attempt on this disk; what is older is in one file of the same size before it. */
const fileBytesMax = 1 * MiB;
const jobsKept = 20;
const lineCharsMax = 100_000;
/** Sent at once, and held back at most while the coordinator does not answer. */
const batchLines = 2_000;
const batchCharsMax = 1 * MiB;
const heldCharsMax = 8 * MiB;
const batchEveryMs = 200;
/** An attempt's report waits so long for what it printed to arrive first. */
const flushMsMax = 2_000;

interface JobLines {
  pending: Line[];
  chars: number;
  dropped: number;
  /** Resolves when what was pending at its start has been sent. */
  sending: Promise<void> | null;
  /** Ends the wait for more lines. */
  hurry: AbortController;
}

/**
 * What attempts print: kept in files of bounded size, and sent to the coordinator in batches. Nothing waits
 * for either; what is too much is dropped, and how much that was is said.
 */
export class TaskLogs {
  readonly #world: LifeWorld;
  readonly #directory: string;
  readonly #jobs = new Map<string, JobLines>();
  readonly #writes = new Map<string, Promise<void>>();

  constructor(world: LifeWorld, directory: string) {
    this.#world = world;
    this.#directory = directory;
  }

  /** Takes in whole lines. `ref` null: printed outside of tasks. */
  add(job: string, ref: AttemptRef | null, stream: Line["stream"], text: string): void {
    const task = ref === null ? "" : formatTask(ref);
    const lines = text.split("\n").map((line): Line => {
      const cut = line.length > lineCharsMax ? `${line.slice(0, lineCharsMax)}... (cut)` : line;
      return { task, attempt: ref?.attempt ?? 0, stream, text: cut };
    });
    this.#keep(job, ref === null ? "worker" : formatAttempt(ref), lines);
    const queue = this.#queueOf(job);
    for (const line of lines) {
      if (queue.chars + line.text.length > heldCharsMax) {
        queue.dropped++;
        continue;
      }
      queue.pending.push(line);
      queue.chars += line.text.length;
    }
    queue.sending ??= this.#send(job, queue);
  }

  /** Resolves when the job's lines have been sent, or soon without that. */
  async flush(job: string): Promise<void> {
    const queue = this.#jobs.get(job);
    if (queue === undefined || queue.sending === null) return;
    queue.hurry.abort();
    const stop = new AbortController();
    const sent = queue.sending.then(() => stop.abort());
    await Promise.race([sent, pauseOrAbort(flushMsMax, stop.signal)]);
    stop.abort();
  }

  /** Nothing of the job is sent any more. Its files stay, those of the oldest jobs go. */
  async forget(job: string): Promise<void> {
    this.#jobs.delete(job);
    const names = (await readdir(this.#directory).catch(() => [])).toSorted();
    for (const name of names.slice(0, -jobsKept)) {
      await rm(join(this.#directory, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }

  /** Resolves when all that was taken in is in its files. */
  async written(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes.values());
  }

  #queueOf(job: string): JobLines {
    let queue = this.#jobs.get(job);
    if (queue === undefined) {
      queue = { pending: [], chars: 0, dropped: 0, sending: null, hurry: new AbortController() };
      this.#jobs.set(job, queue);
    }
    return queue;
  }

  async #send(job: string, queue: JobLines): Promise<void> {
    const { api, agent, signal, log } = this.#world;
    queue.hurry = new AbortController();
    const more = AbortSignal.any([signal, queue.hurry.signal]);
    await pauseOrAbort(batchEveryMs, more);
    try {
      while (queue.pending.length > 0 && this.#jobs.get(job) === queue) {
        const lines = takeBatch(queue);
        await api.sendLogs(job, agent, { lines }, { signal });
      }
    } catch (error) {
      if (signal.aborted) return;
      log("warn", `lines of ${job} were not taken: ${String(error)}`, { job });
      queue.pending = [];
      queue.chars = 0;
    } finally {
      queue.sending = null;
    }
  }

  /** Appends to the attempt's file; files are written one after the other each. */
  #keep(job: string, attempt: string, lines: readonly Line[]): void {
    const directory = join(this.#directory, job);
    const path = join(directory, `${attempt}.log`);
    const text = lines.map(({ stream, text: line }) => `${stream}: ${line}\n`).join("");
    const before = this.#writes.get(path) ?? Promise.resolve();
    const write = before
      .then(() => append(directory, path, text))
      .catch(() => undefined)
      .then(() => {
        if (this.#writes.get(path) === write) this.#writes.delete(path);
      });
    this.#writes.set(path, write);
  }
}

function takeBatch(queue: JobLines): Line[] {
  const lines: Line[] = [];
  let chars = 0;
  while (lines.length < batchLines && queue.pending.length > lines.length) {
    const next = queue.pending[lines.length]!;
    if (lines.length > 0 && chars + next.text.length > batchCharsMax) break;
    chars += next.text.length;
    lines.push(next);
  }
  queue.pending = queue.pending.slice(lines.length);
  queue.chars -= chars;
  if (queue.pending.length === 0 && queue.dropped > 0) {
    const text = `(${queue.dropped} lines were dropped: the coordinator did not take them in time)`;
    lines.push({ task: "", attempt: 0, stream: "log", text });
    queue.dropped = 0;
  }
  return lines;
}

async function append(directory: string, path: string, text: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const bytes = (await stat(path).catch(() => null))?.size ?? 0;
  if (bytes > 0 && bytes + text.length > fileBytesMax) await rename(path, `${path}.1`);
  await appendFile(path, text, { mode: 0o600 });
}
