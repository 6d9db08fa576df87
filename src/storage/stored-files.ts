import { open } from "node:fs/promises";
import { crc32c } from "../base/crc32.ts";
import { limits } from "../base/limits.ts";
import { asSheafError } from "./fs-error.ts";
import { openRange, type PlannedFile } from "./read-range.ts";
import type { Store, StoreStep } from "./store.ts";
import { storeOf } from "./stores.ts";

/** All bytes of a file as it was planned, in pieces; whoever gets one may keep it. Throws as openRange. */
export async function* piecesOf(file: PlannedFile): AsyncGenerator<Uint8Array> {
  const { fileBytes } = file;
  const range = await openRange(file);
  try {
    for (let at = 0; at < fileBytes; at += limits.readChunkBytes) {
      const piece = new Uint8Array(Math.min(limits.readChunkBytes, fileBytes - at));
      await range.read(piece, at);
      yield piece;
    }
    await range.verify();
  } finally {
    await range.close();
  }
}

/** The file at an address as it is now; null: there is none, or none that is read in ranges. */
export async function storedAt(address: string): Promise<PlannedFile | null> {
  const there = await (await storeOf(address)).stat(address);
  if (there === null || there === "directory") return null;
  const { bytes, mtimeMs, version } = there;
  if (bytes === null || version === null) return null;
  return { path: there.address, name: there.address, fileBytes: bytes, mtimeMs, version };
}

/** @param step called between pieces; what it throws ends the reading */
export async function crc32cOfPieces(file: PlannedFile, step: StoreStep): Promise<number> {
  let sum = 0;
  for await (const piece of piecesOf(file)) {
    step?.();
    sum = crc32c(piece, sum);
  }
  return sum;
}

/** Makes a new file of this machine, which only its user can read, a copy of it. */
export async function copyPieces(file: PlannedFile, path: string, step: StoreStep): Promise<void> {
  const to = await open(path, "wx", 0o600).catch((error: unknown) => {
    throw asSheafError(error, { path, doing: "create" });
  });
  try {
    for await (const piece of piecesOf(file)) {
      step?.();
      await to.writeFile(piece).catch((error: unknown) => {
        throw asSheafError(error, { path, doing: "write" });
      });
    }
  } finally {
    await to.close();
  }
}

/** Names of all files below a directory of a store (`address` ends in "/"), hidden ones too, in any order. */
export async function namesBelow(store: Store, address: string, step: StoreStep): Promise<string[]> {
  const names: string[] = [];
  if (store.walk !== undefined) {
    for await (const file of store.walk(address, step)) names.push(file.address.slice(address.length));
    return names;
  }
  for await (const { name, kind } of store.entries?.(address, step) ?? []) {
    if (kind === "file") names.push(name);
    else for (const one of await namesBelow(store, `${address}${name}/`, step)) names.push(`${name}/${one}`);
  }
  return names;
}
