import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { settings } from "../../base/limits.ts";
import { packageVersion } from "../../base/package-places.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes, given } from "../command.ts";
import { inCategory, repeatedFlag, secondsText, switchFlag, types, valueFlag } from "../flag.ts";
import { coordinatorStateOf, serverFlags, warnOperator } from "../server.ts";
import { rootOf } from "../server.ts";
import { logSink, writeTo } from "../world.ts";

export const coordinatorFlags = inCategory("Execution", {
  port: valueFlag(
    "-p, --port PORT",
    types.integer(settings.port),
    "Port to listen on; 0 takes any free one",
    {
      default: String(settings.coordinatorPort.default),
    },
  ),
  ...serverFlags,
  publicName: repeatedFlag(
    "--public-name NAME",
    types.string,
    "Another name or address it is reached under; may be repeated",
    { details: "Requests for other hosts are refused." },
  ),
  clientTokenFile: valueFlag("--token-file FILE", types.path, "File with the token of clients", {
    default: "client.token in the state directory",
  }),
  agentTokenFile: valueFlag("--agent-token-file FILE", types.path, "File with the token of agents", {
    default: "agent.token in the state directory",
  }),
  insecure: switchFlag("--insecure", "Ask nobody for a token", {
    details:
      "Whoever reaches the port can then run any program on the cluster's machines. Told at each start.",
  }),
  lease: valueFlag("--lease TIME", types.duration, "An agent that is silent for this long is lost", {
    default: secondsText(settings.leaseMs),
  }),
  retention: valueFlag(
    "--retention N",
    types.integer(settings.retention),
    "Ended jobs that are kept, with their results and logs",
    { default: String(settings.retention.default) },
  ),
});

export const coordinatorCommand: CliCommand<typeof coordinatorFlags> = {
  name: "coordinator",
  summary: "Run the coordinator of a cluster",
  details: [
    "Takes jobs, gives their tasks to agents, and keeps all it must not forget in its state directory: killed at any " +
      "moment and started again, it goes on. It never runs a job's code itself.",
    "The first start makes two token files in the state directory: client.token for those who submit jobs, " +
      "agent.token for the agents.",
  ],
  arguments: [],
  flags: coordinatorFlags,
  examples: [
    ["sheaf coordinator", "For agents and clients on this machine"],
    ["sheaf coordinator --host 0.0.0.0 --root /mnt/shared", "For a network"],
  ],
  run,
};

async function run({ flags, world }: Invocation<typeof coordinatorFlags>): Promise<ExitCode> {
  keepHeapTight();
  const path = (text: string): string => resolve(world.cwd, text);
  const { startCoordinator } = await import("../../rest/start-coordinator.ts");
  const { tlsFiles } = await import("../../security/tls.ts");
  const tls = tlsFiles({ ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey });
  const { host, roots, heartbeat: heartbeatMs, lease: leaseMs, retention, logLevel } = flags;
  const clientTokenFile = flags.clientTokenFile === undefined ? undefined : path(flags.clientTokenFile);
  const agentTokenFile = flags.agentTokenFile === undefined ? undefined : path(flags.agentTokenFile);
  const started = await startCoordinator({
    stateDirectory: coordinatorStateOf(world, flags.state),
    port: flags.port ?? settings.coordinatorPort.default,
    publicNames: flags.publicName,
    insecure: flags.insecure ?? false,
    version: packageVersion(),
    logTo: logSink(world.stderr),
    timings: given({ heartbeatMs, leaseMs }),
    limits: given({ retention }),
    ...given({ host, clientTokenFile, agentTokenFile, tls: tls ?? undefined, logLevel }),
    ...(roots.length === 0 ? {} : { roots: roots.map((root) => rootOf(root, world.cwd)) }),
  });
  // Signals are heard from here on: a program that reads that it listens may stop it at once.
  const stopped = new Promise<void>((stop) => {
    const off = world.onSignal(() => {
      off();
      stop();
    });
  });
  await warnOperator(started.warnings, world);
  const join = `sheaf agent --join ${started.url}`;
  const token = started.agentTokenFile === null ? "" : ` --token-file ${started.agentTokenFile}`;
  await writeTo(
    world.stdout,
    `sheaf coordinator listens on ${started.url}; agents join with: ${join}${token}\n`,
  );
  await stopped;
  await started.stop();
  return exitCodes.ok;
}

/**
 * What a coordinator keeps lives long, and little is made beside it: it may collect garbage early, and need
 * not be twice as large as what it keeps.
 */
function keepHeapTight(): void {
  setFlagsFromString("--heap-growing-percent=25");
}
