import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../base/clock.ts";
import { packageVersion } from "../base/package-places.ts";
import { runOnCluster } from "../client/cluster-run.ts";
import type { ClusterRunOptions, QueueOptions } from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Job } from "../job/job-plan.ts";
import { startCoordinator } from "../rest/start-coordinator.ts";
import type { StartedCoordinator } from "../rest/start-coordinator.ts";
import { makeTempDirectory, removeAtExit } from "../storage/temp-directory.ts";

/** Where a run listens for those who do its tasks. */
export interface ListenPlace {
  /** 0: any free one. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** What its user has to know to start them, one line each; log lines, too. */
  tell(line: string): void;
}

/** A run whose tasks are done by `sheaf worker` processes that join it. */
export type WorkersRunOptions = Omit<ClusterRunOptions, "on" | "tokenFile" | "tls" | keyof QueueOptions> & {
  readonly listen: ListenPlace;
};

const heartbeatMs = 250;
/** A worker that is silent for so long has heard that it may go. */
const goneMs = 4 * heartbeatMs;
/** Workers that do not go by then are left to find out. */
const goodbyeMs = 5_000;

/**
 * Runs a job on a coordinator of its own, in this process, which ends with it.
 * @throws SheafError USAGE when the port cannot be had, or as runOnCluster
 */
export async function runWithWorkers(
  job: Job | string | URL,
  { listen, ...options }: WorkersRunOptions,
): Promise<RunResult> {
  const { port, host, tell } = listen;
  // With its tokens: what a killed driver leaves is removed by the next run.
  const stateDirectory = await makeTempDirectory(tmpdir());
  const release = removeAtExit(stateDirectory);
  try {
    const started = await startCoordinator({
      stateDirectory,
      port,
      version: packageVersion(),
      timings: { heartbeatMs },
      logTo: { write: (line) => tell(line.trimEnd()) },
      logLevel: "warn",
      ...(host === undefined ? {} : { host }),
    });
    for (const warning of started.warnings) tell(`warning: ${warning}`);
    tell(`workers join with: sheaf worker --driver ${started.url} --token-file ${started.agentTokenFile}`);
    try {
      const tokenFile = started.clientTokenFile!;
      return await runOnCluster(job, { ...options, on: started.url, tokenFile });
    } finally {
      await sendAway(started.coordinator);
      await started.stop();
    }
  } finally {
    release();
    rmSync(stateDirectory, { recursive: true, force: true });
  }
}

/** Tells the workers that all is done, and waits until they have heard it. */
async function sendAway({ operations }: StartedCoordinator["coordinator"]): Promise<void> {
  const workers = operations.nodes().filter(({ state }) => state !== "lost");
  for (const { agent } of workers) operations.drain(agent, true);
  const endMs = systemClock.nowMs() + goodbyeMs;
  const isHere = (): boolean =>
    operations.nodes().some(({ state, silentMs }) => state !== "lost" && silentMs < goneMs);
  while (isHere() && systemClock.nowMs() < endMs) await pause(100);
}
