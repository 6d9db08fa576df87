import { processorMs, systemClock } from "../base/clock.ts";
import { unreachable } from "../base/errors.ts";
import { StandingPrograms } from "../exec/standing-program.ts";
import { jobOfInput } from "../job/define.ts";
import type { Job } from "../job/job-plan.ts";
import { TaskMemory } from "../shuffle/memory.ts";
import { mapOrAdopt } from "./adopt-map.ts";
import { AuxData, type SharedAux } from "./aux.ts";
import { AttemptContext } from "./context.ts";
import { estimatingJob } from "./record-units.ts";
import { runReduce } from "./reduce-task.ts";
import { runSample } from "./sample-task.ts";
import { Scene } from "./scene.ts";
import type { TaskSetting } from "./task-setting.ts";
import { PROGRESS_CELLS, emptyStats } from "./task-spec.ts";
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
 * @param side where side data is kept, which then outlives the runner. Default: a place of its own
 */
export function createTaskRunner(
  given: Job,
  settings: JobSettings,
  side: { readonly data: AuxData; readonly shared: SharedAux } = { data: new AuxData(), shared: {} },
): TaskRunner {
  const whole = estimatingJob(given, settings);
  const programs = new StandingPrograms();
  let memory: TaskMemory | undefined;
  return {
    async run(spec: TaskSpec, services: TaskServices): Promise<TaskResult> {
      const scene = new Scene();
      const startedMs = systemClock.nowMs();
      const usedBeforeMs = processorMs();
      const job = spec.kind === "reduce" ? whole : jobOfInput(whole, spec.split.input);
      try {
        const progress = (): void => void (services.progress[PROGRESS_CELLS.beat]! += 1);
        const aux = await side.data.load(whole.aux, settings.auxFiles, { shared: side.shared, progress });
        const { memoryBytes, memoryMaxBytes } = settings;
        memory ??= new TaskMemory(memoryBytes, {
          ...(memoryMaxBytes !== undefined && { maximumBytes: memoryMaxBytes }),
        });
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
          programs,
        });
        stats.elapsedMs = systemClock.nowMs() - startedMs;
        stats.cpuMs = processorMs() - usedBeforeMs;
        return { kind: "success", stats, counters: Object.fromEntries(context.counters), ...done };
      } catch (error) {
        return scene.failure(error);
      } finally {
        programs.settle();
      }
    },
    close: () => programs.close(),
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
