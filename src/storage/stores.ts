import { systemClock } from "../base/clock.ts";
import { describeThrown, SheafError } from "../base/errors.ts";
import { process } from "../base/own-globals.ts";
import { suggest } from "../base/suggest.ts";
import { quotePath } from "./fs-error.ts";
import {
  refusePassword,
  splitAddress,
  type Store,
  type StoreModule,
  type StoreOutput,
  type StoreSettings,
} from "./store.ts";

type Load = () => Promise<StoreModule>;

/** The stores of sheaf itself. Their modules, and what these need, are loaded when an address is met. */
const BUILT_IN: Readonly<Record<string, Load>> = {
  http: () => import("./stores/http.ts"),
  https: () => import("./stores/http.ts"),
  s3: () => import("./stores/s3.ts"),
  // What Hadoop calls it.
  s3a: () => import("./stores/s3.ts"),
  s3n: () => import("./stores/s3.ts"),
  hdfs: () => import("./stores/webhdfs.ts"),
  webhdfs: () => import("./stores/webhdfs.ts"),
  swebhdfs: () => import("./stores/webhdfs.ts"),
  sftp: () => import("./stores/sftp.ts"),
};

/*
 * One table for each process, not handed down: every reader of a split comes to openRange, in workers too,
 * and what it finds there follows from the address alone.
 */
const registered = new Map<string, Load>();
const made = new Map<string, Promise<Store>>();
let access: StoreAccess = { env: process.env, fetch: null };

/** What stores of this process are made with. Default: its environment, and whatever its user may read. */
export type StoreAccess = Pick<StoreSettings, "env" | "fetch">;

/** Before any store is made: a machine that reads for others, and its workers, have other rules. */
export function setStoreAccess(to: StoreAccess): void {
  access = to;
  made.clear();
}

/** What stores look for in an environment; workers of other people's code have none of it in theirs. */
const LOOKED_FOR =
  /^(?:AWS_|HADOOP_|HDFS_|WEBHDFS_|SFTP_|SSH_|NETRC$|HOME$|USER$|LOGNAME$|(?:https?|no)_proxy$)/i;

/** Of storages of users: what begins with their schemes, as GS_ of "gs". */
export function storeEnvironment(
  env: StoreSettings["env"],
  links: readonly StoreLink[] = [],
): Record<string, string> {
  const own = links.map(({ scheme }) => `${scheme.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_`);
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined &&
      (LOOKED_FOR.test(entry[0]) || own.some((prefix) => entry[0].startsWith(prefix))),
  );
  return Object.fromEntries(entries);
}

/**
 * Makes this process, and it alone, know the addresses of a scheme. See registerStore of user-stores.ts for
 * those of users.
 * @param scheme "s3", "gs": small letters, digits, "+", "-", "."
 * @throws SheafError USAGE for what is no scheme, or one that is known already
 */
export function addStore(scheme: string, load: Load): void {
  // "agent:" is a path of each agent's own.
  if (!/^[a-z][a-z0-9+.-]*$/.test(scheme) || scheme === "file" || scheme === "agent") {
    throw new SheafError("USAGE", `${JSON.stringify(scheme)} is no scheme of a storage`, {
      hint: 'Give small letters, as "gs" of "gs://bucket/key".',
    });
  }
  if (isStoreScheme(scheme)) {
    throw new SheafError("USAGE", `there is a storage for ${scheme}:// already`, {
      hint: "Register another scheme.",
    });
  }
  registered.set(scheme, load);
}

/** A storage of a user: the URL of its module, as every process of this machine can load it. */
export interface StoreLink {
  readonly scheme: string;
  readonly url: string;
}

/** Makes a worker know the storages of its parent. What it knows already stays. */
export function linkStores(links: readonly StoreLink[]): void {
  for (const { scheme, url } of links)
    if (!isStoreScheme(scheme)) addStore(scheme, () => loadStoreModule(scheme, url));
}

/** @throws SheafError STORE_LOAD when the module cannot be loaded, or is none of a storage */
export async function loadStoreModule(scheme: string, url: string): Promise<StoreModule> {
  let loaded: { readonly default?: unknown };
  try {
    loaded = (await import(url)) as { readonly default?: unknown };
  } catch (cause) {
    throw new SheafError("STORE_LOAD", `the storage of ${scheme}://: ${describeThrown(cause)}`, {
      hint: "Its module throws while it is loaded. Look at what it does at its top, and what it imports.",
      cause,
    });
  }
  const exported = loaded.default;
  const isModule =
    typeof exported === "object" &&
    exported !== null &&
    "createStore" in exported &&
    typeof exported.createStore === "function";
  if (isModule) return exported as StoreModule;
  throw new SheafError("STORE_LOAD", `the storage of ${scheme}://: the default export is none`, {
    hint: "Write: export default { createStore(scheme, settings) { return ...; } }. docs/storage.md has one.",
  });
}

function isStoreScheme(scheme: string): boolean {
  return registered.has(scheme) || Object.hasOwn(BUILT_IN, scheme);
}

/** Whether it is an address of a storage that is known. */
export function isStored(given: string): boolean {
  const parts = given.includes("://") ? splitAddress(given) : null;
  return parts !== null && isStoreScheme(parts.scheme);
}

/** Whether it is an address, and nobody here knows its scheme. */
export function isStrange(given: string): boolean {
  return splitAddress(given) !== null && !isStored(given);
}

/**
 * The store of an address.
 * @throws SheafError USAGE when there is none for its scheme, or a password in it; PACKAGE_MISSING when its
 * module needs a package that is not installed
 */
export async function storeOf(address: string): Promise<Store> {
  refusePassword(address);
  const scheme = splitAddress(address)?.scheme ?? "";
  let store = made.get(scheme);
  if (store === undefined) {
    const load = registered.get(scheme) ?? (Object.hasOwn(BUILT_IN, scheme) ? BUILT_IN[scheme] : undefined);
    if (load === undefined) throw unknownScheme(address, scheme);
    const world = { clock: systemClock, random: Math.random };
    store = load().then((module) => module.createStore(scheme, { ...access, world }));
    made.set(scheme, store);
    // A store that could not be made is tried again by whoever asks next.
    store.catch(() => made.delete(scheme));
  }
  return store;
}

/** The one spelling of an address or pattern: "s3a://b/a" is "s3://b/a". @throws SheafError as storeOf */
export async function canonicalAddress(address: string): Promise<string> {
  return (await storeOf(address)).canonical?.(address) ?? address;
}

function unknownScheme(address: string, scheme: string): SheafError {
  const known = [...Object.keys(BUILT_IN), ...registered.keys()];
  const near = suggest(scheme, known);
  const hint =
    near === undefined
      ? "Fetch it first, or pipe it in: FETCH | sheaf run job.ts -"
      : `Did you mean ${near}://?`;
  return new SheafError("USAGE", `${quotePath(address)}: there is no storage for ${scheme}://`, { hint });
}

/**
 * The output of a job at an address, which ends in "/".
 * @throws SheafError OUTPUT_UNWRITABLE when the storage cannot be written; as storeOf
 */
export async function storedOutput(address: string, job: string): Promise<StoreOutput> {
  const store = await storeOf(address);
  if (store.output !== undefined) return store.output(store.canonical?.(address) ?? address, job);
  throw new SheafError(
    "OUTPUT_UNWRITABLE",
    `${quotePath(address)} cannot be an output: it can only be read`,
    {
      hint: "Write to a directory, or to a storage that takes files: docs/storage.md.",
      details: { path: address },
    },
  );
}
