import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "#src/base/limits.js";
import type { RunEventBody } from "#src/engine/events.js";
import { LiveStates, liveSettings, MadeTally } from "#src/engine/live.js";
import type { LiveWishes, ToldStates } from "#src/engine/live.js";
import type { AttemptRef } from "#src/scheduler/ids.js";
import type { FoldAnswer, FoldRequest } from "#src/task/fold-states.js";
import type { TaskFailure } from "#src/task/task-spec.js";
import { taskFailure } from "#src/worker/failure.js";

const map = (task: number, attempt = 1): AttemptRef => ({ job: "j", phase: "map", task, attempt });
/** States that are a number of records in one byte each: merging concatenates. */
const told = (records: number): ToldStates => ({
  states: Uint8Array.of(records),
  records,
  made: records * 2,
});

/** Live states whose folds are answered by hand; a state is a list of bytes, and merging joins them. */
class World {
  readonly events: RunEventBody[] = [];
  readonly asked: FoldRequest[] = [];
  readonly trueOf: Record<number, number>[] = [];
  readonly failures: TaskFailure[] = [];
  readonly live: LiveStates;
  nowMs = 0;
  stop = false;
  failure: TaskFailure | null = null;
  hold: Promise<void> | null = null;

  constructor(wishes: Partial<LiveWishes> = {}) {
    this.live = new LiveStates({
      shows: true,
      asks: false,
      forMs: null,
      ...wishes,
      fold: async (request) => this.#fold(request),
      isTrue: (made) => void this.trueOf.push(Object.fromEntries(made)),
      failed: (failure) => void this.failures.push(failure),
      emit: (event) => void this.events.push(event),
      nowMs: () => this.nowMs,
      bytesMax: limits.liveWaitingBytesMax,
    });
  }

  /** What the next fold shows: its states, joined; null when there is none. */
  async shown(): Promise<number[] | null> {
    const before = this.events.length;
    this.nowMs += 10_000;
    this.live.look();
    await this.settled();
    const event = this.events[before];
    if (event === undefined) return null;
    assert.equal(event.kind, "partial");
    return event.kind === "partial" ? (event.collections[0]!.top[0]!.value as number[]) : null;
  }

  async settled(): Promise<void> {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }

  async #fold({ merged, finished, running, ...more }: FoldRequest): Promise<FoldAnswer | TaskFailure> {
    this.asked.push({ merged, finished, running, ...more });
    await this.hold;
    if (this.failure !== null) return this.failure;
    const whole = Buffer.concat([merged ?? new Uint8Array(), ...finished]);
    const value = Array.from(Buffer.concat([whole, ...running]));
    const collections = [{ name: "", keys: 1, more: false, top: [{ key: 0, value }] }];
    return { merged: whole, collections, stop: this.stop };
  }
}

test("of each task one attempt counts: the one that finished, else the one that is furthest", async () => {
  const world = new World();
  const { live } = world;
  assert.equal(await world.shown(), null, "nobody has told anything");
  live.told(map(1), told(3));
  live.told(map(0), told(1));
  assert.deepEqual(await world.shown(), [1, 3]);
  live.told(map(0), told(2));
  live.told(map(0, 2), told(5));
  assert.deepEqual(await world.shown(), [5, 3], "the backup has overtaken it");
  live.told(map(0), told(7));
  live.finished(map(0));
  assert.deepEqual(await world.shown(), [7, 3]);
  assert.deepEqual(world.events.at(-1), {
    kind: "partial",
    records: 10,
    finished: 1,
    running: 1,
    elapsedMs: 0,
    collections: [{ name: "", keys: 1, more: false, top: [{ key: 0, value: [7, 3] }] }],
  });
  live.told(map(0, 2), told(9));
  assert.equal(await world.shown(), null, "the task has finished");
  live.dropped(map(1));
  assert.deepEqual(await world.shown(), [7], "an attempt that told of itself is lost");
  live.told(map(1, 2), told(2));
  live.finished(map(1, 2));
  assert.deepEqual(await world.shown(), [7, 2]);
  live.finished(map(0, 3));
  live.dropped(map(0));
  assert.equal(await world.shown(), null, "made again, it counts once");
});

test("what is merged stays merged, and one fold runs at a time", async () => {
  const world = new World();
  const { live } = world;
  let release!: () => void;
  world.hold = new Promise((resolve) => (release = resolve));
  live.told(map(0), told(1));
  live.finished(map(0));
  live.look();
  live.told(map(1), told(2));
  live.finished(map(1));
  live.look();
  await world.settled();
  assert.equal(world.asked.length, 1);
  release();
  await world.settled();
  assert.deepEqual(await world.shown(), [1, 2]);
  assert.deepEqual([...world.asked[1]!.merged!], [1]);
  assert.deepEqual(world.asked[1]!.finished.length, 1);
});

test("the end is told of once more, whole, and nothing after it", async () => {
  const world = new World();
  const { live } = world;
  live.told(map(0), told(1));
  live.look();
  live.finished(map(0));
  live.told(map(1), told(4));
  live.finished(map(1));
  await live.end(true);
  const last = world.events.at(-1);
  assert.ok(last?.kind === "partial");
  assert.deepEqual([last.records, last.finished, last.running], [5, 2, 0]);
  live.told(map(2), told(1));
  assert.equal(await world.shown(), null);
});

test("a stop condition is asked until it is true, of what it was asked of, and no more", async () => {
  const world = new World({ shows: false, asks: true });
  const { live } = world;
  live.told(map(0), told(1));
  live.finished(map(0));
  live.told(map(1), told(3));
  live.look();
  await world.settled();
  assert.deepEqual([world.asked.length, world.trueOf], [1, []]);
  assert.equal(world.asked[0]!.asks, true);
  world.stop = true;
  let release!: () => void;
  world.hold = new Promise((resolve) => (release = resolve));
  live.told(map(1), told(5));
  live.look();
  live.told(map(1), told(8));
  release();
  await world.settled();
  assert.deepEqual(world.trueOf, [{ 0: 2, 1: 10 }]);
  live.told(map(1), told(9));
  live.look();
  await world.settled();
  assert.equal(world.asked.length, 2, "it is true: nobody asks, and nobody looks on");
  assert.deepEqual(world.events, []);
});

test("a failed fold fails the job once", async () => {
  const world = new World({ asks: true });
  world.failure = taskFailure("USER_CODE", "until threw", { phase: "until" });
  world.live.told(map(0), told(1));
  assert.equal(await world.shown(), null);
  world.live.told(map(0), told(2));
  assert.equal(await world.shown(), null);
  await world.live.end(true);
  assert.deepEqual(
    world.failures.map(({ message }) => message),
    ["until threw"],
  );
});

test("what waits to be merged is taken as far as it fits, and nothing is left out at the end", async () => {
  const world = new World();
  const third = Math.floor(limits.liveWaitingBytesMax / 3);
  for (let task = 0; task < 7; task++) {
    world.live.told(map(task), { states: new Uint8Array(third).fill(task), records: 1, made: 0 });
    world.live.finished(map(task));
  }
  await world.live.end(true);
  assert.deepEqual(
    world.asked.map(({ finished }) => finished.length),
    [3, 3, 1],
  );
});

test("a bound of time needs how many records were made, and no states", async () => {
  const wishes = { shows: false, asks: false, forMs: 1 };
  assert.equal(liveSettings(wishes).keysMax, 0);
  for (const more of [{ shows: true }, { asks: true }])
    assert.equal(liveSettings({ ...wishes, ...more }).keysMax, limits.liveKeysMax);
  const world = new World(wishes);
  world.live.told(map(0), told(3));
  world.live.finished(map(0));
  world.live.told(map(1), told(2));
  await world.live.end(true);
  assert.deepEqual(
    [[...world.live.made], world.asked],
    [
      [
        [0, 6],
        [1, 4],
      ],
      [],
    ],
  );
});

test("a task that runs again makes as many records as it made, or as were counted", () => {
  const made = new MadeTally();
  const split = (records?: number) => ({
    index: 0,
    pieces: [{ kind: "generate", index: 0, tasks: 4, ...(records !== undefined && { records }) } as const],
    bytes: 0,
  });
  const bound = (task: number, records?: number): number | undefined => {
    const [piece] = made.bounded(task, split(records)).pieces;
    return piece?.kind === "generate" ? piece.records : undefined;
  };
  assert.deepEqual([bound(0), bound(0, 9)], [undefined, 9]);
  made.finished(0, 7);
  made.finished(0, 8);
  assert.deepEqual([bound(0), bound(0, 9), bound(1)], [7, 7, undefined]);
  made.stop("until", new Map([[1, 5]]));
  made.stop("time", new Map([[1, 6]]));
  assert.deepEqual([bound(0), bound(1), bound(1, 3), bound(2)], [7, 5, 3, 0]);
  made.finished(1, 11);
  assert.deepEqual([made.of(4), made.stoppedBy], [[7, 11, 0, 0], "until"]);
});
