import { isDeepStrictEqual } from "node:util";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { auditState } from "./audit.js";
import { canonical } from "./canonical.js";
import { demand } from "./violation.js";
import type { World } from "./world.js";

/** A scheduler made of the facts written so far knows what the one that wrote them knows. */
export function auditRestore(world: World): void {
  const { scheduler, store, queue, plan } = world;
  const { scheduler: restored } = Scheduler.restore(store.read(), queue.nowMs, { leaseMs: plan.leaseMs });
  auditState(restored.state);
  const [was, is] = [canonical(scheduler.state), canonical(restored.state)];
  demand(isDeepStrictEqual(was, is), () => `restored is not what was lost; ${difference(was, is)}`);
}

/** Where two plain values differ first: "jobs.0.ready: 3, 2". */
function difference(a: unknown, b: unknown, at: readonly string[] = []): string {
  if (typeof a === "object" && typeof b === "object" && a !== null && b !== null) {
    const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
      if (!isDeepStrictEqual(left[key], right[key])) return difference(left[key], right[key], [...at, key]);
  }
  return `${at.join(".")}: ${JSON.stringify(a)}, ${JSON.stringify(b)}`;
}
