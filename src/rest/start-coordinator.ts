import { existsSync } from "node:fs";
import { pino } from "pino";
import type { Logger } from "pino";
import { systemClock } from "../base/clock.ts";
import { Coordinator } from "../coordinator/coordinator.ts";
import type { CoordinatorLimits, CoordinatorTimings, LogRecord } from "../coordinator/settings.ts";
import type { GatePolicy } from "../security/gate.ts";
import { hostList, isLoopback } from "../security/host-list.ts";
import { checkListen } from "../security/listen.ts";
import { safeLogStream } from "../security/log-line.ts";
import type { LineSink } from "../security/log-line.ts";
import { ownNames } from "../security/own-names.ts";
import { checkTlsName, loadTls } from "../security/tls.ts";
import type { TlsFiles } from "../security/tls.ts";
import { ensureTokenFile, readTokenFile, tokenFilesIn } from "../security/token-file.ts";
import { digestToken } from "../security/token.ts";
import { ensurePrivateDirectory } from "../storage/private-directory.ts";
import { coordinatorRoutes } from "./coordinator-routes.ts";
import { startServer } from "./server.ts";

export interface StartCoordinatorOptions {
  /** Made when it is not there, with token files in it. */
  readonly stateDirectory: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  /** Names and addresses under which clients and agents reach it, beside `host`. */
  readonly publicNames?: readonly string[];
  /** Directories that jobs may name inputs and outputs in. Default: all on loopback, else none. */
  readonly roots?: readonly string[];
  /** Files with the tokens. Default: those in the state directory, made at the first start on loopback. */
  readonly clientTokenFile?: string;
  readonly agentTokenFile?: string;
  /** Nobody is asked for a token. */
  readonly insecure?: boolean;
  readonly tls?: TlsFiles;
  readonly timings?: Partial<CoordinatorTimings>;
  readonly limits?: Partial<CoordinatorLimits>;
  readonly version: string;
  /** Lines of JSON go there. */
  readonly logTo: LineSink;
  readonly logLevel?: "debug" | "info" | "warn" | "error" | "silent";
}

export interface StartedCoordinator {
  readonly url: string;
  readonly port: number;
  /** Where the tokens are; null with `insecure` and no files given. */
  readonly clientTokenFile: string | null;
  readonly agentTokenFile: string | null;
  /** To be told to the operator at every start. */
  readonly warnings: readonly string[];
  /** Its coordinator, for a driver in the same process. */
  readonly coordinator: Coordinator;
  /** Stops answering and lets the state directory go. Jobs go on at the next start. */
  stop(): Promise<void>;
}

const tickMs = 200;

/**
 * Starts a coordinator with its HTTP server. What is wrong with tokens, certificates, address or state is
 * found before it listens.
 * @throws SheafError USAGE, TOKEN_INVALID, CERTIFICATE_INVALID, STATE_LOCKED, STATE_CORRUPT
 */
export async function startCoordinator(options: StartCoordinatorOptions): Promise<StartedCoordinator> {
  const { stateDirectory, tls: tlsFiles, insecure = false, timings, limits, version } = options;
  ensurePrivateDirectory(stateDirectory, "USAGE");
  const tls = tlsFiles === undefined ? null : loadTls(tlsFiles, Date.now());
  for (const name of tls === null ? [] : (options.publicNames ?? [])) checkTlsName(tls!, name);
  const own = tokenFilesIn(stateDirectory);
  const clientTokenFile = options.clientTokenFile ?? own.client;
  const agentTokenFile = options.agentTokenFile ?? own.agent;
  const hasToken = existsSync(clientTokenFile) && existsSync(agentTokenFile);
  const { host, warnings } = checkListen({ host: options.host, hasToken, insecure, tls: tls !== null });
  const tokens = insecure ? [] : tokensOf(options, { clientTokenFile, agentTokenFile });
  const log = logOf(options);
  const coordinator = new Coordinator({
    stateDirectory,
    roots: options.roots ?? (isLoopback(host) ? ["/"] : []),
    version,
    clock: systemClock,
    random: Math.random,
    log: ({ level, ...record }: LogRecord) => log[level](record),
    ...(timings === undefined ? {} : { timings }),
    ...(limits === undefined ? {} : { limits }),
  });
  const timer = setInterval(() => coordinator.tick(), tickMs);
  try {
    const policy: GatePolicy = {
      tokens,
      open: insecure,
      hosts: hostList({ bound: host, told: options.publicNames ?? [], own: ownNames() }),
      jobKey: (job) => coordinator.agents.jobKey(job),
      clock: systemClock,
    };
    const routes = (app: Parameters<typeof coordinatorRoutes>[0]): void =>
      coordinatorRoutes(app, coordinator);
    const server = await startServer({ routes, policy, host, port: options.port, tls, version, log });
    return {
      url: server.url,
      port: server.port,
      clientTokenFile: insecure ? null : clientTokenFile,
      agentTokenFile: insecure ? null : agentTokenFile,
      warnings: [...warnings, ...(tls?.warnings ?? [])],
      coordinator,
      stop: async () => {
        clearInterval(timer);
        await server.close();
        coordinator.close();
      },
    };
  } catch (error) {
    clearInterval(timer);
    coordinator.close();
    throw error;
  }
}

/** Files that were named must be there; those of the state directory are made, on loopback only. */
function tokensOf(
  options: StartCoordinatorOptions,
  files: { readonly clientTokenFile: string; readonly agentTokenFile: string },
): GatePolicy["tokens"] {
  const get = (path: string, kind: "client" | "agent", isNamed: boolean): string =>
    isNamed ? readTokenFile(path, kind) : ensureTokenFile(path, kind);
  const client = get(files.clientTokenFile, "client", options.clientTokenFile !== undefined);
  const agent = get(files.agentTokenFile, "agent", options.agentTokenFile !== undefined);
  return [
    { role: "client", digest: digestToken(client) },
    { role: "agent", digest: digestToken(agent) },
  ];
}

function logOf({ logTo, logLevel = "info" }: StartCoordinatorOptions): Logger {
  const base = { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return pino(base, safeLogStream(logTo));
}
