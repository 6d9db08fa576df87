import type { RunEventBody } from "../engine/events.ts";
import { explain } from "../engine/explain.ts";
import type { Plan } from "./job-row.ts";

/** What the event `planned` says of an incremental run. */
export function toldOf({ full, keptTasks, keptBytes }: NonNullable<Plan["incremental"]>) {
  return { full, keptTasks, keptBytes };
}

/** Says of each task of a plan why it runs or not, as the planner has found. */
export function explainPlan(plan: Plan): Generator<Extract<RunEventBody, { kind: "task-explained" }>> {
  const { sample, map, reduce, incremental } = plan;
  const tasks = { sample: sample.first(sample.length), map: map.first(map.length), reduce };
  const kept = new Set(tasks.map.filter((split) => split.kept !== undefined).map(({ index }) => index));
  const whyRuns = ({ why }: (typeof tasks.map)[number]): string => why ?? "no result of it was kept";
  return explain({ plan: { tasks, kept }, incremental: incremental === undefined ? null : { whyRuns } });
}
