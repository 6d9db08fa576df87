import type { OutputPart, TaskFailure } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";

/**
 * Holds the output files of finished tasks against each other: those of one directory must agree on
 * their layout (Encoder.layout), or reading them one after the other would put values under the wrong names.
 */
export class FileAgreement {
  readonly #collections: readonly string[];
  readonly #first = new Map<string, OutputPart>();
  #refusal: TaskFailure | null = null;

  constructor(collections: readonly string[]) {
    this.#collections = collections;
  }

  /** A failure once two files do not agree. */
  add(parts: readonly OutputPart[]): TaskFailure | null {
    for (const part of parts) {
      if (part.layout === undefined) continue;
      const place = `${part.collection}/${part.name ?? ""}`;
      const first = this.#first.get(place);
      if (first === undefined) this.#first.set(place, part);
      else if (first.layout !== part.layout) this.#refusal ??= this.#refused(first, part);
    }
    return this.check();
  }

  /** The failure that add() has told. */
  check(): TaskFailure | null {
    return this.#refusal;
  }

  #refused(first: OutputPart, other: OutputPart): TaskFailure {
    const [a, b] = first.partition <= other.partition ? [first, other] : [other, first];
    const collection = this.#collections[a.collection] ?? "";
    const named = a.name === undefined ? "" : `${a.name}: `;
    const where = collection === "" ? named : `collection ${collection}: ${named}`;
    const message = `${where}the output files would not agree: that of task ${a.partition} has ${a.layout}, that of task ${b.partition} ${b.layout}`;
    const hint =
      "Say in the job's output what all of them have: csv({ header: [names] }) or tsv({ columns: { ... } }), " +
      'or give all results the same fields in the same order; jsonl({ shape: "record" }) needs neither.';
    return taskFailure("VALUE_INVALID", message, { phase: "write", hint });
  }
}
