import { resolve } from "node:path";
import { pino } from "pino";
import type { AgentOptions } from "../../../agent/agent-options.ts";
import { type Agent, startAgent } from "../../../agent/agent.ts";
import { SheafError } from "../../../base/errors.ts";
import { packageVersion } from "../../../base/package-places.ts";
import { isLoopback } from "../../../security/host-list.ts";
import { checkListen } from "../../../security/listen.ts";
import { safeLogStream } from "../../../security/log-line.ts";
import { checkTlsName, loadTls, tlsFiles } from "../../../security/tls.ts";
import { readTokenFile, tokenFilePath } from "../../../security/token-file.ts";
import { workerEnvironment } from "../../../security/worker-environment.ts";
import { setStoreAccess, storeEnvironment } from "../../../storage/stores.ts";
import { addressList } from "../../../storage/stores/guarded-fetch.ts";
import { given } from "../../command.ts";
import type { FlagValues } from "../../flag.ts";
import { ownStores } from "../../own-stores.ts";
import { coordinatorStateOf, warnOperator } from "../../server.ts";
import { rootOf } from "../../server.ts";
import { type World, logSink, writeTo } from "../../world.ts";
import type { agentProcessFlags } from "../agent.ts";

/** What flags do not say. */
export interface AgentProcess extends Pick<AgentOptions, "name" | "slots" | "stateDirectory" | "giveUpMs"> {
  /** URL of the coordinator, and the flag it came with. */
  readonly join: string | undefined;
  readonly joinFlag: string;
  /** The coordinator has ordered it to drain: it may leave. */
  readonly drainOrdered?: (agent: Agent) => void;
}

/**
 * Runs an agent in this process until it has ended: drained after the first signal, at once after the second.
 * @throws SheafError USAGE, TOKEN_INVALID, CERTIFICATE_INVALID, STATE_LOCKED before it joins; later what the
 * coordinator refuses it with
 */
export async function runAgent(
  flags: FlagValues<typeof agentProcessFlags>,
  process: AgentProcess,
  world: World,
): Promise<void> {
  const { joinFlag, drainOrdered, ...options } = process;
  const join = urlOf(process.join, joinFlag);
  const url = join.href.replace(/\/$/, "");
  const files = tlsFiles({ ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey });
  const tls = files === null ? null : loadTls(files, Date.now());
  if (tls !== null && flags.advertise !== undefined) checkTlsName(tls, flags.advertise);
  const listen = { host: flags.host, hasToken: true, insecure: false, tls: tls !== null };
  const { host, warnings } = checkListen(listen);
  await warnOperator([...warnings, ...(tls?.warnings ?? [])], world);
  const log = pino(
    { level: flags.logLevel ?? "info", base: null, timestamp: pino.stdTimeFunctions.isoTime },
    safeLogStream(logSink(world.stderr)),
  );
  const roots = rootsOf(flags.roots, world, join);
  const stores = await ownStores(flags.stores, world.cwd);
  // Planning, in this process, reads as workers do.
  const storage = {
    env: storeEnvironment(world.env, stores),
    fetch: { roots, addresses: flags.allowAddress },
  };
  addressList(flags.allowAddress);
  setStoreAccess(storage);
  const agent = await startAgent({
    ...options,
    join: url,
    token: flags.insecure === true ? null : tokenOf(flags.tokenFile, world),
    version: packageVersion(),
    roots,
    storage,
    stores,
    host,
    port: flags.port ?? 0,
    tls,
    workerEnvironment: workerEnvironment(world.env),
    log: (level, message, fields) => log[level]({ ...fields }, message),
    drainOrdered: (draining) => (draining ? drainOrdered?.(agent) : undefined),
    ...given({
      advertise: flags.advertise,
      heartbeatMs: flags.heartbeat,
      workerMemoryBytes: flags.workerMemory,
      graceMs: flags.grace,
    }),
  });
  const off = stopOnSignals(agent, world, (message) => log.info({ event: "signal" }, message));
  const said = agent.joined.then(() =>
    writeTo(world.stdout, `sheaf agent ${agent.name} has joined with ${agent.slots} slots\n`),
  );
  said.catch(() => undefined);
  try {
    await agent.ended;
  } finally {
    off();
  }
}

function stopOnSignals(agent: Agent, world: World, tell: (message: string) => void): () => void {
  let signals = 0;
  return world.onSignal(() => {
    signals++;
    tell(signals === 1 ? "draining" : "ending at once");
    // What it ends with is thrown where its end is waited for.
    (signals === 1 ? agent.stop() : agent.end()).catch(() => undefined);
  });
}

function urlOf(text: string | undefined, flag: string): URL {
  const hint = `Give the coordinator's URL: ${flag} http://127.0.0.1:7077`;
  if (text === undefined) throw new SheafError("USAGE", `${flag} is missing`, { hint });
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new SheafError("USAGE", `${flag}: ${JSON.stringify(text)} is no http or https URL`, { hint });
}

/** What --token-file or $SHEAF_TOKEN_FILE names; else the token of a coordinator on this machine. */
function tokenOf(tokenFile: string | undefined, world: World): string {
  const path = tokenFilePath("agent", {
    env: world.env,
    tokenFile: tokenFile === undefined ? undefined : resolve(world.cwd, tokenFile),
    stateDirectory: coordinatorStateOf(world),
  });
  return readTokenFile(path, "agent");
}

/** Over the network nothing of this machine's disks is open to jobs unless its owner says so. */
function rootsOf(roots: readonly string[], world: World, join: URL): readonly string[] {
  if (roots.length > 0) return roots.map((root) => rootOf(root, world.cwd));
  return isLoopback(join.hostname) ? ["/"] : [];
}
