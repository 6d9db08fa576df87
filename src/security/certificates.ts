import { KeyObject, createPrivateKey, randomBytes } from "node:crypto";
import { isIP } from "node:net";
import { SheafError } from "../base/errors.ts";

/** A certificate and its private key, as PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface AuthorityRequest {
  /** Common name. */
  readonly name: string;
  readonly days: number;
  readonly nowMs: number;
}

export interface CertificateRequest {
  readonly authority: Certificate;
  readonly name: string;
  /** Names and addresses by which others reach the server; none for a client. */
  readonly hosts: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}

const dayMs = 24 * 3_600_000;
/** Valid from a little before now: the clocks of a cluster differ. */
const backMs = 3_600_000;

const curve = { name: "ECDSA", namedCurve: "P-256" } as const;
const signing = { name: "ECDSA", hash: "SHA-256" } as const;

/** An authority of one's own: a key on the curve P-256 and a certificate that is signed with it. */
export async function makeAuthority({ name, days, nowMs }: AuthorityRequest): Promise<Certificate> {
  const x509 = await library();
  const keys = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
  const { KeyUsageFlags } = x509;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: commonName(name),
    notBefore: new Date(nowMs - backMs),
    notAfter: new Date(nowMs + days * dayMs),
    signingAlgorithm: signing,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: pemOfKey(keys.privateKey) };
}

/**
 * A certificate for a server or a client, or something that is both, as agents are. It ends with its
 * authority if not before.
 * @throws SheafError CERTIFICATE_INVALID when the authority has expired; USAGE for a host that is none
 */
export async function issueCertificate(request: CertificateRequest): Promise<Certificate> {
  const { authority, name, hosts, days, nowMs } = request;
  const x509 = await library();
  const issuer = new x509.X509Certificate(authority.cert);
  const issuerEndsMs = issuer.notAfter.getTime();
  if (issuerEndsMs <= nowMs) {
    throw new SheafError(
      "CERTIFICATE_INVALID",
      `the authority has expired, at ${issuer.notAfter.toISOString()}`,
      {
        hint: "Make a new one in another directory with sheaf certs init, and issue all certificates again.",
      },
    );
  }
  const keys = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
  const { ExtendedKeyUsage } = x509;
  const names = hosts.map((host) => alternativeName(host));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: commonName(name),
    issuer: issuer.subjectName,
    notBefore: new Date(Math.max(nowMs - backMs, issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(nowMs + days * dayMs, issuerEndsMs)),
    signingAlgorithm: signing,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: pemOfKey(keys.privateKey) };
}

/** Loaded only when certificates are made: it needs reflection metadata in place before it begins. */
async function library() {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

function alternativeName(host: string): { type: "dns" | "ip"; value: string } {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) !== 0) return { type: "ip", value: bare };
  const isName =
    /^(?=.{1,253}$)(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i;
  if (isName.test(bare) && !/^[\d.]+$/.test(bare)) return { type: "dns", value: bare.toLowerCase() };
  throw new SheafError("USAGE", `--host: ${JSON.stringify(host)} is no host name and no address`, {
    hint: "Give a name or an address without port: --host node1.example, --host 10.0.0.5.",
  });
}

/** Names of ours are of letters, digits, dots, dashes and underscores: nothing in them has to be escaped. */
const commonName = (name: string): string => `CN=${name}`;

/** Positive, 127 bits. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

type Key = Parameters<typeof KeyObject.from>[0];

function pemOfKey(key: Key): string {
  return KeyObject.from(key).export({ type: "pkcs8", format: "pem" }).toString();
}

function importKey(pem: string): Promise<Key> {
  const bytes = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  return crypto.subtle.importKey("pkcs8", bytes, curve, false, ["sign"]);
}
