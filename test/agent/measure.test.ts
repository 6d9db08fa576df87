import assert from "node:assert/strict";
import { test } from "node:test";
import { agentName, agentSlots } from "#src/agent/agent-options.js";
import {
  UtilityMeter,
  parseDiskStats,
  parseProcStat,
  parseResidentBytes,
  utilityBetween,
} from "#src/agent/utility.js";
import type { Reading } from "#src/agent/utility.js";
import { memoryCap, overCap } from "#src/agent/worker-processes.js";
import { systemClock } from "#src/base/clock.js";
import { MiB } from "#src/base/size.js";
import { PROGRESS_BYTES } from "#src/task/task-spec.js";
import { AttemptWatch } from "#src/worker/attempt-watch.js";

test("/proc/stat: idle and waiting for disks count as idle, guests not twice", () => {
  const cases: [text: string, expected: ReturnType<typeof parseProcStat>][] = [
    ["cpu  10 1 5 100 4 1 2 3 7 0\ncpu0 1 1 1 1 1 1 1 1\n", { idle: 104, total: 126 }],
    ["cpu  10 1 5 100\n", { idle: 100, total: 116 }],
    ["cpu0 1 1 1 1\nintr 5\n", null],
    ["", null],
    ["cpu  a b\n", null],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseProcStat(text), expected, text);
});

test("/proc/diskstats: whole disks only", () => {
  const line = (name: string, busy: number | string): string =>
    `   8       0 ${name} 100 0 800 50 200 0 1600 70 0 ${busy} 120 0 0 0 0\n`;
  const names = [
    "sda",
    "sda1",
    "nvme0n1",
    "nvme0n1p2",
    "vda",
    "vda15",
    "xvdf",
    "xvdf1",
    "mmcblk0",
    "mmcblk0p1",
  ];
  const others = ["loop0", "ram3", "dm-0", "md127", "sr0", "zram0"];
  const text = [...names, ...others].map((name, i) => line(name, i)).join("");
  assert.deepEqual(parseDiskStats(text), { sda: 0, nvme0n1: 2, vda: 4, xvdf: 6, mmcblk0: 8 });
  assert.deepEqual(parseDiskStats(line("sda", "x")), {});
  assert.deepEqual(parseDiskStats("8 0 sda 1 2\n\n"), {});
});

test("/proc/<pid>/status: resident memory", () => {
  assert.equal(parseResidentBytes("Name:\tnode\nVmRSS:\t  12345 kB\nThreads:\t7\n"), 12_345 * 1024);
  assert.equal(parseResidentBytes("Name:\tkthreadd\n"), null);
});

test("utility is the smaller of the idle shares of processors and of the busiest disk", () => {
  const at = (atMs: number, idle: number, total: number, disks: Record<string, number> = {}): Reading => {
    return { atMs, cpu: { idle, total }, disksBusyMs: disks };
  };
  const cases: [from: Reading, to: Reading, cpu: number, disk: number][] = [
    [at(0, 0, 0), at(1_000, 150, 200), 75, 100],
    [at(0, 0, 0, { a: 0, b: 0 }), at(1_000, 200, 200, { a: 250, b: 900 }), 100, 10],
    [at(0, 0, 0, { a: 0 }), at(1_000, 0, 200, { a: 5_000 }), 0, 0],
    // A disk that is new, and a counter that began anew, tell nothing.
    [at(0, 0, 0, { a: 4e9 }), at(1_000, 100, 200, { a: 10, b: 77 }), 50, 100],
    // No time has passed.
    [at(5, 10, 20, { a: 1 }), at(5, 10, 20, { a: 1 }), 100, 100],
    [{ atMs: 0, cpu: null, disksBusyMs: {} }, at(1_000, 0, 9), 100, 100],
  ];
  for (const [from, to, cpuIdle, diskIdle] of cases) {
    const expected = { cpuIdle, diskIdle, utility: Math.min(cpuIdle, diskIdle), freeMemoryBytes: 7 };
    assert.deepEqual(utilityBetween(from, to, 7), expected);
  }
});

test("this machine can be measured", () => {
  const meter = new UtilityMeter(systemClock);
  for (let i = 0; i < 3; i++) {
    const { cpuIdle, diskIdle, utility, freeMemoryBytes } = meter.measure();
    for (const share of [cpuIdle, diskIdle, utility]) assert.ok(share >= 0 && share <= 100);
    assert.ok(freeMemoryBytes > 0);
  }
});

test("agents are named after their machine, as far as that can be a name", () => {
  const cases: [machine: string, name: string][] = [
    ["node-1.example", "node-1.example"],
    ["Ann's laptop", "Ann-s-laptop"],
    ["...x", "x"],
    ["", "agent"],
    ["机器", "agent"],
    ["a".repeat(99), "a".repeat(64)],
  ];
  for (const [machine, name] of cases) assert.equal(agentName(undefined, machine), name);
  assert.equal(agentName("a_1.b-c"), "a_1.b-c");
  for (const given of ["", "-a", "a b", "a/b", "..", "a".repeat(65)]) {
    assert.throws(() => agentName(given), { code: "USAGE" }, given);
  }
});

test("slots: one less than there are processors, at least 1, or as many as were given", () => {
  assert.deepEqual(
    [1, 2, 16].map((processors) => agentSlots(undefined, processors)),
    [1, 1, 15],
  );
  assert.equal(agentSlots(9, 2), 9);
  for (const given of [0, -1, 1.5, Number.NaN, 5_000]) {
    assert.throws(() => agentSlots(given), { code: "USAGE" }, String(given));
  }
});

test("an attempt stands still only while a worker has it, has begun, and its board does not change", () => {
  const board = new Float64Array(PROGRESS_BYTES / 8);
  const watch = new AttemptWatch(0);
  assert.equal(watch.look(board, 500_000), 0, "while its inputs are fetched");
  watch.runs(null, 500_000);
  assert.equal(watch.look(board, 550_000), 0, "while its worker starts");
  assert.equal(watch.look(board, 570_000), 20_000, "a worker that never starts");
  board[0] = 1;
  const moves = watch.moves;
  assert.equal(watch.look(board, 571_000), 0);
  assert.equal(watch.moves, moves + 1);
  assert.equal(watch.look(board, 581_000), 10_000);
  assert.equal(watch.moves, moves + 1);
  watch.rests(582_000);
  assert.equal(watch.look(board, 900_000), 0, "while its results are sent");
});

test("a traced attempt moves on with the record it is at", () => {
  const board = new Float64Array(PROGRESS_BYTES / 8);
  const watch = new AttemptWatch(0);
  const trace = { id: 3, skip: [] };
  watch.runs(trace, 0);
  board[0] = 1;
  watch.look(board, 0);
  board[6] = 3 * 2 ** 21 + 1;
  board[7] = 100;
  assert.equal(watch.look(board, 1_000), 0);
  assert.equal(watch.look(board, 3_000), 2_000);
});

test("a worker may have what its job was given, or what the agent allows", () => {
  assert.equal(memoryCap(100 * MiB, 200 * MiB, null).bytes, 684 * MiB);
  assert.equal(memoryCap(100 * MiB, 200 * MiB, 50 * MiB).bytes, 50 * MiB);
  assert.ok(memoryCap(100 * MiB, null, null).bytes > 484 * MiB);
  const failure = overCap(700 * MiB, memoryCap(100 * MiB, 200 * MiB, null), "map", []);
  assert.equal(failure.code, "OUT_OF_MEMORY");
  assert.match(failure.message, /700 MiB, above 684 MiB: --memory 100 MiB and --heap 200 MiB/);
});
