import { createHmac } from "node:crypto";
import { sameToken } from "./token.ts";

/*
 * A signed URL lets its holder do one thing, until a point in time, without a token:
 *
 *   <path>?<query>&expires=<ms since the epoch>&signature=<64 hex digits>
 *
 * signature = HMAC-SHA256(key of the job, fields), each field as <length in bytes>:<bytes>, so that no two
 * lists of fields have the same bytes. The fields are: "sheaf-signed-1", method, job, path, and everything
 * of the query before "&signature=" (or "signature=" when nothing is before it), all as they are sent.
 * FROZEN: agents of other versions check it.
 */

const version = "sheaf-signed-1";

export interface SignedRequest {
  readonly method: string;
  /** Percent-encoded as it is to be sent, from the "/" on; no "?" in it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number>>;
  readonly job: string;
  /** Milliseconds since the epoch from which on it is refused. */
  readonly expiresMs: number;
}

/** The target to ask for: path and query with expiry and signature. `key` is that of the job. */
export function signRequest(key: string, request: SignedRequest): string {
  const { method, path, job, expiresMs } = request;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) query.append(name, String(value));
  query.append("expires", String(expiresMs));
  const text = query.toString();
  return `${path}?${text}&signature=${signatureOf(key, [version, method, job, path, text])}`;
}

export interface SignedTarget {
  readonly method: string;
  /** Path and query as they came in. */
  readonly target: string;
  /** Whose key this is: the job the path names. */
  readonly job: string;
  readonly nowMs: number;
}

const form = /^([^?#]*)\?((?:[^#]*&)?expires=(\d{1,16}))&signature=([0-9a-f]{64})$/;

/** Whether a target has a signature at all, right or wrong. */
export function isSigned(target: string): boolean {
  return /[?&]signature=/.test(target);
}

/** Null when it was signed with this key for exactly this and has not expired; else why not, for people. */
export function verifySigned(key: string, request: SignedTarget): string | null {
  const { method, target, job, nowMs } = request;
  const match = form.exec(target);
  if (match === null) return "the signature is missing or malformed";
  const [, path, query, expires, signature] = match;
  // The expiry is looked at only when it is known to be ours.
  if (!sameToken(signature!, signatureOf(key, [version, method, job, path!, query!])))
    return "the signature does not fit the request";
  return Number(expires) > nowMs ? null : "the signed URL has expired";
}

function signatureOf(key: string, fields: readonly string[]): string {
  const hmac = createHmac("sha256", key);
  for (const field of fields) hmac.update(`${Buffer.byteLength(field)}:${field}`);
  return hmac.digest("hex");
}
