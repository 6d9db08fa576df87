import type { Stats, WriteStream } from "node:fs";
import { constants, createWriteStream, openSync } from "node:fs";
import { open, realpath, statfs } from "node:fs/promises";

/** What Linux makes up as it is read: /proc, /sys, cgroups 1 and 2, debug, trace, security and config. */
const MADE_UP: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0x62656570,
]);

/** Paths that mean what this process has open, which other processes do not. */
const DESCRIPTOR = /^\/(?:dev\/(?:stdin|fd\/\d+)|proc\/(?:self|thread-self|\d+)\/fd\/\d+)$/;

export function isOwnDescriptor(path: string): boolean {
  return DESCRIPTOR.test(path);
}

/**
 * Whether a file has to be read from its first byte to its end, once, to know what is in it: a FIFO (mkfifo,
 * <(command) of a shell), a file that has bytes although its size is 0 (/proc), or a size that is not that of
 * its content (/sys). Never blocks.
 */
export async function isStream(path: string, status: Stats): Promise<boolean> {
  if (status.isFIFO() || isOwnDescriptor(path)) return true;
  if (!status.isFile()) return false;
  if (status.size === 0) return hasBytes(path);
  if (status.blocks > 0) return false;
  const place = await realpath(path).catch(() => path);
  const kind = await statfs(place).catch(() => null);
  return kind !== null && MADE_UP.has(kind.type);
}

async function hasBytes(path: string): Promise<boolean> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
  if (handle === null) return false;
  try {
    return (await handle.read(Buffer.alloc(1), 0, 1, 0)).bytesRead > 0;
  } catch {
    // Whoever reads it is told why it cannot be.
    return false;
  } finally {
    await handle.close();
  }
}

/**
 * A stream into a new file of this user's own. The file is there when this returns: a stream that opens it
 * itself may make it after it has failed, when whoever removes it has been and gone. At once, because what is
 * to be written may fail while nobody listens.
 */
export function openedForWriting(path: string): WriteStream {
  return createWriteStream(path, { fd: openSync(path, "wx", 0o600) });
}
