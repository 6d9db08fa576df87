import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { Coordinator } from "../coordinator/coordinator.ts";
import type { Gauges, Totals } from "../coordinator/service.ts";

/** What GET /metrics answers. */
export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

const gauges: readonly (readonly [keyof Gauges, string, string])[] = [
  ["queued", "sheaf_jobs_queued", "Jobs that wait to be planned or for an agent"],
  ["running", "sheaf_jobs_running", "Jobs that run or commit"],
  ["agents", "sheaf_agents", "Agents that are up"],
  ["slots", "sheaf_slots", "Slots of the agents that are up"],
  ["busySlots", "sheaf_slots_busy", "Slots that run a task"],
  ["tasksReady", "sheaf_tasks_ready", "Tasks that could run now"],
  ["tasksRunning", "sheaf_tasks_running", "Attempts that run"],
  ["heartbeatAgeMsMax", "sheaf_heartbeat_age_milliseconds_max", "Silence of the agent silent longest"],
];

const totals: readonly (readonly [keyof Totals, string, string])[] = [
  ["jobsSucceeded", "sheaf_jobs_succeeded_total", "Jobs that succeeded"],
  ["jobsFailed", "sheaf_jobs_failed_total", "Jobs that failed"],
  ["jobsCancelled", "sheaf_jobs_cancelled_total", "Jobs that were cancelled"],
  ["attemptsFinished", "sheaf_attempts_finished_total", "Attempts that finished"],
  ["attemptsFailed", "sheaf_attempts_failed_total", "Attempts that failed by user code or data"],
  ["attemptsLost", "sheaf_attempts_lost_total", "Attempts that were lost and are retried"],
  ["fetchFailures", "sheaf_fetch_failures_total", "Map outputs that could not be fetched"],
  ["inputBytes", "sheaf_input_bytes_total", "Bytes read by maps"],
  ["shuffleBytes", "sheaf_shuffle_bytes_total", "Bytes written for the shuffle"],
  ["outputBytes", "sheaf_output_bytes_total", "Bytes of results"],
];

/** Each coordinator has a registry of its own; its values are read when somebody asks. */
export function createMetrics(coordinator: Coordinator): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const [key, name, help] of gauges) {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(coordinator.operations.gauges()[key]);
        },
      }),
    );
  }
  for (const [key, name, help] of totals) {
    registry.registerMetric(
      new Counter({
        name,
        help,
        registers: [],
        collect() {
          this.reset();
          this.inc(coordinator.operations.totals()[key]);
        },
      }),
    );
  }
  return { contentType: registry.contentType, text: () => registry.metrics() };
}
