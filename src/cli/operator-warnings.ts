import { pino } from "pino";
import { safeLogStream } from "../security/log-line.ts";
import type { World } from "./world.ts";
import { logSink } from "./world.ts";

/**
 * Tells the operator of a server what is questionable about how it was started: on standard error, where its
 * log goes, as lines of that log, whatever the log's level.
 */
export function warnOperator(warnings: readonly string[], world: World): void {
  const settings = { level: "warn", base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const log = pino(settings, safeLogStream(logSink(world.stderr)));
  for (const warning of warnings) log.warn({ event: "operator" }, warning);
}
