import Type from "typebox";
import { SheafError } from "../base/errors.ts";
import { HEADERS } from "../protocol/version.ts";
import type { Asker } from "../protocol/worker-protocol.ts";
import type { FastifyRequest } from "../vendor/fastify.ts";

/* What stands in paths and headers. Ids are checked here, by strict patterns, before anything uses them. */

export const JobParam = Type.String({ pattern: "^[0-9]{8}-[0-9]{9}-[a-z0-9-]{1,40}$" });
const agentPattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
export const AgentParam = Type.String({ pattern: agentPattern });
export const HashParam = Type.String({ pattern: "^[0-9a-f]{64}$" });
export const TaskNameParam = Type.String({ pattern: "^(?:sample|map|reduce)-[0-9]{5,8}$" });
export const AttemptParam = Type.String({ pattern: "^(?:sample|map|reduce)-[0-9]{5,8}\\.[0-9]{1,6}$" });
export const FileNameParam = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$" });
export const TaskTypeParam = Type.Union([
  Type.Literal("mapper"),
  Type.Literal("reducer"),
  Type.Literal("sampler"),
]);

export const JobParams = Type.Object({ job: JobParam });
export const AgentParams = Type.Object({ agent: AgentParam });

/**
 * The slot that asks, from the headers of sheaf's own agents; a worker in another language has none of them
 * and stands for itself, under its worker-pid.
 * @throws SheafError USAGE naming the header
 */
export function askerOf({ headers, ip: remote }: Pick<FastifyRequest, "headers" | "ip">): Asker {
  const pid = wholeHeader(headers, HEADERS.workerPid, false);
  const agent = textHeader(headers, HEADERS.agent);
  if (agent === undefined) {
    if (pid === null) {
      throw new SheafError("USAGE", `the header ${HEADERS.workerPid} is missing`, {
        hint: `Send your process id: -H "${HEADERS.workerPid}: 1234".`,
      });
    }
    return { agent: "", incarnation: 0, slot: 0, ask: 0, workerPid: pid, remote };
  }
  if (!new RegExp(agentPattern).test(agent)) {
    throw new SheafError("USAGE", `the header ${HEADERS.agent} is no agent's name`, {
      hint: "Send the name the agent registered with.",
    });
  }
  return {
    agent,
    incarnation: wholeHeader(headers, HEADERS.incarnation, true)!,
    slot: wholeHeader(headers, HEADERS.slot, true)!,
    ask: wholeHeader(headers, HEADERS.ask, true)!,
    workerPid: pid,
    remote,
  };
}

function textHeader(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  name: string,
): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function wholeHeader(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  name: string,
  isRequired: boolean,
): number | null {
  const text = textHeader(headers, name);
  if (text === undefined && !isRequired) return null;
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw new SheafError("USAGE", `the header ${name} is ${text === undefined ? "missing" : "not a number"}`, {
    hint: "Give decimal digits.",
  });
}
