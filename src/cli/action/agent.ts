import { resolve } from "node:path";
import { pino } from "pino";
import type { Logger } from "pino";
import { startAgent } from "../../agent/agent.ts";
import type { Agent } from "../../agent/agent.ts";
import { agentName } from "../../agent/agent-options.ts";
import { SheafError } from "../../base/errors.ts";
import { isLoopback } from "../../security/host-list.ts";
import { checkListen } from "../../security/listen.ts";
import { safeLogStream } from "../../security/log-line.ts";
import { readTokenFile, tokenFilePath } from "../../security/token-file.ts";
import { loadTls, tlsFiles } from "../../security/tls.ts";
import { workerEnvironment } from "../../security/worker-environment.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { agentFlags } from "../flags/agent-flags.ts";
import { packageVersion } from "../package-version.ts";
import { agentStateOf, coordinatorStateOf } from "../server-state.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

type Given = Invocation<typeof agentFlags>["flags"];

export async function run({ flags, world }: Invocation<typeof agentFlags>): Promise<ExitCode> {
  const join = urlOf(flags.join);
  const tls = tlsFiles({ ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey });
  const material = tls === null ? null : loadTls(tls, Date.now());
  const { host, warnings } = checkListen({
    host: flags.host,
    hasToken: true,
    insecure: false,
    tls: material !== null,
  });
  for (const warning of [...warnings, ...(material?.warnings ?? [])])
    await writeTo(world.stderr, `warning: ${warning}\n`);
  const log = pino(
    { level: flags.logLevel ?? "info", base: null, timestamp: pino.stdTimeFunctions.isoTime },
    safeLogStream(world.stderr),
  );
  const name = agentName(flags.name);
  const url = join.href.replace(/\/$/, "");
  const agent = await startAgent({
    join: url,
    token: tokenOf(flags, world),
    stateDirectory: agentStateOf(world, name, flags.state),
    version: packageVersion(),
    name,
    roots: rootsOf(flags, world, join),
    host,
    port: flags.port ?? 0,
    tls: material,
    workerEnvironment: workerEnvironment(world.env),
    log: (level, message, fields) => log[level]({ ...fields }, message),
    ...(flags.slots === undefined ? {} : { slots: flags.slots }),
    ...(flags.advertise === undefined ? {} : { advertise: flags.advertise }),
    ...(flags.heartbeat === undefined ? {} : { heartbeatMs: flags.heartbeat }),
    ...(flags.grace === undefined ? {} : { graceMs: flags.grace }),
  });
  return untilEnded(agent, log, world);
}

async function untilEnded(agent: Agent, log: Logger, world: World): Promise<ExitCode> {
  let signals = 0;
  const off = world.onSignal(() => {
    signals++;
    log.info({ event: "signal" }, signals === 1 ? "draining" : "ending at once");
    void (signals === 1 ? agent.stop() : agent.end());
  });
  void agent.joined.then(() =>
    writeTo(world.stdout, `sheaf agent ${agent.name} has joined with ${agent.slots} slots\n`),
  );
  try {
    await agent.ended;
    return exitCodes.ok;
  } finally {
    off();
  }
}

function urlOf(given: string | undefined): URL {
  const hint = "Give the coordinator's URL: --join http://127.0.0.1:7077";
  if (given === undefined) throw new SheafError("USAGE", "--join is missing", { hint });
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new SheafError("USAGE", `--join: ${JSON.stringify(given)} is no http or https URL`, { hint });
}

/** What --token-file or $SHEAF_TOKEN_FILE names; else the token of a coordinator on this machine. */
function tokenOf(flags: Given, world: World): string {
  const path = tokenFilePath("agent", {
    env: world.env,
    tokenFile: flags.tokenFile === undefined ? undefined : resolve(world.cwd, flags.tokenFile),
    stateDirectory: coordinatorStateOf(world),
  });
  return readTokenFile(path, "agent");
}

/** Over the network nothing of this machine's disks is open to jobs unless its owner says so. */
function rootsOf(flags: Given, world: World, join: URL): readonly string[] {
  if (flags.roots.length > 0) return flags.roots.map((root) => resolve(world.cwd, root));
  return isLoopback(join.hostname) ? ["/"] : [];
}
