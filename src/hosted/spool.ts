import { closeSync, openSync, writeSync } from "node:fs";
import type { FileWindow } from "../shuffle/run-index.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { BLOCK_BYTES, type Block } from "./blocks.ts";
import { brokenFrames } from "./frames.ts";

/** A slice or file that is being received. */
interface Spooled {
  readonly map: number;
  readonly name: string;
  readonly window: FileWindow;
  /** Of the blocks that came, which began where; null: all have. */
  blocks: Set<number> | null;
}

/** Where something that has come whole lies in the spool. */
export interface SpooledPiece {
  readonly map: number;
  /** Of a slice "". */
  readonly name: string;
  readonly window: FileWindow;
}

/**
 * What maps have sent to one reduce, in one file of this machine. Blocks may come in any order: room for all
 * of a slice is kept when its first block comes.
 */
export class Spool {
  readonly path: string;
  readonly fd: number;
  readonly #pieces = new Map<string, Spooled>();
  #end = 0;

  /** @param path of a file, which is made */
  constructor(path: string) {
    this.path = path;
    try {
      this.fd = openSync(path, "wx+", 0o600);
    } catch (error) {
      throw asSheafError(error, { path, doing: "create" });
    }
  }

  /** @throws SheafError MESSAGE_INVALID when it came before; DISK_FULL */
  take(map: number, { kind, name, bytes, offset, data }: Exclude<Block, { kind: "hello" }>): void {
    const key = `${map} ${name}`;
    let piece = this.#pieces.get(key);
    if (piece === undefined) {
      piece = { map, name, window: { offset: this.#end, bytes }, blocks: new Set() };
      this.#pieces.set(key, piece);
      this.#end += bytes;
    }
    const what = `${kind === "slice" ? "the slice" : name} of map ${map}`;
    if (piece.window.bytes !== bytes)
      throw brokenFrames(`${what} came with ${piece.window.bytes} and with ${bytes} bytes`);
    if (piece.blocks === null || piece.blocks.has(offset))
      throw brokenFrames(`${what} came twice, at offset ${offset}`);
    piece.blocks.add(offset);
    if (piece.blocks.size === Math.max(1, Math.ceil(bytes / BLOCK_BYTES))) piece.blocks = null;
    this.#write(data, piece.window.offset + offset);
  }

  /** What there is, by map, and by name. @throws SheafError MESSAGE_INVALID when something is not whole */
  pieces(): SpooledPiece[] {
    for (const { map, name, blocks, window } of this.#pieces.values()) {
      if (blocks === null) continue;
      const [came, all] = [blocks.size, Math.ceil(window.bytes / BLOCK_BYTES)];
      throw brokenFrames(
        `${name === "" ? "a slice" : name} of map ${map} is not whole: ${came} of ${all} blocks`,
      );
    }
    return [...this.#pieces.values()].sort((a, b) => a.map - b.map || (a.name < b.name ? -1 : 1));
  }

  close(): void {
    closeSync(this.fd);
  }

  #write(data: Buffer, at: number): void {
    try {
      for (let done = 0; done < data.length;)
        done += writeSync(this.fd, data, done, data.length - done, at + done);
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "write" });
    }
  }
}
