import type { MapTaskSpec, TaskFailure, TaskSpec } from "../task/task-spec.ts";
import type { PoisonRecord, RecordPlace, Trace } from "./trace.ts";

/** What ends a worker, and may be one record's doing. */
const WORKER_ENDS = new Set<TaskFailure["code"]>([
  "USER_EXITED",
  "WORKER_LOST",
  "NO_PROGRESS",
  "OUT_OF_MEMORY",
]);

/** What is known of the map tasks whose workers came to an end: which records did it. */
export class PoisonWatch {
  readonly #keepBad: boolean;
  readonly #suspects: Map<number, readonly PoisonRecord[]>;

  /**
   * @param keepBad whether records may be set aside
   * @param known what `suspects` of an earlier watch over the same job gave
   */
  constructor(keepBad: boolean, known: Iterable<readonly [number, readonly PoisonRecord[]]> = []) {
    this.#keepBad = keepBad;
    this.#suspects = new Map(known);
  }

  /** By map task: the records its next attempts skip. */
  get suspects(): readonly (readonly [number, readonly PoisonRecord[]])[] {
    return [...this.#suspects];
  }

  /** What attempts of the map task skip while they are traced; null: they are not. */
  skipOf(task: number): readonly PoisonRecord[] | null {
    return this.#suspects.get(task) ?? null;
  }

  /** How the attempt `id` of a task is to be traced; null: not at all. */
  traceOf(spec: TaskSpec, id: number): Trace | null {
    const skip = spec.kind === "map" ? this.skipOf(spec.index) : null;
    return skip === null ? null : { id, skip };
  }

  /** Records that are set aside because of what they did to workers. */
  get count(): number {
    let count = 0;
    for (const records of this.#suspects.values()) count += records.length;
    return count;
  }

  /**
   * Takes in how an attempt ended. Returns the failure with the record's place, where that is known;
   * `setAside` when the record will be skipped from now on, or may be once it is known: then the attempt is
   * not user code's failure.
   * @param traced whether the attempt was
   * @param place the record it was at, as far as it was traced
   */
  ended(
    spec: TaskSpec,
    traced: boolean,
    place: RecordPlace | null,
    failure: TaskFailure,
  ): { readonly failure: TaskFailure; readonly setAside: boolean } {
    if (spec.kind !== "map" || !WORKER_ENDS.has(failure.code)) return { failure, setAside: false };
    const known = this.#suspects.get(spec.index) ?? [];
    this.#suspects.set(spec.index, known);
    // A full heap is rarely the doing of the record that happened to fill it.
    const mayBeSetAside = this.#keepBad && failure.code !== "OUT_OF_MEMORY";
    if (place === null) {
      // Traced, and at no record: then it is no record's doing, and somebody else's only the first time.
      const again = mayBeSetAside && traced && failure.code === "WORKER_LOST";
      const message = `user code exited: ${failure.message}`;
      const told: TaskFailure = again ? { ...failure, code: "USER_EXITED", blame: "user", message } : failure;
      return { failure: told, setAside: mayBeSetAside && !traced };
    }
    const isNew = !known.some((one) => one.piece === place.piece && one.offset === place.offset);
    if (mayBeSetAside && isNew)
      this.#suspects.set(spec.index, [...known, { ...place, message: failure.message }]);
    return { failure: placed(spec.split.pieces, failure, place), setAside: mayBeSetAside && isNew };
  }
}

/** The failure with the record that the attempt was at. */
export function placed(
  pieces: MapTaskSpec["split"]["pieces"],
  failure: TaskFailure,
  place: RecordPlace,
): TaskFailure {
  const piece = pieces[place.piece];
  return { ...failure, path: piece?.kind === "file" ? piece.name : null, offset: place.offset };
}
