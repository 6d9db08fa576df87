import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { FileWindow, PartitionPlace } from "../shuffle/run-index.ts";
import type { ReduceInput } from "../task/task-spec.ts";
import { FetchLane } from "./fetch-lane.ts";
import type { OutputMirror } from "./output-mirror.ts";
import { WITHDRAWN } from "./output-mirror.ts";
import { PackFile } from "./pack-file.ts";
import type { ReduceInputs } from "./shuffle-node.ts";
import type { MapAttempt } from "./slice-protocol.ts";

export interface ReduceFetchOptions {
  readonly task: number;
  readonly place: PartitionPlace;
  /** Its own, made when the first slice comes. */
  readonly directory: string;
  readonly mirror: OutputMirror;
  /** Map tasks of the job: each must have an entry in the list. */
  readonly maps: number;
  /** Run file of an attempt of this life of this agent; null when it is gone; undefined for others'. */
  ownOutput(peer: number, map: MapAttempt): string | null | undefined;
  /** The lane has something to fetch. */
  ready(lane: FetchLane): void;
}

/** What is to be done about the output of a map task. */
const UNKNOWN = 0;
/** It is here, or there is nothing in it. */
const SETTLED = 1;
const WANTED = 2;
const FAILED = 3;
/** Lost before it was fetched; it is being made again. */
const LOST = 4;

interface Waiter {
  readonly moved: () => void;
  readonly resolve: (inputs: ReduceInputs) => void;
  readonly reject: (error: unknown) => void;
}

/** So often may the fetched slices of a reduce turn out damaged on this disk. */
const DAMAGES_MAX = 2;

/** What one reduce needs: which map outputs are here, which are still to be fetched, from whom. */
export class ReduceFetch {
  readonly options: ReduceFetchOptions;
  readonly #held = new SliceInventory();
  readonly #lanes = new Map<number, FetchLane>();
  readonly #packs: PackFile[] = [];
  #standing = new Uint8Array(0);
  /** Tasks of each standing. */
  readonly #counts = [0, 0, 0, 0, 0];
  readonly #failures = new Map<number, SheafError>();
  readonly #waiters = new Set<Waiter>();
  /** Trouble of this machine: nothing is fetched until somebody asks again. */
  #halted: SheafError | null = null;
  /** Nothing is done for it any more. */
  closed = false;
  #damages = 0;
  /** Streams that run: their files are open. */
  readonly running = new Set<Promise<void>>();

  constructor(options: ReduceFetchOptions) {
    this.options = options;
    for (let task = 0; task < options.mirror.tasks; task++) this.update(task);
  }

  /** Somebody waits for it. */
  get urgent(): boolean {
    return this.#waiters.size > 0;
  }

  /** Streams may be begun for it. */
  get fetches(): boolean {
    return !this.closed && this.#halted === null;
  }

  /** The list has another entry for the task. */
  update(task: number): void {
    this.#decide(task);
    this.#settle();
  }

  /** The attempt to be fetched from that peer; null when it is not, or not any more. */
  wantedFrom(task: number, peer: number): number | null {
    if (this.#standing[task] !== WANTED) return null;
    const place = this.options.mirror.place(task);
    return place !== null && place.peer === peer ? place.attempt : null;
  }

  /** See ShuffleNode.inputs. `signal` is the caller's affair but for its listeners. */
  inputs(signal: AbortSignal, moved: () => void): Promise<ReduceInputs> {
    this.#beginAnew();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => finish(() => reject(signal.reason));
      const waiter: Waiter = {
        moved,
        resolve: (inputs) => finish(() => resolve(inputs)),
        reject: (error) => finish(() => reject(error)),
      };
      const finish = (tell: () => void): void => {
        signal.removeEventListener("abort", onAbort);
        this.#waiters.delete(waiter);
        tell();
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      this.#waiters.add(waiter);
      this.#settle();
    });
  }

  moved(): void {
    for (const waiter of this.#waiters) waiter.moved();
  }

  /** A slice is whole in a pack. */
  arrived({ task, attempt }: MapAttempt, pack: number, window: FileWindow, empty: boolean): void {
    const place = this.options.mirror.place(task);
    if (this.closed || place?.attempt !== attempt) return;
    // Its pack was damaged meanwhile.
    if (this.#packs[pack] === undefined) return this.update(task);
    this.#held.set(task, { attempt, pack, window, empty });
    this.update(task);
  }

  /** It cannot be had. */
  failed({ task, attempt }: MapAttempt, error: SheafError): void {
    if (this.#standing[task] !== WANTED || this.options.mirror.place(task)?.attempt !== attempt) return;
    this.#failures.set(task, error);
    this.#stand(task, FAILED);
    this.#settle();
  }

  /** This machine cannot take any more. */
  halt(error: SheafError): void {
    this.#halted = error;
    this.#settle();
  }

  /** A file for slices, and its number. */
  newPack(): { readonly file: PackFile; readonly number: number } {
    const number = this.#packs.length;
    const file = new PackFile(join(this.options.directory, `${number}.pack`));
    this.#packs.push(file);
    return { file, number };
  }

  /** Whether it fetched the file at that path, which is damaged, and may fetch what was in it again. */
  damaged(path: string): boolean {
    const number = this.#packs.findIndex((pack) => pack?.path === path);
    if (number < 0 || ++this.#damages > DAMAGES_MAX) return false;
    // The number is not used again: what may still arrive for it is ignored.
    delete this.#packs[number];
    for (const lane of this.#lanes.values()) {
      if (lane.pack?.number !== number) continue;
      lane.stream?.stop();
      lane.pack = null;
      lane.partial = null;
    }
    void rm(path, { force: true }).catch(() => {});
    for (const task of this.#held.dropPack(number)) this.update(task);
    return true;
  }

  /** Ends its streams; resolves when none of its files is open. Who waits is told `reason`. */
  async close(reason: Error): Promise<void> {
    this.closed = true;
    for (const waiter of this.#waiters) waiter.reject(reason);
    for (const lane of this.#lanes.values()) {
      lane.reset();
      lane.queue.clear();
      lane.stream?.stop();
    }
    await Promise.all(this.running);
  }

  /** What failed before is tried again: what was wrong may have passed. */
  #beginAnew(): void {
    this.#halted = null;
    for (const lane of this.#lanes.values()) lane.reset();
    const again = [...this.#failures.keys()];
    this.#failures.clear();
    for (const task of again) this.#decide(task);
    for (const lane of this.#lanes.values()) this.options.ready(lane);
  }

  #decide(task: number): void {
    const { mirror, ownOutput } = this.options;
    this.#failures.delete(task);
    const place = mirror.place(task);
    if (place === null) return;
    const { attempt, peer } = place;
    const held = this.#held.get(task)?.attempt === attempt;
    if (peer === WITHDRAWN) return this.#stand(task, held ? SETTLED : LOST);
    const { address } = mirror.peer(peer);
    if (held || address === null) return this.#stand(task, SETTLED);
    const own = ownOutput(peer, { task, attempt });
    if (own !== undefined) {
      if (own === null) this.#failures.set(task, gone("its run file is not on this machine any more"));
      return this.#stand(task, own === null ? FAILED : SETTLED);
    }
    this.#stand(task, WANTED);
    const lane = this.#laneOf(peer, address);
    lane.queue.push(task);
    this.options.ready(lane);
  }

  #laneOf(peer: number, address: string): FetchLane {
    const known = this.#lanes.get(peer);
    if (known !== undefined) return known;
    const lane = new FetchLane(this, peer, address);
    this.#lanes.set(peer, lane);
    return lane;
  }

  #stand(task: number, standing: number): void {
    if (task >= this.#standing.length) {
      const { maps } = this.options;
      const larger = new Uint8Array(Math.max(task + 1, maps, this.#standing.length * 2));
      larger.set(this.#standing);
      this.#standing = larger;
    }
    const before = this.#standing[task]!;
    if (before !== UNKNOWN) this.#counts[before]!--;
    this.#counts[standing]!++;
    this.#standing[task] = standing;
  }

  /** Tells who waits, when there is an end to it. */
  #settle(): void {
    if (this.#waiters.size === 0) return;
    const tell = this.#outcome();
    if (tell !== null) for (const waiter of this.#waiters) tell(waiter);
  }

  #outcome(): ((waiter: Waiter) => void) | null {
    const halted = this.#halted;
    if (halted !== null) return ({ reject }) => reject(halted);
    if (this.#counts[FAILED]! > 0 || this.#counts[LOST]! > 0) {
      const unreadable = this.#unreadable();
      return ({ resolve }) => resolve(unreadable);
    }
    if (this.#counts[WANTED]! > 0) return null;
    const { maps, task } = this.options;
    if (this.#counts[SETTLED]! < maps) {
      const missing = maps - this.#counts[SETTLED]!;
      const error = new SheafError(
        "INTERNAL",
        `the list of map outputs says nothing of ${missing} of ${maps} maps, but reduce ${task} was to begin`,
      );
      return ({ reject }) => reject(error);
    }
    const inputs = this.#inputs() ?? this.#unreadable();
    return ({ resolve }) => resolve(inputs);
  }

  #unreadable(): ReduceInputs {
    const task = this.#standing.findIndex((standing) => standing === FAILED || standing === LOST);
    const { attempt = 0 } = this.options.mirror.place(task) ?? {};
    const message = this.#failures.get(task)?.message ?? "the agent that had it is lost";
    return { kind: "unreadable", task, attempt, message };
  }

  /** Null when a run file of this machine has gone meanwhile; its task has then failed. */
  #inputs(): ReduceInputs | null {
    const { mirror, maps } = this.options;
    const inputs: ReduceInput[] = [];
    for (let task = 0; task < Math.max(maps, mirror.tasks); task++) {
      const place = mirror.place(task);
      if (place === null) continue;
      const { attempt, peer } = place;
      const held = this.#held.get(task);
      if (held?.attempt === attempt) {
        const path = this.#packs[held.pack]!.path;
        if (!held.empty) inputs.push({ task, attempt, path, window: held.window });
      } else if (mirror.peer(peer).address !== null) {
        this.#decide(task);
        if (this.#standing[task] !== SETTLED) return null;
        inputs.push({ task, attempt, path: this.options.ownOutput(peer, { task, attempt }) ?? null });
      }
    }
    return { kind: "inputs", inputs };
  }
}

function gone(problem: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", problem, {
    hint: "The map task that wrote it has to run again.",
    retryable: true,
  });
}

/** A slice that is on this disk. */
export interface HeldSlice {
  readonly attempt: number;
  /** Number of the pack. */
  readonly pack: number;
  readonly window: FileWindow;
  /** It holds no records. */
  readonly empty: boolean;
}

/** Which slices of one reduce are on this disk, and where: 25 bytes for each map task. */
export class SliceInventory {
  #attempts = new Int32Array(0);
  #packs = new Int32Array(0);
  #offsets = new Float64Array(0);
  #bytes = new Float64Array(0);
  #empty = new Uint8Array(0);

  get(task: number): HeldSlice | null {
    const attempt = this.#attempts[task] ?? 0;
    if (attempt === 0) return null;
    const window = { offset: this.#offsets[task]!, bytes: this.#bytes[task]! };
    return { attempt, pack: this.#packs[task]!, window, empty: this.#empty[task] === 1 };
  }

  /** In place of an earlier one of the task. */
  set(task: number, { attempt, pack, window, empty }: HeldSlice): void {
    if (task >= this.#attempts.length) this.#grow(Math.max(task + 1, this.#attempts.length * 2));
    this.#attempts[task] = attempt;
    this.#packs[task] = pack;
    this.#offsets[task] = window.offset;
    this.#bytes[task] = window.bytes;
    this.#empty[task] = empty ? 1 : 0;
  }

  /** Forgets all slices of a pack; gives their tasks. */
  dropPack(pack: number): number[] {
    const tasks: number[] = [];
    for (const [task, attempt] of this.#attempts.entries()) {
      if (attempt === 0 || this.#packs[task] !== pack) continue;
      this.#attempts[task] = 0;
      tasks.push(task);
    }
    return tasks;
  }

  #grow(tasks: number): void {
    const larger = <A extends Int32Array | Float64Array | Uint8Array>(grown: A, old: A): A => {
      grown.set(old);
      return grown;
    };
    this.#attempts = larger(new Int32Array(tasks), this.#attempts);
    this.#packs = larger(new Int32Array(tasks), this.#packs);
    this.#offsets = larger(new Float64Array(tasks), this.#offsets);
    this.#bytes = larger(new Float64Array(tasks), this.#bytes);
    this.#empty = larger(new Uint8Array(tasks), this.#empty);
  }
}
