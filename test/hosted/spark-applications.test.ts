import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { HostJob, HostListener } from "#src/hosted/host-engine.js";
import { SparkApplications } from "#src/hosted/spark/applications.js";
import { SparkApplication } from "#src/hosted/spark/run-application.js";
import { tempDir } from "../cli/support.ts";
import { until } from "../kit/wait.ts";

/**
 * What SparkMain says, without Spark. It does what the home of a job says, and what happens to applications
 * goes into a file.
 */
const driver = `
  import { appendFileSync, readFileSync } from "node:fs";
  import { createInterface } from "node:readline";
  const note = (text) => appendFileSync(process.argv[2], text + "\\n");
  const say = (told) => console.log("sheaf-spark: " + JSON.stringify(told));
  const words = process.argv.slice(3);
  const number = readFileSync(process.argv[2], "utf8").split("\\n").filter((line) => line.startsWith("start")).length;
  note("start " + words.join(" "));
  process.on("SIGTERM", () => {
    note("stopped");
    process.exit(143);
  });
  if (words[0] === "broken") {
    console.error("Service 'sparkDriver' could not bind on a random free port");
    process.exit(1);
  }
  say({ event: "started", id: "app-" + number, url: "" });
  let isDead = false;
  let isOver = false;
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [what, job, name, how] = line.split("\\t").map(decodeURIComponent);
    if (what === "end") {
      isOver = true;
      note("end");
      process.exit(0);
    }
    note(what + " " + job);
    if (isDead) process.exit(1);
    if (what === "cancel") return say({ event: "cancelled", job });
    say({ event: "taken", job });
    console.log("sheaf-log: " + job + " name " + name);
    if (how === "done") say({ event: "done", job });
    if (how === "fails") say({ event: "failed", job, text: "java.lang.IllegalStateException: of " + job });
    if (how === "poisons") {
      isDead = true;
      say({ event: "done", job });
    }
    if (how === "dies") {
      console.error("java.lang.OutOfMemoryError: Java heap space");
      process.exit(1);
    }
  }).on("close", () => {
    if (isOver) return;
    note("gone");
    process.exit(1);
  });`;

const job: HostJob = {
  jobId: "",
  name: "a\tb\n€",
  home: "",
  splits: "",
  mapTasks: 1,
  reduces: 1,
  scratch: "",
  attempts: 1,
  heapBytes: null,
  memoryBytes: 0,
  output: null,
};
const order = { archive: "", splits: "s", output: "o" };

class Lab {
  readonly applications: SparkApplications;
  readonly heard: string[] = [];
  readonly #log: string;

  constructor(t: TestContext, idleMs?: number) {
    const directory = tempDir(t);
    this.#log = join(directory, "log");
    writeFileSync(this.#log, "");
    const program = join(directory, "driver.mjs");
    writeFileSync(program, driver);
    this.applications = new SparkApplications(
      (words) =>
        new SparkApplication({
          submit: words[0] === "nowhere" ? "/nowhere" : process.execPath,
          words: [program, this.#log, ...words],
          directory,
          env: process.env,
        }),
      idleMs,
    );
    t.after(() => this.applications.close());
  }

  /** @param how what the driver does with it: done, fails, poisons, dies, holds */
  async run(jobId: string, how: string, words = "w", signal = new AbortController().signal): Promise<string> {
    const tell =
      (what: string) =>
      (...args: unknown[]): void =>
        void this.heard.push([jobId, what, ...args].join(" "));
    const listener: HostListener = {
      progress: tell("progress"),
      attemptFailed: tell("attemptFailed"),
      tracking: tell("tracking"),
      placed: tell("placed"),
      log: tell("log"),
      warn: tell("warn"),
    };
    const told = { ...job, jobId, home: how };
    const end = await this.applications.run([words], told, { ...order, home: how }, listener, signal);
    return end.kind === "failed" ? `${end.failure.code}: ${end.failure.message}` : end.kind;
  }

  /** What has happened, in order. */
  get log(): string[] {
    return readFileSync(this.#log, "utf8").trimEnd().split("\n");
  }

  /** Resolves when that has happened. */
  seen(line: string): Promise<void> {
    return until(line, () => existsSync(this.#log) && this.log.includes(line));
  }
}

test("jobs are given to one application, which ends when they are over", async (t) => {
  const lab = new Lab(t);
  for (const one of ["j1", "j2", "j3"]) assert.equal(await lab.run(one, "done"), "done");
  await lab.applications.close();
  assert.deepEqual(lab.log, ["start w", "run j1", "run j2", "run j3", "end"]);
  const wanted = ["j1", "j2", "j3"].flatMap((one) => [`${one} tracking app-0 `, `${one} log name a\tb`]);
  assert.deepEqual(lab.heard, wanted);
});

test("a job that fails is told, and the next one runs in the same application", async (t) => {
  const lab = new Lab(t);
  assert.match(await lab.run("j1", "fails"), /WORKER_LOST: .*IllegalStateException: of j1/);
  assert.equal(await lab.run("j2", "done"), "done");
  assert.deepEqual(lab.log, ["start w", "run j1", "run j2"]);
});

test("of jobs at one time the one that is cancelled ends, and no other", async (t) => {
  const lab = new Lab(t);
  const cancel = new AbortController();
  const held = lab.run("j1", "holds", "w", cancel.signal);
  const other = new AbortController();
  const second = lab.run("j2", "holds", "w", other.signal);
  await lab.seen("run j2");
  cancel.abort();
  assert.equal(await held, "cancelled");
  assert.equal(await lab.run("j3", "done"), "done");
  assert.deepEqual(lab.log, ["start w", "run j1", "run j2", "cancel j1", "run j3"]);
  // Nobody waits for anything in it now.
  other.abort();
  assert.equal(await second, "cancelled");
  assert.equal(lab.log.at(-1), "stopped");
  assert.equal(await lab.run("j4", "done", "w", cancel.signal), "cancelled");
  assert.equal(await lab.run("j5", "done"), "done");
  assert.deepEqual(lab.log.slice(-2), ["start w", "run j5"]);
});

test("a job that an application was gone for runs in another one", async (t) => {
  const lab = new Lab(t);
  assert.equal(await lab.run("j1", "poisons"), "done");
  assert.equal(await lab.run("j2", "done"), "done");
  assert.deepEqual(lab.log, ["start w", "run j1", "run j2", "start w", "run j2"]);
  assert.deepEqual(
    lab.heard.filter((line) => line.includes("j2 tracking")),
    ["j2 tracking app-0 ", "j2 tracking app-1 "],
  );
});

test("a job whose application ends under it has failed; the next one has a new one", async (t) => {
  const lab = new Lab(t);
  assert.match(await lab.run("j1", "dies"), /OUT_OF_MEMORY: a JVM of Spark has run out of memory/);
  assert.equal(await lab.run("j2", "done"), "done");
  assert.match(await lab.run("j3", "fails"), /WORKER_LOST/);
  assert.deepEqual(lab.log, ["start w", "run j1", "start w", "run j2", "run j3"]);
});

test("what an application cannot be asked for later has one of its own; none waits for another", async (t) => {
  const lab = new Lab(t);
  assert.equal(await lab.run("j1", "done", "small"), "done");
  // The first has nothing to do, and may have all of the cluster.
  assert.equal(await lab.run("j2", "done", "large"), "done");
  assert.deepEqual(lab.log, ["start small", "run j1", "end", "start large", "run j2"]);
  const cancel = new AbortController();
  const held = lab.run("j3", "holds", "large", cancel.signal);
  await lab.seen("run j3");
  assert.equal(await lab.run("j4", "done", "small"), "done");
  await lab.applications.run(
    ["small"],
    { ...job, jobId: "j5" },
    { ...order, home: "done" },
    none,
    none.signal,
  );
  cancel.abort();
  assert.equal(await held, "cancelled");
  await lab.applications.close();
  const small = lab.log.filter((line) => !/j3|stopped/.test(line)).slice(5);
  assert.deepEqual(small, ["start small", "run j4", "end", "start small", "run j5", "end"]);
});

test("an application that waits too long for a job ends", async (t) => {
  const lab = new Lab(t, 1);
  assert.equal(await lab.run("j1", "done"), "done");
  await lab.seen("end");
  assert.equal(await lab.run("j2", "done"), "done");
  await lab.applications.close();
  assert.deepEqual(lab.log, ["start w", "run j1", "end", "start w", "run j2", "end"]);
});

test("it waits as long as something is at work that may lead to a job", async (t) => {
  const lab = new Lab(t, 1);
  const other = new Lab(t, 1);
  await lab.applications.keep(async () => {
    assert.equal(await lab.run("j1", "done"), "done");
    assert.equal(await other.run("j1", "done"), "done");
    // Longer than one waits that nothing keeps.
    await other.seen("end");
    assert.equal(await lab.run("j2", "done"), "done");
  });
  await lab.seen("end");
  assert.deepEqual(lab.log, ["start w", "run j1", "run j2", "end"]);
});

test("one that cannot be started is told", async (t) => {
  const lab = new Lab(t);
  assert.match(await lab.run("j1", "done", "broken"), /UNREACHABLE: the driver cannot open its port/);
  await assert.rejects(lab.run("j2", "done", "nowhere"), { code: "PROGRAM_UNUSABLE" });
  assert.equal(await lab.run("j3", "done"), "done");
});

const none = {
  progress: () => undefined,
  attemptFailed: () => undefined,
  tracking: () => undefined,
  placed: () => undefined,
  log: () => undefined,
  warn: () => undefined,
  signal: new AbortController().signal,
};
