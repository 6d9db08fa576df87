import { SheafError } from "../base/errors.ts";
import { jsonl } from "../format/jsonl.ts";
import { findOtherThanPlainData } from "../job/plain-data.ts";
import { checkCollection } from "../job/validate-collection.ts";
import type { MapFunction } from "./map-loop.ts";
import { ResultOutput } from "./result-output.ts";
import type { JobSettings, OutputPart } from "./task-spec.ts";

const plan = checkCollection("", { output: jsonl({ shape: "record" }) });

/** The records that a map task is given, as JSON lines in files of their own: a dataset for later jobs. */
export class KeptRecords {
  readonly #output: ResultOutput;

  /** @param collection their index, behind those of the job's collections */
  constructor(collection: number, task: number, directory: string, settings: JobSettings) {
    const own: JobSettings = { ...settings, output: "write", collect: false };
    this.#output = new ResultOutput(plan, collection, task, directory, own);
  }

  /**
   * The map that keeps each record before it is given to `map`, which may change it, or throw. What would not
   * come back as it is throws VALUE_INVALID.
   */
  before(map: MapFunction): MapFunction {
    return (record, emit, context) => {
      const other = findOtherThanPlainData(record, "record");
      if (other !== undefined) {
        throw new SheafError("VALUE_INVALID", `materialize: a record is no plain JSON data at ${other}`, {
          hint: "It would not come back as it is. Make records of texts, finite numbers, arrays and objects.",
        });
      }
      this.#output.write(null, record);
      return map(record, emit, context);
    };
  }

  async open(): Promise<void> {
    await this.#output.open();
  }

  /** Between two records. */
  async roll(): Promise<void> {
    if (this.#output.full) await this.#output.roll();
  }

  async finish(): Promise<OutputPart[]> {
    return (await this.#output.finish()).map((part) => ({ ...part, kind: "records" }));
  }

  discard(): void {
    this.#output.discard();
  }
}
