import type { Clock } from "../base/clock.ts";
import type { ApiClient } from "../client/api-client.ts";

export type LogLevel = "info" | "warn" | "error";

/** One thing an agent has to say, for its log: plain data. */
export type AgentLog = (
  level: LogLevel,
  message: string,
  fields?: Readonly<Record<string, string | number | boolean | null>>,
) => void;

/** What the parts of an agent have in common. */
export interface AgentWorld {
  readonly api: ApiClient;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: AgentLog;
}

/** For calls that are repeated until they are answered: an agent outlives its coordinator's absence. */
export const untilAnswered = { retryMs: Number.POSITIVE_INFINITY } as const;
