import { type FileHandle, open as openFile } from "node:fs/promises";
import { SheafError } from "../../base/errors.ts";
import { Promise } from "../../base/own-globals.ts";
import { asSheafError, quotePath } from "../fs-error.ts";
import type { StoreStep } from "../store.ts";
import type { RenamingTree, TreeEntry } from "./renamed-output.ts";
import type { Done, Sftp, SftpAttributes, SftpConnection, SftpPlace } from "./sftp-connection.ts";
import {
  attributesOf,
  isDirectory,
  isLink,
  isPassing,
  listed,
  ownAttributesOf,
  pieceBytes,
  piecesAtOnce,
  triesMax,
  versionOf,
} from "./sftp-files.ts";

export interface TreePlace {
  readonly connection: SftpConnection;
  readonly path: string;
  readonly address: string;
}

export class SftpTree implements RenamingTree {
  readonly #at: (path: string) => Promise<TreePlace>;

  constructor(at: (path: string) => Promise<TreePlace>) {
    this.#at = at;
  }

  async stat(path: string): Promise<TreeEntry | null> {
    const { connection, path: there, address } = await this.#at(path);
    const attributes = await ownAttributesOf(connection, there, { address, doing: "write" });
    return attributes === null ? null : treeEntry(attributes);
  }

  async *list(path: string, step: StoreStep): AsyncIterable<{ name: string } & TreeEntry> {
    const { connection, path: there, address } = await this.#at(path);
    for await (const { name, attributes } of listed(connection, there, { address, doing: "write" }, step))
      yield { name, ...treeEntry(attributes) };
  }

  async makeDirectory(path: string): Promise<void> {
    if (path === "" || path === "/") return;
    const { connection, path: there, address } = await this.#at(path);
    const place: SftpPlace = { address, doing: "write" };
    const before = await attributesOf(connection, there, place);
    if (before !== null && isDirectory(before)) return;
    if (before !== null) {
      throw new SheafError("OUTPUT_UNWRITABLE", `cannot create ${quotePath(address)}: there is a file`, {
        hint: "Choose another output.",
        details: { path: address },
      });
    }
    await this.makeDirectory(path.slice(0, path.lastIndexOf("/")));
    try {
      await connection.ask<void>(place, (sftp, done) => sftp.mkdir(there, done));
    } catch (error) {
      // Another process of the job was faster, or the answer was lost.
      const after = await attributesOf(connection, there, place);
      if (after === null || !isDirectory(after)) throw error;
    }
  }

  async write(path: string, source: string | Uint8Array, step: StoreStep): Promise<void> {
    await this.makeDirectory(path.slice(0, path.lastIndexOf("/")));
    const { connection, path: there, address } = await this.#at(path);
    const place: SftpPlace = { address, doing: "write" };
    const file = typeof source === "string" ? await openSource(source) : null;
    try {
      const bytes = file?.bytes ?? (source as Uint8Array).length;
      // From its beginning when the connection was lost: what came of it is not known.
      for (let tries = 1; ; tries++) {
        try {
          await this.#writeOnce(connection, there, place, { bytes, file, source, step });
          return;
        } catch (error) {
          if (tries >= triesMax || !isPassing(error)) throw error;
        }
      }
    } finally {
      await file?.handle.close();
    }
  }

  async #writeOnce(
    connection: SftpConnection,
    path: string,
    place: SftpPlace,
    {
      bytes,
      file,
      source,
      step,
    }: { bytes: number; file: Source | null; source: string | Uint8Array; step: StoreStep },
  ): Promise<void> {
    const opened = await connection.ask<Buffer>(place, (sftp, done) => sftp.open(path, "w", done));
    if (opened === null) throw unwritable(place, "its directory is gone");
    // Only on this connection: opened again it would be empty.
    const { life } = connection;
    const ask = (question: (sftp: Sftp, done: Done<void>) => void): Promise<void | null> =>
      connection.once<void>(place, question, life);
    let at = 0;
    const next = async (): Promise<void> => {
      while (at < bytes) {
        step?.();
        const from = at;
        at = Math.min(bytes, from + pieceBytes);
        const piece =
          file === null
            ? Buffer.from((source as Uint8Array).subarray(from, at))
            : await file.read(from, at - from);
        await ask((sftp, done) => sftp.write(opened, piece, 0, piece.length, from, done));
      }
    };
    await Promise.all(Array.from({ length: piecesAtOnce }, next));
    await ask((sftp, done) => {
      try {
        sftp.ext_openssh_fsync(opened, done);
      } catch {
        // A server that does not know it.
        done(null);
      }
    });
    await ask((sftp, done) => sftp.close(opened, done));
    const there = await attributesOf(connection, path, place);
    if (there?.size !== bytes) throw unwritable(place, `it has ${there?.size ?? 0} bytes of ${bytes}`);
  }

  async rename(from: string, to: string): Promise<void> {
    const { connection, path, address } = await this.#at(from);
    const target = await this.#at(to);
    // Not posix-rename, which puts a directory in the place of an empty one.
    const answer = await connection.once<void>({ address, doing: "rename" }, (sftp, done) =>
      sftp.rename(path, target.path, done),
    );
    if (answer === null) throw unwritable({ address, doing: "rename" }, "it is not there");
  }

  async remove(path: string): Promise<void> {
    const { connection, path: there, address } = await this.#at(path);
    const place: SftpPlace = { address, doing: "remove" };
    // Of a link its name is removed, never what it leads to.
    const attributes = await ownAttributesOf(connection, there, place);
    if (attributes === null) return;
    if (!isDirectory(attributes)) {
      await connection.ask<void>(place, (sftp, done) => sftp.unlink(there, done));
      return;
    }
    for await (const { name } of listed(connection, there, place, undefined))
      await this.remove(`${path}/${name}`);
    await connection.ask<void>(place, (sftp, done) => sftp.rmdir(there, done));
  }
}

function treeEntry(attributes: SftpAttributes): TreeEntry {
  if (isLink(attributes)) return { kind: "link", id: versionOf(attributes) };
  return isDirectory(attributes)
    ? { kind: "directory", id: String(attributes.mtime) }
    : { kind: "file", bytes: attributes.size, id: versionOf(attributes) };
}

function unwritable({ address, doing }: SftpPlace, what: string): SheafError {
  return new SheafError("OUTPUT_UNWRITABLE", `cannot ${doing} ${quotePath(address)}: ${what}`, {
    hint: "Leave alone what lies beside an output while its job runs, and run again.",
    details: { path: address },
  });
}

interface Source {
  readonly handle: FileHandle;
  readonly bytes: number;
  read(at: number, length: number): Promise<Buffer>;
}

async function openSource(path: string): Promise<Source> {
  try {
    const handle = await openFile(path);
    const { size } = await handle.stat();
    return {
      handle,
      bytes: size,
      read: async (at, length) => {
        const piece = Buffer.allocUnsafe(length);
        const { bytesRead } = await handle.read(piece, 0, length, at);
        if (bytesRead === length) return piece;
        throw new SheafError("OUTPUT_UNWRITABLE", `${quotePath(path)} became shorter while it was uploaded`, {
          hint: "Leave the directory of the job alone while it runs.",
        });
      },
    };
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}
