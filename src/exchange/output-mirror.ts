import { SheafError } from "../base/errors.ts";
import type { MapOutputs } from "../protocol/task-messages.ts";

/** A life of an agent that serves map outputs. */
export interface Peer {
  readonly agent: string;
  readonly incarnation: number;
  /** Null: of the maps that emitted nothing. */
  readonly address: string | null;
}

/** Where the output of a map task is. */
export interface MapOutputPlace {
  readonly attempt: number;
  /** Index into peers; WITHDRAWN when it is lost and is being made again. */
  readonly peer: number;
}

export const WITHDRAWN = -1;

export interface MirrorOptions {
  /** Entries of the list from number `after` on. */
  read(after: number, signal: AbortSignal): Promise<MapOutputs>;
  /** These tasks have other entries than before. */
  changed(tasks: readonly number[]): void;
  /** The list could not be read, though nobody waits for it. */
  failed(error: unknown): void;
}

/** This machine's copy of a job's list of map outputs: the last entry of each task. 8 bytes a task. */
export class OutputMirror {
  readonly #options: MirrorOptions;
  #version = 0;
  /** How long the list is known to be. */
  #told = 0;
  #attempts: Int32Array;
  #peers: Int32Array;
  readonly #known: Peer[] = [];
  readonly #indexes = new Map<string, number>();
  #reading: Promise<void> | null = null;
  readonly #stop = new AbortController();

  constructor(maps: number, options: MirrorOptions) {
    this.#options = options;
    this.#attempts = new Int32Array(maps);
    this.#peers = new Int32Array(maps);
  }

  /** Entries read so far. */
  get version(): number {
    return this.#version;
  }

  /** Tasks below this may have entries. */
  get tasks(): number {
    return this.#attempts.length;
  }

  place(task: number): MapOutputPlace | null {
    const attempt = this.#attempts[task] ?? 0;
    return attempt === 0 ? null : { attempt, peer: this.#peers[task]! };
  }

  peer(index: number): Peer {
    return this.#known[index]!;
  }

  /** The list has grown to that length: reads on, beside what the caller does. */
  grew(version: number): void {
    this.#told = Math.max(this.#told, version);
    if (this.#version < this.#told && this.#reading === null)
      this.#read().catch((error: unknown) => this.#options.failed(error));
  }

  /** Resolves when at least so many entries are read. @throws what `read` throws */
  async atLeast(version: number): Promise<void> {
    this.#told = Math.max(this.#told, version);
    while (this.#version < version) {
      const before = this.#version;
      await this.#read();
      if (this.#version > before || this.#version >= version) continue;
      throw new SheafError("INTERNAL", `the list of map outputs ends at ${before}, not at ${version}`, {
        hint: "The coordinator told of more than it has: its state may have been set back.",
      });
    }
  }

  close(): void {
    this.#stop.abort(
      new SheafError("CANCELLED", "the job is forgotten", { hint: "It has ended, or this agent has." }),
    );
  }

  /** One reading at a time; whoever comes meanwhile waits for it. */
  #read(): Promise<void> {
    this.#reading ??= this.#readOn().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #readOn(): Promise<void> {
    while (this.#version < this.#told) {
      const before = this.#version;
      const { version, entries } = await this.#options.read(before, this.#stop.signal);
      this.#stop.signal.throwIfAborted();
      const tasks = entries.map((entry) => this.#take(entry));
      this.#version = Math.max(before, version);
      if (tasks.length > 0) this.#options.changed(tasks);
      if (this.#version === before) return;
    }
  }

  #take({ task, attempt, agent, incarnation, address }: MapOutputs["entries"][number]): number {
    if (task >= this.#attempts.length) {
      this.#attempts = grown(this.#attempts, task + 1);
      this.#peers = grown(this.#peers, task + 1);
    }
    this.#attempts[task] = attempt;
    this.#peers[task] = agent === null ? WITHDRAWN : this.#indexOf({ agent, incarnation, address });
    return task;
  }

  #indexOf(peer: Peer): number {
    const key = JSON.stringify([peer.agent, peer.incarnation, peer.address]);
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    const index = this.#known.push(peer) - 1;
    this.#indexes.set(key, index);
    return index;
  }
}

/** A copy with room for at least `length` elements, and for twice as many as before. */
export function grown<A extends Int32Array | Float64Array | Uint8Array>(array: A, length: number): A {
  const larger = new (array.constructor as new (length: number) => A)(Math.max(length, array.length * 2));
  larger.set(array);
  return larger;
}
