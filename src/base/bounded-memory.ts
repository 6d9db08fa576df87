import { MiB } from "./size.ts";

/*
 * Without V8's trap handler address space is taken for all that a WebAssembly memory may grow to, and some
 * clusters count that. Packages say gigabytes, or nothing, for memories of some megabytes.
 */

const PAGE_BYTES = 64 * 1024;
const MEMORY_SECTION = 5;
type Bytes = Uint8Array<ArrayBuffer>;

// Neither lib.es2023 nor @types/node declares WebAssembly.
interface WebAssemblyApi {
  instantiate(bytes: ArrayBuffer | Bytes, imports: object): Promise<unknown>;
  compile(bytes: unknown): Promise<unknown>;
  Module: new (bytes: unknown) => object;
}
const scope = globalThis as unknown as { fetch: unknown; readonly WebAssembly: WebAssemblyApi };

/**
 * Loads a package that instantiates its WebAssembly before `load` returns: its memory grows to `bytesMax` at
 * most. `fetch` is not there meanwhile: packages that find it decode their own text by it, and that takes
 * more address space than all else.
 */
export function boundedMemory<T>(bytesMax: number, load: () => T): T {
  const api = scope.WebAssembly;
  const { instantiate } = api;
  const found = Object.getOwnPropertyDescriptor(scope, "fetch");
  api.instantiate = (bytes, imports) => {
    const wasm = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
    return instantiate.call(api, withBound(wasm, bytesMax), imports);
  };
  Object.defineProperty(scope, "fetch", { value: undefined, configurable: true, writable: true });
  try {
    return load();
  } finally {
    api.instantiate = instantiate;
    if (found === undefined) Reflect.deleteProperty(scope, "fetch");
    else Object.defineProperty(scope, "fetch", found);
  }
}

/** What a parser of HTTP holds: the head of one message for each connection. */
const parserBytesMax = 16 * MiB;

/**
 * From now on the parsers of undici, that of Node's own fetch too, have small memories. For a process that
 * runs one task, before user code is there.
 */
export function boundHttpParsers(): void {
  const api = scope.WebAssembly;
  const { Module, compile } = api;
  const bounded = (given: unknown): unknown =>
    isHttpParser(given) ? withBound(given, parserBytesMax) : given;
  api.Module = new Proxy(Module, { construct: (made, [bytes]) => new made(bounded(bytes)) });
  api.compile = (bytes) => compile.call(api, bounded(bytes));
}

/** By the name of what it exports first. */
function isHttpParser(given: unknown): given is Bytes {
  return (
    given instanceof Uint8Array && given.length < MiB && Buffer.from(given.buffer).includes("llhttp_init")
  );
}

/** A module whose memory grows to `bytesMax` at most; itself where it has none, or a smaller one. */
export function withBound(wasm: Bytes, bytesMax: number): Bytes {
  const cursor = { at: 8 };
  while (cursor.at < wasm.length) {
    const from = cursor.at;
    const id = wasm[cursor.at++];
    const end = readNumber(wasm, cursor) + cursor.at;
    if (id !== MEMORY_SECTION) {
      cursor.at = end;
      continue;
    }
    const [count, flags, initial] = [
      readNumber(wasm, cursor),
      readNumber(wasm, cursor),
      readNumber(wasm, cursor),
    ];
    const declared = flags === 1 ? readNumber(wasm, cursor) : Number.POSITIVE_INFINITY;
    const maximum = Math.max(initial, Math.ceil(bytesMax / PAGE_BYTES));
    if (count !== 1 || flags > 1 || declared <= maximum) return wasm;
    const body = [1, 1, ...numberBytes(initial), ...numberBytes(maximum)];
    const section = [MEMORY_SECTION, ...numberBytes(body.length), ...body];
    return new Uint8Array([...wasm.subarray(0, from), ...section, ...wasm.subarray(end)]);
  }
  return wasm;
}

/** LEB128. */
function readNumber(bytes: Bytes, cursor: { at: number }): number {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[cursor.at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
}

function numberBytes(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) + 128);
  }
}
