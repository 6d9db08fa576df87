import { existsSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { issueCertificate, makeAuthority } from "./certificates.ts";
import type { Certificate } from "./certificates.ts";
import { checkId } from "./ids.ts";
import { createPrivateFile, readPrivateFile } from "./private-file.ts";

/*
 * A directory (0700) with an authority and what it has issued, every file 0600:
 *
 *   ca.pem  ca.key           the authority; ca.key stays here, ca.pem goes to every machine
 *   NAME.pem  NAME.key       for one machine or user
 */

const kind = (what: string) => ({ what, code: "CERTIFICATE_INVALID" }) as const;
const bytesMax = 100_000;

/** Paths of the files that were written. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** @throws SheafError CERTIFICATE_INVALID when there is an authority already, or files cannot be written */
export async function initAuthority(
  directory: string,
  options: { readonly days: number; readonly nowMs: number },
): Promise<CertificateFiles> {
  checkFree(directory, "ca");
  return write(directory, "ca", await makeAuthority({ name: "sheaf", ...options }));
}

export interface IssueOptions {
  /** Of the machine or user: letters, digits, ".", "_" and "-". */
  readonly name: string;
  readonly hosts: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}

/**
 * @throws SheafError MESSAGE_INVALID for a name that is none; CERTIFICATE_INVALID when there is no
 * authority, one of that name has been issued before, or files cannot be written
 */
export async function issueInto(directory: string, options: IssueOptions): Promise<CertificateFiles> {
  checkId("agent", options.name);
  checkFree(directory, options.name);
  const authority: Certificate = {
    cert: readPrivateFile(join(directory, "ca.pem"), kind("certificate of the authority"), bytesMax),
    key: readPrivateFile(join(directory, "ca.key"), kind("key of the authority"), bytesMax),
  };
  return write(directory, options.name, await issueCertificate({ authority, ...options }));
}

function checkFree(directory: string, name: string): void {
  for (const path of Object.values(filesOf(directory, name))) if (existsSync(path)) throw taken(path);
}

function filesOf(directory: string, name: string): CertificateFiles {
  return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
}

function write(directory: string, name: string, { cert, key }: Certificate): CertificateFiles {
  const files = filesOf(directory, name);
  // The key first: a certificate is only there with its key.
  if (!createPrivateFile(files.key, key, kind("key"))) throw taken(files.key);
  if (!createPrivateFile(files.cert, cert, kind("certificate"))) throw taken(files.cert);
  return files;
}

function taken(path: string): SheafError {
  return new SheafError("CERTIFICATE_INVALID", `there is a file at ${path} already`, {
    hint: "Choose another name or directory, or move the file away if it is not needed any more.",
  });
}
