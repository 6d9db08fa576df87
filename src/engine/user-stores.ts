import { existsSync, realpathSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isSheafError, SheafError } from "../base/errors.ts";
import { addStore, loadStoreModule, type StoreLink } from "../storage/stores.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { RunBundle } from "./job-bundle.ts";

/** The module of a user's storage, and what it was bundled to, as soon as somebody needs that. */
interface NamedStore {
  readonly path: string;
  readonly external: readonly string[];
  url: Promise<string> | null;
}

/** Of this process, as the table of storages is that it adds to. */
const named = new Map<string, NamedStore>();

/**
 * Makes the addresses of a scheme known, as inputs, outputs, side data and in transfers, to all that this
 * process runs from now on, and to its workers. On a cluster each agent has to know it, too (`--store`).
 * @param scheme what stands before "://": small letters, digits, "+", "-", "."
 * @param module path or file URL of a module, TypeScript or JavaScript, whose default export is a
 * StoreModule; it is bundled as a job file is
 * @throws SheafError USAGE for what is no scheme or no file, and for a scheme that is known already; when the
 * storage is used first: STORE_LOAD
 */
export function registerStore(scheme: string, module: string | URL): void {
  nameStore(scheme, module, {});
}

interface StoreOrigin {
  /** What a relative path is relative to. Default: the current directory. */
  readonly directory?: string;
  /** Packages that stay outside its bundle. */
  readonly external?: readonly string[];
  /** What says so, in messages: "stores.gs". */
  readonly place?: string;
}

/** As registerStore. The same file again changes nothing. */
export function nameStore(
  scheme: string,
  module: string | URL,
  { directory = process.cwd(), external = [], place = "registerStore" }: StoreOrigin,
): void {
  const text = String(module);
  const path = text.startsWith("file://") ? fileURLToPath(text) : resolve(directory, text);
  const before = named.get(scheme);
  if (before?.path === path) return;
  if (before !== undefined) {
    throw new SheafError(
      "USAGE",
      `${place}: ${scheme}:// is the storage of ${before.path}, and not of ${path}`,
      {
        hint: "In one run a scheme has one storage. Name one of them, or give them different schemes.",
      },
    );
  }
  if (!existsSync(path)) {
    throw new SheafError("USAGE", `${place}: there is no file ${path}`, {
      hint: "Give the path of the module that makes the storage of this scheme: docs/storage.md.",
      details: { path },
    });
  }
  const store: NamedStore = { path, external, url: null };
  addStore(scheme, async () => loadStoreModule(scheme, await urlOf(scheme, store, null)));
  named.set(scheme, store);
}

/**
 * The storages of users that a run of the job may meet: those that were named before, and its own.
 * @param file the job's; null: what it names is relative to the current directory
 * @throws SheafError as registerStore
 */
export async function storesOf(
  outline: Pick<JobOutline, "stores" | "steps">,
  file: string | null,
  stateDirectory: string | null,
): Promise<StoreLink[]> {
  const origin = file === null ? {} : { directory: dirname(realpathSync(file)) };
  for (const { stores } of [outline, ...(outline.steps ?? []).map(({ job }) => job)])
    nameStores(stores, origin);
  return storeLinks(stateDirectory);
}

/** Names storages by their schemes. */
export function nameStores(
  stores: Readonly<Record<string, string | URL>> | undefined,
  origin: Omit<StoreOrigin, "place">,
): void {
  for (const [scheme, module] of Object.entries(stores ?? {}))
    nameStore(scheme, module, { ...origin, place: `stores.${scheme}` });
}

/**
 * The storages of users, bundled, for workers to load. One that does not bundle is left out: whoever uses it
 * is told.
 * @param stateDirectory where their bundles are kept; null: only for this process
 */
export async function storeLinks(stateDirectory: string | null): Promise<StoreLink[]> {
  const links = [...named].map(async ([scheme, store]): Promise<StoreLink> => {
    return { scheme, url: await urlOf(scheme, store, stateDirectory) };
  });
  return (await Promise.allSettled(links)).flatMap((link) =>
    link.status === "fulfilled" ? [link.value] : [],
  );
}

async function urlOf(scheme: string, store: NamedStore, stateDirectory: string | null): Promise<string> {
  const before = await store.url?.catch(() => null);
  // Kept bundles are removed by whoever needs their room, while this process goes on.
  if (before != null && !existsSync(fileURLToPath(before))) store.url = null;
  store.url ??= bundled(scheme, store, stateDirectory);
  store.url.catch(() => (store.url = null));
  return store.url;
}

async function bundled(
  scheme: string,
  { path, external }: NamedStore,
  stateDirectory: string | null,
): Promise<string> {
  const { bundleForRun } = await import("./job-bundle.ts");
  let made: RunBundle;
  try {
    made = await bundleForRun(path, stateDirectory, external);
  } catch (cause) {
    if (!isSheafError(cause)) throw cause;
    throw new SheafError("STORE_LOAD", `the storage of ${scheme}://: ${cause.message}`, {
      hint:
        cause.code === "JOB_LOAD" && cause.message.includes("no default export")
          ? "Write: export default { createStore(scheme, settings) { return ...; } }. docs/storage.md has one."
          : (cause.hint ?? "Mend the module."),
      details: { path },
      cause,
    });
  }
  const { path: file } = made.bundle;
  // Workers that start later load it, too.
  const isKept = stateDirectory !== null && file.startsWith(stateDirectory);
  if (!isKept) process.once("exit", () => rmSync(dirname(dirname(file)), { recursive: true, force: true }));
  return pathToFileURL(file).href;
}
