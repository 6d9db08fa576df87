import assert from "node:assert/strict";
import type { AttemptView } from "#src/protocol/job-view.js";
import { HEADERS, TASK_STATUS } from "#src/protocol/version.js";
import type { RealCluster } from "./real-cluster.js";

/** Sent with a late report: they would show in the job's counters. */
const counters = { lines: 1_000_000, late: 1 };

/**
 * Reports that map attempt as finished, as the life of the agent that was given it would if only now it got
 * through: word for word, but with counters that nobody else reports.
 */
export function reportLate(
  cluster: RealCluster,
  view: AttemptView,
): Promise<{ readonly status: number; readonly body: string }> {
  const { agent, incarnation, attempt } = view;
  const { job, task } = attempt;
  assert.equal(attempt.phase, "map");
  const stats = {
    recordsIn: 1,
    bytesIn: 1,
    recordsOut: 1,
    bytesOut: 1,
    emitted: 1,
    shuffleBytes: 1,
    spills: 0,
    badRecords: 0,
    groups: 0,
    elapsedMs: 1,
    cpuMs: 1,
  };
  const output = { task, attempt: attempt.attempt, path: "run" };
  const common = { counters, parts: [], keys: [], partitionBytes: [], pairs: [], hotKeys: [], badPath: null };
  const report = {
    status: TASK_STATUS.FINISHED,
    attempt,
    result: { kind: "success", stats, output, ...common },
    output: { bytes: 1, fingerprint: "late" },
  };
  return cluster.ask("agent", "POST", `/jobs/${job}/task/mapper/${task}/status`, report, {
    [HEADERS.agent]: agent,
    [HEADERS.incarnation]: String(incarnation),
    [HEADERS.slot]: "0",
    [HEADERS.ask]: "1",
  });
}

/** It is refused because that life is over, and changes nothing that the coordinator tells of the job. */
export async function assertFenced(cluster: RealCluster, view: AttemptView): Promise<void> {
  const { job } = view.attempt;
  const seen = (): Promise<unknown> => cluster.get(`/jobs/${job}/attempts`);
  const before = await seen();
  const { status, body } = await reportLate(cluster, view);
  assert.equal(status, 409, body);
  const { error } = JSON.parse(body) as { readonly error: { readonly code: string } };
  assert.equal(error.code, "FENCED", body);
  assert.deepEqual(await seen(), before);
}
