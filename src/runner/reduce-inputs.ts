import type { SchedulerEvent } from "../scheduler/events.ts";
import type { MapOutput, TaskSuccess } from "../task/task-spec.ts";
import type { TaskTable } from "../engine/plan-job.ts";

/** Which map outputs each reduce reads. The finished maps are put together once for many reduces. */
export class ReduceInputs {
  readonly #finished: () => readonly TaskSuccess[];
  #maps: readonly TaskSuccess[] | null = null;

  /** `finished`: the results of the maps that are finished now, in task order. */
  constructor(finished: () => readonly TaskSuccess[]) {
    this.#finished = finished;
  }

  /** To be called for every event that the scheduler has taken in. */
  taken(event: SchedulerEvent): void {
    if (mayChangeMaps(event)) this.#maps = null;
  }

  /** The outputs of those maps that emitted anything for the partition, in task order. */
  of({ collection, partition }: TaskTable["reduce"][number]): MapOutput[] {
    this.#maps ??= this.#finished();
    return this.#maps.flatMap(({ output, partitionBytes }) =>
      output === null || partitionBytes[collection]![partition] === 0 ? [] : [output],
    );
  }
}

/** All events but those that come with every reduce, or with time: they leave finished maps as they are. */
function mayChangeMaps(event: SchedulerEvent): boolean {
  switch (event.kind) {
    case "workerReady":
    case "attemptProgress":
    case "tick":
      return false;
    case "attemptFinished":
    case "attemptFailed":
      return event.attempt.phase === "map";
    default:
      return true;
  }
}
