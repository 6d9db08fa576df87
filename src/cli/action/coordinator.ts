import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { startCoordinator } from "../../rest/start-coordinator.ts";
import { tlsFiles } from "../../security/tls.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { coordinatorPortDefault } from "../flags/coordinator-flags.ts";
import type { coordinatorFlags } from "../flags/coordinator-flags.ts";
import { warnOperator } from "../operator-warnings.ts";
import { packageVersion } from "../../base/package-version.ts";
import { coordinatorStateOf } from "../server-state.ts";
import { logSink, writeTo } from "../world.ts";

export async function run({ flags, world }: Invocation<typeof coordinatorFlags>): Promise<ExitCode> {
  keepHeapTight();
  const path = (given: string): string => resolve(world.cwd, given);
  const tls = tlsFiles({ ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey });
  const { heartbeat, lease, retention } = flags;
  const started = await startCoordinator({
    stateDirectory: coordinatorStateOf(world, flags.state),
    port: flags.port ?? coordinatorPortDefault,
    publicNames: flags.publicName,
    insecure: flags.insecure ?? false,
    version: packageVersion(),
    logTo: logSink(world.stderr),
    ...(flags.host === undefined ? {} : { host: flags.host }),
    ...(flags.roots.length === 0 ? {} : { roots: flags.roots.map(path) }),
    ...(flags.clientTokenFile === undefined ? {} : { clientTokenFile: path(flags.clientTokenFile) }),
    ...(flags.agentTokenFile === undefined ? {} : { agentTokenFile: path(flags.agentTokenFile) }),
    ...(tls === null ? {} : { tls }),
    timings: {
      ...(heartbeat === undefined ? {} : { heartbeatMs: heartbeat }),
      ...(lease === undefined ? {} : { leaseMs: lease }),
    },
    limits: retention === undefined ? {} : { retention },
    ...(flags.logLevel === undefined ? {} : { logLevel: flags.logLevel }),
  });
  // Heard from here on: whoever reads that it listens may stop it at once.
  const stopped = new Promise<void>((stop) => {
    const off = world.onSignal(() => {
      off();
      stop();
    });
  });
  warnOperator(started.warnings, world);
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
