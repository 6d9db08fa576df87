import { SheafError } from "../base/errors.ts";
import { Promise } from "../base/own-globals.ts";
import { suggest } from "../base/suggest.ts";
import { quotePath } from "./fs-error.ts";
import { expandBraces, globMatches, type GlobWorld, isHidden, isPattern, parseGlob } from "./glob.ts";
import type { Store, StoredFile, StoreEntry, StoreStep } from "./store.ts";
import { splitAddress } from "./store.ts";

/** A file that an address means, and its place: see InputFile.place. */
export interface ListedStored {
  readonly file: StoredFile;
  readonly place: string;
}

/** Questions to a store that wait for their answers together. */
const AT_ONCE = 32;
/** Names that are looked through for the one that was meant. */
const SUGGESTED_FROM = 10_000;

/**
 * The files that an address means, in any order, maybe twice, by the rules of listInput: a file, a directory
 * without its hidden names, or a pattern; what exists under a literal name is taken as that name.
 * @throws SheafError INPUT_MISSING when it means nothing, as the Store's own
 */
export async function listStored(store: Store, given: string, step: StoreStep): Promise<ListedStored[]> {
  const address = store.canonical?.(given) ?? given;
  const listing = new Listing(store, step);
  const there = await store.stat(address);
  if (there !== null) return located(store, await listing.existing(address, there, basename(address), ""));
  if (store.entries === undefined || !isPattern(address)) throw await listing.missing(address);
  const words = expandBraces(address).filter((word) => word !== "");
  const found: ListedStored[] = [];
  let count = 0;
  for (const word of words) count += await listing.addWord(word, found);
  if (count === 0) throw await listing.missing(address);
  return located(store, found);
}

/** With what the store knows of where their bytes lie. */
async function located(store: Store, found: ListedStored[]): Promise<ListedStored[]> {
  if (store.locate === undefined) return found;
  return inBatches(found, async ({ file, place }) => {
    return { file: { ...file, held: await store.locate!(file) }, place };
  });
}

class Listing {
  readonly #store: Store;
  readonly #step: StoreStep;
  /** What was listed for patterns, by the address of the directory. */
  readonly #entries = new Map<string, Promise<readonly StoreEntry[]>>();

  constructor(store: Store, step: StoreStep) {
    this.#store = store;
    this.#step = step;
  }

  /** Adds what one word matches; returns how much that is. */
  async addWord(word: string, found: ListedStored[]): Promise<number> {
    const parts = splitAddress(word)!;
    const glob = parseGlob(parts.path);
    const base = parts.root + glob.base;
    const matches = await globMatches(glob, this.#world(parts.root));
    // As in bash a word without a wildcard stands for itself, whether it is there or not.
    if (matches.length === 0 && glob.segments.length === 0) throw await this.missing(base);
    const isGiven = glob.segments.length === 0;
    const below = `${base}${base.endsWith("/") ? "" : "/"}`;
    const listed = await inBatches([...new Set(matches)], async (match) => {
      const address = parts.root + match;
      const known = await this.#known(address);
      if (known.length === 0) throw gone(address);
      const place = address === base ? basename(address) : address.slice(below.length);
      const each = known.map((there) => this.existing(address, there, place, isGiven ? "" : place));
      return (await Promise.all(each)).flat();
    });
    for (const some of listed) found.push(...some);
    return matches.length;
  }

  /** @param prefix before the places of what is in it, if it is a directory */
  async existing(
    address: string,
    there: StoredFile | "directory",
    place: string,
    prefix: string,
  ): Promise<ListedStored[]> {
    if (there !== "directory") return [{ file: there, place }];
    if (this.#store.entries === undefined) {
      throw new SheafError("INPUT_UNREADABLE", `input ${quotePath(address)} is a directory`, {
        hint: "This storage lists none: give the address of each file.",
        details: { path: address },
      });
    }
    const directory = address.endsWith("/") ? address : `${address}/`;
    const { files, hidden } = await this.#below(directory, []);
    if (files.length === 0 && hidden > 0 && prefix === "") throw allHidden(address, hidden);
    return files.map((file) => {
      return { file, place: joined(prefix, file.address.slice(directory.length)) };
    });
  }

  /** All files below that no name on the way hides, and how many names are hidden. */
  async #below(
    directory: string,
    above: readonly string[],
  ): Promise<{ files: StoredFile[]; hidden: number }> {
    if (this.#store.walk !== undefined) return this.#flat(directory);
    const real = await this.#store.real?.(directory);
    if (real !== undefined && above.includes(real)) throw circle(directory);
    const entries: StoreEntry[] = [];
    for await (const entry of this.#store.entries!(directory, this.#step)) entries.push(entry);
    const wanted = entries.filter(({ name }) => !isHidden(name));
    const files: StoredFile[] = [];
    let hidden = hiddenIn(entries.map(({ name }) => name));
    await inBatches(wanted, async (entry) => {
      this.#step?.();
      const address = directory + entry.name;
      if (entry.kind === "file") {
        files.push(entry.file ?? (await this.#file(address)));
        return;
      }
      const inside = await this.#below(`${address}/`, real === undefined ? above : [...above, real]);
      for (const file of inside.files) files.push(file);
      hidden += inside.hidden;
    });
    return { files, hidden };
  }

  async #flat(directory: string): Promise<{ files: StoredFile[]; hidden: number }> {
    const files: StoredFile[] = [];
    const names = new Map<string, Set<string>>();
    for await (const file of this.#store.walk!(directory, this.#step)) {
      const parts = file.address.slice(directory.length).split("/");
      const first = parts.findIndex((name) => isHidden(name));
      if (first === -1) files.push(file);
      const parent = parts.slice(0, Math.max(0, first)).join("/");
      if (first === -1) continue;
      const inParent = names.get(parent) ?? new Set();
      names.set(parent, inParent.add(parts[first]!));
    }
    const hidden = [...names.values()].reduce((sum, some) => sum + hiddenIn([...some]), 0);
    return { files, hidden };
  }

  async #file(address: string): Promise<StoredFile> {
    const file = await this.#store.stat(address);
    if (file === null || file === "directory") throw gone(address);
    return file;
  }

  /** As stat, of what was listed already without asking again: maybe a file and a directory of one name. */
  async #known(address: string): Promise<(StoredFile | "directory")[]> {
    const cut = address.lastIndexOf("/") + 1;
    const listed = (await this.#entries.get(address.slice(0, cut))) ?? [];
    const same = listed.filter(({ name }) => name === address.slice(cut));
    if (same.length > 0 && same.every(({ kind, file }) => kind === "directory" || file !== undefined))
      return same.map(({ file }) => file ?? "directory");
    const there = await this.#store.stat(address);
    return there === null ? [] : [there];
  }

  #world(root: string): GlobWorld<StoreEntry> {
    return {
      entries: (path) => this.#listed(root + (path === "" || path.endsWith("/") ? path : `${path}/`)),
      isDirectory: (_, { kind }) => kind === "directory",
      exists: async (path) => (await this.#known(root + path)).length > 0,
      identity: (path) => Promise.resolve(path),
    };
  }

  #listed(directory: string): Promise<readonly StoreEntry[]> {
    let listed = this.#entries.get(directory);
    if (listed === undefined) {
      listed = this.#list(directory);
      this.#entries.set(directory, listed);
    }
    return listed;
  }

  async #list(directory: string): Promise<readonly StoreEntry[]> {
    const entries: StoreEntry[] = [];
    for await (const entry of this.#store.entries!(directory, this.#step)) entries.push(entry);
    const byName = entries.map((entry) => ({ entry, key: Buffer.from(entry.name) }));
    return byName.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ entry }) => entry);
  }

  async missing(address: string): Promise<SheafError> {
    const details = { path: address };
    if (this.#store.entries !== undefined && isPattern(address)) {
      return new SheafError("INPUT_MISSING", `no file matches ${quotePath(address)}`, {
        hint: 'Wildcards do not match names that begin with "." or "_". Quote patterns in the shell.',
        details,
      });
    }
    return new SheafError("INPUT_MISSING", `no such input: ${quotePath(address)}`, {
      hint: await this.#meant(address),
      details,
    });
  }

  async #meant(address: string): Promise<string> {
    const plain = address.replace(/\/+$/, "");
    const directory = plain.slice(0, plain.lastIndexOf("/") + 1);
    if (this.#store.entries === undefined || directory.endsWith("://")) return "Check the address.";
    const names: string[] = [];
    try {
      for await (const { name } of this.#store.entries(directory, this.#step)) {
        names.push(name);
        if (names.length === SUGGESTED_FROM) break;
      }
    } catch {
      return "Check the address.";
    }
    if (names.length === 0) return `There is nothing in ${quotePath(directory)} either.`;
    const near = suggest(basename(plain), names);
    return near === undefined ? "Check the spelling." : `Did you mean ${quotePath(directory + near)}?`;
  }
}

/** Nothing beside _SUCCESS is the output of a job that had none. */
export function hiddenIn(names: readonly string[]): number {
  return names.includes("_SUCCESS") ? 0 : names.filter((name) => isHidden(name)).length;
}

export function circle(name: string): SheafError {
  return new SheafError(
    "INPUT_UNREADABLE",
    `input directory ${quotePath(name)} is a link to a directory it lies in`,
    {
      hint: "Remove the link, or give the wanted directories one by one.",
      details: { path: name },
    },
  );
}

export function allHidden(name: string, count: number): SheafError {
  const what = count === 1 ? "one name" : `${count} names`;
  return new SheafError(
    "INPUT_MISSING",
    `every file of ${quotePath(name)} is hidden: ${what} in it, all beginning with "." or "_"`,
    {
      hint: `Name what is wanted, as '${joined(name, "_*")}' does.`,
      details: { path: name },
    },
  );
}

function joined(directory: string, name: string): string {
  return directory === "" || directory.endsWith("/") ? directory + name : `${directory}/${name}`;
}

function basename(address: string): string {
  const plain = address.replace(/\/+$/, "");
  return plain.slice(plain.lastIndexOf("/") + 1);
}

function gone(address: string): SheafError {
  return new SheafError("INPUT_UNREADABLE", `input ${quotePath(address)} was just removed`, {
    hint: "Run again when nothing removes files there any more.",
    details: { path: address },
  });
}

async function inBatches<T, R>(of: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (let at = 0; at < of.length; at += AT_ONCE)
    done.push(...(await Promise.all(of.slice(at, at + AT_ONCE).map(work))));
  return done;
}
