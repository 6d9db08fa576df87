import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import { RangedReads } from "../ranged-reads.ts";
import type {
  FileToRead,
  Store,
  StoredFile,
  StoreEntry,
  StoreOutput,
  StoreSettings,
  StoreStep,
} from "../store.ts";
import { splitAddress } from "../store.ts";
import { checkFree, readText } from "../stored-output.ts";
import { RenamedOutput } from "./renamed-output.ts";
import type { SftpAttributes, SftpPlace } from "./sftp-connection.ts";
import { SftpConnection } from "./sftp-connection.ts";
import {
  attributesOf,
  Handle,
  isDirectory,
  isPlainFile,
  isLink,
  isPassing,
  listed,
  pieceBytes,
  piecesAtOnce,
  triesMax,
  versionOf,
} from "./sftp-files.ts";
import { SftpTree } from "./sftp-output.ts";

/** sftp://user@host:port/path, the path absolute; /~/ at its beginning is the home directory there. */
export function createStore(_scheme: string, settings: StoreSettings): Store {
  return new SftpStore(settings);
}

class SftpStore implements Store {
  readonly #settings: StoreSettings;
  readonly #connections = new Map<string, SftpConnection>();

  constructor(settings: StoreSettings) {
    this.#settings = settings;
  }

  canonical(address: string): string {
    const { root, path } = splitAddress(address)!;
    const [, user = "", host = ""] = /^sftp:\/\/(.*@)?(.*)\/$/.exec(root) ?? [];
    const plain = path.replaceAll(/\/{2,}/g, "/").replace(/^\//, "");
    return `sftp://${user}${host.toLowerCase().replace(/:22$/, "")}/${plain}`;
  }

  async *entries(address: string, step: StoreStep): AsyncIterable<StoreEntry> {
    const { connection, path } = await this.#at(address);
    const real = await this.real(address);
    for await (const { name, attributes } of listed(connection, path, { address, doing: "list" }, step)) {
      if (isDirectory(attributes)) yield { name, kind: "directory" };
      else if (isPlainFile(attributes))
        yield {
          name,
          kind: "file",
          file: { ...fileOf(address + name, attributes), identity: `${real}/${name}` },
        };
      // A link, whose end is asked for; nothing else is a file.
      else if (isLink(attributes)) {
        const there = await this.stat(address + name);
        if (there === "directory") yield { name, kind: "directory" };
        else yield { name, kind: "file", ...(there !== null && { file: there }) };
      }
    }
  }

  async stat(address: string): Promise<StoredFile | "directory" | null> {
    const { connection, path } = await this.#at(address);
    const attributes = await attributesOf(connection, path, { address, doing: "list" });
    if (attributes === null) return null;
    if (isDirectory(attributes)) return "directory";
    if (isPlainFile(attributes))
      return { ...fileOf(address, attributes), identity: await this.real(address) };
    throw new SheafError("INPUT_UNREADABLE", `input ${quotePath(address)} is a FIFO, a socket or a device`, {
      hint: "Give regular files or directories.",
      details: { path: address },
    });
  }

  async real(address: string): Promise<string> {
    const { connection, path } = await this.#at(address);
    const place: SftpPlace = { address, doing: "list" };
    const real = await connection.ask<string>(place, (sftp, done) => sftp.realpath(path, done));
    return `${splitAddress(address)!.root}${real ?? path}`.replace(/\/$/, "");
  }

  async open(file: FileToRead): Promise<SftpRange> {
    const { connection, path } = await this.#at(file.address);
    return new SftpRange(file, connection, path);
  }

  output(address: string, job: string): StoreOutput {
    const { root, path } = splitAddress(address)!;
    const tree = new SftpTree(async (at) => {
      const there = `${root}${at.slice(1)}`;
      return { ...(await this.#at(there)), address: there };
    });
    const plain = `/${path.replace(/\/$/, "")}`;
    return new RenamedOutput(tree, {
      address,
      path: plain,
      job,
      checkFree: (options) => checkFree(this, address, options),
      readText: (file) => readText(this, file),
    });
  }

  async remove(address: string): Promise<void> {
    const { connection, path } = await this.#at(address);
    await connection.ask<void>({ address, doing: "remove" }, (sftp, done) => sftp.unlink(path, done));
  }

  async #at(address: string): Promise<{ connection: SftpConnection; path: string }> {
    const { root, path } = splitAddress(address)!;
    let connection = this.#connections.get(root);
    if (connection === undefined) {
      connection = new SftpConnection(root.slice("sftp://".length, -1), this.#settings);
      this.#connections.set(root, connection);
    }
    const plain = path.replace(/\/$/, "");
    if (plain !== "~" && !plain.startsWith("~/")) return { connection, path: `/${plain}` };
    const home = await connection.ask<string>({ address, doing: "list" }, (sftp, done) =>
      sftp.realpath(".", done),
    );
    return { connection, path: `${home ?? ""}${plain.slice(1)}` };
  }
}

function fileOf(address: string, attributes: SftpAttributes): StoredFile {
  const { mtime, size } = attributes;
  return { address, bytes: size, mtimeMs: mtime * 1_000, version: versionOf(attributes) };
}

/**
 * Reads ranges through one handle, which stays that of the file also when another one takes its name; each is
 * handed on when time and size are still those that were planned.
 */
class SftpRange extends RangedReads {
  readonly #file: FileToRead;
  readonly #handle: Handle;

  constructor(file: FileToRead, connection: SftpConnection, path: string) {
    super(file, (start, end, signal) => this.#range(start, end, signal), connection.world);
    this.#file = file;
    const place: SftpPlace = { address: file.name, doing: "read" };
    this.#handle = new Handle(connection, place, (sftp, done) => sftp.open(path, "r", done));
  }

  override async verify(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#check();
      } catch (error) {
        if (tries >= triesMax || !isPassing(error)) throw error;
      }
    }
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#handle.close();
  }

  async #check(): Promise<void> {
    const now = await this.#handle.ask<SftpAttributes>((sftp, handle, done) => sftp.fstat(handle, done));
    if (now === null) throw this.#changed("it is gone");
    if (!isPlainFile(now)) throw this.#changed("it is no longer a file");
    if (now.size !== this.#file.bytes)
      throw this.#changed(`it has ${now.size} bytes, ${this.#file.bytes} were expected`);
    if (versionOf(now) !== this.#file.version) throw this.#changed("it was written to");
  }

  async *#range(start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const read = async (from: number, to: number): Promise<Buffer> => {
      const piece = Buffer.allocUnsafe(to - from);
      let came = 0;
      while (came < piece.length) {
        const some = await this.#handle.ask<number>((sftp, handle, done) =>
          sftp.read(handle, piece, came, piece.length - came, from + came, done),
        );
        if (some === null || some === 0) break;
        came += some;
      }
      return piece.subarray(0, came);
    };
    const asked: Promise<Buffer>[] = [];
    let next = start;
    const pieces: Buffer[] = [];
    let failure: unknown = null;
    try {
      for (let at = start; at < end;) {
        signal.throwIfAborted();
        while (next < end && asked.length < piecesAtOnce) {
          const piece = read(next, Math.min(end, next + pieceBytes));
          // It may be waited for when another has failed.
          piece.catch(() => undefined);
          asked.push(piece);
          next += pieceBytes;
        }
        const piece = await asked.shift()!;
        pieces.push(piece);
        at += pieceBytes;
        // The file has become shorter: the check says so.
        if (piece.length < Math.min(end - at + pieceBytes, pieceBytes)) break;
      }
    } catch (error) {
      failure = error;
    }
    signal.throwIfAborted();
    await this.verify();
    yield* pieces;
    if (failure !== null) throw failure;
  }

  #changed(what: string): SheafError {
    const { name } = this.#file;
    return new SheafError("INPUT_CHANGED", `input ${quotePath(name)} changed while the job ran: ${what}`, {
      hint: "Nothing was committed. Run again when nothing writes to it any more, or on a copy of it.",
      details: { path: name },
    });
  }
}
