import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { plainKey } from "../job/descending.ts";
import type { CollectionPlan } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { EmitTarget } from "./emitter.ts";
import type { TaskOutput } from "./result-output.ts";
import { openTaskOutput } from "./routed-output.ts";
import type { JobSettings } from "./task-spec.ts";

/**
 * A map-only collection: pairs go straight to the job's writer. Files roll between records and opening one
 * takes a promise, so a map that emits without end between two awaits may leave a part larger than the part
 * size.
 */
export class MapOnlyOutput implements EmitTarget {
  readonly output: TaskOutput;
  emitted = 0;

  constructor(
    plan: CollectionPlan,
    collection: number,
    task: number,
    directory: string,
    settings: JobSettings,
  ) {
    this.output = openTaskOutput(plan, collection, task, directory, settings);
  }

  emit(key: Key, value: unknown): void {
    checkKey(key);
    this.emitted++;
    this.output.write(plainKey(key), value);
  }

  check(key: Key, value: unknown): void {
    checkKey(key);
    this.output.check(plainKey(key), value);
  }
}

/** What is no key in a shuffle is none without one either. */
function checkKey(key: Key): void {
  if (typeof key === "string" && key.isWellFormed()) return;
  encodeKey(Buffer.allocUnsafe(keySizeMax(key)), 0, key);
}
