import { SheafError } from "../base/errors.ts";

interface Known {
  /** What is wrong, as it reads behind "<url>: ". */
  readonly says: string;
  readonly hint: string;
}

const wrongAuthority: Known = {
  says: "its certificate was not issued by the authority this side knows",
  hint: "Give --tls-ca the ca.pem with which the other side's certificate was issued.",
};
const expired: Known = {
  says: "its certificate has expired",
  hint: "Issue a new one for it: sheaf certs issue.",
};
const refusedOurs: Known = {
  says: "it refuses the certificate of this side",
  hint: "Give --tls-cert and --tls-key of a certificate that its own authority (its --tls-ca) has issued.",
};
const notTls: Known = {
  says: "what answers there does not speak TLS",
  hint: "Write http:// in the URL, or start the other side with --tls-cert, --tls-key and --tls-ca.",
};

/** By the code of Node's or OpenSSL's error. */
const known: Readonly<Record<string, Known>> = {
  CERT_HAS_EXPIRED: expired,
  CERT_NOT_YET_VALID: {
    says: "its certificate is not valid yet",
    hint: "Check the clocks of both machines.",
  },
  UNABLE_TO_GET_ISSUER_CERT: wrongAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: wrongAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: wrongAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: wrongAuthority,
  DEPTH_ZERO_SELF_SIGNED_CERT: wrongAuthority,
  CERT_SIGNATURE_FAILURE: wrongAuthority,
  CERT_UNTRUSTED: wrongAuthority,
  ERR_TLS_CERT_ALTNAME_INVALID: {
    says: "its certificate is for other names",
    hint: "Use a name or address the certificate is for, or issue one with --host for this name.",
  },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: refusedOurs,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refusedOurs,
  ERR_SSL_WRONG_VERSION_NUMBER: notTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: notTls,
};

/**
 * What an error of a connection says about certificates; null for errors about something else.
 * @param url of the other side
 */
export function describeTlsError(error: unknown, url: string): SheafError | null {
  const about = findKnown(error);
  if (about === null) return null;
  return new SheafError("CERTIFICATE_INVALID", `${url}: ${about.says}`, { hint: about.hint, cause: error });
}

/** fetch and undici keep what happened as the cause of their own error. */
function findKnown(error: unknown): Known | null {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException;
    if (code === undefined) continue;
    if (Object.hasOwn(known, code)) return known[code]!;
    if (/^ERR_SSL_.*ALERT/.test(code)) return refusedOurs;
    // What TLS 1.2 gives has the reason in its text only.
    if (code === "EPROTO" && /\balert\b/.test(at.message)) return refusedOurs;
    if (code === "EPROTO" && /wrong version number|packet length too long/.test(at.message)) return notTls;
  }
  return null;
}

/**
 * For a server's log, from its event tlsClientError: why it ended a connection whose certificate it did not
 * accept. The other side often learns no more than that the connection was reset: on its side refusedHint
 * says what that may be.
 * @param authorizationError of the socket that the event comes with
 */
export function describeRefusedPeer(error: NodeJS.ErrnoException, authorizationError: unknown): string {
  const code = typeof authorizationError === "string" ? authorizationError : error.code;
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")
    return "a connection was refused: it has no certificate";
  const about = code !== undefined && Object.hasOwn(known, code) ? known[code]!.says : `TLS failed (${code})`;
  return `a connection was refused: ${about}`;
}

/** For connections over TLS that are reset before there is an answer. */
export const refusedHint =
  "It may be restarting, or refuse the certificate of this side: its log says why. " + refusedOurs.hint;
