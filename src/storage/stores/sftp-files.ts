import { isSheafError } from "../../base/errors.ts";
import { KiB } from "../../base/size.ts";
import type { StoreStep } from "../store.ts";
import type { Done, Sftp, SftpAttributes, SftpConnection, SftpName, SftpPlace } from "./sftp-connection.ts";

/** Of one read or write. Servers may answer fewer; ssh2 divides what is larger than they take. */
export const pieceBytes = 128 * KiB;
/** Reads or writes of one file that wait for their answers. */
export const piecesAtOnce = 12;
/** Times that something is begun anew which a lost connection ended. */
export const triesMax = 6;
const endOfFile = 1;

const TYPE = { mask: 0o170_000, directory: 0o040_000, file: 0o100_000, link: 0o120_000 };

export function isDirectory({ mode }: SftpAttributes): boolean {
  return (mode & TYPE.mask) === TYPE.directory;
}

export function isPlainFile({ mode }: SftpAttributes): boolean {
  return (mode & TYPE.mask) === TYPE.file;
}

export function isLink({ mode }: SftpAttributes): boolean {
  return (mode & TYPE.mask) === TYPE.link;
}

export function versionOf({ mtime, size }: SftpAttributes): string {
  return `${mtime}-${size}`;
}

export function attributesOf(
  connection: SftpConnection,
  path: string,
  place: SftpPlace,
): Promise<SftpAttributes | null> {
  return connection.ask<SftpAttributes>(place, (sftp, done) => sftp.stat(path, done));
}

/** As attributesOf; of a link: its own. */
export function ownAttributesOf(
  connection: SftpConnection,
  path: string,
  place: SftpPlace,
): Promise<SftpAttributes | null> {
  return connection.ask<SftpAttributes>(place, (sftp, done) => sftp.lstat(path, done));
}

export async function* listed(
  connection: SftpConnection,
  path: string,
  place: SftpPlace,
  step: StoreStep,
): AsyncIterable<{ name: string; attributes: SftpAttributes }> {
  for (const { filename: name, attrs: attributes } of await wholeDirectory(connection, path, place, step))
    if (name !== "." && name !== "..") yield { name, attributes };
}

/** Listed anew when the connection was lost in between. */
async function wholeDirectory(
  connection: SftpConnection,
  path: string,
  place: SftpPlace,
  step: StoreStep,
): Promise<SftpName[]> {
  for (let tries = 1; ; tries++) {
    const there = await attributesOf(connection, path, place);
    if (there === null || !isDirectory(there)) return [];
    const handle = new Handle(connection, place, (sftp, done) => sftp.opendir(path, done));
    const names: SftpName[] = [];
    try {
      for (;;) {
        step?.();
        const some = await handle.ask<readonly SftpName[] | null>((sftp, opened, done) =>
          sftp.readdir(opened, (error, value) => {
            // Behind the last name.
            if (error && "code" in error && error.code === endOfFile) done(null, null);
            else done(error, value);
          }),
        );
        if (some === null) return names;
        names.push(...some);
      }
    } catch (error) {
      if (tries >= triesMax || !isPassing(error)) throw error;
    } finally {
      await handle.close();
    }
  }
}

export function isPassing(error: unknown): boolean {
  return isSheafError(error) && error.retryable;
}

/** An open file or directory, opened again when the connection was lost. */
export class Handle {
  readonly #connection: SftpConnection;
  readonly #place: SftpPlace;
  readonly #open: (sftp: Sftp, done: Done<Buffer>) => void;
  #opened: Promise<{ readonly handle: Buffer; readonly life: number } | null> | null = null;
  #life = -1;

  constructor(connection: SftpConnection, place: SftpPlace, open: (sftp: Sftp, done: Done<Buffer>) => void) {
    this.#connection = connection;
    this.#place = place;
    this.#open = open;
  }

  /** One question about it. @returns null when there is no such file */
  async ask<T>(question: (sftp: Sftp, handle: Buffer, done: Done<T>) => void): Promise<T | null> {
    const opened = await this.#get();
    if (opened === null) return null;
    const { handle, life } = opened;
    return this.#connection.once<T>(this.#place, (sftp, done) => question(sftp, handle, done), life);
  }

  #get(): Promise<{ readonly handle: Buffer; readonly life: number } | null> {
    if (this.#opened !== null && this.#life === this.#connection.life) return this.#opened;
    this.#life = this.#connection.life;
    const opened = this.#connection.ask<Buffer>(this.#place, this.#open).then((handle) => {
      // Of the connection on which it was opened.
      this.#life = this.#connection.life;
      return handle === null ? null : { handle, life: this.#life };
    });
    this.#opened = opened;
    opened.catch(() => (this.#opened = null));
    return opened;
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = null;
    if (opened === null || this.#life !== this.#connection.life) return;
    await opened
      .then((known) => {
        if (known === null) return null;
        return this.#connection.once<void>(
          this.#place,
          (sftp, done) => sftp.close(known.handle, done),
          known.life,
        );
      })
      .catch(() => undefined);
  }
}
