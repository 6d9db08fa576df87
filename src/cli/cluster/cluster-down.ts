import { SheafError, describeThrown } from "../../base/errors.ts";
import { isRunning, signalProcess, until } from "./background-process.ts";
import type { ClusterFile, ClusterProcess } from "./cluster-file.ts";
import { stopRemoteAgent } from "./remote-agent.ts";

/** Beyond the grace time, for what ends then. */
const moreMs = 10_000;

export interface DownOptions {
  readonly file: ClusterFile;
  readonly force: boolean;
  /** How long agents may finish what runs. */
  readonly graceMs: number;
  readonly say: (text: string) => void;
}

/**
 * Ends what `cluster up` has started: agents first, and when all are gone the coordinator.
 * @returns how many processes were ended; 0 when there was no cluster
 * @throws SheafError UNREACHABLE naming what is still there; the record of the cluster is then kept
 */
export async function clusterDown({ file, force, graceMs, say }: DownOptions): Promise<number> {
  const record = file.read();
  if (record === null) return 0;
  const agents = record.processes.filter(({ name }) => name !== "coordinator");
  const coordinator = record.processes.filter(({ name }) => name === "coordinator");
  const left: string[] = [];
  for (const group of [agents, coordinator]) {
    const ends = await Promise.allSettled(group.map((one) => end(one, force, graceMs)));
    for (const [index, done] of ends.entries()) {
      const { name, pid, ssh } = group[index]!;
      const where = ssh === null ? `pid ${pid}` : `pid ${pid} on ${ssh}`;
      if (done.status === "fulfilled" && done.value) say(`${name} has ended`);
      else
        left.push(
          `${name} (${where})${done.status === "rejected" ? `: ${describeThrown(done.reason)}` : ""}`,
        );
    }
    if (left.length > 0 && !force) break;
  }
  if (left.length === 0) {
    file.remove();
    return record.processes.length;
  }
  throw new SheafError("UNREACHABLE", `still there: ${left.join("; ")}`, {
    hint: force
      ? "End them by hand."
      : "Wait for what they run, or end them at once: sheaf cluster down --force.",
  });
}

/** True when it is gone. */
async function end(one: ClusterProcess, force: boolean, graceMs: number): Promise<boolean> {
  const withinMs = force ? moreMs : graceMs + moreMs;
  if (one.ssh !== null) return stopRemoteAgent(one.ssh, one.pid, force ? "KILL" : "TERM", withinMs);
  signalProcess(one, force ? "SIGKILL" : "SIGTERM");
  return until(() => !isRunning(one), withinMs);
}
