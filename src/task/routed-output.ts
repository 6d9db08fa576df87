import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { clashOf, outputNameProblem, OutputNames } from "../base/output-name.ts";
import { Promise } from "../base/own-globals.ts";
import { printValue } from "../base/print-value.ts";
import type { OpenFile } from "../format/output-file.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { Writer } from "../job/writer.ts";
import { ResultOutput } from "./result-output.ts";
import type { TaskOutput } from "./result-output.ts";
import { PhaseError } from "./scene.ts";
import type { JobSettings, OutputPart } from "./task-spec.ts";

const FINISHED_AT_ONCE = 16;

type Route = NonNullable<Writer<Key, unknown>["route"]>;

/** The output files of one partition of a collection whose results go to directories of their own names. */
class RoutedOutput implements TaskOutput {
  readonly native = undefined;
  readonly #plan: CollectionPlan;
  readonly #collection: number;
  readonly #partition: number;
  readonly #directory: string;
  readonly #settings: JobSettings;
  readonly #route: Route;
  /** Takes every result, for those who collect them; writes none. */
  readonly #all: ResultOutput;
  readonly #named = new Map<string, ResultOutput>();
  readonly #names = new OutputNames();
  readonly #full = new Set<ResultOutput>();
  readonly #heldMost: number;
  #create: OpenFile | undefined;
  #held = 0;
  #last: ResultOutput | undefined;
  #lastName = "";

  constructor(
    plan: CollectionPlan,
    collection: number,
    partition: number,
    directory: string,
    settings: JobSettings,
  ) {
    this.#plan = plan;
    this.#collection = collection;
    this.#partition = partition;
    this.#directory = directory;
    this.#settings = { ...settings, collect: false };
    this.#heldMost = Math.min(limits.outputsHeldBytes, settings.memoryBytes / 4);
    this.#route = plan.output!.route!;
    this.#all = new ResultOutput(plan, collection, partition, directory, { ...settings, output: "none" });
  }

  get records(): number {
    return this.#all.records;
  }

  get full(): boolean {
    return this.#full.size > 0;
  }

  async open(): Promise<void> {
    this.#create = await new ResultOutput(
      this.#plan,
      this.#collection,
      this.#partition,
      this.#directory,
      this.#settings,
    ).opener(limits.outputFilesOpenMax);
  }

  check(key: Key, value: unknown): void {
    const name = this.#nameOf(key, value);
    (this.#named.get(name) ?? this.#output(name)).check(key, value);
    this.#all.check(key, value);
  }

  write(key: Key, value: unknown): void {
    const name = this.#nameOf(key, value);
    if (this.#create !== undefined) {
      let output = this.#last;
      if (output === undefined || name !== this.#lastName) output = this.#use(name);
      output.write(key, value);
      if (output.full) this.#full.add(output);
      if (this.#held > this.#heldMost) this.#release();
    }
    this.#all.write(key, value);
  }

  /** Ends the files that are full and begins others. */
  async roll(): Promise<void> {
    for (const output of this.#full) await output.roll();
    this.#full.clear();
  }

  writeLines(): Promise<void> {
    throw new SheafError("INTERNAL", "lines of a kernel have no name to go by");
  }

  async finish(): Promise<readonly OutputPart[]> {
    const parts: OutputPart[] = [];
    const outputs = [...this.#named].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, output]) => output);
    for (let at = 0; at < outputs.length; at += FINISHED_AT_ONCE) {
      const some = outputs.slice(at, at + FINISHED_AT_ONCE).map((output) => output.finish());
      for (const done of await Promise.allSettled(some)) {
        if (done.status === "rejected") throw done.reason;
        parts.push(...done.value);
      }
    }
    return [...parts, ...(await this.#all.finish())];
  }

  discard(): void {
    for (const output of this.#named.values()) output.discard();
    this.#all.discard();
  }

  #nameOf(key: Key, value: unknown): string {
    let name: unknown;
    try {
      name = this.#route(key, value);
    } catch (error) {
      throw new PhaseError("route", error, key);
    }
    if (this.#named.has(name as string)) return name as string;
    const problem = outputNameProblem(name);
    if (problem === undefined) return name as string;
    const message = `route() gave ${printValue(name)} as the name of an output directory: ${problem}`;
    const hint =
      'Give a text such as "2024-01-01" or "2024/01", and a name such as "unknown" where there is none.';
    throw new PhaseError("route", new SheafError("VALUE_INVALID", message, { hint }), key);
  }

  /** The output of that name. */
  #use(name: string): ResultOutput {
    let output = this.#named.get(name);
    if (output === undefined) {
      this.#checkNew(name);
      output = this.#output(name);
      output.openWith(this.#create!);
      this.#named.set(name, output);
    }
    this.#last = output;
    this.#lastName = name;
    return output;
  }

  #checkNew(name: string): void {
    const other = this.#names.clash(name);
    if (other !== undefined) throw new PhaseError("route", clashOf(other, name));
    if (this.#named.size < limits.outputNamesMax) return;
    const message = `route() gave more than ${limits.outputNamesMax} names in one task`;
    const hint = "Route by something coarser, or have more partitions, each of which has fewer names.";
    throw new PhaseError("route", new SheafError("VALUE_INVALID", message, { hint }));
  }

  #output(name: string): ResultOutput {
    const onGrown = (bytes: number): void => void (this.#held += bytes);
    const named = { name, index: this.#named.size, onGrown };
    return new ResultOutput(
      this.#plan,
      this.#collection,
      this.#partition,
      this.#directory,
      this.#settings,
      named,
    );
  }

  /**
   * Names come in any order, so results of all of them wait in memory. Where they take too much, the largest
   * are written until half of it is free: each opens its file once for many results.
   */
  #release(): void {
    const largest = [...this.#named.values()].sort((a, b) => b.heldBytes - a.heldBytes);
    for (const output of largest) {
      output.release();
      if (this.#held <= this.#heldMost / 2) return;
    }
  }
}

/** Where the results of one partition of a collection go. */
export function openTaskOutput(
  plan: CollectionPlan,
  collection: number,
  partition: number,
  directory: string,
  settings: JobSettings,
): TaskOutput {
  const routed = plan.output?.route !== undefined && plan.output.discards !== true;
  const Output = routed ? RoutedOutput : ResultOutput;
  return new Output(plan, collection, partition, directory, settings);
}
