import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { hostAllowed } from "./host-list.ts";
import type { HostList } from "./host-list.ts";
import { isSigned, verifySigned } from "./signed-url.ts";
import { matchesDigest } from "./token.ts";
import type { TokenDigest } from "./token.ts";

/*
 * The one place that decides who may ask a server for what. It knows requests, not servers: guard.ts puts
 * it in front of one. What it does not know it denies: a route that declares nothing is for nobody.
 */

/**
 * Who a route may be for. `shuffle`: whoever holds a URL signed with the key of the job that its path
 * names.
 */
export type Role = "anyone" | "client" | "agent" | "shuffle";

/** What a route declares about itself. */
export interface Access {
  readonly may: readonly Role[];
  /** What bodies it takes. `binary`: any type but those a form of another site can send. Default "json". */
  readonly body?: "json" | "binary";
}

/** Who is asking. `open`: anybody, because the server was started with --insecure. */
export type Principal =
  | { readonly who: "anyone" | "client" | "agent" | "open" }
  | { readonly who: "shuffle"; readonly job: string };

export interface GatePolicy {
  /** A role may have several tokens, while one takes the place of another. */
  readonly tokens: readonly { readonly role: "client" | "agent"; readonly digest: TokenDigest }[];
  /**
   * Ask nobody for a token: --insecure. Host, origin, content type and signatures are checked all the same.
   */
  readonly open: boolean;
  readonly hosts: HostList;
  /** Key of the job's signed URLs; null when there is no such job here. */
  jobKey(job: string): string | null;
  readonly clock: Clock;
}

/** Everything about a request that may decide. X-Forwarded-*, User-Agent and the address are not among it. */
export interface RequestFacts {
  readonly method: string;
  /** Path and query as they came in. */
  readonly target: string;
  /** All headers of that name. */
  readonly host: readonly string[];
  readonly authorization: readonly string[];
  readonly origin: readonly string[];
  readonly fetchSite: readonly string[];
  readonly contentType: readonly string[];
  readonly hasBody: boolean;
  /** Null when there is no such route. */
  readonly access: Access | null;
  /** The job that the path names, null when it names none. */
  readonly job: string | null;
}

export interface Refusal {
  readonly allowed: false;
  readonly status: 400 | 401 | 403 | 415;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export type Admission = { readonly allowed: true; readonly caller: Principal } | Refusal;

/**
 * Decides about one request. Pure but for the clock. Requests of an unknown route are let through to the
 * server's "not found", for those with a token: nobody else learns which routes there are.
 */
export function admit(facts: RequestFacts, policy: GatePolicy): Admission {
  const foreign = checkHost(facts, policy) ?? checkOrigin(facts, policy);
  if (foreign !== null) return foreign;
  const caller = identify(facts, policy);
  if ("allowed" in caller) return caller;
  return checkRole(facts, caller) ?? checkBody(facts) ?? { allowed: true, caller };
}

function checkHost({ host }: RequestFacts, { hosts }: GatePolicy): Refusal | null {
  if (host.length === 1 && hostAllowed(hosts, host[0])) return null;
  return refuse(403, "FORBIDDEN", "this server does not answer to the Host of the request", {
    hint: "Ask for it by the address it is bound to, or start it with the name that is to be used.",
  });
}

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** Programs send neither header. A browser does, and says from which page a request comes. */
function checkOrigin(facts: RequestFacts, { hosts }: GatePolicy): Refusal | null {
  if (safeMethods.has(facts.method)) return null;
  const { origin, fetchSite, host } = facts;
  const sameOrigin = origin.every((one) => {
    const [, authority] = /^https?:\/\/([^/?#@]+)$/i.exec(one) ?? [];
    return authority?.toLowerCase() === host[0]?.toLowerCase() && hostAllowed(hosts, authority);
  });
  if (origin.length <= 1 && sameOrigin && fetchSite.every((one) => one === "same-origin")) return null;
  return refuse(403, "FORBIDDEN", "a page of another site may not change anything here", {
    hint: "Send the request from a program, or from a page of this server.",
  });
}

function identify(facts: RequestFacts, policy: GatePolicy): Principal | Refusal {
  const { access, job, target, method } = facts;
  const may = access?.may ?? [];
  let reason = "";
  if (may.includes("shuffle") && isSigned(target)) {
    const nowMs = policy.clock.wallMs();
    const key = job === null ? null : policy.jobKey(job);
    // Without a key the same work is done and refused in the same words: jobs cannot be guessed here.
    const problem = verifySigned(key ?? unusable, { method, target, job: job ?? "", nowMs });
    if (key !== null && problem === null) return { who: "shuffle", job: job! };
    reason = problem ?? "the signature does not fit the request";
  }
  const role = tokenRole(facts.authorization, policy);
  if (role !== null) return { who: role };
  if (may.includes("anyone")) return { who: "anyone" };
  if (policy.open && !onlyShuffle(may)) return { who: "open" };
  if (reason === "") {
    reason = facts.authorization.length === 0 ? "it has no token" : "its token is not one of this server's";
  }
  return refuse(401, "UNAUTHORIZED", `the request is refused: ${reason}`, {
    hint: onlyShuffle(may)
      ? "Sign the URL with the key of the job, method and time."
      : "Send the header Authorization: Bearer <token>; the command line takes --token-file.",
  });
}

const unusable = "no key";
const onlyShuffle = (may: readonly Role[]): boolean => may.length === 1 && may[0] === "shuffle";

/** Every token is compared, so that the time says nothing about which of them was near. */
function tokenRole(authorization: readonly string[], { tokens }: GatePolicy): "client" | "agent" | null {
  const given =
    authorization.length === 1 ? /^Bearer ([\x21-\x7e]{1,256})$/i.exec(authorization[0]!)?.[1] : undefined;
  if (given === undefined) return null;
  const matching = tokens.filter(({ digest }) => matchesDigest(given, digest));
  return matching[0]?.role ?? null;
}

function checkRole({ access, method }: RequestFacts, { who }: Principal): Refusal | null {
  // Nothing to be seen there: the server says so itself.
  if (access === null) return null;
  if (access.may.includes("anyone")) return null;
  if (who === "open" ? access.may.some((role) => role !== "shuffle") : access.may.includes(who)) return null;
  return refuse(
    403,
    "FORBIDDEN",
    `${who === "agent" ? "an agent" : "a client"}'s token may not ${method} this`,
    {
      hint:
        access.may.length === 0
          ? "Nobody may: the route declares no access."
          : `It is for ${access.may.map((role) => `${role}s`).join(" and ")}: use the token file of one.`,
    },
  );
}

/** What a form of another site can send without asking first. */
const formTypes = new Set(["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]);

function checkBody({ method, hasBody, contentType, access }: RequestFacts): Refusal | null {
  if (safeMethods.has(method) || !hasBody) return null;
  const type = contentType.length === 1 ? contentType[0]!.split(";")[0]!.trim().toLowerCase() : "";
  if (access?.body === "binary" ? type !== "" && !formTypes.has(type) : type === "application/json")
    return null;
  const wanted = access?.body === "binary" ? "application/octet-stream" : "application/json";
  return refuse(
    415,
    "MESSAGE_INVALID",
    `a body of the content type "${type.slice(0, 100)}" is not taken here`,
    {
      hint: `Send the header Content-Type: ${wanted}.`,
    },
  );
}

function refuse(
  status: Refusal["status"],
  code: ErrorCode,
  message: string,
  { hint }: { readonly hint: string },
): Refusal {
  return { allowed: false, status, code, message, hint };
}
