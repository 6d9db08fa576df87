import { checkWorld } from "./final-checks.js";
import { Violation } from "./violation.js";
import { planWorld } from "./world-plan.js";
import { World, type WorldOptions } from "./world.js";

/** Longest a world may take, of its own time. */
const HORIZON_MS = 3 * 3_600_000;
/** Time to come to rest: leases run out, nodes join again, workers ask. */
const REST_MS = 60_000;
const STEPS_MAX = 20_000_000;

export interface SimReport {
  readonly seed: number;
  readonly nodes: number;
  readonly jobs: number;
  readonly tasks: number;
  readonly attempts: number;
  readonly steps: number;
  readonly stepMs: number;
  readonly commands: number;
  readonly simulatedMs: number;
  readonly faults: ReadonlyMap<string, number>;
  /** Jobs by how they ended. */
  readonly outcomes: ReadonlyMap<string, number>;
}

/**
 * Runs the world of a seed to its end and checks it.
 * @throws Violation when an invariant does not hold; the message begins with the seed
 */
export function simulate(seed: number, options: WorldOptions = {}): SimReport {
  const plan = planWorld(seed);
  const world = new World(plan, options);
  try {
    run(world);
    checkWorld(world);
  } catch (error) {
    const at = `at ${Math.round(world.queue.nowMs)} ms, step ${world.steps}`;
    if (error instanceof Violation) throw new Violation(`seed ${seed}, ${at}: ${error.message}`);
    throw new Error(`seed ${seed}, ${at}: the scheduler threw`, { cause: error });
  }
  const outcomes = new Map<string, number>();
  for (const { status } of world.monitor.ended.values())
    outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
  let tasks = 0;
  for (const { plan: job } of plan.jobs) {
    tasks += (job.sample?.length ?? 0) + job.map.length + (job.reduce?.length ?? 0);
  }
  return {
    seed,
    nodes: plan.nodes.length,
    jobs: plan.jobs.length,
    tasks,
    attempts: world.monitor.attempts,
    steps: world.steps,
    stepMs: world.coordinator.stepMs,
    commands: world.monitor.commands,
    simulatedMs: world.queue.nowMs,
    faults: world.log.counts,
    outcomes,
  };
}

function run(world: World): void {
  const { queue, jobs, monitor } = world;
  world.begin();
  while (monitor.ended.size < jobs.size) {
    const running = queue.advance() && queue.nowMs < HORIZON_MS && world.steps < STEPS_MAX;
    if (running) continue;
    const left = [...jobs.keys()].filter((id) => !monitor.ended.has(id));
    throw new Violation(`jobs that do not end: ${left.join(", ")}`);
  }
  world.calm();
  const restUntilMs = queue.nowMs + REST_MS;
  while (queue.nowMs < restUntilMs) queue.advance();
}
