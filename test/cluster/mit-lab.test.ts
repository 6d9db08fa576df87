import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import * as jobs from "./mit-jobs.js";
import { assertComplete, treeOf } from "./output-tree.js";
import type { OutputTree } from "./output-tree.js";
import { eventually } from "./real-cluster.js";
import { Scene } from "./scene.js";
import type { Started } from "./scene.js";

/** SHEAF_MIT_ROUNDS=20 runs every scenario so often, each time with another seed. */
const ROUNDS = Number(process.env["SHEAF_MIT_ROUNDS"] ?? 1);
const FILES = 8;
const SLOTS = 4;

/**
 * The scenarios by which lab 1 of MIT 6.5840 (6.824) tells a MapReduce that works: here with a real
 * coordinator, agents and workers, and against what plain JavaScript makes of the same files in one go.
 */
describe("MIT 6.5840, lab 1", () => {
  let scene: Scene;
  const made: { readonly output: string; readonly tree: OutputTree }[] = [];
  before(async () => {
    scene = await Scene.open({ agents: 2, slots: () => SLOTS / 2, heartbeatMs: 500, leaseMs: 4_000 });
  });
  after(() => scene.close());

  const scenario = (name: string, run: (round: number) => Promise<void>): void => {
    for (let round = 0; round < ROUNDS; round++)
      test(ROUNDS === 1 ? name : `${name}, round ${round}`, () => run(round));
  };
  const jobFile = (name: string, code: string): string => scene.file(`${name}.ts`, code);

  /** The job has succeeded, and its lines are those; its output is looked at again when all is over. */
  const assertLines = async (started: Started, expected: readonly string[]): Promise<void> => {
    const { code, stderr, stdout } = await started.running.done;
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assertComplete(started.output);
    assert.deepEqual(linesOf(started.output), expected);
    made.push({ output: started.output, tree: treeOf(started.output) });
  };
  const place = (name: string, round: number): string => {
    const path = scene.path("places", `${name}-${round}`);
    mkdirSync(path, { recursive: true });
    return path;
  };

  scenario("word count", async (round) => {
    const books = writeBooks(scene, round);
    const job = jobFile("wc", jobs.wordCountJob);
    await assertLines(await scene.start([job, ...pathsOf(books), "-p", "10"]), countWords(books));
  });

  scenario("indexer", async (round) => {
    const books = writeBooks(scene, round);
    const job = jobFile("indexer", jobs.indexerJob);
    await assertLines(await scene.start([job, ...pathsOf(books), "-p", "10"]), indexWords(books));
  });

  scenario("map parallelism: all slots run a map at once, as the maps themselves see", async (round) => {
    const input = scene.file("lines.txt", "a line\n".repeat(400));
    const job = jobFile("mtiming", jobs.mapParallelismJob);
    const set = ["--set", `place=${place("maps", round)}`, "--set", `slots=${SLOTS}`];
    const args = [job, input, "--mappers", `${SLOTS}`, "-p", "1", ...set];
    await assertLines(
      await scene.start(args),
      Array.from({ length: SLOTS }, (_, task) => `map-0000${task}\t${SLOTS}`),
    );
  });

  scenario("reduce parallelism: all slots run a reduce at once", async (round) => {
    const input = scene.file("lines.txt", "a line\n".repeat(400));
    const job = jobFile("rtiming", jobs.reduceParallelismJob);
    const set = ["--set", `place=${place("reduces", round)}`, "--set", `slots=${SLOTS}`];
    await assertLines(
      await scene.start([job, input, "-p", `${SLOTS}`, ...set]),
      Array.from({ length: SLOTS }, (_, key) => `${key}\t${SLOTS}`),
    );
  });

  scenario("job count: without faults every map is run exactly once", async (round) => {
    const input = scene.file("lines.txt", "a line\n".repeat(400));
    const job = jobFile("jobcount", jobs.jobCountJob);
    const marks = place("count", round);
    const args = [job, input, "--mappers", `${FILES}`, "-p", "1", "--set", `place=${marks}`];
    const started = await scene.start(args);
    const id = await started.id();
    assert.equal((await started.running.done).code, 0);
    const [line = ""] = linesOf(started.output);
    const begun = line.replace("maps\t", "").split(" ");
    const attempts = (await scene.attempts(id)).filter(({ attempt }) => attempt.phase === "map");
    const firstAttempts = Array.from({ length: FILES }, (_, task) => `map-0000${task}.1`);
    assert.deepEqual(
      begun.map((mark) => mark.replace(/\.\d+\.begun$/, "")),
      firstAttempts,
      JSON.stringify(attempts),
    );
    // None has begun since, either.
    assert.equal(readdirSync(marks).length, FILES);
    assert.equal(attempts.length, FILES);
  });

  scenario("early exit: nobody leaves before the output is complete", async (round) => {
    const books = writeBooks(scene, round);
    const job = jobFile("early-exit", jobs.earlyExitJob);
    const marks = place("early", round);
    const options = ["-p", "4", "--set", `place=${marks}`];
    const started = await scene.start([job, ...pathsOf(books), ...options], {});
    const id = await started.id();
    await eventually(
      () => existsSync(join(marks, "held")),
      60_000,
      () => "the last reduce was not begun",
    );
    // All but one task are over, and everybody is still there; nothing is shown of what is done.
    const tasks = await tasksOf(scene, id);
    await scene.finishedTasks(id, tasks - 1);
    const child = started.running.child!;
    assert.deepEqual([child.exitCode, child.signalCode], [null, null], "the client has left");
    assert.ok(scene.cluster.coordinatorRuns);
    for (const index of [0, 1]) assert.notEqual(scene.cluster.agentPidIf(index), null, `agent ${index} left`);
    assert.equal(existsSync(started.output), false);
    writeFileSync(join(marks, "go"), "");
    await assertLines(started, countWords(books));
    // The agents have nothing more to do with it, and have left it as it was.
    await scene.assertForgotten();
    assert.deepEqual(treeOf(started.output), made.at(-1)!.tree);
  });

  scenario("crash: maps and reduces exit and stand still, agents are killed", async (round) => {
    const books = writeBooks(scene, round);
    const random = seededRandom(`crash ${round}`);
    const job = jobFile("crash", jobs.crashJob);
    const marks = place("crash", round);
    const limits = ["--attempts", "12", "--no-progress-timeout", "2s"];
    const set = ["--set", `place=${marks}`, "--set", `seed=${round}`];
    const started = await scene.start([
      job,
      ...pathsOf(books),
      "-p",
      "4",
      "--split-size",
      "3KB",
      ...limits,
      ...set,
    ]);
    const id = await started.id();
    const tasks = await tasksOf(scene, id);
    for (const killAfter of [1 + random.below(tasks - 4), tasks - 2]) {
      await scene.finishedTasks(id, killAfter);
      const agent = random.below(2);
      await scene.cluster.endAgent(agent, "SIGKILL");
      await scene.cluster.startAgent(agent);
    }
    await assertLines(started, indexWords(books));
    const crashed = readdirSync(marks);
    assert.ok(
      crashed.some((mark) => mark.endsWith(".exits")),
      `round ${round}: ${crashed.join(" ")}`,
    );
    assert.ok(
      crashed.some((mark) => mark.endsWith(".stalls")),
      `round ${round}: ${crashed.join(" ")}`,
    );
  });

  scenario("two clients at once", async (round) => {
    const books = writeBooks(scene, round);
    const counts = await scene.start([jobFile("wc", jobs.wordCountJob), ...pathsOf(books), "-p", "5"]);
    const index = await scene.start([jobFile("indexer", jobs.indexerJob), ...pathsOf(books), "-p", "5"]);
    await assertLines(counts, countWords(books));
    await assertLines(index, indexWords(books));
  });

  test("when all have left, the outputs are as they were", async () => {
    for (const index of [0, 1]) assert.equal(await scene.cluster.endAgent(index, "SIGTERM"), 0);
    assert.equal(await scene.cluster.endCoordinator("SIGTERM"), 0);
    assert.ok(made.length > 0);
    for (const { output, tree } of made) assert.deepEqual(treeOf(output), tree);
  });
});

type Books = ReadonlyMap<string, { readonly path: string; readonly text: string }>;

/** Seeded lines of words, letters beyond ASCII among them; the first file is the longest. */
function writeBooks(scene: Scene, round: number): Books {
  const random = seededRandom(`books ${round}`);
  const letters = [..."abcdefghijklmnopqrstuvwxyz", "é", "ß", "д", "字", "𝒳"];
  const word = (): string =>
    Array.from({ length: 1 + random.below(3) }, () => letters[random.below(letters.length)]).join("");
  const books = new Map<string, { path: string; text: string }>();
  for (let file = 0; file < FILES; file++) {
    const name = `book-${file}.txt`;
    const line = (): string =>
      Array.from({ length: random.below(12) }, word).join(random.below(2) ? " " : ", ");
    const text = Array.from({ length: file === 0 ? 300 : 40 + random.below(80) }, line).join("\n");
    books.set(name, { path: scene.file(join(`books-${round}`, name), text), text });
  }
  return books;
}

function pathsOf(books: Books): string[] {
  return [...books.values()].map(({ path }) => path);
}

function countWords(books: Books): string[] {
  const counts = new Map<string, number>();
  for (const { text } of books.values())
    for (const word of text.match(/\p{L}+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${word}\t${count}`).sort();
}

function indexWords(books: Books): string[] {
  const index = new Map<string, Set<string>>();
  for (const [name, { text }] of books) {
    for (const word of text.match(/\p{L}+/gu) ?? []) {
      if (!index.has(word)) index.set(word, new Set());
      index.get(word)!.add(name);
    }
  }
  return [...index].map(([word, names]) => `${word}\t${names.size} ${[...names].sort().join(",")}`).sort();
}

/** Lines of all parts, sorted; each part is sorted by the bytes of its keys. */
function linesOf(output: string): string[] {
  const parts = readdirSync(output).filter((name) => name.startsWith("part-"));
  const lines = parts.map((part) => readFileSync(join(output, part), "utf8").split("\n").slice(0, -1));
  for (const [n, part] of lines.entries()) {
    const keys = part.map((line) => Buffer.from(line.split("\t")[0]!));
    for (let i = 1; i < keys.length; i++)
      assert.ok(Buffer.compare(keys[i - 1]!, keys[i]!) < 0, `${parts[n]}, line ${i + 1}`);
  }
  return lines.flat().sort();
}

/** How many tasks the job has; waits until it is planned. */
async function tasksOf(scene: Scene, id: string): Promise<number> {
  let tasks = 0;
  await eventually(
    async () => {
      const { mapTasks, reduceTasks } = await scene.job(id);
      tasks = mapTasks + reduceTasks;
      return tasks > 0;
    },
    60_000,
    () => `${id} was not planned`,
  );
  return tasks;
}
