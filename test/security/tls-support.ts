import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { issueCertificate, makeAuthority } from "#src/security/certificates.js";
import type { Certificate } from "#src/security/certificates.js";
import type { TlsFiles } from "#src/security/tls.js";
import { tempDir } from "../cli/support.js";

export const dayMs = 24 * 3_600_000;
/** Certificates are checked by the clock of the machine: these are made for the time the test runs at. */
export const startMs = Date.now();

export interface Issue {
  readonly hosts?: readonly string[];
  readonly days?: number;
  /** When it is made, relative to now. */
  readonly agoMs?: number;
}

/** An authority whose certificates are written to a directory of the test. */
export class TestAuthority {
  readonly directory: string;
  readonly #authority: Certificate;

  private constructor(directory: string, authority: Certificate) {
    this.directory = directory;
    this.#authority = authority;
  }

  static async make(t: TestContext, agoMs = 1_000 * dayMs): Promise<TestAuthority> {
    const authority = await makeAuthority({ name: "sheaf", days: 3_650, nowMs: startMs - agoMs });
    const made = new TestAuthority(tempDir(t), authority);
    made.#write("ca.pem", authority.cert);
    return made;
  }

  async issue(name: string, { hosts = [], days = 365, agoMs = 0 }: Issue = {}): Promise<TlsFiles> {
    const nowMs = startMs - agoMs;
    const made = await issueCertificate({ authority: this.#authority, name, hosts, days, nowMs });
    this.#write(`${name}.pem`, made.cert);
    this.#write(`${name}.key`, made.key);
    return this.files(name);
  }

  files(name: string): TlsFiles {
    const at = (file: string): string => join(this.directory, file);
    return { ca: at("ca.pem"), cert: at(`${name}.pem`), key: at(`${name}.key`) };
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text, { mode: 0o600 });
  }
}
