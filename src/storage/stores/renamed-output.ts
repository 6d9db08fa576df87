import { randomUUID } from "node:crypto";
import { SheafError, isSheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import { outputExists, replacesForeign } from "../own-output.ts";
import type { PutFile, StoreOutput, StoreOutputOptions, StoreStep } from "../store.ts";
import { isWriterThere, whoIsThis } from "./writer.ts";

/*
 * Output of storages that rename directories. Beside `out` lie, while a job works or after it was killed:
 *   .out.sheaf-by-<who>-<job>   an empty file of each process that has a hand in it: there before the others
 *   .out.sheaf-job-<job>        what was put so far
 *   .out.sheaf-old-<job>        the output that is replaced, between the two renames of a swap
 */

/** What is at a path. */
export type TreeEntry =
  | { readonly kind: "directory"; readonly id: string }
  /** `id` is another one when it is written anew. */
  | { readonly kind: "file"; readonly bytes: number; readonly id: string }
  /** A symbolic link: no job makes one, and what it leads to is nobody's here. */
  | { readonly kind: "link"; readonly id: string };

/** What a storage must be able to do. Paths begin with "/" and do not end in one. */
export interface RenamingTree {
  stat(path: string): Promise<TreeEntry | null>;
  /** Nothing when there is no such directory. */
  list(path: string, step: StoreStep): AsyncIterable<{ readonly name: string } & TreeEntry>;
  /** With the directories above it. Nothing happens when it is there. */
  makeDirectory(path: string): Promise<void>;
  /** Writes a file, in place of one that is there, and the directories above it where they are missing. */
  write(path: string, source: string | Uint8Array, step: StoreStep): Promise<void>;
  /**
   * Renames in one step, so that what is at `to` is never replaced. May throw after it was done: the answer
   * can be lost.
   */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, a link and not its end, or a directory and all in it, if it is there. */
  remove(path: string): Promise<void>;
}

export interface RenamedOutputPlace {
  /** Of the output directory, ending in "/". */
  readonly address: string;
  /** The same in the storage, without a last "/". */
  readonly path: string;
  readonly job: string;
  /** What `checkFree` says of the output. */
  readonly checkFree: (options: StoreOutputOptions) => Promise<void>;
  /** The text of a file of the storage, by its address; null when there is none. */
  readonly readText: (address: string) => Promise<string | null>;
}

export class RenamedOutput implements StoreOutput {
  readonly #tree: RenamingTree;
  readonly #place: RenamedOutputPlace;
  readonly #parent: string;
  readonly #temp: string;
  readonly #aside: string;
  #announced: Promise<void> | null = null;

  /** @throws SheafError USAGE for the root of a storage */
  constructor(tree: RenamingTree, place: RenamedOutputPlace) {
    if (!/[^/]$/.test(place.path)) {
      throw new SheafError("USAGE", `${quotePath(place.address)} names no directory for the output`, {
        hint: "Add the name of a directory, which the job makes.",
      });
    }
    this.#tree = tree;
    this.#place = place;
    const slash = place.path.lastIndexOf("/");
    this.#parent = place.path.slice(0, slash);
    this.#temp = `${this.#prefix}job-${place.job}`;
    this.#aside = `${this.#prefix}old-${place.job}`;
  }

  /** A name has at most 255 bytes, which the rest must leave room for. */
  get #prefix(): string {
    const { path } = this.#place;
    const name = Buffer.from(path.slice(path.lastIndexOf("/") + 1));
    const short = name
      .subarray(0, 150)
      .toString("utf8")
      .replace(/\ufffd+$/, "");
    return `${this.#parent}/.${short}.sheaf-`;
  }

  async check(options: StoreOutputOptions): Promise<void> {
    await this.#clearStale(options.step);
    await this.#checkFree(options);
    // Whether it can be written is found out now, not when all is done; there may be no more than this.
    await this.#announce();
    await this.#forget();
  }

  async #checkFree(options: StoreOutputOptions): Promise<void> {
    if ((await this.#tree.stat(this.#place.path))?.kind === "link") {
      const { address } = this.#place;
      if (options.overwrite !== true) throw outputExists(address);
      throw replacesForeign(address, "replace a symbolic link, which no job has made");
    }
    try {
      await this.#place.checkFree(options);
    } catch (error) {
      if (!isSheafError(error) || error.code !== "INPUT_UNREADABLE") throw error;
      const { hint = "Choose another output.", details } = error;
      throw new SheafError("OUTPUT_UNWRITABLE", error.message, { hint, details, cause: error });
    }
  }

  async put(source: string | Uint8Array, name: string, step: StoreStep): Promise<PutFile> {
    await this.#announce();
    const path = `${this.#temp}/${name}`;
    await this.#tree.write(path, source, step);
    const there = await this.#tree.stat(path);
    if (there?.kind !== "file") throw this.#lost(name);
    return { name, bytes: there.bytes, token: there.id };
  }

  async stage(source: string, step: StoreStep): Promise<string> {
    await this.#announce();
    const file = randomUUID();
    await this.#tree.write(`${this.#staged}/${file}`, source, step);
    const there = await this.#tree.stat(`${this.#staged}/${file}`);
    if (there?.kind !== "file") throw this.#lost(file);
    const { bytes, id } = there;
    return JSON.stringify({ job: this.#place.job, file, bytes, id } satisfies Staged);
  }

  async place(staged: string, name: string, step: StoreStep): Promise<PutFile> {
    const tree = this.#tree;
    const { job, file, bytes, id } = JSON.parse(staged) as Staged;
    if (job !== this.#place.job || !/^[\w-]+$/.test(file)) throw this.#lost(name);
    step?.();
    const [from, to] = [`${this.#staged}/${file}`, `${this.#temp}/${name}`];
    const isIt = (there: TreeEntry | null): boolean =>
      there?.kind === "file" && there.bytes === bytes && there.id === id;
    const put = { name, bytes, token: id };
    const there = await tree.stat(from);
    if (there === null) {
      // An earlier call has placed it, and may have come further.
      for (const path of [to, `${this.#place.path}/${name}`]) if (isIt(await tree.stat(path))) return put;
      throw this.#lost(name);
    }
    if (!isIt(there)) throw this.#lost(name);
    await tree.makeDirectory(to.slice(0, to.lastIndexOf("/")));
    await this.#rename(from, to, there);
    return put;
  }

  async note(name: string, text: string): Promise<void> {
    await this.#announce();
    await this.#tree.write(`${this.#staged}/note-${name}`, Buffer.from(text), undefined);
  }

  noted(name: string): Promise<string | null> {
    const { address, readText } = this.#place;
    const beside = address.replace(/[^/]*\/$/, "");
    return readText(`${beside}${this.#staged.slice(this.#parent.length + 1)}/note-${name}`);
  }

  /** What has no name yet. No file of an output is called so. */
  get #staged(): string {
    return `${this.#temp}/.sheaf-staged`;
  }

  #announce(): Promise<void> {
    if (this.#announced === null) {
      const mine = `${this.#prefix}by-${whoIsThis()}-${this.#place.job}`;
      this.#announced = this.#mark(mine).then(() => this.#tree.makeDirectory(this.#temp));
      this.#announced.catch(() => (this.#announced = null));
    }
    return this.#announced;
  }

  /** Others of this process may write the same mark just now, and HDFS then ends one of the writes. */
  async #mark(path: string): Promise<void> {
    const isThere = async (): Promise<boolean> => (await this.#tree.stat(path))?.kind === "file";
    if (await isThere()) return;
    try {
      await this.#tree.write(path, new Uint8Array(0), undefined);
    } catch (error) {
      if (!(await isThere())) throw error;
    }
  }

  async commit(files: readonly PutFile[], options: StoreOutputOptions): Promise<void> {
    const tree = this.#tree;
    const { path } = this.#place;
    const temp = await tree.stat(this.#temp);
    if (temp === null) {
      // An earlier call has come so far.
      await this.#checkWhole(path, files, options.step);
    } else {
      if (temp.kind === "link") throw this.#lost(this.#temp.slice(this.#parent.length + 1));
      await tree.remove(this.#staged);
      await this.#checkWhole(this.#temp, files, options.step);
      options.step?.();
      if ((await tree.stat(path)) !== null) await this.#setAside(options);
      await tree.makeDirectory(this.#parent === "" ? "/" : this.#parent);
      try {
        await this.#rename(this.#temp, path, temp);
      } catch (error) {
        await this.#putBack();
        throw error;
      }
    }
    // The output is in its place: what goes wrong from here on is no failure.
    await this.#forget().catch(() => undefined);
  }

  async abort(): Promise<void> {
    await this.#putBack();
    await this.#forget().catch(() => undefined);
  }

  /** Removes what lies beside the output, what says whose it is last. */
  async #forget(): Promise<void> {
    const marks: string[] = [];
    for await (const { name } of this.#tree.list(this.#parent === "" ? "/" : this.#parent, undefined)) {
      const left = this.#leftover(name);
      if (left?.kind === "by" && left.job === this.#place.job) marks.push(`${this.#parent}/${name}`);
    }
    await this.#tree.remove(this.#temp);
    // What is in it may be all that is left of an output.
    if ((await this.#tree.stat(this.#place.path)) !== null) await this.#tree.remove(this.#aside);
    for (const mark of marks) await this.#tree.remove(mark);
    this.#announced = null;
  }

  async #setAside(options: StoreOutputOptions): Promise<void> {
    // What is there now may not be what was there when the job began.
    await this.#checkFree(options);
    const there = await this.#tree.stat(this.#place.path);
    if (there === null) return;
    await this.#tree.remove(this.#aside);
    await this.#rename(this.#place.path, this.#aside, there);
  }

  /** The output that was set aside is in its place again, unless there is one. Never throws. */
  async #putBack(): Promise<void> {
    try {
      const { path } = this.#place;
      const aside = await this.#tree.stat(this.#aside);
      if (aside !== null && aside.kind !== "link" && (await this.#tree.stat(path)) === null)
        await this.#rename(this.#aside, path, aside);
    } catch {
      // It is still there under its other name, which the next check finds.
    }
  }

  /** Renames a directory, and finds out whether that was done where the answer does not say it. */
  async #rename(from: string, to: string, what: TreeEntry): Promise<void> {
    let failure: unknown = null;
    try {
      await this.#tree.rename(from, to);
    } catch (error) {
      failure = error;
    }
    const there = await this.#tree.stat(to);
    if (there?.id === what.id && (await this.#tree.stat(from)) === null) return;
    if (isSheafError(failure) && there === null) throw failure;
    // Some servers move a directory into one that has appeared there meanwhile.
    const inside = `${to}${from.slice(from.lastIndexOf("/"))}`;
    if ((await this.#tree.stat(inside))?.id === what.id) await this.#tree.rename(inside, from);
    throw there === null
      ? new SheafError("OUTPUT_UNWRITABLE", `cannot rename ${quotePath(from)} to ${quotePath(to)}`, {
          hint: "Something else works on these directories. Choose another output.",
          cause: failure,
          details: { path: this.#place.address },
        })
      : outputExists(this.#place.address);
  }

  /** A file that was not written to its end, or written anew since, is never believed. */
  async #checkWhole(directory: string, files: readonly PutFile[], step: StoreStep): Promise<void> {
    const missing = new Map(files.map((file) => [file.name, file]));
    const visit = async (below: string): Promise<void> => {
      for await (const entry of this.#tree.list(`${directory}${below}`, step)) {
        const name = `${below}/${entry.name}`;
        if (entry.kind === "directory") {
          await visit(name);
          continue;
        }
        const file = missing.get(name.slice(1));
        if (entry.kind !== "file" || file?.bytes !== entry.bytes || file.token !== entry.id)
          throw this.#lost(name.slice(1));
        missing.delete(name.slice(1));
      }
    };
    await visit("");
    const [first] = missing.keys();
    if (first !== undefined) throw this.#lost(first);
  }

  #lost(name: string): SheafError {
    const { address } = this.#place;
    return new SheafError(
      "OUTPUT_UNWRITABLE",
      `${quotePath(name)} of the output ${quotePath(address)} is not what this job has written`,
      {
        hint: "Nothing was committed. Leave alone what lies beside an output while its job runs, and run again.",
        details: { path: address },
      },
    );
  }

  /** Removes what jobs have left that are over, and puts back what one of them had set aside. */
  async #clearStale(step: StoreStep): Promise<void> {
    const { path, job } = this.#place;
    const leftovers: Leftover[] = [];
    for await (const { name, kind } of this.#tree.list(this.#parent === "" ? "/" : this.#parent, step)) {
      // A link is of no job, whatever its name says.
      const left = kind === "link" ? null : this.#leftover(name);
      if (left !== null) leftovers.push(left);
    }
    const alive = new Set(
      leftovers.filter((one) => one.kind === "by" && isWriterThere(one.who) !== false).map((one) => one.job),
    );
    // What says whose it is goes last.
    const stale = leftovers.filter((one) => one.job === job || !alive.has(one.job));
    for (const { kind, full } of stale.toSorted(
      (a, b) => Number(a.kind === "by") - Number(b.kind === "by"),
    )) {
      if (kind === "old") {
        const there = await this.#tree.stat(full);
        if (there !== null && (await this.#tree.stat(path)) === null) {
          await this.#rename(full, path, there);
          continue;
        }
      }
      await this.#tree.remove(full);
    }
  }

  /** What a name beside the output is; null when it is none of a job that makes this output. */
  #leftover(name: string): Leftover | null {
    const full = `${this.#parent}/${name}`;
    if (!full.startsWith(this.#prefix)) return null;
    const rest = full.slice(this.#prefix.length);
    const by = /^by-([0-9a-f]+\.\d+\.[0-9a-z]+)-(.+)$/.exec(rest);
    if (by !== null) return { kind: "by", full, who: by[1]!, job: by[2]! };
    const other = /^(job|old)-(.+)$/.exec(rest);
    return other === null ? null : { kind: other[1] as "job" | "old", full, job: other[2]! };
  }
}

/** What names a staged file. */
interface Staged {
  readonly job: string;
  readonly file: string;
  readonly bytes: number;
  readonly id: string;
}

type Leftover =
  | { readonly kind: "by"; readonly full: string; readonly who: string; readonly job: string }
  | { readonly kind: "job" | "old"; readonly full: string; readonly job: string };
