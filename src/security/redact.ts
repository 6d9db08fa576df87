/** What takes the place of a secret. */
export const redacted = "[redacted]";

/** Secrets known by their form. Each keeps what is around the secret, so that a line stays readable. */
const patterns: readonly (readonly [RegExp, string])[] = [
  // Ours, cut ones too: a log line that was cut at a length may end inside one.
  [/sheaf_[a-z]_[A-Za-z0-9_-]+/g, redacted],
  // Up to what no key has in it, so that the JSON around one stays whole.
  [
    /-----BEGIN ([A-Z ]{0,20}PRIVATE KEY)-----(?:[A-Za-z0-9+/=\s:,\\]|-(?!----))*(?:-----END \1-----)?/g,
    redacted,
  ],
  [/\b(Bearer|Basic|Digest)(\s{1,8}|%20)[A-Za-z0-9._~+/=-]{6,}/gi, `$1$2${redacted}`],
  [/([?&;]sig(?:nature)?=)[^&\s"'\\#]+/gi, `$1${redacted}`],
  [/(:\/\/[^\s/:@"'\\]{0,256}:)[^\s/@"'\\]{1,1024}@/g, `$1${redacted}@`],
];

/** Shorter texts are no secrets: replacing them would only make lines unreadable. */
const secretLengthMin = 8;

/**
 * The text without anything secret: `secrets` themselves, in any of the forms JSON and URLs give them, and
 * whatever looks like a token, a signature, a password in a URL, an Authorization header or a private key.
 */
export function redact(text: string, secrets: Iterable<string> = []): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length < secretLengthMin) continue;
    for (const form of new Set([
      secret,
      encodeURIComponent(secret.toWellFormed()),
      JSON.stringify(secret).slice(1, -1),
    ])) {
      clean = clean.replaceAll(form, redacted);
    }
  }
  for (const [pattern, replacement] of patterns) clean = clean.replaceAll(pattern, replacement);
  return clean;
}

/** redact() with secrets that become known one by one. */
export class Redactor {
  readonly #secrets = new Set<string>();

  /** From now on this text is replaced wherever it stands. */
  add(secret: string): void {
    this.#secrets.add(secret);
  }

  redact(text: string): string {
    return redact(text, this.#secrets);
  }
}
