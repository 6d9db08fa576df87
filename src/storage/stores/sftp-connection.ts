import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { SheafError, isSheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { Promise } from "../../base/own-globals.ts";
import { retrying, type RetryWorld } from "../../base/retry.ts";
import { errnoOf, quotePath } from "../fs-error.ts";
import type { StoreSettings } from "../store.ts";
import { fingerprintOfKey, knownHostOf } from "./known-hosts.ts";
import { type SshSettings, sshSettings } from "./ssh-settings.ts";

const connectMs = 10_000;
/** Without a byte from the server while something is asked. */
const silenceMs = 45_000;
/** For how long a server is tried that never answered: the address may be wrong. */
const firstRetryMs = 5_000;

/** What is used of the package ssh2. */
interface Ssh2 {
  readonly Client: new () => SshClient;
  readonly utils: { parseKey(data: Buffer, passphrase?: string): SshKey | SshKey[] | Error };
}

interface SshKey {
  isPrivateKey(): boolean;
}

interface SshClient {
  connect(config: object): void;
  sftp(callback: (error: Error | undefined, sftp: Sftp) => void): void;
  on(event: string, heard: (...args: never[]) => void): this;
  destroy(): void;
}

export interface SftpAttributes {
  readonly mode: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
}

export interface SftpName {
  readonly filename: string;
  readonly attrs: SftpAttributes;
}

export type Done<T> = (error: Error | null | undefined, value?: T) => void;

/** SFTP of ssh2, as far as it is used. */
export interface Sftp {
  /** Follows links; lstat does not. */
  stat(path: string, done: Done<SftpAttributes>): void;
  lstat(path: string, done: Done<SftpAttributes>): void;
  fstat(handle: Buffer, done: Done<SftpAttributes>): void;
  open(path: string, flags: string, done: Done<Buffer>): void;
  opendir(path: string, done: Done<Buffer>): void;
  readdir(handle: Buffer, done: Done<readonly SftpName[]>): void;
  /** `value` is how many bytes came; 0 at the end. */
  read(handle: Buffer, into: Buffer, offset: number, length: number, at: number, done: Done<number>): void;
  write(handle: Buffer, from: Buffer, offset: number, length: number, at: number, done: Done<void>): void;
  close(handle: Buffer, done: Done<void>): void;
  mkdir(path: string, done: Done<void>): void;
  rmdir(path: string, done: Done<void>): void;
  unlink(path: string, done: Done<void>): void;
  rename(from: string, to: string, done: Done<void>): void;
  realpath(path: string, done: Done<string>): void;
  ext_openssh_fsync(handle: Buffer, done: Done<void>): void;
}

/** Codes of SFTP's answers. */
const STATUS = {
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  connection: new Set([6, 7]),
  unsupported: 8,
};

export type SftpDoing = "list" | "read" | "write" | "rename" | "remove";

export interface SftpPlace {
  /** As the user knows it. */
  readonly address: string;
  readonly doing: SftpDoing;
}

interface Session {
  readonly sftp: Sftp;
  readonly socket: Socket;
  /** Ends what waits for an answer when the connection is lost. */
  readonly waiting: Set<(error: Error) => void>;
}

/** One server, and the connection to it: made when it is needed, and anew when it was lost. */
export class SftpConnection {
  readonly #authority: string;
  readonly #settings: StoreSettings;
  #session: Promise<Session> | null = null;
  #wasHeard = false;
  /** Grows when a connection is lost: handles are those of one. */
  #life = 0;

  constructor(authority: string, settings: StoreSettings) {
    this.#authority = authority;
    this.#settings = settings;
  }

  /** See the field: what was opened in another life has to be opened again. */
  get life(): number {
    return this.#life;
  }

  get world(): RetryWorld {
    return this.#settings.world;
  }

  /**
   * One question, asked again on a new connection when that was lost.
   * @returns null when there is no such file
   */
  ask<T>(place: SftpPlace, question: (sftp: Sftp, done: Done<T>) => void): Promise<T | null> {
    const forMs = this.#wasHeard ? limits.storageRetryMs : firstRetryMs;
    return retrying(this.#settings.world, forMs, undefined, () => this.once(place, question));
  }

  /**
   * One question, asked once.
   * @param life of the handle in it: in another one it is not asked
   * @returns as `ask`
   */
  async once<T>(
    place: SftpPlace,
    question: (sftp: Sftp, done: Done<T>) => void,
    life?: number,
  ): Promise<T | null> {
    let session: Session;
    try {
      session = await (this.#session ??= this.#connect());
    } catch (error) {
      throw isSheafError(error) ? error : sftpError(error, place, this.#authority);
    }
    this.#wasHeard = true;
    if (life !== undefined && life !== this.#life) throw sftpError(wasCut(), place, this.#authority);
    const { sftp, socket, waiting } = session;
    try {
      return await new Promise<T>((resolve, reject) => {
        if (waiting.size === 0) {
          socket.ref();
          socket.setTimeout(silenceMs);
        }
        waiting.add(reject);
        const settle = (then: () => void): void => {
          waiting.delete(reject);
          if (waiting.size === 0) {
            // It must not keep a process alive that has nothing else to do.
            socket.unref();
            socket.setTimeout(0);
          }
          then();
        };
        question(sftp, (error, value) => settle(() => (error ? reject(error) : resolve(value as T))));
      });
    } catch (error) {
      if (codeOf(error) === STATUS.noSuchFile) return null;
      throw sftpError(error, place, this.#authority);
    }
  }

  async #connect(): Promise<Session> {
    const ssh2 = await loadSsh2();
    const settings = sshSettings(this.#authority, this.#settings.env);
    const { methods, locked } = methodsOf(ssh2, settings, this.#settings.env["SSH_KEY_PASSPHRASE"]);
    const host = settings.keyAlias?.toLowerCase() ?? knownHostOf(settings.host, settings.port);
    const types = settings.knownHosts.types(host).flatMap((type) => algorithmsOf(type));
    // Questions are small and come one by one: each would wait 40 ms for the answer's acknowledgement.
    const socket = connect({ host: settings.host, port: settings.port, noDelay: true });
    const client = new ssh2.Client();
    const waiting = new Set<(error: Error) => void>();
    let refused: SheafError | null = null;
    let isLost = false;
    const lose = (error: Error): void => {
      if (isLost) return;
      isLost = true;
      this.#session = null;
      this.#life++;
      client.destroy();
      socket.destroy();
      for (const reject of waiting) reject(error);
      waiting.clear();
    };
    try {
      const sftp = await new Promise<Sftp>((resolve, reject) => {
        waiting.add(reject);
        socket.setTimeout(connectMs);
        socket.on("timeout", () => lose(Object.assign(new Error("silence"), { code: "ETIMEDOUT" })));
        socket.on("error", lose);
        client.on("error", (error: Error) => lose(refused ?? error));
        for (const event of ["end", "close"]) client.on(event, () => lose(refused ?? wasCut()));
        client.on("ready", () => client.sftp((error, opened) => (error ? reject(error) : resolve(opened))));
        client.connect({
          sock: socket,
          username: settings.user,
          authHandler: [...methods],
          readyTimeout: 2 * connectMs,
          ...(types.length > 0 && { algorithms: { serverHostKey: types } }),
          hostVerifier: (key: Buffer) => {
            refused = hostRefused(settings, host, key);
            return refused === null;
          },
        });
      });
      waiting.clear();
      socket.setTimeout(0);
      socket.unref();
      return { sftp, socket, waiting };
    } catch (error) {
      lose(error as Error);
      if (isAuthentication(error)) throw notLetIn(settings, locked, error);
      throw error;
    }
  }
}

function wasCut(): Error {
  return Object.assign(new Error("the connection was cut"), { code: "ECONNRESET" });
}

function isAuthentication(error: unknown): boolean {
  return error instanceof Error && "level" in error && error.level === "client-authentication";
}

async function loadSsh2(): Promise<Ssh2> {
  try {
    // Its types are not needed: see Ssh2.
    const module = (await import("ssh2" as string)) as { default?: Ssh2 } & Ssh2;
    return module.default ?? module;
  } catch (error) {
    if (errnoOf(error) !== "ERR_MODULE_NOT_FOUND" && errnoOf(error) !== "MODULE_NOT_FOUND") throw error;
    throw new SheafError("PACKAGE_MISSING", "sftp:// needs the package ssh2, which is not installed", {
      hint: "npm install ssh2 (its install script is not needed: --ignore-scripts).",
      cause: error,
    });
  }
}

/** Ways to be let in, as ssh tries them, and the keys that cannot be used without a passphrase. */
function methodsOf(
  { utils }: Ssh2,
  { agent, keyFiles, user: username }: SshSettings,
  passphrase: string | undefined,
): { methods: readonly object[]; locked: readonly string[] } {
  const methods: object[] = [];
  const locked: string[] = [];
  if (agent !== null) methods.push({ type: "agent", username, agent });
  for (const path of keyFiles) {
    let key: Buffer;
    try {
      key = readFileSync(path);
    } catch {
      locked.push(path);
      continue;
    }
    const parsed = utils.parseKey(key, passphrase);
    if (parsed instanceof Error) locked.push(path);
    else methods.push({ type: "publickey", username, key, ...(passphrase !== undefined && { passphrase }) });
  }
  return { methods, locked };
}

function notLetIn(
  { host, user, agent, keyFiles }: SshSettings,
  locked: readonly string[],
  cause: unknown,
): SheafError {
  const tried = [
    ...(agent === null ? [] : ["ssh-agent"]),
    ...keyFiles.filter((path) => !locked.includes(path)),
  ];
  const what = tried.length === 0 ? "there is no key to offer" : `it takes none of ${tried.join(", ")}`;
  const encrypted =
    locked.length === 0
      ? ""
      : ` ${locked.join(", ")} cannot be used: it is encrypted (ssh-add it, or set SSH_KEY_PASSPHRASE) or damaged.`;
  return new SheafError("UNAUTHORIZED", `${user}@${host} does not let this user in: ${what}`, {
    hint: `Try ssh ${user}@${host}: what lets it in without a question is used here too.${encrypted}`,
    cause,
  });
}

/** Why the host is not the one that is meant; null: it is. */
function hostRefused(settings: SshSettings, host: string, key: Buffer): SheafError | null {
  const { knownHosts, knownHostsFile } = settings;
  const print = fingerprintOfKey(key);
  const verdict = knownHosts.verdict(host, key);
  if (verdict === "known") return null;
  if (verdict === "unknown") {
    return new SheafError("CERTIFICATE_INVALID", `the host ${host} is not known: it shows the key ${print}`, {
      hint:
        `Compare that with what its administrator says, then add it to ${knownHostsFile}: connect once with ssh, or ` +
        `ssh-keyscan -p ${settings.port} ${settings.host} >> ${knownHostsFile}.`,
    });
  }
  const what = verdict === "revoked" ? "its key was revoked" : "its key is not the one that is known";
  return new SheafError("CERTIFICATE_INVALID", `the host ${host} may be another one: ${what} (${print})`, {
    hint:
      "Somebody may be listening in between, or the server was set up anew. If that is so: " +
      `ssh-keygen -f ${knownHostsFile} -R '${host}', and add the new key.`,
  });
}

/** One type of key may be used in several ways. */
function algorithmsOf(type: string): string[] {
  return type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] : [type];
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function sftpError(error: unknown, { address, doing }: SftpPlace, authority: string): SheafError {
  if (isSheafError(error)) return error;
  const reading = doing === "list" || doing === "read";
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const details = { path: address, server: authority };
  const cannot = `cannot ${doing} ${quotePath(address)}`;
  const usual = reading ? "INPUT_UNREADABLE" : "OUTPUT_UNWRITABLE";
  if (code === STATUS.permissionDenied) {
    return new SheafError(usual, `${cannot}: permission denied`, {
      hint: "Check the owner and mode of the path and of its directories on the server.",
      cause: error,
      details,
    });
  }
  if (typeof code === "number" && !STATUS.connection.has(code)) {
    return new SheafError(usual, `${cannot}: the server says "${message}"`, {
      hint: "SFTP servers do not say more. Look at free space, quotas and modes there.",
      cause: error,
      details,
    });
  }
  const isLasting = code === "ENOTFOUND";
  const what: Readonly<Record<string, string>> = {
    ENOTFOUND: "this machine knows no host of that name",
    ECONNREFUSED: "nothing listens there",
    ECONNRESET: "the connection was cut",
    ETIMEDOUT: "it does not answer",
  };
  return new SheafError("UNREACHABLE", `${cannot}: ${authority}: ${what[String(code)] ?? message}`, {
    hint: "Try ssh to that host; look at the name, the port and the network between.",
    retryable: !isLasting,
    cause: error,
    details,
  });
}
