// Input data: generated once, kept in the data directory under a name that says all about it.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

export class Data {
  constructor(directory, log) {
    this.directory = directory;
    this.log = log;
    mkdirSync(directory, { recursive: true });
  }

  path(name) {
    return join(this.directory, name);
  }

  /** Path of a file of `request` ({seed, bytes?, records?, options?}) from the generator `kind`. */
  async generated(kind, request) {
    const { generators } = await import("../../modules/generate/index.js");
    const options = Object.entries(request.options ?? {}).map(([name, value]) => `${name}-${value}`);
    const size = request.records === undefined ? `${request.bytes}b` : `${request.records}r`;
    const path = this.path(["in", kind, size, ...options, `seed-${request.seed}`].join("-"));
    return this.#make(path, function* () {
      yield* generators.find((one) => one.kind === kind).write(request);
    });
  }

  /** Path of a file of at least `bytes` bytes made by repeating the file at `source` (whole copies). */
  async repeated(source, bytes) {
    const text = readFileSync(source);
    const name = source.replaceAll(/[^A-Za-z0-9.]+/g, "_");
    return this.#make(this.path(`in-${name}-${bytes}b`), function* () {
      for (let written = 0; written < bytes; written += text.length) yield text;
    });
  }

  #make(path, chunks) {
    if (existsSync(path)) return path;
    this.log(`making ${path}`);
    const file = openSync(`${path}.part`, "w");
    for (const chunk of chunks()) for (let at = 0; at < chunk.length;) at += writeSync(file, chunk, at);
    closeSync(file);
    renameSync(`${path}.part`, path);
    return path;
  }
}
