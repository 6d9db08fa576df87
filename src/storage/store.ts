import { resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { RetryWorld } from "../base/retry.ts";
import { quotePath } from "./fs-error.ts";

/*
 * Files that lie elsewhere, behind addresses: "s3://bucket/key", "https://host/file". A Store knows the files
 * of one scheme: it lists them, reads ranges of exactly the version that was listed, and may take output.
 * What addresses mean as inputs (patterns, hidden names, order) is the same for every store, and is not
 * theirs to say: see list-stored.ts.
 *
 * An address is "scheme://authority/path". Behind the authority stands the name itself, "/" between its
 * parts and nothing encoded, as `aws s3` and `hdfs dfs` have it; of http and https it is a URL. One that ends
 * in "/" is a directory. "a//b" and "a/../b" mean what the store takes them for.
 */

/** Bytes `start` to below `end` of a file, and the hosts, by name or address, that each hold all of them. */
export interface HeldRange {
  readonly start: number;
  readonly end: number;
  readonly hosts: readonly string[];
}

/** Reads stretches of one file and notices when it is no longer the file that was planned. */
export interface RangeReader {
  /**
   * Fills the whole of `target` from byte `at` of the file. One read at a time.
   * @throws SheafError INPUT_CHANGED when the file ends before `target` is full
   */
  read(target: Uint8Array, at: number): Promise<void>;
  /**
   * Compares size and mtime with the plan again, or of a growing file what it begins and ended with; called
   * when the last byte was read. @throws SheafError INPUT_CHANGED
   */
  verify(): Promise<void>;
  /** Never throws; a second call does nothing. */
  close(): Promise<void>;
}

/** A file of a store, as it was when it was listed. */
export interface StoredFile {
  /** Absolute and canonical: the same file has one address. No credentials in it. */
  readonly address: string;
  /**
   * null: its bytes can be had from the first to the last only, in one go, as of a web server that knows no
   * ranges. It is copied once, by `copy`, before it is read.
   */
  readonly bytes: number | null;
  /** ms since 1970; 0: not known. */
  readonly mtimeMs: number;
  /**
   * What a read is bound to: an ETag, a version id, a text of time and size. A file that is written anew has
   * another one. null: the store cannot tell; then `bytes` is null too.
   */
  readonly version: string | null;
  /**
   * Whether the version says which bytes these are (a strong ETag, a version id, a checksum): equal addresses
   * and versions are then equal bytes without a look at them. Default false: a time and a size may stay when
   * bytes change.
   */
  readonly exact?: boolean;
  /** The same for all addresses that links make lead to it: it is read once. Default: its address. */
  readonly identity?: string;
  /** Where its bytes lie, as `locate` says; see InputFile.held. */
  readonly held?: readonly HeldRange[];
}

export interface StoreEntry {
  /** Without the directory, and without "/" at its end. */
  readonly name: string;
  readonly kind: "file" | "directory";
  /** Of a file, where listing tells it anyway; else `stat` is asked. */
  readonly file?: StoredFile;
}

/** Called between requests; what it throws ends what is being done. */
export type StoreStep = (() => void) | undefined;

/** What `open` needs to know of a file: a StoredFile's fields after they were planned and sent. */
export interface FileToRead {
  readonly address: string;
  /** As the user would know it: in messages. */
  readonly name: string;
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly version: string;
  /** The bytes that will be read, one after the other, most likely: how far to read ahead. */
  readonly from: number;
  readonly to: number;
}

/**
 * One kind of storage. Every method may be called many times at once. What the server answers wrongly or not
 * at all is tried again inside (see retrying of base/retry.ts), waits as long as the server says, and goes on
 * where a connection was cut; what is thrown in the end is a SheafError that names the address.
 */
export interface Store {
  /** One spelling for each file. Default: the address as it is, its scheme and authority in small letters. */
  canonical?(address: string): string;

  /**
   * What lies directly in a directory (`address` ends in "/"), in any order. Nothing when there is no such
   * directory. Left out: addresses of this store are single files, never directories or patterns.
   * @throws SheafError INPUT_UNREADABLE, UNAUTHORIZED, FORBIDDEN, UNREACHABLE
   */
  entries?(address: string, step: StoreStep): AsyncIterable<StoreEntry>;

  /** What a directory is called without links on the way. Left out by stores that follow none. */
  real?(address: string): Promise<string>;

  /**
   * All files below a directory, in any order, hidden ones too, where that takes fewer requests than asking
   * directory by directory.
   */
  walk?(address: string, step: StoreStep): AsyncIterable<StoredFile>;

  /**
   * What is at an address: a file, "directory" (also of an address without its last "/"), or null. A file
   * wins over a directory of the same name.
   * @throws SheafError INPUT_UNREADABLE, UNAUTHORIZED, FORBIDDEN, UNREACHABLE
   */
  stat(address: string): Promise<StoredFile | "directory" | null>;

  /**
   * Where the bytes of a file lie that will be read: asked for each of them once, many at a time. For stores
   * whose bytes lie on hosts that may run tasks.
   * @throws SheafError as stat; INPUT_UNREADABLE for a file that cannot be read yet
   */
  locate?(file: StoredFile): Promise<readonly HeldRange[]>;

  /**
   * Opens exactly the version that is asked for. Bytes of another are never given, and never fewer: see
   * RangedReads of ranged-reads.ts, which reads ahead, resumes and counts for every store.
   * `verify` of what is returned may be left empty where each read is bound to the version.
   * @throws SheafError INPUT_CHANGED when there is another version or none
   */
  open(file: FileToRead): Promise<RangeReader>;

  /**
   * The bytes of a file whose StoredFile.bytes is null, from the first to the last. Left out by stores that
   * have no such files. @throws SheafError, also when the body ends before its time
   */
  copy?(address: string, step: StoreStep): AsyncIterable<Uint8Array>;

  /** Left out by stores that cannot be written. `address` ends in "/"; `job` names the job among all jobs. */
  output?(address: string, job: string): StoreOutput;
}

/** What was uploaded. Plain data, which another process may commit. */
export interface PutFile {
  /** Below the output: "part-00000.tsv", "byAge/part-00000.csv". */
  readonly name: string;
  readonly bytes: number;
  /** What the store needs to make it visible: an upload id, a temporary name. At most 64 KiB, no secret. */
  readonly token: string;
}

export interface StoreOutputOptions {
  /** Whether an existing output is replaced. Default false. */
  readonly overwrite?: boolean;
  /** Addresses that must not be replaced: the inputs. */
  readonly keep?: readonly string[];
  readonly step?: StoreStep;
}

/**
 * A directory of a store that becomes the output of one job. Several processes may have one each, of the same
 * address and job: some put, one commits. The files of an output, `_SUCCESS` among them, are all there is.
 */
export interface StoreOutput {
  /**
   * Before any task. Clears away, or finishes, what killed jobs have left, and then calls checkFree of
   * stored-output.ts: whether something is there, and whether it may be replaced.
   * @throws SheafError OUTPUT_EXISTS, OUTPUT_UNWRITABLE, UNAUTHORIZED, FORBIDDEN
   */
  check(options: StoreOutputOptions): Promise<void>;

  /**
   * Ahead of put: the names that will be put, as far as they are known. For storages that have to say whose
   * an upload is.
   */
  expect?(names: readonly string[]): void;

  /**
   * Uploads a local file (its path) or bytes, durably, so that nobody sees it as a file of the output before
   * the commit. Many at once. A second put of the same name replaces the first.
   * @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL, UNAUTHORIZED, FORBIDDEN, UNREACHABLE
   */
  put(source: string | Uint8Array, name: string, step: StoreStep): Promise<PutFile>;

  /**
   * Uploads a local file whose name in the output is known only when the job has ended; lastingly, so that it
   * can be placed when this process, and the machine it is on, are gone. Left out, with `place`: the results
   * of a cluster come to such a storage by way of who asked for the job.
   * @returns what names it: at most 1 KiB, no secret. It holds the name of the job
   * @throws SheafError as put
   */
  stage?(source: string, step: StoreStep): Promise<string>;

  /**
   * Makes of a staged file what put makes of a local one. Any process of the job may, and again after a crash
   * of one that did. @throws SheafError as put; OUTPUT_UNWRITABLE for what was not staged by this job
   */
  place?(staged: string, name: string, step: StoreStep): Promise<PutFile>;

  /**
   * Keeps a text for other processes of the job, in place of an earlier one of that name (letters, digits,
   * ".", "_", "-"), where what is staged lies and as long as that. Left out, with `noted`: `incremental` runs
   * of clusters cannot write there. @throws SheafError as put
   */
  note?(name: string, text: string): Promise<void>;

  /** The text of a note; null when there is none. @throws SheafError as Store.open */
  noted?(name: string): Promise<string | null>;

  /**
   * Makes the files the output, all of them or, to whoever looks for `_SUCCESS`, none: it is one of them and
   * comes last. With `overwrite` what was there is gone afterwards. Called again after a crash with the same
   * files it goes on; nothing of this job is left but the output: no notes, nothing staged and not placed.
   * @throws SheafError OUTPUT_EXISTS when something has appeared there, OUTPUT_UNWRITABLE
   */
  commit(files: readonly PutFile[], options: StoreOutputOptions): Promise<void>;

  /** Nothing of this job is left, unless commit has begun to make files visible. Never throws. */
  abort(): Promise<void>;
}

/** What a machine that reads for others may read: SECURITY.md, X14. */
export interface FetchRules {
  /** Addresses below which jobs may read; directories among them are none of a store's. */
  readonly roots: readonly string[];
  /** Addresses of the machine's own networks, or ranges of them, that may be connected to all the same. */
  readonly addresses: readonly string[];
}

/** What a store is made with. */
export interface StoreSettings {
  /** Where standard variables are looked for: credentials, regions, proxies. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** null: it is the user's own machine, which reads whatever the user could. */
  readonly fetch: FetchRules | null;
  /** The time, and what spreads tries that are made again: see retrying of base/retry.ts. */
  readonly world: RetryWorld;
}

/** A module that registerStore is given, or the object that it exports. */
export interface StoreModule {
  /** Called once in each process that meets an address of the scheme; `scheme` without "://". */
  createStore(scheme: string, settings: StoreSettings): Store;
}

export interface AddressParts {
  /** In small letters. */
  readonly scheme: string;
  /** "scheme://authority/": what is the same for all files of one server or bucket. */
  readonly root: string;
  /** What follows the root; "" for the root itself. */
  readonly path: string;
}

/** An address taken apart; null for what is a path. Its scheme need not be known. */
export function splitAddress(given: string): AddressParts | null {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)\/?/i.exec(given);
  if (match === null) return null;
  const [all, scheme = "", authority = ""] = match;
  const small = scheme.toLowerCase();
  return { scheme: small, root: `${small}://${authority}/`, path: given.slice(all.length) };
}

/**
 * The absolute path of what can only be a place of this machine.
 * @param what names it in the message: "--temp", "materialize"
 * @throws SheafError USAGE for an address: as a path it would be a directory "s3:" here
 */
export function localPath(given: string, what: string, cwd: string): string {
  if (splitAddress(given) === null) return resolve(cwd, given);
  throw new SheafError("USAGE", `${what}: ${quotePath(given)} is an address, and this has to be a path`, {
    hint: "Give the path of a file or directory of this machine. docs/storage.md says where addresses go.",
    details: { path: given },
  });
}

/**
 * What was given stands in messages and records: a password must not be in it.
 * @throws SheafError USAGE, which does not repeat it
 */
export function refusePassword(given: string): void {
  const found = /^(?:[^/=]*=)?([a-z][a-z0-9+.-]*:\/\/)[^/@]*:[^/]*@(.*)$/i.exec(given);
  if (found === null) return;
  const [, scheme = "", rest = ""] = found;
  const host = rest.split(/[/:]/)[0];
  throw new SheafError("USAGE", `${quotePath(scheme + rest)} was given with a user and password in it`, {
    hint: scheme.startsWith("http")
      ? "They would stand in messages and records. Put them into ~/.netrc, and leave them out here: " +
        `machine ${host} login USER password PASSWORD`
      : "They would stand in messages and records. Give them the way the storage has: docs/storage.md.",
  });
}
