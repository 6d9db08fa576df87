import { closeSync, createReadStream, existsSync, openSync, readSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { RunEvent, RunEventBody } from "../engine/events.ts";
import type { JobDirectory } from "../engine/job-directory.ts";
import type { EpochClock } from "./epoch-clock.ts";

/** Read at once; the line that tells a job's end need not be longer. */
const chunkBytes = 1024 * 1024;

/** Hears of an event. A promise: it takes no more until then. */
export type EventListener = (number: number, event: string) => void | Promise<void>;

interface Listener {
  /** Number of the last event it was given; null while it is given those of the file. */
  at: number | null;
  readonly tell: EventListener;
  readonly done: () => void;
}

/**
 * The events of one job, numbered from 1 in the order of `events.jsonl` of its job directory, which outlives
 * the coordinator. Those that are not kept there (progress, partial results, printed lines) go to who
 * listens now, under the number of the kept one before. An event is in the file before anybody is told of it.
 */
export class JobEvents {
  readonly #clock: EpochClock;
  readonly #startedMs: number;
  readonly #directory: JobDirectory;
  readonly #file: string;
  readonly #listeners = new Set<Listener>();
  #count: number;
  #over: boolean;

  constructor(directory: JobDirectory, startedMs: number, clock: EpochClock) {
    this.#clock = clock;
    this.#startedMs = startedMs;
    this.#directory = directory;
    this.#file = join(directory.path, "events.jsonl");
    const kept = countKept(this.#file);
    this.#count = kept.count;
    this.#over = kept.over;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** job-finished was told. */
  get isOver(): boolean {
    return this.#over;
  }

  emit(body: RunEventBody): void {
    this.emitAll([body]);
  }

  /** Those of one moment, which are written at once. */
  emitAll(bodies: readonly RunEventBody[]): void {
    if (this.#over) return;
    const atMs = Math.round((this.#clock.nowMs() - this.#startedMs) * 1000) / 1000;
    const events: { readonly number: number; readonly event: RunEvent }[] = [];
    const before = this.#count;
    for (const body of bodies) {
      const event: RunEvent = { atMs, ...body };
      this.#directory.event(event);
      if (body.kind !== "progress" && body.kind !== "partial" && body.kind !== "log") this.#count++;
      events.push({ number: this.#count, event });
      this.#over ||= body.kind === "job-finished";
    }
    if (this.#count > before) this.#directory.flush();
    if (this.#listeners.size === 0) return;
    for (const { number, event } of events) this.#tell(number, JSON.stringify(event));
  }

  #tell(told: number, text: string): void {
    for (const listener of this.#listeners) {
      if (listener.at === null) continue;
      listener.at = told;
      const taken = listener.tell(told, text);
      if (taken !== undefined) {
        // What comes meanwhile is read from the file when it can take more.
        listener.at = null;
        taken.then(
          () => this.#follow(listener, told),
          () => this.#end(listener),
        );
      } else if (this.#over) this.#end(listener);
    }
  }

  /** See CoordinatorService.listen. */
  listen(after: number, tell: EventListener, done: () => void): () => void {
    const listener: Listener = { at: null, tell, done };
    this.#listeners.add(listener);
    this.#follow(listener, after);
    return () => void this.#listeners.delete(listener);
  }

  /** One that cannot be told is told nothing more; it asks again from where it was. */
  #follow(listener: Listener, after: number): void {
    this.#replay(listener, after).catch(() => this.#end(listener));
  }

  /** What is in the file, then what comes. Events that come meanwhile are in the file, too. */
  async #replay(listener: Listener, after: number): Promise<void> {
    let told = Math.max(0, after);
    while (this.#listeners.has(listener)) {
      if (told >= this.#count) {
        listener.at = this.#count;
        if (this.#over) this.#end(listener);
        return;
      }
      const before = told;
      for await (const { number, text } of keptAfter(this.#file, told)) {
        if (!this.#listeners.has(listener)) return;
        told = number;
        await listener.tell(number, text);
      }
      // A file that could not be written holds less than was told.
      if (told === before) told = this.#count;
    }
  }

  #end(listener: Listener): void {
    this.#listeners.delete(listener);
    listener.done();
  }
}

/** Of a job that has ended: its kept events, `last` where that is not among them, then `done`. */
export function listenToEnded(
  directory: string,
  after: number,
  tell: EventListener,
  done: () => void,
  last: RunEvent,
): () => void {
  let listening = true;
  const replay = async (): Promise<void> => {
    const file = join(directory, "events.jsonl");
    const { count, over } = countKept(file);
    for await (const { number, text } of keptAfter(file, Math.max(0, after))) {
      if (!listening) return;
      await tell(number, text);
    }
    // A disk without room kept it from being written: without it clients would wait on.
    if (!over && listening) await tell(Math.max(count, after) + 1, JSON.stringify(last));
    if (listening) done();
  };
  replay().catch(done);
  return () => void (listening = false);
}

async function* keptAfter(
  file: string,
  after: number,
): AsyncGenerator<{ readonly number: number; readonly text: string }> {
  if (!existsSync(file)) return;
  const stream = createReadStream(file, "utf8");
  let number = 0;
  try {
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      number++;
      if (number > after && text !== "") yield { number, text };
    }
  } catch {
    // The history is there for people: a job goes on without it.
  } finally {
    stream.destroy();
  }
}

/** Lines of the file; a last one that was cut when its coordinator was killed is taken away. */
function countKept(path: string): { count: number; over: boolean } {
  try {
    const file = openSync(path, "r");
    try {
      return countLines(file, path);
    } finally {
      closeSync(file);
    }
  } catch {
    return { count: 0, over: false };
  }
}

function countLines(file: number, path: string): { count: number; over: boolean } {
  const chunk = Buffer.alloc(chunkBytes);
  let count = 0;
  /** Where the last whole line begins and ends. */
  let [start, end, at] = [0, 0, 0];
  for (let read = readSync(file, chunk); read > 0; at += read, read = readSync(file, chunk)) {
    for (let line = chunk.indexOf(10); line >= 0 && line < read; line = chunk.indexOf(10, line + 1)) {
      count++;
      start = end;
      end = at + line + 1;
    }
  }
  if (end < at) truncateSync(path, end);
  const last = Buffer.alloc(Math.min(end - start, chunkBytes));
  readSync(file, last, 0, last.length, start);
  return { count, over: last.toString("utf8").includes('"kind":"job-finished"') };
}
