import { readFileSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import type { KernelKind, LinearMemory } from "./kernels.ts";
import type { Heap } from "./kernels.ts";
import type { Kernels } from "./kernels.ts";
import { HEAP_SLACK, HEAP_START, PAGE_BYTES } from "./layout.ts";
import { typescriptKernels } from "./typescript/index.ts";

export interface HeapOptions {
  /** Default "wasm". */
  readonly kernels?: KernelKind;
  /** What compileKernels() returned, in this or another thread. Default: compiled here. */
  readonly module?: CompiledKernels;
  /** The memory never grows beyond so much. Default: what 32-bit addresses reach. */
  readonly maximumBytes?: number;
}

/** A WebAssembly.Module. Can be posted to worker threads. */
export type CompiledKernels = object & { readonly compiledKernels?: never };

interface WebAssemblyApi {
  readonly Memory: new (limits: { initial: number; maximum: number }) => LinearMemory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => CompiledKernels;
  readonly Instance: new (
    module: CompiledKernels,
    imports: { env: { memory: LinearMemory } },
  ) => { readonly exports: Record<keyof Kernels, (...args: number[]) => number> };
}

// Neither lib.es2023 nor @types/node declares WebAssembly.
const { WebAssembly: webAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyApi };

/** All that 32-bit addresses reach. */
const PAGES_MAX = 2 ** 16;

/** Compiles the WebAssembly kernels (about 2 ms), for HeapOptions.module. */
function compileKernels(): CompiledKernels {
  return new webAssembly.Module(readFileSync(new URL("kernel/kernels.wasm", builtUrl)));
}

/**
 * A heap with at least `bytes` for the caller. The operating system provides the memory as it is touched,
 * so ask for the whole budget at once.
 * @throws SheafError OUT_OF_MEMORY when the address space is not to be had
 */
export function createHeap(bytes: number, options: HeapOptions = {}): Heap {
  const pages = Math.ceil((HEAP_START + bytes + HEAP_SLACK) / PAGE_BYTES);
  const maximum = Math.min(
    PAGES_MAX,
    Math.max(pages, Math.ceil((options.maximumBytes ?? Infinity) / PAGE_BYTES)),
  );
  let memory: LinearMemory;
  try {
    // Without the trap handler V8 reserves address space for all that it may become: as is told, or 4 GiB.
    memory = new webAssembly.Memory({ initial: pages, maximum });
  } catch (cause) {
    throw outOfMemory(bytes, cause);
  }
  const kind = options.kernels ?? "wasm";
  return new LinearHeap(memory, kind, options.module, maximum < PAGES_MAX);
}

class LinearHeap implements Heap {
  readonly memory: LinearMemory;
  readonly kernels: Kernels;
  readonly kind: KernelKind;
  readonly start = HEAP_START;
  end!: number;
  u8!: Uint8Array<ArrayBuffer>;
  i32!: Int32Array<ArrayBuffer>;
  u32!: Uint32Array<ArrayBuffer>;
  f64!: Float64Array<ArrayBuffer>;
  view!: DataView<ArrayBuffer>;

  private readonly isBounded: boolean;

  constructor(
    memory: LinearMemory,
    kind: KernelKind,
    module: CompiledKernels | undefined,
    isBounded: boolean,
  ) {
    this.memory = memory;
    this.isBounded = isBounded;
    this.kind = kind;
    this.refresh();
    this.kernels =
      kind === "wasm" ? wasmKernels(memory, module ?? compileKernels()) : typescriptKernels(this);
  }

  grow(bytes: number): void {
    const pages = Math.ceil(bytes / PAGE_BYTES);
    try {
      this.memory.grow(pages);
    } catch (cause) {
      if (!this.isBounded) throw outOfMemory(bytes, cause);
      throw new SheafError(
        "OUT_OF_MEMORY",
        `a record needs ${bytes} bytes more than the worker's memory may grow to`,
        {
          hint: "Raise --memory: what does not fit into it may take half a gigabyte more, no matter what it is.",
          cause,
        },
      );
    }
    this.refresh();
  }

  private refresh(): void {
    const { buffer } = this.memory;
    this.end = buffer.byteLength - HEAP_SLACK;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }
}

/** WebAssembly returns i32: what is an address, a hash or an index is made unsigned. */
function wasmKernels(memory: LinearMemory, module: CompiledKernels): Kernels {
  const e = new webAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
  return {
    hashKey: (key, len) => e.hashKey(key, len) >>> 0,
    tableReset: e.tableReset,
    tableGrow: e.tableGrow,
    tableUpsert: (table, key, len) => e.tableUpsert(table, key, len) >>> 0,
    scanWords: e.scanWords,
    scanColumns: e.scanColumns,
    appendLines: e.appendLines,
    makeEntries: (start, top, entries, skip, partitions) =>
      e.makeEntries(start, top, entries, skip, partitions) >>> 0,
    sortEntries: (entries, tmp, n, skip) => e.sortEntries(entries, tmp, n, skip) >>> 0,
    gather: (entries, from, to, out, outEnd, ctl) => e.gather(entries, from, to, out, outEnd, ctl) >>> 0,
    mergeStart: e.mergeStart,
    mergeRun: e.mergeRun,
    formatText: e.formatText,
    formatTsv: e.formatTsv,
    utf8Valid: e.utf8Valid,
  };
}

function outOfMemory(bytes: number, cause: unknown): SheafError {
  return new SheafError("OUT_OF_MEMORY", `cannot reserve ${bytes} bytes of memory for a worker`, {
    hint: "Lower --memory or --workers, or raise the address space limit (ulimit -v).",
    cause,
  });
}
