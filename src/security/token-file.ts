import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { createPrivateFile, readPrivateFile } from "./private-file.ts";
import { makeToken, tokenKind } from "./token.ts";
import type { TokenKind } from "./token.ts";

/*
 * A token file holds one token and a newline. Its mode is 0600 and it is made whole. Whatever is wrong with
 * one is an error, never a reason to go on without a token.
 */

/** Tokens that are kept in files. Keys of jobs live in memory and in the coordinator's state only. */
export type FileTokenKind = Exclude<TokenKind, "job">;

const bytesMax = 1024;
const described = (kind: FileTokenKind) => ({ what: `${kind} token file`, code: "TOKEN_INVALID" }) as const;

/** Where a state directory keeps its tokens. */
export function tokenFilesIn(stateDirectory: string): Readonly<Record<FileTokenKind, string>> {
  return { client: join(stateDirectory, "client.token"), agent: join(stateDirectory, "agent.token") };
}

/**
 * @throws SheafError TOKEN_INVALID when the file is missing, unreadable, empty, malformed, open to other
 * users, or holds a token of another kind
 */
export function readTokenFile(path: string, kind: FileTokenKind): string {
  const token = readPrivateFile(path, described(kind), bytesMax).trim();
  const found = tokenKind(token);
  if (found === kind) return token;
  const problem =
    token === "" ? "is empty" : found === null ? "holds no token" : `holds a token of the kind "${found}"`;
  // What the file holds is not shown: it may be some other secret.
  throw new SheafError("TOKEN_INVALID", `the ${kind} token file ${path} ${problem}`, {
    hint: "Copy it again from the coordinator's state directory, or remove it and make a new one.",
    details: { path },
  });
}

/**
 * The token of the file, which is made when there is none. Safe for several processes at once: all get the
 * same.
 * @throws SheafError TOKEN_INVALID as readTokenFile does
 */
export function ensureTokenFile(path: string, kind: FileTokenKind): string {
  const token = makeToken(kind);
  return createPrivateFile(path, `${token}\n`, described(kind)) ? token : readTokenFile(path, kind);
}

export interface TokenPlaces {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What --token-file said. */
  readonly tokenFile?: string | undefined;
  readonly stateDirectory: string;
}

/**
 * The file a token is to be read from: --token-file, else $SHEAF_TOKEN_FILE, else the one in the state
 * directory. A token itself is never taken from a command line or a variable, where other processes can see
 * it.
 */
export function tokenFilePath(kind: FileTokenKind, places: TokenPlaces): string {
  const { env, tokenFile, stateDirectory } = places;
  if (tokenFile !== undefined) return tokenFile;
  const named = env["SHEAF_TOKEN_FILE"];
  return named !== undefined && named !== "" ? named : tokenFilesIn(stateDirectory)[kind];
}

/** @throws SheafError TOKEN_INVALID when the file that is meant cannot be used; no other is tried then */
export function findToken(
  kind: FileTokenKind,
  places: TokenPlaces,
): { readonly token: string; readonly path: string } {
  const path = tokenFilePath(kind, places);
  return { token: readTokenFile(path, kind), path };
}
