import type { Clock } from "../base/clock.ts";
import type { StandingPrograms } from "../exec/standing-program.ts";
import type { Job } from "../job/job-plan.ts";
import type { TaskMemory } from "../shuffle/memory.ts";
import type { AttemptContext } from "./context.ts";
import type { Scene } from "./scene.ts";
import type { JobSettings, TaskServices, TaskStats } from "./task-spec.ts";

/** Everything a task of any kind works with. */
export interface TaskSetting<S> {
  readonly job: Job;
  readonly settings: JobSettings;
  readonly spec: S;
  readonly services: TaskServices;
  readonly memory: TaskMemory;
  readonly context: AttemptContext;
  readonly scene: Scene;
  readonly stats: TaskStats;
  readonly clock: Clock;
  /** Of the worker: those that outlive a task. */
  readonly programs: StandingPrograms;
}
