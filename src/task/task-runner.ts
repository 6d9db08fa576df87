import { systemClock } from "../base/clock.ts";
import { unreachable } from "../base/errors.ts";
import { process } from "../base/own-globals.ts";
import { jobOfInput } from "../job/define.ts";
import type { Job } from "../job/job-plan.ts";
import { TaskMemory } from "../shuffle/memory.ts";
import { mapOrAdopt } from "./adopt-map.ts";
import { loadAux } from "./aux.ts";
import { AttemptContext } from "./context.ts";
import type { TaskSetting } from "./map-task.ts";
import { estimatingJob } from "./record-units.ts";
import { runReduce } from "./reduce-task.ts";
import { runSample } from "./sample-task.ts";
import { Scene } from "./scene.ts";
import { emptyStats } from "./task-spec.ts";
import type {
  JobSettings,
  TaskResult,
  TaskRunner,
  TaskServices,
  TaskSpec,
  TaskSuccess,
} from "./task-spec.ts";

/**
 * Runs tasks of one job in this thread, one at a time. Its memory is taken once and used again by every task.
 */
export function createTaskRunner(given: Job, settings: JobSettings): TaskRunner {
  const whole = estimatingJob(given, settings);
  let memory: TaskMemory | undefined;
  let aux: Readonly<Record<string, unknown>> | undefined;
  return {
    async run(spec: TaskSpec, services: TaskServices): Promise<TaskResult> {
      const scene = new Scene();
      const startedMs = systemClock.nowMs();
      const cpu = process.cpuUsage();
      const job = spec.kind === "reduce" ? whole : jobOfInput(whole, spec.split.input);
      try {
        aux ??= await loadAux(whole.aux, settings.auxFiles);
        memory ??= new TaskMemory(settings.memoryBytes);
        memory.reset();
        const stats = { ...emptyStats };
        const context = new AttemptContext(spec, settings, aux, services, scene, job.inputName);
        const done = await runSpec({
          job,
          settings,
          spec,
          services,
          memory,
          context,
          scene,
          stats,
          clock: systemClock,
        });
        const used = process.cpuUsage(cpu);
        stats.elapsedMs = systemClock.nowMs() - startedMs;
        stats.cpuMs = (used.user + used.system) / 1000;
        return { kind: "success", stats, counters: Object.fromEntries(context.counters), ...done };
      } catch (error) {
        return scene.failure(error);
      }
    },
  };
}

function runSpec(setting: TaskSetting<TaskSpec>): Promise<Omit<TaskSuccess, "kind" | "stats" | "counters">> {
  const { spec } = setting;
  switch (spec.kind) {
    case "sample":
      return runSample({ ...setting, spec });
    case "map":
      return mapOrAdopt({ ...setting, spec });
    case "reduce":
      return runReduce({ ...setting, spec });
    default:
      return unreachable(spec);
  }
}
