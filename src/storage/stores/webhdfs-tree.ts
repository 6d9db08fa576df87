import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { SheafError } from "../../base/errors.ts";
import { asSheafError, quotePath } from "../fs-error.ts";
import type { StoreStep } from "../store.ts";
import type { RenamingTree, TreeEntry } from "./renamed-output.ts";
import type { UploadBody, WebHdfsClient } from "./webhdfs-client.ts";
import type { HdfsTarget } from "./webhdfs-path.ts";
import { hdfsListing, hdfsStatus, type HdfsStatus, hdfsVersion } from "./webhdfs-status.ts";

/** The files of a file system as an output is made of them. */
export class HdfsTree implements RenamingTree {
  readonly #client: WebHdfsClient;
  readonly #at: (path: string) => HdfsTarget;

  constructor(client: WebHdfsClient, at: (path: string) => HdfsTarget) {
    this.#client = client;
    this.#at = at;
  }

  async stat(path: string): Promise<TreeEntry | null> {
    const status = await hdfsStatus(this.#client, this.#at(path), "write");
    return status === null ? null : treeEntry(status);
  }

  async *list(path: string, step: StoreStep): AsyncIterable<{ name: string } & TreeEntry> {
    for await (const status of hdfsListing(this.#client, this.#at(path), step, "write"))
      yield { name: status.pathSuffix, ...treeEntry(status) };
  }

  async makeDirectory(path: string): Promise<void> {
    const target = this.#at(path);
    const answer = await this.#client.ask("PUT", "MKDIRS", target, "write");
    if (answer !== null && !isFalse(answer)) return;
    throw new SheafError("OUTPUT_UNWRITABLE", `cannot create ${quotePath(target.address)}`, {
      hint: "A part of the path is a file. Choose another output.",
      details: { path: target.address },
    });
  }

  async write(path: string, source: string | Uint8Array, step: StoreStep): Promise<void> {
    const target = this.#at(path);
    const body = typeof source === "string" ? await fileBody(source, step) : bytesBody(source);
    await this.#client.create(target, body);
    const { address } = target;
    const there = await this.stat(path);
    if (there?.kind === "file" && there.bytes === body.bytes) return;
    const has = there?.kind === "file" ? `has ${there.bytes} bytes of ${body.bytes}` : "is not there";
    throw new SheafError("OUTPUT_UNWRITABLE", `${quotePath(address)} was written, and ${has}`, {
      hint: "Leave alone what lies beside an output while its job runs, and run again.",
      retryable: true,
      details: { path: address },
    });
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#at(from);
    const answer = await this.#client.ask("PUT", "RENAME", source, "rename", {
      destination: to,
      // With it a server tells why it does not; HttpFS does not know it and answers false.
      renameoptions: "NONE",
    });
    if (answer !== null && !isFalse(answer)) return;
    const message = `cannot rename ${quotePath(source.address)} to ${quotePath(to)}: one of them is not there`;
    throw new SheafError("OUTPUT_UNWRITABLE", message, {
      hint: "Leave alone what lies beside an output while its job runs, and run again.",
      details: { path: source.address },
    });
  }

  async remove(path: string): Promise<void> {
    await this.#client.ask("DELETE", "DELETE", this.#at(path), "remove", { recursive: "true" });
  }
}

function treeEntry(status: HdfsStatus): TreeEntry {
  return status.type === "DIRECTORY"
    ? { kind: "directory", id: String(status.fileId ?? status.modificationTime) }
    : { kind: "file", bytes: status.length, id: hdfsVersion(status) };
}

function isFalse(answer: object): boolean {
  return "boolean" in answer && answer.boolean === false;
}

function bytesBody(bytes: Uint8Array): UploadBody {
  return { bytes: bytes.length, open: () => bytes, failure: null };
}

async function fileBody(path: string, step: StoreStep): Promise<UploadBody> {
  const { size } = await stat(path).catch((error: unknown) => {
    throw asSheafError(error, { path, doing: "read" });
  });
  const body: UploadBody = { bytes: size, open: () => Readable.from(chunks()), failure: null };
  async function* chunks(): AsyncIterable<Buffer> {
    try {
      for await (const chunk of createReadStream(path)) {
        step?.();
        yield chunk as Buffer;
      }
    } catch (error) {
      body.failure =
        error instanceof Error && "errno" in error ? asSheafError(error, { path, doing: "read" }) : error;
      throw body.failure;
    }
  }
  return body;
}
