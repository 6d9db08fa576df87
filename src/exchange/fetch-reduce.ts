import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { unlessAborted } from "../base/retry.ts";
import type { FileWindow, PartitionPlace } from "../shuffle/run-index.ts";
import type { ReduceInput } from "../task/task-spec.ts";
import type { PartialSlice, SliceStream } from "./fetch-stream.ts";
import type { OutputMirror } from "./output-mirror.ts";
import { WITHDRAWN, grown } from "./output-mirror.ts";
import { PackFile, SliceInventory } from "./packs.ts";
import type { FetchJob, MapAttempt } from "./slice-protocol.ts";
import { MAPS_PER_REQUEST_MAX } from "./slice-protocol.ts";

export type ReduceInputs =
  /** All on this disk, in map task order. */
  | { readonly kind: "inputs"; readonly inputs: readonly ReduceInput[] }
  /** The map attempt whose output could not be had. */
  | {
      readonly kind: "unreadable";
      readonly task: number;
      readonly attempt: number;
      readonly message: string;
    };

export interface ReduceFetchOptions {
  readonly job: FetchJob;
  readonly task: number;
  readonly place: PartitionPlace;
  /** Its own, made when the first slice comes. */
  readonly directory: string;
  readonly mirror: OutputMirror;
  /** Map tasks of the job: each must have an entry in the list. */
  readonly maps: number;
  /** Run file of an attempt of this life of this agent; null when it is gone; undefined for others'. */
  ownOutput(peer: number, map: MapAttempt): string | null | undefined;
  /** There may be something to fetch from that agent. */
  ready(peer: PeerFetch): void;
}

/** What is to be done about the output of a map task. */
const UNKNOWN = 0;
/** It is here, or there is nothing in it. */
const SETTLED = 1;
const WANTED = 2;
const FAILED = 3;
/** Lost before it was fetched; it is being made again. */
const LOST = 4;
type Standing = typeof UNKNOWN | typeof SETTLED | typeof WANTED | typeof FAILED | typeof LOST;

interface Waiter {
  readonly moved: () => void;
  readonly resolve: (inputs: ReduceInputs) => void;
  readonly reject: (error: unknown) => void;
}

type Stage =
  | { readonly kind: "open" }
  /** Trouble of this machine: nothing is fetched until somebody asks again. */
  | { readonly kind: "halted"; readonly error: SheafError }
  /** Nothing is done for it any more. */
  | { readonly kind: "closed" };

/** So often may the fetched slices of a reduce turn out damaged on this disk. */
const DAMAGES_MAX = 2;

/** What one reduce needs: which map outputs are here, which are still to be fetched, from whom. */
export class ReduceFetch {
  readonly options: ReduceFetchOptions;
  readonly #held = new SliceInventory();
  readonly #peers = new Map<number, PeerFetch>();
  readonly #packs: PackFile[] = [];
  #standing = new Uint8Array(0);
  /** Tasks of each standing. */
  readonly #counts: Record<Standing, number> = { 0: 0, 1: 0, 2: 0, 3: 0, 4: 0 };
  readonly #failures = new Map<number, string>();
  readonly #waiters = new Set<Waiter>();
  #stage: Stage = { kind: "open" };
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
    return this.#stage.kind === "open";
  }

  get closed(): boolean {
    return this.#stage.kind === "closed";
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

  /** See ShuffleNode.inputs. */
  inputs(signal: AbortSignal, moved: () => void): Promise<ReduceInputs> {
    this.#beginAnew();
    let waiter!: Waiter;
    const answer = new Promise<ReduceInputs>((resolve, reject) => (waiter = { moved, resolve, reject }));
    this.#waiters.add(waiter);
    this.#settle();
    return unlessAborted(answer, signal).finally(() => this.#waiters.delete(waiter));
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
    this.#held.set(task, { attempt, pack, window: empty ? null : window });
    this.update(task);
  }

  /** It cannot be had. */
  failed({ task, attempt }: MapAttempt, error: SheafError): void {
    if (this.#standing[task] !== WANTED || this.options.mirror.place(task)?.attempt !== attempt) return;
    this.#failures.set(task, error.message);
    this.#stand(task, FAILED);
    this.#settle();
  }

  /** This machine cannot take any more. */
  halt(error: SheafError): void {
    if (!this.closed) this.#stage = { kind: "halted", error };
    this.#settle();
  }

  /** A file for slices, and its number. */
  newPack(): Pack {
    const number = this.#packs.length;
    const file = new PackFile(join(this.options.directory, `${number}.pack`));
    this.#packs.push(file);
    return { file, number, partial: null };
  }

  /** Whether it fetched the file at that path, which is damaged, and may fetch what was in it again. */
  damaged(path: string): boolean {
    const number = this.#packs.findIndex((pack) => pack?.path === path);
    if (number < 0 || ++this.#damages > DAMAGES_MAX) return false;
    // The number is not used again: what may still arrive for it is ignored.
    delete this.#packs[number];
    for (const peer of this.#peers.values()) {
      if (peer.pack?.number !== number) continue;
      peer.stop();
      peer.pack = null;
    }
    void rm(path, { force: true }).catch(() => {});
    for (const task of this.#held.dropPack(number)) this.update(task);
    return true;
  }

  /** Ends its streams; resolves when none of its files is open. Who waits is told `reason`. */
  async close(reason: Error): Promise<void> {
    this.#stage = { kind: "closed" };
    for (const waiter of this.#waiters) waiter.reject(reason);
    for (const peer of this.#peers.values()) {
      peer.reset();
      peer.giveUp(null);
      peer.stop();
    }
    await Promise.all(this.running);
  }

  /** What failed before is tried again: what was wrong may have passed. */
  #beginAnew(): void {
    if (this.#stage.kind === "halted") this.#stage = { kind: "open" };
    for (const peer of this.#peers.values()) peer.reset();
    const again = [...this.#failures.keys()];
    this.#failures.clear();
    for (const task of again) this.#decide(task);
    for (const peer of this.#peers.values()) this.options.ready(peer);
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
      if (own === null) this.#failures.set(task, "its run file is not on this machine any more");
      return this.#stand(task, own === null ? FAILED : SETTLED);
    }
    this.#stand(task, WANTED);
    let fetch = this.#peers.get(peer);
    if (fetch === undefined) this.#peers.set(peer, (fetch = new PeerFetch(this, peer, address)));
    fetch.push(task);
    this.options.ready(fetch);
  }

  #stand(task: number, standing: Standing): void {
    if (task >= this.#standing.length)
      this.#standing = grown(this.#standing, Math.max(task + 1, this.options.maps));
    this.#counts[this.#standing[task] as Standing]--;
    this.#counts[standing]++;
    this.#standing[task] = standing;
  }

  /** Tells who waits, when there is an end to it. */
  #settle(): void {
    if (this.#waiters.size === 0) return;
    const outcome = this.#outcome();
    if (outcome === null) return;
    for (const { resolve, reject } of this.#waiters)
      if (outcome instanceof SheafError) reject(outcome);
      else resolve(outcome);
  }

  #outcome(): ReduceInputs | SheafError | null {
    if (this.#stage.kind === "halted") return this.#stage.error;
    const counts = this.#counts;
    if (counts[FAILED] > 0 || counts[LOST] > 0) return this.#unreadable();
    if (counts[WANTED] > 0) return null;
    const { maps, task } = this.options;
    const missing = maps - counts[SETTLED];
    if (missing <= 0) return this.#inputs() ?? this.#unreadable();
    const message = `the list of map outputs says nothing of ${missing} of ${maps} maps`;
    return new SheafError("INTERNAL", `${message}, but reduce ${task} was to begin`);
  }

  #unreadable(): ReduceInputs {
    const task = this.#standing.findIndex((standing) => standing === FAILED || standing === LOST);
    const { attempt = 0 } = this.options.mirror.place(task) ?? {};
    const message = this.#failures.get(task) ?? "the agent that had it is lost";
    return { kind: "unreadable", task, attempt, message };
  }

  /** Null when a run file of this machine has gone meanwhile; its task has then failed. */
  #inputs(): ReduceInputs | SheafError | null {
    const { mirror, maps } = this.options;
    const inputs: ReduceInput[] = [];
    for (let task = 0; task < Math.max(maps, mirror.tasks); task++) {
      const place = mirror.place(task);
      if (place === null) continue;
      const { attempt, peer } = place;
      const held = this.#held.get(task);
      if (held?.attempt === attempt) {
        const path = this.#packs[held.pack]?.path;
        // A null path would say that the map emitted nothing.
        if (path === undefined) return new SheafError("INTERNAL", `pack ${held.pack} of map ${task} is gone`);
        if (held.window !== null) inputs.push({ task, attempt, path, window: held.window });
      } else if (mirror.peer(peer).address !== null) {
        this.#decide(task);
        if (this.#standing[task] !== SETTLED) return null;
        inputs.push({ task, attempt, path: this.options.ownOutput(peer, { task, attempt }) ?? null });
      }
    }
    return { kind: "inputs", inputs };
  }
}

/** Before anything has come, a request asks for so many slices. */
const FIRST_SLICES = 16;

/** How the fetching stands. */
export type PeerStage =
  /** It may be given a stream when there is something to fetch. */
  | { readonly kind: "idle" }
  /** A stream is being begun (then it is null), runs, or is being ended. */
  | { readonly kind: "fetching"; stream: SliceStream | null }
  /** After a failure, until the timer ends. */
  | { readonly kind: "pausing"; readonly timer: ReturnType<typeof setTimeout> };

/** Where slices go. */
export interface Pack {
  readonly file: PackFile;
  readonly number: number;
  /** The slice at its end that was cut off. */
  partial: PartialSlice | null;
}

/** What one reduce needs of one agent: one request at a time, for all that has come together meanwhile. */
export class PeerFetch {
  readonly reduce: ReduceFetch;
  /** Index of the peer in the mirror. */
  readonly peer: number;
  readonly address: string;
  /** Tasks to be fetched, first come first served; some come back to the front. */
  #queue = new Set<number>();
  stage: PeerStage = { kind: "idle" };
  /** Tries in a row that brought nothing. */
  tries = 0;
  pack: Pack | null = null;
  /** Tasks whose slice came damaged once. */
  readonly suspects = new Set<number>();
  #slices = 0;
  #bytes = 0;

  constructor(reduce: ReduceFetch, peer: number, address: string) {
    this.reduce = reduce;
    this.peer = peer;
    this.address = address;
  }

  /** It may be given a stream. */
  get ready(): boolean {
    return this.stage.kind === "idle" && this.#queue.size > 0 && this.reduce.fetches;
  }

  /** A slice of that size has come. */
  measured(bytes: number): void {
    this.#slices++;
    this.#bytes += bytes;
  }

  /** Takes what the next request asks for: about `batchBytes`. */
  take(batchBytes: number): MapAttempt[] {
    const guess = this.#slices === 0 ? FIRST_SLICES : (batchBytes * this.#slices) / this.#bytes;
    const most = Math.max(1, Math.min(Math.floor(guess), MAPS_PER_REQUEST_MAX));
    const maps = new Map<number, MapAttempt>();
    for (const task of this.#queue) {
      if (maps.size >= most) break;
      this.#queue.delete(task);
      const attempt = this.reduce.wantedFrom(task, this.peer);
      if (attempt !== null) maps.set(task, { task, attempt });
    }
    const taken = [...maps.values()];
    const { map } = this.pack?.partial ?? {};
    if (this.pack !== null && (map?.task !== taken[0]?.task || map?.attempt !== taken[0]?.attempt))
      this.pack.partial = null;
    return taken;
  }

  push(task: number): void {
    this.#queue.add(task);
  }

  /** Asks for these again, before others. */
  putBack(maps: readonly MapAttempt[]): void {
    if (maps.length > 0) this.#queue = new Set([...maps.map(({ task }) => task), ...this.#queue]);
  }

  /** Nothing of what is still wanted of that agent can be had, or is to be. */
  giveUp(error: SheafError | null): void {
    const tasks = [...this.#queue];
    this.#queue.clear();
    this.tries = 0;
    if (this.pack !== null) this.pack.partial = null;
    if (error === null) return;
    for (const task of tasks) {
      const attempt = this.reduce.wantedFrom(task, this.peer);
      if (attempt !== null) this.reduce.failed({ task, attempt }, error);
    }
  }

  /** Forgets what went wrong. */
  reset(): void {
    this.tries = 0;
    this.suspects.clear();
    if (this.stage.kind !== "pausing") return;
    clearTimeout(this.stage.timer);
    this.stage = { kind: "idle" };
  }

  /** Ends the stream that runs; what has arrived whole counts. */
  stop(): void {
    if (this.stage.kind === "fetching") this.stage.stream?.stop();
  }
}
