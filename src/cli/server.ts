import { join, resolve } from "node:path";
import { settings } from "../base/limits.ts";
import { splitAddress } from "../storage/store.ts";
import { stateDirectoryOf } from "./connection.ts";
import { inCategory, repeatedFlag, secondsText, types, valueFlag } from "./flag.ts";
import { type World, logSink } from "./world.ts";

/** What coordinator and agent have in common. */
export const serverFlags = {
  ...inCategory("Execution", {
    host: valueFlag("--host ADDRESS", types.string, "Address to listen on", {
      default: "127.0.0.1",
      details: "Beyond this machine (0.0.0.0, or one of its addresses) it needs tokens, and should have TLS.",
    }),
    state: valueFlag("--state DIR", types.path, "Directory for what it keeps; its own, made when missing"),
    roots: repeatedFlag(
      "--root DIR",
      types.place,
      "Jobs may read and write files below DIR, or read below an address; may be repeated",
      {
        details: "An address is as https://data.example.org/logs/ or s3://bucket/logs/.",
        default: "all when it is reached over loopback only, else none",
      },
    ),
    tlsCa: valueFlag(
      "--tls-ca FILE",
      types.path,
      "Certificates of the authority that peers are checked against",
      { details: "With --tls-cert and --tls-key; sheaf certs makes the three files." },
    ),
    tlsCert: valueFlag("--tls-cert FILE", types.path, "Own certificate"),
    tlsKey: valueFlag("--tls-key FILE", types.path, "Key of the own certificate"),
    heartbeat: valueFlag("--heartbeat TIME", types.duration, "Time between heartbeats", {
      default: secondsText(settings.heartbeatMs),
    }),
  }),
  ...inCategory("Display", {
    logLevel: valueFlag(
      "--log-level LEVEL",
      types.choice(["debug", "info", "warn", "error", "silent"]),
      "How much is logged on standard error: debug, info, warn, error, silent",
      { default: "info", details: "One JSON object a line." },
    ),
  }),
};

/**
 * Warns the operator of a server of risks in how it was started: on standard error, where its
 * log goes, as lines of that log, whatever the log's level.
 */
export async function warnOperator(warnings: readonly string[], world: World): Promise<void> {
  if (warnings.length === 0) return;
  const [{ pino }, { safeLogStream }] = await Promise.all([
    import("pino"),
    import("../security/log-line.ts"),
  ]);
  const settings = { level: "warn", base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const log = pino(settings, safeLogStream(logSink(world.stderr)));
  for (const warning of warnings) log.warn({ event: "operator" }, warning);
}

/** State of a coordinator on this machine, unless --state says otherwise. Clients look there for tokens. */
export function coordinatorStateOf(world: World, given?: string): string {
  return given === undefined ? join(stateDirectoryOf(world), "coordinator") : resolve(world.cwd, given);
}

/** State of an agent on this machine: each name has its own. */
export function agentStateOf(world: World, name: string, given?: string): string {
  return given === undefined ? join(stateDirectoryOf(world), "agents", name) : resolve(world.cwd, given);
}

/** A --root as servers know it: an absolute path, or an address. */
export function rootOf(given: string, cwd: string): string {
  return splitAddress(given) === null ? resolve(cwd, given) : given;
}
