import type { KeyObject } from "node:crypto";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { SheafError, describeThrown } from "../base/errors.ts";
import { hostOf } from "./host-list.ts";
import { readPrivateFile } from "./private-file.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  /** Certificates of the authorities that peers are checked against. */
  readonly ca: string;
  /** The certificate of this server or client, and those between it and an authority, in that order. */
  readonly cert: string;
  readonly key: string;
}

/** Options of node:tls that both ends share: each shows its certificate, and checks the other's. */
export interface TlsOptions {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.2";
  readonly rejectUnauthorized: true;
}

export interface TlsMaterial {
  /** For node:https and Fastify: a client without a certificate of the authority gets no connection. */
  readonly server: TlsOptions & { readonly requestCert: true };
  /** For node:https and undici. */
  readonly client: TlsOptions;
  /** What to tell at start: a certificate that ends soon. */
  readonly warnings: readonly string[];
}

/**
 * The files when all three are given, null when none is.
 * @throws SheafError USAGE when some are missing
 */
export function tlsFiles(given: { readonly [K in keyof TlsFiles]?: string | undefined }): TlsFiles | null {
  const { ca, cert, key } = given;
  if (ca === undefined && cert === undefined && key === undefined) return null;
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  const missing = (["ca", "cert", "key"] as const).filter((name) => given[name] === undefined);
  throw new SheafError("USAGE", `TLS needs --tls-${missing.join(" and --tls-")}, too`, {
    hint: "--tls-ca, --tls-cert and --tls-key go together; `sheaf certs` makes the files.",
  });
}

const soonMs = 30 * 24 * 3_600_000;

/**
 * Reads the files and checks that they can work together now, so that what is wrong is found at start and
 * not at the first connection.
 * @param nowMs milliseconds since the epoch
 * @throws SheafError CERTIFICATE_INVALID when a file is unreadable or holds something else, a key can be
 * read by other users or belongs to another certificate, or a certificate has expired, begins later, or is
 * of no authority in `ca`
 */
export function loadTls(files: TlsFiles, nowMs: number): TlsMaterial {
  const [ca, cert] = [readText(files.ca), readText(files.cert)];
  const authorities = certificatesOf(ca, files.ca);
  const chain = certificatesOf(cert, files.cert);
  const key = readPrivateFile(files.key, { what: "TLS key", code: "CERTIFICATE_INVALID" }, 100_000);
  const own = chain[0]!;
  if (!own.checkPrivateKey(privateKeyOf(key, files.key))) {
    throw invalid(`the key ${files.key} is not that of the certificate ${files.cert}`, {
      hint: "Give the key that was made with the certificate; sheaf certs issue gives both the same name.",
    });
  }
  for (const one of authorities) checkAuthority(one, files.ca, nowMs);
  for (const one of chain) checkTime(one, files.cert, nowMs);
  checkChain(chain, authorities, files);
  const endsMs = Math.min(...chain.map((one) => Date.parse(one.validTo)));
  const warnings =
    endsMs - nowMs < soonMs ? [`the certificate ${files.cert} ends at ${day(endsMs)}: issue a new one`] : [];
  const shared = { ca, cert, key, minVersion: "TLSv1.2", rejectUnauthorized: true } as const;
  return { server: { ...shared, requestCert: true }, client: shared, warnings };
}

/**
 * Checks that a server's certificate is for the name or address that others will use.
 * @param host with or without port, or in a URL
 * @throws SheafError CERTIFICATE_INVALID when it is not: every client would refuse it
 */
export function checkTlsName(tls: TlsMaterial, host: string): void {
  const own = new X509Certificate(tls.server.cert);
  const name = (hostOf(host) ?? host).replace(/^\[(.*)\]$/, "$1");
  if ((isIP(name) === 0 ? own.checkHost(name) : own.checkIP(name)) !== undefined) return;
  throw invalid(`the certificate is for ${own.subjectAltName ?? "no name"}, not for ${name}`, {
    hint: `Issue one with --host ${name}, or let others use a name that it is for.`,
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(`the certificate ${path} cannot be read: ${describeThrown(error)}`, {
      hint: "Check the path, owner and mode of the file.",
      cause: error,
    });
  }
}

function certificatesOf(text: string, path: string): readonly X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length > 0) return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw invalid(`the certificate in ${path} is damaged: ${describeThrown(error)}`, {
      hint: "Copy it again, or issue a new one.",
      cause: error,
    });
  }
  throw invalid(`${path} holds no certificate`, {
    hint: "Give a file in PEM form; it begins with -----BEGIN CERTIFICATE-----.",
  });
}

function privateKeyOf(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    // The cause is left out: what it says may quote the file.
    throw invalid(`${path} holds no private key that can be used without a passphrase`, {
      hint: `Give a file in PEM form. Node says ${(error as NodeJS.ErrnoException).code ?? "nothing more"}.`,
    });
  }
}

function checkAuthority(authority: X509Certificate, path: string, nowMs: number): void {
  checkTime(authority, path, nowMs);
  if (authority.ca) return;
  throw invalid(`the certificate in ${path} is none of an authority: it may not issue others`, {
    hint: "--tls-ca is for the certificate of the authority, ca.pem; --tls-cert for the one it issued.",
  });
}

function checkTime(certificate: X509Certificate, path: string, nowMs: number): void {
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (nowMs > toMs) {
    throw invalid(`the certificate in ${path} has expired, at ${day(toMs)}`, { hint: "Issue a new one." });
  }
  if (nowMs < fromMs) {
    throw invalid(`the certificate in ${path} is valid from ${day(fromMs)} on only`, {
      hint: "Check the clock of this machine.",
    });
  }
}

const day = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

/** Follows the issuers from the first certificate to an authority. */
function checkChain(
  [own, ...between]: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  files: TlsFiles,
): void {
  let at = own!;
  for (let left = between.length; left >= 0; left--) {
    if (authorities.some((one) => one.fingerprint256 === at.fingerprint256 || issued(one, at))) return;
    const next = between.find((one) => one.fingerprint256 !== at.fingerprint256 && issued(one, at));
    if (next === undefined) break;
    at = next;
  }
  throw invalid(`the certificate ${files.cert} was not issued by an authority in ${files.ca}`, {
    hint: "Give the ca.pem of the directory in which it was issued.",
  });
}

/** By name, and by signature: two authorities may have the same name. */
function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function invalid(message: string, options: { readonly hint: string; readonly cause?: unknown }): SheafError {
  return new SheafError("CERTIFICATE_INVALID", message, { ...options });
}
