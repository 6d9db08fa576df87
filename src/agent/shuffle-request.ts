import { SheafError } from "../base/errors.ts";
import { signRequest } from "../security/signed-url.ts";

/** A map attempt, by numbers. */
export interface MapAttempt {
  readonly task: number;
  readonly attempt: number;
}

/** What is asked for: slices of one partition, of map attempts of one job. */
export interface SliceQuestion {
  readonly job: string;
  readonly collection: number;
  readonly partition: number;
  /** In the order in which they are sent. */
  readonly maps: readonly MapAttempt[];
  /** First byte of the first slice that is sent. */
  readonly from: number;
}

/** As many map outputs may be asked for at once. */
export const MAPS_PER_REQUEST_MAX = 500;

/** The target of GET requests for it, signed; `expiresMs` since the epoch. */
export function sliceTarget(question: SliceQuestion, key: string, expiresMs: number): string {
  const { job, collection, partition, maps, from } = question;
  return signRequest(key, {
    method: "GET",
    path: `/shuffle/${job}`,
    query: {
      maps: maps.map(({ task, attempt }) => `${task}.${attempt}`).join("_"),
      collection,
      partition,
      from,
    },
    job,
    expiresMs,
  });
}

/**
 * @param query parameters as parsed from the target, decoded once
 * @throws SheafError MESSAGE_INVALID naming the parameter
 */
export function parseSliceQuery(job: string, query: Readonly<Record<string, unknown>>): SliceQuestion {
  const maps = text(query, "maps", /^\d{1,9}\.\d{1,9}(?:_\d{1,9}\.\d{1,9})*$/).split("_");
  if (maps.length > MAPS_PER_REQUEST_MAX)
    throw invalid("maps", `${maps.length} are more than ${MAPS_PER_REQUEST_MAX}`);
  return {
    job,
    collection: number(query, "collection"),
    partition: number(query, "partition"),
    from: number(query, "from"),
    maps: maps.map((map) => {
      const [task = 0, attempt = 0] = map.split(".").map(Number);
      return { task, attempt };
    }),
  };
}

function number(query: Readonly<Record<string, unknown>>, name: string): number {
  return Number(text(query, name, /^\d{1,15}$/));
}

function text(query: Readonly<Record<string, unknown>>, name: string, form: RegExp): string {
  const value = query[name];
  if (typeof value !== "string")
    throw invalid(name, value === undefined ? "missing" : "given more than once");
  if (!form.test(value))
    throw invalid(name, `${JSON.stringify(value.slice(0, 100))} has not the form ${form}`);
  return value;
}

function invalid(name: string, problem: string): SheafError {
  return new SheafError("MESSAGE_INVALID", `query parameter ${name}: ${problem}`, {
    hint: "Agents of this version ask otherwise: check that all run the same version of sheaf.",
  });
}
