import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import { RangedReads } from "../ranged-reads.ts";
import type {
  FileToRead,
  HeldRange,
  Store,
  StoredFile,
  StoreEntry,
  StoreOutput,
  StoreSettings,
  StoreStep,
} from "../store.ts";
import { splitAddress } from "../store.ts";
import { checkFree, readText } from "../stored-output.ts";
import { HadoopConf } from "./hadoop-conf.ts";
import { authorityOf, identityOf, serversOf } from "./hadoop-places.ts";
import { RenamedOutput } from "./renamed-output.ts";
import { WebHdfsClient } from "./webhdfs-client.ts";
import { isOperationUnknown } from "./webhdfs-errors.ts";
import type { HdfsTarget } from "./webhdfs-path.ts";
import { hdfsListing, hdfsStatus, type HdfsStatus, hdfsVersion } from "./webhdfs-status.ts";
import { HdfsTree } from "./webhdfs-tree.ts";

/** hdfs://, webhdfs:// and swebhdfs://: see hadoop-places.ts for which servers are asked. */
export function createStore(scheme: string, settings: StoreSettings): Store {
  return new WebHdfsStore(scheme, settings);
}

class WebHdfsStore implements Store {
  readonly #scheme: string;
  readonly #settings: StoreSettings;
  readonly #conf: HadoopConf;
  readonly #clients = new Map<string, WebHdfsClient>();

  constructor(scheme: string, settings: StoreSettings) {
    this.#scheme = scheme;
    this.#settings = settings;
    this.#conf = new HadoopConf(settings.env);
  }

  canonical(address: string): string {
    const { root, path } = splitAddress(address)!;
    const given = root.slice(root.indexOf("://") + 3, -1).toLowerCase();
    const authority = authorityOf(given, this.#conf);
    return `${this.#scheme}://${authority}/${path.replaceAll(/\/{2,}/g, "/").replace(/^\//, "")}`;
  }

  async *entries(address: string, step: StoreStep): AsyncIterable<StoreEntry> {
    const { client, target } = this.#at(address);
    for await (const status of hdfsListing(client, target, step)) {
      const name = status.pathSuffix;
      if (status.type === "DIRECTORY") yield { name, kind: "directory" };
      else if (status.type === "FILE") yield { name, kind: "file", file: fileOf(address + name, status) };
      // A symbolic link: what is behind it is asked for.
      else yield { name, kind: "file" };
    }
  }

  async stat(address: string): Promise<StoredFile | "directory" | null> {
    const { client, target } = this.#at(address);
    const status = await hdfsStatus(client, target);
    if (status === null) return null;
    return status.type === "DIRECTORY" ? "directory" : fileOf(address, status);
  }

  /**
   * Where the blocks lie. @throws SheafError INPUT_UNREADABLE for a file that is being written: its last
   * block may not be counted, and all of it may be in there
   */
  async locate({ address, bytes }: StoredFile): Promise<readonly HeldRange[]> {
    const { client, target } = this.#at(address);
    const located = await client
      .ask("GET", "GET_BLOCK_LOCATIONS", target, "read", { offset: 0, length: Math.max(1, bytes ?? 0) })
      .catch((error: unknown) => {
        // What else went wrong says nothing of whether it is being written.
        if (isOperationUnknown(error)) return null;
        throw error;
      });
    const blocks = (located as LocatedAnswer | null)?.LocatedBlocks;
    if (blocks === undefined) return [];
    if (blocks.isUnderConstruction === true) {
      throw new SheafError("INPUT_UNREADABLE", `input ${quotePath(address)} is being written`, {
        hint:
          "HDFS does not say yet how long it is. Wait until its writer has closed it, or leave it out; if the " +
          "writer is dead: hdfs debug recoverLease -path PATH.",
        details: { path: address },
      });
    }
    return (blocks.locatedBlocks ?? []).map(({ startOffset, block, locations }) => ({
      start: startOffset,
      end: startOffset + block.numBytes,
      hosts: [...new Set((locations ?? []).flatMap(namesOf))],
    }));
  }

  /** Asks nothing yet: every range is checked, and `verify` where there is none. */
  open(file: FileToRead): Promise<HdfsRange> {
    const { client, target } = this.#at(file.address);
    return Promise.resolve(new HdfsRange(file, client, target, this.#settings));
  }

  output(address: string, job: string): StoreOutput {
    const { client, target } = this.#at(address);
    const at = (path: string): HdfsTarget => ({
      path,
      address: `${splitAddress(address)!.root}${path.slice(1)}`,
    });
    return new RenamedOutput(new HdfsTree(client, at), {
      address,
      path: target.path,
      job,
      checkFree: (options) => checkFree(this, address, options),
      readText: (file) => readText(this, file),
    });
  }

  async remove(address: string): Promise<void> {
    const { client, target } = this.#at(address);
    await client.ask("DELETE", "DELETE", target, "remove");
  }

  #at(address: string): { client: WebHdfsClient; target: HdfsTarget } {
    const { root, path } = splitAddress(address)!;
    let client = this.#clients.get(root);
    if (client === undefined) {
      const authority = root.slice(root.indexOf("://") + 3, -1);
      client = new WebHdfsClient({
        servers: serversOf(this.#scheme, authority, this.#conf),
        identity: identityOf(this.#settings.env, authority),
        world: this.#settings.world,
      });
      this.#clients.set(root, client);
    }
    return { client, target: { path: `/${path.replace(/\/$/, "")}`, address } };
  }
}

interface LocatedAnswer {
  readonly LocatedBlocks?: {
    readonly isUnderConstruction?: boolean;
    readonly locatedBlocks?: readonly {
      readonly startOffset: number;
      readonly block: { readonly numBytes: number };
      readonly locations?: readonly DataNode[];
    }[];
  };
}

interface DataNode {
  readonly hostName?: string;
  readonly ipAddr?: string;
}

/** As an agent on that host may call itself. */
function namesOf({ hostName = "", ipAddr = "" }: DataNode): string[] {
  const short = /^([a-z][^.]*)\./i.exec(hostName)?.[1] ?? "";
  return [hostName, short, ipAddr].filter((name) => name !== "");
}

function fileOf(address: string, status: HdfsStatus): StoredFile {
  return {
    address,
    bytes: status.length,
    mtimeMs: status.modificationTime,
    version: hdfsVersion(status),
  };
}

/**
 * Reads ranges, each of which is handed on when the file is still the one that was planned: HDFS has no
 * request for a version.
 */
class HdfsRange extends RangedReads {
  readonly #file: FileToRead;
  readonly #client: WebHdfsClient;
  readonly #target: HdfsTarget;
  #checking: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(file: FileToRead, client: WebHdfsClient, target: HdfsTarget, { world }: StoreSettings) {
    super(file, (start, end, signal) => this.#range(start, end, signal), world);
    this.#file = file;
    this.#client = client;
    this.#target = target;
  }

  override verify(): Promise<void> {
    return this.#check();
  }

  async *#range(start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let came = 0;
    let failure: unknown = null;
    try {
      const body = await this.#client.open(this.#target, start, end, signal);
      if (body === null) failure = this.#withheld();
      else
        for await (const piece of body) {
          pieces.push(piece);
          came += piece.length;
          if (came > end - start) break;
        }
    } catch (error) {
      failure = error;
    }
    signal.throwIfAborted();
    // Only now: it may have changed while they came.
    await this.#checkSoon();
    yield* pieces;
    if (failure !== null) throw failure;
  }

  /** One question for all ranges that have come when it is asked. */
  #checkSoon(): Promise<void> {
    if (this.#next !== null) return this.#next;
    const before = this.#checking ?? Promise.resolve();
    const next = before
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        this.#checking = this.#check();
        return this.#checking;
      });
    this.#next = next;
    return next;
  }

  async #check(): Promise<void> {
    const status = await hdfsStatus(this.#client, this.#target);
    if (status === null) throw this.#changed("it is gone");
    if (status.type === "DIRECTORY") throw this.#changed("it is a directory now");
    if (status.length !== this.#file.bytes)
      throw this.#changed(`it has ${status.length} bytes, ${this.#file.bytes} were expected`);
    if (hdfsVersion(status) !== this.#file.version) throw this.#changed("it was written to");
  }

  /** Of a file that is there, as it was. */
  #withheld(): SheafError {
    const { name } = this.#file;
    return new SheafError(
      "INPUT_UNREADABLE",
      `input ${quotePath(name)} is there, but the server gives none of it`,
      {
        hint: "Look at the logs of the NameNode and of the DataNodes that have its blocks.",
        details: { path: name },
      },
    );
  }

  #changed(what: string): SheafError {
    const { name } = this.#file;
    return new SheafError("INPUT_CHANGED", `input ${quotePath(name)} changed while the job ran: ${what}`, {
      hint: "Nothing was committed. Run again when nothing writes to it any more, or on a copy of it.",
      details: { path: name },
    });
  }
}
