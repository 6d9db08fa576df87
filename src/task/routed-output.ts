import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { clashOf, outputNameProblem, OutputNames } from "../base/output-name.ts";
import { Promise } from "../base/own-globals.ts";
import { printValue } from "../base/print-value.ts";
import { KiB } from "../base/size.ts";
import type { OpenFile } from "../format/output-file.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { Writer } from "../job/writer.ts";
import { ResultOutput } from "./result-output.ts";
import type { TaskOutput } from "./result-output.ts";
import { PhaseError } from "./scene.ts";
import type { JobSettings, OutputPart } from "./task-spec.ts";

/** Files open at once; those of other names are opened again when something comes for them. */
const BUFFER_BYTES = 16 * KiB;
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
  /** Those whose file is open, the one used longest ago first. */
  readonly #opened = new Set<ResultOutput>();
  readonly #full = new Set<ResultOutput>();
  #create: OpenFile | undefined;
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
    ).opener();
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
    }
    this.#all.write(key, value);
  }

  /** Ends the files that are full and begins others. */
  async roll(): Promise<void> {
    for (const output of this.#full) {
      await output.roll(BUFFER_BYTES);
      this.#keepOpen(output);
    }
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

  /** The output of that name, with its file open. */
  #use(name: string): ResultOutput {
    let output = this.#named.get(name);
    if (output === undefined) {
      this.#checkNew(name);
      output = this.#output(name);
      output.openWith(this.#create!, BUFFER_BYTES);
      this.#named.set(name, output);
    } else if (!this.#opened.has(output)) output.unpark(BUFFER_BYTES);
    this.#keepOpen(output);
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
    const named = { name, index: this.#named.size };
    return new ResultOutput(
      this.#plan,
      this.#collection,
      this.#partition,
      this.#directory,
      this.#settings,
      named,
    );
  }

  /** Makes it the one used last; where too many are open, closes the one used longest ago for now. */
  #keepOpen(output: ResultOutput): void {
    this.#opened.delete(output);
    this.#opened.add(output);
    if (this.#opened.size <= limits.outputFilesOpenMax) return;
    for (const oldest of this.#opened) {
      oldest.park();
      this.#opened.delete(oldest);
      if (oldest === this.#last) this.#last = undefined;
      break;
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
