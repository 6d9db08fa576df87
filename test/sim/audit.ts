import { PHASES } from "#src/scheduler/ids.js";
import type { JobState, SchedulerState } from "#src/scheduler/state.js";
import { demand } from "./violation.js";

/** Recounts all that the scheduler keeps count of. Costs as much as there are tasks and slots. */
export function auditState(s: SchedulerState): void {
  let idle = 0;
  let busy = 0;
  for (const node of s.nodes.values()) {
    for (const slot of node.slots) {
      if (slot.state.kind === "IDLE" && node.open) idle++;
      if (slot.state.kind !== "BUSY") continue;
      busy++;
      const { attempt } = slot.state;
      const right = attempt.state.kind === "RUNNING" && attempt.node === node && attempt.slot === slot.index;
      demand(right, () => `${node.id} slot ${slot.index} is busy with an attempt that does not run there`);
    }
    const { id } = node;
    for (const job of s.active) {
      const { grants } = job.grants;
      if (grants === null) continue;
      const runs = node.slots.filter(({ state }) => state.kind === "BUSY" && state.attempt.task.job === job);
      const right = job.grants.has(id) === runs.length < (grants[id] ?? 0);
      demand(right, () => `${job.id} runs ${runs.length} on ${id}, room: ${job.grants.has(id)}`);
    }
    const listed = node.byIdle.chain === s.idle;
    demand(
      listed === (node.open && node.idle.length > 0),
      () => `${node.id} has ${node.idle.length} idle slots; listed: ${listed}`,
    );
  }
  demand(idle === s.idleSlots, () => `${idle} slots are idle, ${s.idleSlots} are counted`);
  demand(busy === s.busySlots, () => `${busy} slots are busy, ${s.busySlots} are counted`);
  demand(s.leases.size === s.nodes.size, () => `${s.leases.size} leases for ${s.nodes.size} nodes`);
  for (const job of s.jobs.values()) auditJob(s, job);
}

function auditJob(s: SchedulerState, job: JobState): void {
  let ready = 0;
  let running = 0;
  for (const name of PHASES) {
    const phase = job.phases[name];
    const counts = { BLOCKED: 0, READY: 0, RUNNING: 0, FINISHED: 0, FAILED: 0, CANCELLED: 0 };
    for (const { state, attempts, ref } of phase.tasks) {
      counts[state.kind]++;
      if (state.kind === "READY") ready++;
      const runs = attempts.filter((a) => a.state.kind === "RUNNING").map((a) => a.ref.attempt);
      running += runs.length;
      const believed = state.kind === "RUNNING" ? state.attempts : [];
      demand(
        runs.join() === [...believed].sort((a, b) => a - b).join(),
        () => `${job.id} ${name} ${ref.task} is ${state.kind} with attempts ${believed}; ${runs} run`,
      );
      if (state.kind === "BLOCKED")
        demand(!phase.open, () => `${job.id} ${name} ${ref.task} blocked, phase open`);
      if (state.kind === "READY")
        demand(phase.open, () => `${job.id} ${name} ${ref.task} ready, phase closed`);
    }
    demand(
      JSON.stringify(counts) === JSON.stringify(phase.counts),
      () => `${job.id} ${name}: ${JSON.stringify(counts)} counted as ${JSON.stringify(phase.counts)}`,
    );
  }
  demand(ready === job.ready, () => `${job.id}: ${ready} tasks ready, ${job.ready} counted`);
  demand(running === job.running, () => `${job.id}: ${running} attempts run, ${job.running} counted`);
  demand(
    job.watched.size === running,
    () => `${job.id}: ${running} attempts run, ${job.watched.size} watched`,
  );
  const queued = job.queueAt >= 0;
  const wanted = ready > 0 && job.status.kind === "RUNNING";
  demand(queued === wanted, () => `${job.id}: ${ready} ready, ${job.status.kind}, in the queue: ${queued}`);
  const ended = job.status.kind === "ENDED";
  demand(s.active.has(job) !== ended, () => `${job.id} is ${job.status.kind}; active: ${!ended}`);
}

/** No idle slot could run any READY task. */
export function auditWorkConserved(s: SchedulerState): void {
  if (s.idleSlots === 0) return;
  for (const job of s.active) {
    if (job.ready === 0 || job.status.kind !== "RUNNING") continue;
    const nodes = [...s.nodes.values()].filter((node) => {
      const bar = job.bars.get(node.id);
      return (
        node.open &&
        job.grants.has(node.id) &&
        node.slots.some((slot) => slot.state.kind === "IDLE") &&
        (bar === undefined || bar.untilMs === null)
      );
    });
    if (nodes.length === 0) continue;
    for (const name of PHASES) {
      for (const { state, pinned, ref } of job.phases[name].tasks) {
        if (state.kind !== "READY") continue;
        const node = nodes.find((n) => pinned.length === 0 || pinned.includes(n.id));
        demand(node === undefined, () => `${job.id} ${name} ${ref.task} waits although ${node!.id} is idle`);
      }
    }
  }
}
