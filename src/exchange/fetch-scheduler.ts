import type { Clock } from "../base/clock.ts";
import type { SheafError } from "../base/errors.ts";
import { unreachable } from "../base/errors.ts";
import { MiB } from "../base/size.ts";
import { Pool } from "../vendor/undici.ts";
import type { Pack, PeerFetch, PeerStage } from "./fetch-reduce.ts";
import type { FetchLimits, StreamEnd } from "./fetch-stream.ts";
import { SliceStream } from "./fetch-stream.ts";
import type { MapAttempt } from "./slice-protocol.ts";
import { sliceTarget } from "./slice-protocol.ts";

type Fetching = Extract<PeerStage, { kind: "fetching" }>;

/** A connection that brought so much was of use, even if no slice is whole. */
const WORTH_BYTES = 1 * MiB;
const PAUSE_GROWTH = 3;

export interface FetchSchedulerOptions {
  readonly limits: FetchLimits;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Of the connections to other agents; null: the system's. */
  readonly tls: object | null;
}

/** Gives peers their streams: so many at once, those first for whose reduce somebody waits. */
export class FetchScheduler {
  readonly #options: FetchSchedulerOptions;
  readonly #peers = new Set<PeerFetch>();
  readonly #pools = new Map<string, Pool>();
  /** Streams to each address. */
  readonly #active = new Map<string, number>();
  #streams = 0;
  readonly #running = new Set<SliceStream>();
  #watch: ReturnType<typeof setInterval> | null = null;
  #isDue = false;

  constructor(options: FetchSchedulerOptions) {
    this.#options = options;
  }

  /** There may be something to fetch from the peer. */
  ready(peer: PeerFetch): void {
    this.#peers.add(peer);
    // Many entries of a list come at once: peers are looked at when all of them are in their queues.
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#giveStreams();
    });
  }

  /** Its reduces must be closed. */
  async close(): Promise<void> {
    this.#peers.clear();
    if (this.#watch !== null) clearInterval(this.#watch);
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  #giveStreams(): void {
    const { limits, random } = this.#options;
    while (this.#streams < limits.streams) {
      // Those that pause or are busy come back by themselves.
      for (const peer of this.#peers) if (!peer.ready) this.#peers.delete(peer);
      const free = [...this.#peers].filter((peer) => this.#activeTo(peer.address) < limits.streamsPerPeer);
      const urgent = free.filter(({ reduce }) => reduce.urgent);
      const best = urgent.length > 0 ? urgent : free;
      // Any of them, so that not all machines ask the same one at once.
      const peer = best[Math.floor(random() * best.length)];
      if (peer === undefined) return;
      this.#peers.delete(peer);
      this.#begin(peer);
    }
  }

  #activeTo(address: string): number {
    return this.#active.get(address) ?? 0;
  }

  #begin(peer: PeerFetch): void {
    const { address, reduce } = peer;
    const maps = peer.take(this.#options.limits.batchBytes);
    if (maps.length === 0) return;
    const stage: Fetching = { kind: "fetching", stream: null };
    peer.stage = stage;
    this.#streams++;
    this.#active.set(address, this.#activeTo(address) + 1);
    const work = this.#run(peer, maps, stage).catch((error: SheafError) => {
      peer.putBack(maps);
      reduce.halt(error);
    });
    const run = work.finally(() => {
      if (peer.stage === stage) peer.stage = { kind: "idle" };
      this.#streams--;
      this.#active.set(address, this.#activeTo(address) - 1);
      reduce.running.delete(run);
      this.ready(peer);
    });
    reduce.running.add(run);
  }

  /** One request, from opening the pack to closing it. @throws SheafError when the pack cannot be opened */
  async #run(peer: PeerFetch, maps: readonly MapAttempt[], stage: Fetching): Promise<void> {
    const pack = (peer.pack ??= peer.reduce.newPack());
    await pack.file.open();
    let received = 0;
    const stream = this.#fetch(peer, maps, pack, (bytes) => (received += bytes));
    stage.stream = stream;
    this.#watchOver(stream);
    const end = await stream.end;
    this.#running.delete(stream);
    await pack.file.close();
    this.#conclude(peer, maps, end, received);
  }

  #fetch(
    peer: PeerFetch,
    maps: readonly MapAttempt[],
    pack: Pack,
    came: (bytes: number) => void,
  ): SliceStream {
    const { limits, clock } = this.#options;
    const { reduce, address } = peer;
    const { place, job } = reduce.options;
    const { partial } = pack;
    pack.partial = null;
    const question = { job: job.job, ...place, maps, from: partial?.check.offset ?? 0 };
    const target = sliceTarget(question, job.shuffleKey, Math.floor(clock.wallMs()) + limits.urlMs);
    const nowMs = (): number => clock.nowMs();
    const stream = new SliceStream(
      { address, maps, job: job.fingerprint, place, partial, pack: pack.file, limits, nowMs },
      {
        slice: (map, window, empty) => {
          peer.measured(window.bytes);
          reduce.arrived(map, pack.number, window, empty);
        },
        missing: (map, error, gone) => {
          if (gone || peer.suspects.has(map.task)) return reduce.failed(map, error);
          peer.suspects.add(map.task);
          peer.push(map.task);
        },
        moved: (bytes) => {
          came(bytes);
          reduce.moved();
        },
      },
    );
    try {
      this.#poolOf(address).dispatch({ method: "GET", path: target }, stream);
    } catch (error) {
      stream.onResponseError(null, error as Error);
    }
    return stream;
  }

  /** One timer for all streams, while there are any. */
  #watchOver(stream: SliceStream): void {
    this.#running.add(stream);
    this.#watch ??= setInterval(() => {
      for (const one of this.#running) one.watch();
      if (this.#running.size > 0 || this.#watch === null) return;
      clearInterval(this.#watch);
      this.#watch = null;
    }, this.#options.limits.stallMs / 4);
  }

  #conclude(peer: PeerFetch, maps: readonly MapAttempt[], end: StreamEnd, received: number): void {
    const { reduce, suspects } = peer;
    // What came last may not have been written before the disk was full; what was is passed over.
    peer.putBack(end.kind === "local" ? maps : maps.slice(end.next));
    if (reduce.closed) return;
    switch (end.kind) {
      case "done":
        peer.tries = 0;
        return;
      case "stopped":
        return;
      case "local":
        return reduce.halt(end.error);
      case "damaged":
        if (suspects.has(end.map.task)) reduce.failed(end.map, end.error);
        else suspects.add(end.map.task);
        return;
      case "cut":
        if (peer.pack !== null) peer.pack.partial = end.partial;
        peer.tries = end.next > 0 || received >= WORTH_BYTES ? 1 : peer.tries + 1;
        if (peer.tries >= this.#options.limits.tries) peer.giveUp(end.error);
        else this.#pause(peer);
        return;
      default:
        return unreachable(end);
    }
  }

  #pause(peer: PeerFetch): void {
    const { limits, random } = this.#options;
    const full = limits.pauseMs * PAUSE_GROWTH ** (peer.tries - 1);
    const end = (): void => {
      peer.stage = { kind: "idle" };
      this.ready(peer);
    };
    peer.stage = { kind: "pausing", timer: setTimeout(end, full * (1 - random() / 2)) };
  }

  #poolOf(address: string): Pool {
    const known = this.#pools.get(address);
    if (known !== undefined) return known;
    const { limits, tls } = this.#options;
    const pool = new Pool(address, {
      connections: limits.streamsPerPeer,
      pipelining: 1,
      // Streams watch over themselves.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: limits.connectMs, ...tls },
    });
    this.#pools.set(address, pool);
    return pool;
  }
}
