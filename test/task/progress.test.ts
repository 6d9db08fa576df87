import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { count } from "#src/aggregate/count.js";
import { Pace } from "#src/base/pace.js";
import { generate } from "#src/format/generate.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { PROGRESS_BYTES, PROGRESS_CELLS } from "#src/task/task-spec.js";
import { pass } from "../kit/wait.js";
import { Stage } from "./support.js";

/** Takes longer than the stretch after which a loop looks up. */
function work(): void {
  const endMs = performance.now() + 25;
  while (performance.now() < endMs);
}

test("between two slow records the board tells how many are done, and how much of the split", async (t) => {
  for (const settings of [{}, { keepBad: true }]) {
    const progress = new Float64Array(PROGRESS_BYTES / 8);
    const seen: [number, number, number][] = [];
    const stage = new Stage(t).file("in.txt", "aaaa\nbb\ncccccc\nd\n");
    const played = await stage.ok(
      job({
        input: text(),
        map(line: string, emit: (key: string) => void) {
          const { recordsIn, bytesIn, fraction } = PROGRESS_CELLS;
          seen.push([progress[recordsIn]!, progress[bytesIn]!, progress[fraction]!]);
          work();
          emit(line);
        },
        reduce: count(),
      }),
      { progress, settings },
    );
    assert.deepEqual(seen, [
      [0, 0, 0],
      [1, 5, 5 / 17],
      [2, 8, 8 / 17],
      [3, 15, 15 / 17],
    ]);
    assert.equal(played.maps[0]!.stats.recordsIn, 4);
    assert.equal(played.maps[0]!.stats.bytesIn, 17);
  }
});

test("a source that makes one slow record at a time has it mapped and told before it makes the next", async (t) => {
  let made = 0;
  const slow = generate({
    *records() {
      for (; made < 4;) {
        work();
        yield made++;
      }
    },
  });
  const later = generate({
    async *records() {
      for (; made < 4;) {
        await pass(25);
        yield made++;
      }
    },
  });
  for (const input of [slow, later]) {
    const progress = new Float64Array(PROGRESS_BYTES / 8);
    const seen: [number, number][] = [];
    made = 0;
    await new Stage(t).ok(
      job({
        input,
        map(_record: number, emit: (key: string) => void) {
          seen.push([made, progress[PROGRESS_CELLS.recordsIn]!]);
          emit("k");
        },
        reduce: count(),
      }),
      { progress },
    );
    assert.deepEqual(
      seen.map(([, done]) => done),
      [0, 1, 2, 3],
    );
    assert.deepEqual(
      seen.map(([before]) => before),
      [1, 2, 3, 4],
    );
  }
});

test("of a compressed file the share of its own bytes is told, never more than all", async (t) => {
  const progress = new Float64Array(PROGRESS_BYTES / 8);
  const seen: number[] = [];
  const lines = Array.from({ length: 200_000 }, (_, i) => `line ${(i * 2_654_435_761) % 4_294_967_296}`);
  const stage = new Stage(t).file("in.gz", gzipSync(lines.join("\n")));
  let at = 0;
  await stage.ok(
    job({
      input: text(),
      map(_line: string, emit: (key: string) => void) {
        if (at++ % 20_000 === 0) seen.push(progress[PROGRESS_CELLS.fraction]!);
        emit("k");
      },
      reduce: count(),
    }),
    { progress },
  );
  assert.equal(at, 200_000);
  assert.ok(
    seen.every((share, i) => share <= 1 && (i === 0 || share >= seen[i - 1]!)),
    seen.join(" "),
  );
  // Reading ahead shows; the bytes that come out, three times as many, do not.
  assert.ok(seen[4]! < 1, seen.join(" "));
});

test("a pace asks after 1, 2, 4, 8, 16, 32 rounds, then every 64, and anew in each stretch", () => {
  let nowMs = 0;
  const pace = new Pace(20, () => nowMs);
  const asked: number[] = [];
  const runTo = (rounds: number, from = 0): number => {
    for (let done = from + 1; done <= rounds; done++) {
      if (done !== pace.next) continue;
      asked.push(done);
      if (pace.isOver(done)) return done;
    }
    return rounds;
  };
  assert.equal(runTo(70), 70);
  assert.deepEqual(asked, [1, 2, 4, 8, 16, 32, 64]);
  nowMs = 20;
  assert.equal(runTo(200, 70), 128);
  asked.length = 0;
  pace.begin(128);
  assert.equal(runTo(148, 128), 148);
  assert.deepEqual(asked, [129, 130, 132, 136, 144]);
  nowMs = 40;
  pace.countAnew();
  assert.equal(runTo(5), 1);
});
