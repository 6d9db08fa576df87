import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deserialize } from "node:v8";
import { systemClock } from "#src/base/clock.js";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import type { Random } from "#src/base/random.js";
import { readFromWorker } from "#src/worker/from-worker.js";
import { checkNothingLeft, lookAtMemory } from "../chaos/invariants.js";
import type { MemoryPeaks } from "../chaos/invariants.js";
import { sheaf } from "../cli/support.js";
import { assertComplete, treeOf } from "../cluster/output-tree.js";
import type { OutputTree } from "../cluster/output-tree.js";
import { eventually } from "../cluster/real-cluster.js";
import type { Scene } from "../cluster/scene.js";
import { FuzzCluster, agents, crash, finals, slots } from "./fuzz-cluster.js";
import type { Turns } from "./fuzz-cluster.js";
import { goodJob, hostileJob, togetherJob } from "./job-files.js";
import { jsonText, mutate, mutateBytes } from "./mutate.js";
import type { Exchange } from "./recorder.js";
import { attack, fieldsOf, makeAttack } from "./requests.js";
import type { AttackWorld } from "./requests.js";

export interface FuzzOptions {
  readonly ms: number;
  /** Rounds go on until as many were answered. Default 0. */
  readonly requestsMin?: number;
  readonly seed: number;
  tell(line: string): void;
}

export interface FuzzReport {
  /** Answers to what was sent, by status; "0": cut. */
  readonly answers: Readonly<Record<string, number>>;
  /** Answers of the coordinator that were changed on their way. */
  readonly changedAnswers: number;
  /** Messages of workers that were read in this process. */
  readonly workerMessages: number;
  /** How jobs ended: "good SUCCEEDED". */
  readonly jobs: Readonly<Record<string, number>>;
  /** Ended as the coordinator's changed answers told them to, and started again. */
  readonly agentsEnded: number;
  readonly memory: MemoryPeaks;
  /** The longest turn of an event loop, ms: on the clock, and in time of the processor. */
  readonly turns: Turns;
}

const inFlight = 40;
const jobMsMax = 90_000;
/** Jobs that changed submissions have made: no more than so many are there at one time. */
const strayJobsMax = 3;
/** Where results of a job go that names no path. */
const collected = { kind: "collect", write: true, collect: true };

type Kind = "good" | "together" | "hostile";

/**
 * A coordinator and agents run good jobs while messages come that nobody of sheaf sends. In a calm round
 * those speak for nobody who is there: every good job must succeed. In a wild one they may say that they are
 * an agent that is there, and the coordinator's answers to agents are changed, too: jobs may fail, and then
 * all must be as before. After each round a job needs every slot at the same time.
 * @throws Error naming what broke; the directory is then kept and named
 */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const fuzz = new Fuzz(await FuzzCluster.open(), options);
  try {
    await fuzz.run();
    const report = fuzz.report();
    await fuzz.close();
    rmSync(fuzz.scene.cluster.root, { recursive: true, force: true, maxRetries: 3 });
    return report;
  } catch (error) {
    options.tell(`BROKEN after ${JSON.stringify(fuzz.report())}`);
    options.tell(`kept: ${fuzz.scene.cluster.root}`);
    await fuzz.close().catch((more: unknown) => options.tell(String(more)));
    throw error;
  }
}

class Fuzz {
  readonly scene: Scene;
  readonly #options: FuzzOptions;
  readonly #cluster: FuzzCluster;
  readonly #begunMs = systemClock.nowMs();
  readonly #answers: Record<string, number> = {};
  readonly #jobs: Record<string, number> = {};
  readonly #memory: MemoryPeaks = { coordinator: 0, agent: 0, worker: 0 };
  readonly #submissions = new Map<Kind, Exchange>();
  readonly #expected = new Map<Kind, OutputTree>();
  /** Jobs that must not be told to end. */
  readonly #guarded = new Set<string>();
  #routes: string[] = [];
  #outputs = 0;
  #sent = 0;
  #changedAnswers = 0;
  #workerMessages = 0;
  #agentsEnded = 0;
  #strays: string[] = [];
  #broken: Error | null = null;
  #watch: NodeJS.Timeout | undefined;

  constructor(cluster: FuzzCluster, options: FuzzOptions) {
    this.scene = cluster.scene;
    this.#cluster = cluster;
    this.#options = options;
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    await this.#cluster.close();
  }

  report(): FuzzReport {
    return {
      answers: this.#answers,
      changedAnswers: this.#changedAnswers,
      workerMessages: this.#workerMessages,
      jobs: this.#jobs,
      agentsEnded: this.#agentsEnded,
      memory: this.#memory,
      turns: this.#cluster.turns(),
    };
  }

  async run(): Promise<void> {
    await this.#capture();
    this.#watch = setInterval(() => this.#look(), 500);
    const endMs = systemClock.nowMs() + this.#options.ms;
    const roundMs = Math.min(20_000, this.#options.ms / 4);
    const { requestsMin = 0 } = this.#options;
    // One of each kind, and so many requests, however slow the machine is.
    for (let round = 0; round < 2 || this.#sent < requestsMin || systemClock.nowMs() < endMs; round++) {
      await this.#round(round, round % 2 === 1, systemClock.nowMs() + roundMs);
      if (this.#broken !== null) throw this.#broken;
    }
    await checkNothingLeft(this.scene, agents);
    this.#cluster.checkFiles();
  }

  #tell(line: string): void {
    const seconds = ((systemClock.nowMs() - this.#begunMs) / 1_000).toFixed(1);
    this.#options.tell(`${seconds.padStart(7)} s  ${line}`);
  }

  /** Each job once, as people run it: what is said then is what is changed later. */
  async #capture(): Promise<void> {
    const { scene } = this;
    const input = scene.file("in.txt", wordsOf(this.#options.seed));
    const four = scene.file("four.txt", "a line\n".repeat(4_000));
    const rest = ["--split-size", "7000", "-p", "2", "--no-speculation"];
    mkdirSync(scene.path("together"), { recursive: true });
    mkdirSync(scene.path("hostile"), { recursive: true });
    mkdirSync(scene.path("outputs"), { recursive: true });
    const files: readonly [Kind, string, string][] = [
      ["good", scene.file("good.ts", goodJob), input],
      ["together", scene.file("together.ts", togetherJob(scene.path("together"), agents * slots)), four],
      ["hostile", scene.file("hostile.ts", hostileJob(scene.path("hostile"))), input],
    ];
    this.#seedHostile("capture");
    const began = files.map(([kind, file, from]) => {
      // A worker that says nothing of what it was told to do is ended after a while.
      const more = kind === "hostile" ? ["--no-progress-timeout", "3s", "--attempts", "2"] : [];
      const args = ["submit", file, from, ...rest, ...more, "-o", scene.path("outputs", `first-${kind}`)];
      return scene.cluster.run(args, { env: { SHEAF_ON: this.#cluster.toCoordinator.url } });
    });
    for (const { code, stdout, stderr } of await Promise.all(began))
      assert.equal(code, 0, `${stdout}\n${stderr}`);
    for (const { job, name } of await scene.jobs()) {
      const kind = name as Kind;
      await this.#ended(job);
      if (kind !== "hostile") this.#expected.set(kind, treeOf(scene.path("outputs", `first-${kind}`)));
    }
    for (const exchange of this.#cluster.toCoordinator.kept.get("POST /jobs")!) {
      const { name } = JSON.parse(exchange.body.toString()) as { readonly name: Kind };
      this.#submissions.set(name, exchange);
    }
    const first = (await scene.jobs())[0]!.job;
    for (const path of ["/cluster", "/nodes", "/metrics", "/jobs?limit=5&state=FAILED", ""])
      await this.#askRecorded(path === "" ? `/jobs/${first}` : path);
    for (const name of ["attempts", "results", "results/output/0", "events", "logs?task=map-00000"])
      await this.#askRecorded(`/jobs/${first}/${name}`);
    await this.#askRecorded(`/jobs/${first}/kill`, { reason: "it has ended" });
    await this.#askRecorded(`/jobs/${first}/attach`, { attached: false });
    await this.#askRecorded(`/jobs/${first}/heartbeat`, {});
    await this.#askRecorded("/nodes/a0/drain", { draining: false });
    await this.#askRecorded("/nodes/a1/admit", {});
    await this.#askRecorded("/jobs/20260101-101010123-words-abcd/delete", {});
    const { body } = this.#submissions.get("good")!;
    const submission = { ...(JSON.parse(body.toString()) as object), output: collected };
    const when = { cron: "0 0 1 1 *", timeZone: "Europe/Berlin", missed: "skip", overlap: "skip" };
    await this.#askRecorded("/schedules", { name: "yearly", ...when, submission });
    await this.#askRecorded("/schedules");
    await this.#askRecorded("/schedules/yearly/pause", { paused: true });
    await this.#askRecorded("/schedules/yearly/remove", {});
    const document = await scene.cluster.get<{ paths: Record<string, object> }>("/openapi.json");
    this.#routes = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const requests = [...this.#cluster.toCoordinator.kept.values()].flat().length;
    this.#tell(`${requests} requests of ${this.#cluster.toCoordinator.kept.size} routes were captured`);
  }

  async #askRecorded(path: string, json?: unknown): Promise<void> {
    const token = `Bearer ${this.#cluster.token("client")}`;
    const sent = json === undefined ? {} : { method: "POST", body: JSON.stringify(json) };
    const type = json === undefined ? {} : { "content-type": "application/json" };
    const answer = await fetch(this.#cluster.toCoordinator.url + path, {
      headers: { authorization: token, ...type },
      ...sent,
    });
    await answer.arrayBuffer();
  }

  #seedHostile(name: string): void {
    writeFileSync(this.scene.path("hostile", "seed"), `${this.#options.seed}/${name}/`);
  }

  async #round(round: number, isWild: boolean, endMs: number): Promise<void> {
    this.#tell(`round ${round}: ${isWild ? "wild" : "calm"}`);
    const world = this.#world(isWild);
    const random = seededRandom(`${this.#options.seed}/answers/${round}`);
    this.#cluster.toCoordinator.changeAnswer = isWild
      ? (body) => (random.below(6) === 0 ? this.#changedAnswer(random, body) : null)
      : null;
    this.#readWorkerMessages(round);
    const isOver = (): boolean => systemClock.nowMs() >= endMs || this.#broken !== null;
    await Promise.all([
      ...Array.from({ length: inFlight }, () => this.#attackUntil(isOver, world)),
      this.#jobsUntil(isOver, "good", round, !isWild),
      this.#jobsUntil(isOver, "hostile", round, false),
      this.#hostileHere(round),
    ]);
    this.#cluster.toCoordinator.changeAnswer = null;
    if (this.#broken !== null) return;
    this.#agentsEnded += await this.#cluster.calm();
    this.#strays = [];
    await this.#one("together", `${round}`, true);
    this.#cluster.checkFiles();
  }

  #changedAnswer(random: Random, body: Buffer): Buffer {
    this.#changedAnswers++;
    if (random.below(8) === 0) return mutateBytes(random, body);
    try {
      return Buffer.from(jsonText(mutate(random, JSON.parse(body.toString()), { as: "json" })));
    } catch {
      return mutateBytes(random, body);
    }
  }

  #world(isWild: boolean): AttackWorld {
    const captured = new Map([...this.#cluster.toCoordinator.kept].map(([route, all]) => [route, [...all]]));
    const others = fieldsOf([...captured.values()].flat());
    others.set("task", ["map-00000", "reduce-00001", 0, 1]);
    others.set("attempt", [...(others.get("attempt") ?? []), "map-00000.1", 1]);
    others.set("schedule", ["yearly", "good"]);
    others.set("errand", others.get("id") ?? []);
    others.set("hash", others.get("bundle") ?? []);
    const names = Array.from({ length: agents }, (_, index) => this.scene.cluster.agentName(index));
    return {
      captured,
      routes: this.#routes,
      tokens: [this.#cluster.token("client"), this.#cluster.token("agent")],
      host: new URL(this.scene.cluster.url).host,
      others,
      disarm: (method, text) => {
        if (isWild) return text;
        let safe = text;
        for (const name of names) safe = safe.replaceAll(new RegExp(`\\b${name}\\b`, "g"), `ghost-${name}`);
        // It would join, and be given work.
        if (method === "POST" && /^\/+agents\/*(?:\?|\n|$)/.test(safe)) return null;
        if (method !== "GET" && /^\/jobs\/[^\n]*(?:kill|attach|results|delete)/.test(safe))
          for (const job of this.#guarded) safe = safe.replaceAll(job, "20260101-101010123-words-abcd");
        return safe;
      },
    };
  }

  async #attackUntil(isOver: () => boolean, world: AttackWorld): Promise<void> {
    const port = Number(new URL(this.scene.cluster.url).port);
    while (!isOver()) {
      const n = this.#sent++;
      const random = seededRandom(`${this.#options.seed}/${n}`);
      const toShuffle = random.below(10) === 0 ? random.below(agents) : null;
      const of =
        toShuffle === null ? world : { ...world, captured: this.#cluster.toShuffle[toShuffle]!.kept };
      if (of.captured.size === 0) continue;
      const made = makeAttack(random, {
        ...of,
        ...(toShuffle === null ? {} : { routes: ["GET /shuffle/{job}", "GET /health"] }),
      });
      const to = toShuffle === null ? port : this.#cluster.shufflePort(toShuffle);
      if (made === null || to === null) continue;
      const { status, body, problem } = await attack(to, made);
      this.#answers[status] = (this.#answers[status] ?? 0) + 1;
      if (status === 201 && made.target.startsWith("/jobs")) this.#stray(body);
      if (problem === null) continue;
      const text = made.bytes.toString("latin1").slice(0, 4_000);
      this.#breaks(new Error(`request ${n}: ${problem}: ${body.slice(0, 1_000)}\n${text}`));
    }
  }

  /** A submission was taken: it is one more job, of which nothing is expected. */
  #stray(body: string): void {
    const job = /"job":"([^"]+)"/.exec(body)?.[1];
    if (job === undefined) return;
    this.#strays.push(job);
    while (this.#strays.length > strayJobsMax)
      void this.#cluster.kill(this.#strays.shift()!).catch(() => undefined);
  }

  async #jobsUntil(isOver: () => boolean, kind: Kind, round: number, mustSucceed: boolean): Promise<void> {
    for (let n = 0; !isOver(); n++) {
      if (kind === "hostile") this.#seedHostile(`${round}/${n}`);
      try {
        await this.#one(kind, `${round}-${n}`, mustSucceed);
      } catch (error) {
        this.#breaks(error as Error);
      }
    }
  }

  /** Submits it as it was submitted first, waits for its end, and looks at what it has made. */
  async #one(kind: Kind, name: string, mustSucceed: boolean): Promise<void> {
    const { scene } = this;
    if (kind === "together") {
      rmSync(scene.path("together"), { recursive: true, force: true });
      mkdirSync(scene.path("together"));
    }
    const submission = JSON.parse(this.#submissions.get(kind)!.body.toString()) as Record<string, unknown>;
    const output = scene.path("outputs", `${kind}-${name}-${this.#outputs++}`);
    submission["output"] = { ...(submission["output"] as object), path: output };
    const key = { "idempotency-key": `fuzz-${this.#options.seed}-${this.#outputs}` };
    const { status, body } = await scene.cluster.ask("client", "POST", "/jobs", submission, key);
    assert.equal(status, 201, body);
    const { job } = JSON.parse(body) as { readonly job: string };
    if (mustSucceed) this.#guarded.add(job);
    const view = await this.#ended(job);
    this.#guarded.delete(job);
    const ending = `${kind}${mustSucceed || kind === "hostile" ? "" : " (wild)"} ${view.state}`;
    this.#jobs[ending] = (this.#jobs[ending] ?? 0) + 1;
    if (mustSucceed) assert.equal(view.state, "SUCCEEDED", `${kind} ${job}: ${view.error?.report}`);
    if (view.state === "SUCCEEDED" && kind !== "hostile" && mustSucceed) {
      assertComplete(output);
      assert.deepEqual(treeOf(output), this.#expected.get(kind), `${kind} ${job} has another output`);
    }
    scene.assertNothingBeside(output, view.state === "SUCCEEDED");
    rmSync(output, { recursive: true, force: true });
  }

  async #ended(job: string) {
    const isEnded = async (): Promise<boolean> => finals.has((await this.scene.job(job)).state);
    let now = "";
    const told = async (): Promise<boolean> => {
      if (this.#broken !== null) throw this.#broken;
      now = JSON.stringify(await this.scene.job(job).catch(String)).slice(0, 2_000);
      return isEnded();
    };
    await eventually(told, jobMsMax, () => `job ${job} does not end: ${now}`);
    return this.scene.job(job);
  }

  /** The same job without a cluster: its run ends as runs end, and leaves nothing. */
  async #hostileHere(round: number): Promise<void> {
    const temporary = this.scene.path(`tmp-${round}`);
    mkdirSync(temporary);
    const output = this.scene.path("outputs", `here-${round}`);
    const args = [
      this.scene.path("hostile.ts"),
      this.scene.path("in.txt"),
      "-o",
      output,
      "--split-size",
      "7000",
    ];
    const isolate = ["--isolate", round % 2 === 0 ? "thread" : "process", "--no-progress-timeout", "3s"];
    try {
      const { code, stderr } = await sheaf(["run", ...args, ...isolate], {
        timeoutMs: jobMsMax,
        env: { TMPDIR: temporary, SHEAF_STATE: this.scene.path("local-state") },
      });
      const ending = `hostile here, ended with ${code}`;
      this.#jobs[ending] = (this.#jobs[ending] ?? 0) + 1;
      assert.ok(code === 0 || code === 1, `${isolate.join(" ")}: ${code}\n${stderr}`);
      assert.doesNotMatch(stderr, crash);
      assert.doesNotMatch(stderr, /This is a bug|INTERNAL/);
      assert.deepEqual(readdirSync(temporary), [], "the run has left files");
      this.scene.assertNothingBeside(output, code === 0);
      rmSync(output, { recursive: true, force: true });
    } catch (error) {
      this.#breaks(error as Error);
    }
  }

  /** Changed messages of workers, as one would be read that comes from there. */
  #readWorkerMessages(round: number): void {
    const frames = this.scene.path("hostile", "frames");
    const said = readdirSync(frames)
      .slice(0, 200)
      .flatMap((name) => messageIn(readFileSync(join(frames, name))));
    const random = seededRandom(`${this.#options.seed}/worker/${round}`);
    for (let n = 0; n < 2_000; n++) {
      const changed = mutate(random, said[random.below(said.length)], { as: "clone" });
      this.#workerMessages++;
      try {
        readFromWorker(changed);
      } catch (error) {
        if (!isSheafError(error) || error.code !== "MESSAGE_INVALID") throw error;
      }
    }
  }

  #breaks(error: Error): void {
    this.#broken ??= error;
  }

  #look(): void {
    try {
      lookAtMemory(this.scene.cluster, agents, this.#memory);
      assert.ok(this.scene.cluster.coordinatorRuns, "the coordinator has ended");
    } catch (error) {
      this.#breaks(error as Error);
    }
  }
}

/** None where its worker was killed while it was kept. */
function messageIn(body: Buffer): unknown[] {
  try {
    return [deserialize(body)];
  } catch {
    return [];
  }
}

/** About 28 KB: four maps. */
function wordsOf(seed: number): string {
  const random = seededRandom(`${seed}/words`);
  const words = Array.from({ length: 300 }, () =>
    String.fromCharCode(...Array.from({ length: 2 + random.below(7) }, () => 97 + random.below(26))),
  );
  const lines: string[] = [];
  for (let bytes = 0; bytes < 27_500; bytes += lines.at(-1)!.length + 1)
    lines.push(Array.from({ length: 8 }, () => words[random.below(words.length)]).join(" "));
  return `${lines.join("\n")}\n`;
}
