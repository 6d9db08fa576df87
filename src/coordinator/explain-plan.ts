import { setImmediate } from "node:timers/promises";
import { explain, type TaskExplained } from "../engine/explain.ts";
import type { Split } from "../task/split.ts";
import type { JobEvents } from "./job-events.ts";
import type { Plan } from "./job-row.ts";
import type { SplitList } from "./split-list.ts";

/** What the event `planned` says of an incremental run. */
export function toldPlan({ full, keptTasks, keptBytes }: NonNullable<Plan["incremental"]>) {
  return { full, keptTasks, keptBytes };
}

/** Events that are written and told before others have their turn. */
const toldAtOnce = 500;

/**
 * Says of each task of a plan why it runs or not, bit by bit: there may be 200,000.
 * @returns false when that was left off, since the job is over
 */
export async function explainPlan(
  plan: Plan,
  events: Pick<JobEvents, "emitAll">,
  isOver: () => boolean,
): Promise<boolean> {
  let some: TaskExplained[] = [];
  for (const told of explained(plan)) {
    if (some.push(told) < toldAtOnce) continue;
    events.emitAll(some);
    some = [];
    await setImmediate();
    if (isOver()) return false;
  }
  events.emitAll(some);
  return true;
}

/** As the planner has found. */
function explained(plan: Plan): Generator<TaskExplained> {
  const { sample, map, reduce, incremental } = plan;
  const isKept = ({ kept }: Split): boolean => kept !== undefined;
  const whyRuns = ({ why }: Split): string => why ?? "no result of it was kept";
  return explain({
    tasks: { sample, map: splitsOf(map), reduce },
    isKept,
    incremental: incremental === undefined ? null : { whyRuns },
  });
}

/** One by one: a large job has many. */
function* splitsOf(list: SplitList): Generator<Split> {
  for (let task = 0; task < list.length; task++) yield list.at(task);
}
