import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import type { HostedRunOptions } from "../engine/options.ts";
import { outputPlace } from "../engine/resolve-options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Job } from "../job/job-plan.ts";
import type { Elsewhere } from "../runner/local-tasks.ts";
import { runJob } from "../runner/run.ts";
import type { Split } from "../task/split.ts";
import type { HostEngine, Together } from "./host-engine.ts";
import { HostedExecutor } from "./hosted-executor.ts";
import { localFiles } from "./send-inputs.ts";
import { refuseHosted } from "./stage.ts";

/**
 * Runs a job on Hadoop or Spark: it is loaded, planned and sampled here; its tasks are one job of the
 * engine's; and what they have made is committed as that of a run on this machine.
 * @throws SheafError USAGE for options that make no sense; everything else is in the result
 */
export async function runHosted(job: Job | string | URL, options: HostedRunOptions): Promise<RunResult> {
  return runOnEngine(job, options, await engineOf(options));
}

/**
 * The same for jobs that belong together: the next one may have what one of them has started on the engine.
 * @param options as those of each job, which all say the same of where they run
 */
export async function openHosted(
  options: HostedRunOptions,
  together: Together,
): Promise<{ readonly run: typeof runHosted; close(): Promise<void> }> {
  const session = (await engineOf(options)).open?.(together);
  if (session === undefined) return { run: runHosted, close: async () => undefined };
  return {
    run: (job, own) => session.keep(() => runOnEngine(job, own, session.engine)),
    close: () => session.close(),
  };
}

/** The same by an engine that is given. */
export async function runOnEngine(
  job: Job | string | URL,
  options: HostedRunOptions,
  engine: HostEngine,
): Promise<RunResult> {
  const { on, output, overwrite = false, printCommand, master, deployMode } = options;
  if (on === "hadoop" && (master ?? deployMode) !== undefined) {
    throw new SheafError("USAGE", `${master === undefined ? "deployMode" : "master"} is for Spark`, {
      hint: "Leave it out; where Hadoop runs a job its configuration says (HADOOP_CONF_DIR), or conf.",
    });
  }
  if (on === "spark" && options.jar !== undefined) {
    throw new SheafError("USAGE", "jar is for Hadoop", {
      hint: "Leave it out: an application of Spark's is a jar.",
    });
  }
  if (typeof job === "object" && !(job instanceof URL) && options.file === undefined) {
    throw new SheafError("USAGE", `on: "${on}" needs the job's file; a Job object cannot travel`, {
      hint: 'Give the file: run(new URL("./job.ts", import.meta.url)), the job being its default export.',
    });
  }
  const place = output === undefined ? null : outputPlace(output, process.cwd());
  const elsewhere: Elsewhere = {
    prepare: () => engine.check(place, overwrite),
    executor: (local, about) => {
      refuseHosted(about.loaded.outline, about.settings());
      if (!engine.isLocal && (engine.inputPlace?.(about.loaded.jobId) ?? null) === null)
        refuseLocal(about.planned.plan.tasks.map, on);
      // How much memory this machine has says nothing of the nodes.
      const isAsked = engine.isLocal || options.heap !== undefined;
      const { elsewhere: heapBytes } = settings.heapBytes;
      const there = isAsked ? about : { ...about, resolved: { ...about.resolved, heapBytes } };
      return new HostedExecutor(engine, local, there, printCommand);
    },
  };
  return runJob(job, options, { elsewhere });
}

async function engineOf(options: HostedRunOptions): Promise<HostEngine> {
  // Each engine's code is loaded only when it is asked for.
  switch (options.on) {
    case "hadoop":
      return (await import("./hadoop/hadoop-engine.ts")).hadoopEngine(options);
    case "spark":
      return (await import("./spark/spark-engine.ts")).sparkEngine(options);
  }
}

function refuseLocal(splits: readonly Split[], on: string): void {
  const [piece] = localFiles(splits);
  if (piece === undefined) return;
  throw new SheafError(
    "USAGE",
    `${piece.name} lies on this machine, and the tasks run on the nodes of ${on}`,
    {
      hint: "Copy it to where they can read it (hadoop fs -put FILE hdfs:///...), and give that address.",
      details: { path: piece.name },
    },
  );
}
