import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/**
 * What a secret is for. `client`: submits and steers jobs. `agent`: joins a machine to a cluster. `job`:
 * signs the requests for one job's blocks. One is never accepted in place of another.
 */
export type TokenKind = "client" | "agent" | "job";

/**
 * Tokens begin with these, so that they are recognised wherever they turn up: FROZEN, logs are cleaned by
 * them.
 */
const prefixes: Readonly<Record<TokenKind, string>> = {
  client: "sheaf_c_",
  agent: "sheaf_a_",
  job: "sheaf_j_",
};

const tokenBytes = 32;
const form = /^sheaf_([caj])_[A-Za-z0-9_-]{43}$/;

/** A new secret of 256 random bits: prefix and 43 characters of base64url. */
export function makeToken(kind: TokenKind): string {
  return prefixes[kind] + randomBytes(tokenBytes).toString("base64url");
}

/** What a text is a token for, by its form alone; null when it is none. */
export function tokenKind(text: string): TokenKind | null {
  switch (form.exec(text)?.[1]) {
    case "c":
      return "client";
    case "a":
      return "agent";
    case "j":
      return "job";
    default:
      return null;
  }
}

/** SHA-256 of a token: what a server keeps in memory and compares with. */
export type TokenDigest = Uint8Array & { readonly tokenDigest: true };

export function digestToken(token: string): TokenDigest {
  return createHash("sha256").update(token, "utf8").digest() as Uint8Array as TokenDigest;
}

/** Whether the text is the token of this digest. Takes the same time whatever either is. */
export function matchesDigest(given: string, digest: TokenDigest): boolean {
  return timingSafeEqual(digestToken(given), digest);
}

/**
 * Whether two secrets are equal. Their digests are compared, which have one length: neither where they
 * differ nor how long they are shows in the time it takes.
 */
export function sameToken(a: string, b: string): boolean {
  return matchesDigest(a, digestToken(b));
}
