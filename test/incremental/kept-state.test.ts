import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { text } from "sheaf";
import { filesPrint } from "#src/engine/aux-files.js";
import { IncrementalRun } from "#src/incremental/incremental-run.js";
import { whatChanged } from "#src/incremental/job-print.js";
import { parseState, type State, stateFileName, stateText } from "#src/incremental/kept-state.js";
import { stateOf } from "#src/incremental/run-notes.js";
import type { PlannedPiece } from "#src/plan/near-hosts.js";

const part = {
  kind: "output",
  collection: 0,
  partition: 1,
  roll: 0,
  path: "east/part-00001.txt",
  name: "east",
  extension: ".txt",
  bytes: 5,
  records: 2,
  crc32c: 77,
  headerBytes: 0,
  layout: "a,b",
} as const;
const job = { code: "c", sheaf: "1", node: "20", partBytes: 64, params: { p: "1f" }, aux: { a: "2e" } };
const map = {
  run: { path: "map-00000.run", owner: { jobId: "j", task: 0, attempt: 1 }, bytes: 9, fingerprint: "ab" },
  bad: { path: "part-00000.jsonl", bytes: 3, crc32c: 4 },
  parts: [part],
  counters: { lines: 2 },
  stats: { recordsIn: 2, bytesIn: 5, emitted: 2, shuffleBytes: 9, badRecords: 1 },
  partitionBytes: [[4, 5]],
  pairs: [2],
  hotKeys: [{ collection: 0, key: "k", values: 2 }],
  emptyFiles: { files: 1, names: ["b.txt"] },
  namesMatter: true,
};
const state: State = {
  job,
  key: "0f".repeat(32),
  partitions: [2],
  bounds: [["AA=="]],
  files: [{ input: 0, name: "a.txt", bytes: 5, digest: "d" }],
  units: [{ pieces: [{ file: 0, start: 0, end: 5, recordStart: 0 }], map, why: "none" }],
};

type Place = readonly (string | number)[];

/** Everything in a value that has a place. */
function* places(value: unknown, at: Place = []): Generator<Place> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    yield [...at, name];
    yield* places(inner, [...at, name]);
  }
}

function changed(place: Place, to: unknown): State {
  const copy = structuredClone(state);
  const last = place.at(-1)!;
  let inner = copy as unknown as Record<string | number, unknown>;
  for (const name of place.slice(0, -1)) inner = inner[name] as typeof inner;
  inner[last] = to;
  return copy;
}

test("a state of another shape is none, wherever it is wrong, though its checksum is right", () => {
  assert.deepEqual(parseState(stateText(state)), { kind: "state", state });
  for (const place of ["map", "why"] as const)
    assert.equal(parseState(stateText(changed(["units", 0, place], null))).kind, "state");
  let wrong = 0;
  for (const place of places(state)) {
    assert.equal(parseState(stateText(changed(place, [true]))).kind, "none", place.join("."));
    wrong++;
  }
  assert.ok(wrong > 60);
  for (const all of [null, 1, "state", [], {}])
    assert.equal(parseState(stateText(all as never)).kind, "none");
  const ranges = [
    { file: 1, start: 0, end: 1 },
    { file: -1, start: 0, end: 1 },
    { file: 0, start: 3, end: 2 },
    { file: 0, start: 0, end: 6 },
  ];
  for (const piece of ranges)
    assert.equal(parseState(stateText(changed(["units", 0, "pieces", 0], piece))).kind, "none");
});

test("files outside of the output are not taken over, whatever a state calls its own", () => {
  const at = (field: string, to: string) =>
    parseState(stateText(changed(["units", 0, "map", "parts", 0, field], to))).kind;
  for (const path of ["../secret", "a/../../secret", "..", "/etc/hostname", "a/.."])
    assert.equal(at("path", path), "none", path);
  for (const path of ["..a", "a..b/part", "part-00001.txt"]) assert.equal(at("path", path), "state", path);
  for (const name of ["../../x", "a/../../x", "/x", "_state", ""])
    assert.equal(at("name", name), "none", name);
  for (const name of ["west", "2024/01"]) assert.equal(at("name", name), "state", name);
  assert.equal(at("extension", "/../../secret"), "none");
  assert.equal(at("extension", ".txt.gz"), "state");
});

test("collections that the job does not have are in no state that is believed", async (t) => {
  const map = ["units", 0, "map"] as const;
  for (const place of [
    [...map, "parts", 0, "collection"],
    [...map, "hotKeys", 0, "collection"],
  ])
    assert.equal(parseState(stateText(changed(place, 1))).kind, "none", place.join("."));
  assert.equal(parseState(stateText(changed(["bounds"], []))).kind, "none");
  // One that has as many as it says.
  const output = mkdtempSync(join(tmpdir(), "sheaf-state-"));
  t.after(() => rmSync(output, { recursive: true }));
  mkdirSync(join(output, "_state"));
  const [partitions, bounds] = [
    [1, 1],
    [null, null],
  ];
  writeFileSync(join(output, stateFileName), stateText({ ...state, partitions, bounds }));
  const pause = (): never => assert.fail("there is nothing to wait for");
  const options = { output, job, keepBad: false, wallMs: Date.now, pause };
  assert.match((await IncrementalRun.open({ ...options, collections: 1 })).full ?? "", /is no state/);
  assert.equal((await IncrementalRun.open({ ...options, collections: 2 })).full, null);
});

test("side data and files of programs have names of their own, and are told by those that the job has", () => {
  const aux = [
    ["files", "files", "1"],
    ["a", "b: c", "2"],
    ["a: b", "c", "3"],
  ] as const;
  const files = [{ name: "files", sha256: "4" }];
  const print = Object.fromEntries(filesPrint(aux, files, [["/bin/x", "5"]]));
  assert.deepEqual(Object.values(print).sort(), ["1", "2", "3", "4", "5"]);
  const told = Object.keys(print).map((name) =>
    whatChanged({ ...job, aux: print }, { ...job, aux: { ...print, [name]: "" } }),
  );
  assert.deepEqual(told, [
    "the side data a: b: c has changed",
    "the side data a: b: c has changed",
    "the side data files has changed",
    "the file files has changed",
    "the program /bin/x has changed",
  ]);
  for (const name of ["rates.json", "null", "[]", "{"])
    assert.match(whatChanged(job, { ...job, aux: { [name]: "1" } }) ?? "", /has changed$/);
});

test("a run goes on without a state that is none, and says why it maps all", async (t) => {
  const output = mkdtempSync(join(tmpdir(), "sheaf-state-"));
  t.after(() => rmSync(output, { recursive: true }));
  mkdirSync(join(output, "_state"));
  writeFileSync(join(output, stateFileName), stateText({ ...state, job: undefined as never }));
  const pause = (): never => assert.fail("there is nothing to wait for");
  const run = await IncrementalRun.open({
    output,
    job,
    collections: 1,
    keepBad: false,
    wallMs: Date.now,
    pause,
  });
  assert.match(run.full ?? "", /is no state/);
});

test("what may have changed within a tick of the file system's clock is waited for, or not kept", async (t) => {
  const output = mkdtempSync(join(tmpdir(), "sheaf-state-"));
  t.after(() => rmSync(output, { recursive: true }));
  const path = join(output, "a.txt");
  writeFileSync(path, "one\n");
  const { ctimeMs } = statSync(path);
  const piece = { kind: "file", path, name: "a.txt", start: 0, end: 4, fileBytes: 4, compression: "none" };
  const input = { input: text(), files: [{ ...piece, mtimeMs: ctimeMs } as PlannedPiece] };
  const inodeAfter = async (sinceMs: number, waited: number[]): Promise<string | null> => {
    const pause = (ms: number): Promise<void> => Promise.resolve(void waited.push(ms));
    const wallMs = (): number => ctimeMs + sinceMs;
    const run = await IncrementalRun.open({ output, job, collections: 1, keepBad: false, wallMs, pause });
    await run.arrange([input]);
    return (await run.notes()).files[0]!.inode;
  };
  const waited: number[] = [];
  assert.notEqual(await inodeAfter(60_000, waited), null);
  assert.deepEqual(waited, []);
  assert.notEqual(await inodeAfter(1, waited), null);
  assert.equal(waited.length, 1);
  assert.ok(waited[0]! > 0 && waited[0]! <= 2_000, `${waited[0]}`);
  // Its clock is of no use.
  assert.equal(await inodeAfter(-60_000, waited), null);
  assert.equal(waited.length, 1);
});

test("files are looked at again turn by turn, and each look shows that the commit moves on", async () => {
  const file = { input: 0, path: "/none", name: "none", bytes: 1, bound: false, inode: "1", digest: "2" };
  const files = Array.from({ length: 2_500 }, () => file);
  const notes = { job, key: "0f".repeat(32), full: null, goneFiles: 0, mark: "", files };
  const settings = { jobId: "j", partitions: [1], bounds: [null] };
  let steps = 0;
  let turns = 0;
  const turn = (): void => {
    turns++;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const made = await stateOf(notes, [], settings, String, () => void steps++);
  clearImmediate(next);
  assert.equal(parseState(made.text).kind, "state");
  assert.equal(steps, files.length);
  assert.ok(turns >= 2, `${turns} turns`);
  const stop = (): never => assert.fail("nobody waits");
  await assert.rejects(stateOf(notes, [], settings, String, stop), /nobody waits/);
});
