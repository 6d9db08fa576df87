import { resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { nameStore, storeLinks } from "../engine/user-stores.ts";
import { type StoreLink, storeOf } from "../storage/stores.ts";
import { inCategory, repeatedFlag, types } from "./flag.ts";

/** Storages of users, for commands that start agents. */
export const storesFlag = inCategory("Execution", {
  flag: repeatedFlag(
    "--store SCHEME=FILE",
    types.string,
    "Jobs may use the storage that this module makes, for SCHEME://; may be repeated",
    { details: "It runs in the agent itself, too, with its rights. docs/storage.md has what it must be." },
  ),
}).flag;

/** Flags of what jobs may read, for agents that are started elsewhere, or later. @throws SheafError USAGE */
export function readFlags(
  { allowAddress, stores }: { readonly allowAddress: readonly string[]; readonly stores: readonly string[] },
  cwd: string,
): string[] {
  const named = stores.flatMap((text) => {
    const { scheme, path } = readStore(text);
    return ["--store", `${scheme}=${resolve(cwd, path)}`];
  });
  return [...allowAddress.flatMap((address) => ["--allow-address", address]), ...named];
}

/**
 * Makes them known here, as modules that the operator trusts as this program.
 * @throws SheafError USAGE, STORE_LOAD
 */
export async function ownStores(given: readonly string[], cwd: string): Promise<readonly StoreLink[]> {
  for (const text of given) {
    const { scheme, path } = readStore(text);
    nameStore(scheme, path, { directory: cwd, place: "--store" });
    // What is wrong with it is told now, and not to jobs.
    await storeOf(`${scheme}://`);
  }
  return storeLinks(null);
}

function readStore(text: string): { readonly scheme: string; readonly path: string } {
  const [, scheme, path] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (scheme !== undefined && path !== undefined) return { scheme, path };
  throw new SheafError("USAGE", `--store: ${JSON.stringify(text)} is not of the form SCHEME=FILE`, {
    hint: "Say whose addresses the module is for: --store gs=gs-store.ts",
  });
}
