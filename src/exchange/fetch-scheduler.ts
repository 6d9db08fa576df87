import { mkdir } from "node:fs/promises";
import { Pool } from "undici";
import type { Clock } from "../base/clock.ts";
import type { SheafError } from "../base/errors.ts";
import { KiB, MiB } from "../base/size.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { FetchLane } from "./fetch-lane.ts";
import type { StreamEnd } from "./fetch-stream.ts";
import { SliceStream } from "./fetch-stream.ts";
import type { MapAttempt } from "./slice-protocol.ts";
import { sliceTarget } from "./slice-protocol.ts";

/** How map outputs are fetched from other agents. Sizes are bytes, times ms. */
export interface FetchLimits {
  /** Requests at once, to all agents and to one. */
  readonly streams: number;
  readonly streamsPerPeer: number;
  /** Tries in a row that bring nothing before a map output counts as unreadable. */
  readonly tries: number;
  /** After the first of them; three times as long after each further one. Up to half of it is taken off. */
  readonly pauseMs: number;
  readonly connectMs: number;
  /** A request that brings less than `stallBytes` within `stallMs` is given up. */
  readonly stallMs: number;
  readonly stallBytes: number;
  /** What one request should bring, so that others get their turn; a larger slice is fetched whole. */
  readonly batchBytes: number;
  /** How long a signed URL is good for. Clocks of machines may differ by so much. */
  readonly urlMs: number;
}

export const fetchLimits: FetchLimits = {
  streams: 8,
  streamsPerPeer: 2,
  tries: 3,
  pauseMs: 1_000,
  connectMs: 5_000,
  stallMs: 30_000,
  stallBytes: 64 * KiB,
  batchBytes: 32 * MiB,
  urlMs: 3_600_000,
};

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

/** Which job a reduce is of. */
export interface FetchJob {
  readonly job: string;
  /** As it stands in run files. */
  readonly fingerprint: Buffer;
  readonly shuffleKey: string;
}

/** Gives lanes their streams: so many at once, those first for which somebody waits. */
export class FetchScheduler {
  readonly #options: FetchSchedulerOptions;
  readonly #lanes = new Map<FetchLane, FetchJob>();
  readonly #pools = new Map<string, Pool>();
  /** Streams to each address. */
  readonly #active = new Map<string, number>();
  #streams = 0;
  readonly #running = new Set<SliceStream>();
  #watch: ReturnType<typeof setInterval> | null = null;
  #pumping = false;

  constructor(options: FetchSchedulerOptions) {
    this.#options = options;
  }

  /** The lane may have something to fetch. */
  ready(lane: FetchLane, job: FetchJob): void {
    this.#lanes.set(lane, job);
    this.#pumpSoon();
  }

  /** Its reduces must be closed. */
  async close(): Promise<void> {
    this.#lanes.clear();
    if (this.#watch !== null) clearInterval(this.#watch);
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  /** Many entries of a list come at once: lanes are looked at when all of them are in their queues. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { limits, random } = this.#options;
    while (this.#streams < limits.streams) {
      let best: FetchLane[] = [];
      let urgent = false;
      for (const lane of this.#lanes.keys()) {
        // Those that pause or are busy come back by themselves.
        if (!lane.ready) this.#lanes.delete(lane);
        else if ((this.#active.get(lane.address) ?? 0) < limits.streamsPerPeer) {
          if (lane.reduce.urgent && !urgent) {
            urgent = true;
            best = [];
          }
          if (lane.reduce.urgent === urgent) best.push(lane);
        }
      }
      // Any of them, so that not all machines ask the same one at once.
      const lane = best[Math.floor(random() * best.length)];
      if (lane === undefined) return;
      const job = this.#lanes.get(lane)!;
      this.#lanes.delete(lane);
      this.#begin(lane, job);
    }
  }

  #begin(lane: FetchLane, job: FetchJob): void {
    const maps = lane.take(this.#options.limits.batchBytes);
    if (maps.length === 0) return;
    lane.busy = true;
    this.#streams++;
    this.#active.set(lane.address, (this.#active.get(lane.address) ?? 0) + 1);
    const work = this.#run(lane, job, maps).catch((error: SheafError) => lane.reduce.halt(error));
    const run = work.finally(() => {
      lane.busy = false;
      this.#streams--;
      this.#active.set(lane.address, this.#active.get(lane.address)! - 1);
      lane.reduce.running.delete(run);
      this.ready(lane, job);
    });
    lane.reduce.running.add(run);
  }

  /** One request, from opening the pack to closing it. */
  async #run(lane: FetchLane, job: FetchJob, maps: readonly MapAttempt[]): Promise<void> {
    const { reduce } = lane;
    const pack = (lane.pack ??= reduce.newPack());
    try {
      try {
        await mkdir(reduce.options.directory, { recursive: true, mode: 0o700 });
      } catch (error) {
        throw asSheafError(error, { path: reduce.options.directory, doing: "create" });
      }
      await pack.file.open();
    } catch (error) {
      lane.putBack(maps);
      reduce.halt(error as SheafError);
      return;
    }
    const received = { bytes: 0 };
    const stream = this.#fetch(lane, job, maps, pack, received);
    this.#watchOver(stream);
    const end = await stream.end;
    lane.stream = null;
    this.#running.delete(stream);
    await pack.file.close();
    this.#conclude(lane, job, maps, end, received.bytes);
  }

  #fetch(
    lane: FetchLane,
    job: FetchJob,
    maps: readonly MapAttempt[],
    pack: NonNullable<FetchLane["pack"]>,
    received: { bytes: number },
  ): SliceStream {
    const { limits, clock } = this.#options;
    const { reduce, address, partial } = lane;
    const from = partial?.check.offset ?? 0;
    const question = { job: job.job, ...reduce.options.place, maps, from };
    const target = sliceTarget(question, job.shuffleKey, Math.floor(clock.wallMs()) + limits.urlMs);
    const stream = new SliceStream(
      {
        address,
        maps,
        job: job.fingerprint,
        place: reduce.options.place,
        partial,
        pack: pack.file,
        limits,
        nowMs: () => clock.nowMs(),
      },
      {
        slice: (map, window, empty) => {
          lane.measured(window.bytes);
          reduce.arrived(map, pack.number, window, empty);
        },
        missing: (map, error, gone) => this.#missing(lane, map, error, gone),
        moved: (bytes) => {
          received.bytes += bytes;
          reduce.moved();
        },
      },
    );
    lane.stream = stream;
    lane.partial = null;
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

  #missing(lane: FetchLane, map: MapAttempt, error: SheafError, gone: boolean): void {
    if (gone || lane.suspects.has(map.task)) return lane.reduce.failed(map, error);
    lane.suspects.add(map.task);
    lane.queue.push(map.task);
  }

  #conclude(
    lane: FetchLane,
    job: FetchJob,
    maps: readonly MapAttempt[],
    end: StreamEnd,
    received: number,
  ): void {
    // What came last may not have been written before the disk was full; what was is passed over.
    lane.putBack(end.kind === "local" ? maps : maps.slice(end.next));
    if (lane.reduce.closed) return;
    switch (end.kind) {
      case "done":
        lane.tries = 0;
        return;
      case "stopped":
        return;
      case "local":
        lane.reduce.halt(end.error);
        return;
      case "damaged": {
        const map = maps[end.next]!;
        if (lane.suspects.has(map.task)) lane.reduce.failed(map, end.error);
        else lane.suspects.add(map.task);
        return;
      }
      case "cut":
        lane.partial = end.partial;
        lane.tries = end.next > 0 || received >= WORTH_BYTES ? 1 : lane.tries + 1;
        if (lane.tries >= this.#options.limits.tries) this.#giveUp(lane, end.error);
        else this.#pause(lane, job);
        return;
    }
  }

  /** Nothing of what is still wanted of that agent can be had. */
  #giveUp(lane: FetchLane, error: SheafError): void {
    lane.tries = 0;
    lane.partial = null;
    for (let task = lane.queue.shift(); task !== undefined; task = lane.queue.shift()) {
      const attempt = lane.reduce.wantedFrom(task, lane.peer);
      if (attempt !== null) lane.reduce.failed({ task, attempt }, error);
    }
  }

  #pause(lane: FetchLane, job: FetchJob): void {
    const { limits, random } = this.#options;
    const full = limits.pauseMs * PAUSE_GROWTH ** (lane.tries - 1);
    lane.pause = setTimeout(
      () => {
        lane.pause = null;
        this.ready(lane, job);
      },
      full * (1 - random() / 2),
    );
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
