import { SheafError } from "../base/errors.ts";
import { describeTlsError, refusedHint } from "./tls-error.ts";

/** A server that speaks TLS cuts off whoever does not. */
const cutHint =
  "It may be restarting; its log may say why. If it speaks TLS, write https:// and give --tls-ca, --tls-cert and --tls-key.";

/** What happened to a request that got no answer, and what to do about it. */
interface Mishap {
  readonly what: string;
  readonly hint: string;
}

/**
 * The error of a request that got no answer, or only a part of one: UNREACHABLE, which is `retryable`, unless
 * what was sent changed meanwhile; CERTIFICATE_INVALID when one side refuses the other's certificate.
 * `details.cause` is the system's or undici's code.
 * @param url what was asked, without its query: signed URLs carry secrets there
 * @param waitedMs how long an answer was waited for at most
 */
export function connectionError(error: unknown, url: string, waitedMs: number): SheafError {
  const untrusted = url.startsWith("https:") ? describeTlsError(error, url) : null;
  if (untrusted !== null) return untrusted;
  const cause = codeOf(error);
  const { what, hint } = mishapOf(cause, new URL(url), waitedMs);
  return new SheafError("UNREACHABLE", `${url}: ${what}`, {
    hint,
    retryable: cause !== "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
    cause: error,
    details: { url, cause },
  });
}

/** The first code among an error, its causes and, where several addresses were tried, theirs. */
function codeOf(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; depth++) {
    if ("code" in at && typeof at.code === "string" && at.code !== "UND_ERR") return at.code;
    at = at instanceof AggregateError && at.errors.length > 0 ? at.errors[0] : at.cause;
  }
  return error instanceof Error ? error.name : "unknown";
}

function mishapOf(code: string, url: URL, waitedMs: number): Mishap {
  const { host, hostname, protocol } = url;
  switch (code) {
    case "ECONNREFUSED":
      return {
        what: `nothing listens at ${host}`,
        hint: "Start it (sheaf coordinator, or sheaf cluster up), or check the address and port.",
      };
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return { what: `there is no host "${hostname}"`, hint: "Check the name, or give the IP address." };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EHOSTDOWN":
    case "EACCES":
      return { what: `no way leads to ${host} (${code})`, hint: "Check the network and its firewalls." };
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return {
        what: `${host} did not accept a connection in time`,
        hint: "Check that the machine is up and that no firewall drops what goes to this port.",
      };
    case "UND_ERR_HEADERS_TIMEOUT":
      return {
        what: `no answer within ${(waitedMs / 1000).toFixed(0)} s`,
        hint: "It is overloaded or hangs; its log may say why.",
      };
    case "UND_ERR_BODY_TIMEOUT":
      return {
        what: "the answer stopped coming in the middle",
        hint: "Check the network between here and there.",
      };
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return {
        what: "the connection was cut",
        hint: protocol === "https:" ? refusedHint : cutHint,
      };
    case "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH":
      return { what: "the file changed while it was sent", hint: "Leave it alone, and try again." };
    default:
      if (code.startsWith("HPE_")) {
        return { what: "what answers there does not speak HTTP", hint: "Check the port, and http or https." };
      }
      return { what: `the request failed (${code})`, hint: "Check the address, and its log." };
  }
}
