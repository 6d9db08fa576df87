import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import type { ReduceContext } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import type { Scene } from "./scene.ts";
import type { JobSettings, TaskServices, TaskSpec } from "./task-spec.ts";
import { PROGRESS_CELLS } from "./task-spec.ts";

/** "map-00017": the name of a task in messages, logs and file names. */
function nameOfTask(spec: TaskSpec): string {
  return `${spec.kind}-${String(spec.index).padStart(5, "0")}`;
}

/** The context object user code sees; one per attempt. Fields the loops write are public. */
export class AttemptContext implements ReduceContext {
  readonly input: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly aux: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  state: unknown = undefined;
  /** Offsets of the batch in hand, and which of them is the current record's. */
  offsets: readonly number[] = [];
  current = 0;
  readonly counters = new Map<string, number>();
  readonly #services: TaskServices;
  readonly #scene: Scene;
  readonly #seed: string;
  readonly #spec: TaskSpec;
  #task: string | undefined;
  #path = "";
  #askedPath = false;
  #askedTask: string | null = null;
  /** What the record in hand has counted, while it may still be set aside. */
  readonly #held = new Map<string, number>();
  #holds = false;
  #random: Random | undefined;
  /** Set by the reduce loop: where ctx.emit writes. */
  write: ((key: Key, value: unknown) => void) | undefined;

  constructor(
    spec: TaskSpec,
    settings: JobSettings,
    aux: Readonly<Record<string, unknown>>,
    services: TaskServices,
    scene: Scene,
    input: string,
  ) {
    this.#spec = spec;
    this.input = input;
    this.params = settings.params;
    this.aux = aux;
    this.signal = services.signal;
    this.#services = services;
    this.#scene = scene;
    this.#seed = `${settings.seed}/${spec.kind}/${spec.index}`;
  }

  /** Whether random() was called: what it gives depends on where the task began. */
  get hasDrawn(): boolean {
    return this.#random !== undefined;
  }

  get task(): string {
    this.#askedTask ??= "ctx.task";
    return (this.#task ??= nameOfTask(this.#spec));
  }

  get index(): number {
    this.#askedTask ??= "ctx.index";
    return this.#spec.index;
  }

  get attempt(): number {
    this.#askedTask ??= "ctx.attempt";
    return this.#spec.attempt;
  }

  get path(): string {
    this.#askedPath = true;
    return this.#path;
  }

  set path(path: string) {
    this.#path = path;
  }

  /** Whether the job has asked for a path. */
  get askedPath(): boolean {
    return this.#askedPath;
  }

  /** What the job has asked for that another task would not be told alike, "ctx.index"; null: nothing. */
  get askedTask(): string | null {
    return this.hasDrawn ? "ctx.random" : this.#askedTask;
  }

  get offset(): number {
    return this.offsets[this.current] ?? 0;
  }

  count(name: string, by = 1): void {
    if (!Number.isSafeInteger(by)) {
      throw new SheafError(
        "VALUE_INVALID",
        `ctx.count(${JSON.stringify(name)}, ${printValue(by)}): counters count in integers`,
        {
          hint: "Round the amount, or emit it under a key of its own and sum() it.",
        },
      );
    }
    const counters = this.#holds ? this.#held : this.counters;
    if (!counters.has(name) && !this.counters.has(name))
      this.#checkCounter(name, this.counters.size + this.#held.size);
    counters.set(name, (counters.get(name) ?? 0) + by);
  }

  /** Counters travel with every report and are kept with the job: they are a few numbers, not a result. */
  #checkCounter(name: unknown, known: number): void {
    const { countersMax, counterNameCharsMax } = limits;
    const isName =
      typeof name === "string" && name !== "" && name !== "__proto__" && name.length <= counterNameCharsMax;
    if (isName && known < countersMax) return;
    const problem = isName
      ? `this task has ${countersMax} counters already`
      : `a counter's name is a text of 1 to ${counterNameCharsMax} characters, not __proto__`;
    throw new SheafError("VALUE_INVALID", `ctx.count(${printValue(name)}): ${problem}`, {
      hint: "To count by values of the data, emit(value, 1) and reduce with sum().",
    });
  }

  /** From now on until release() or drop() what is counted is the record's. */
  hold(): void {
    this.#holds = true;
  }

  /** Adds what was held to the counters. */
  release(): void {
    this.#holds = false;
    if (this.#held.size === 0) return;
    for (const [name, by] of this.#held) this.counters.set(name, (this.counters.get(name) ?? 0) + by);
    this.#held.clear();
  }

  /** Forgets what was held. */
  drop(): void {
    this.#holds = false;
    this.#held.clear();
  }

  random(): number {
    this.#random ??= seededRandom(this.#seed);
    return this.#random.next();
  }

  log(message: string): void {
    const line = typeof message === "string" ? message : printValue(message, 1000);
    this.#scene.logged(line);
    this.#services.log(line);
  }

  progress(): void {
    this.#services.progress[PROGRESS_CELLS.beat]! += 1;
  }

  emit(key: Key, value: unknown): void {
    if (this.write === undefined) {
      throw new SheafError("EMIT_LATE", "ctx.emit can only be called inside reduce, before it has returned", {
        hint: "In map use the emit that is its second argument; await what reduce starts before it returns.",
      });
    }
    this.write(key, value);
  }
}
