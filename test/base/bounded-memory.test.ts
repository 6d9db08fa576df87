import assert from "node:assert/strict";
import { test } from "node:test";
import { boundedMemory, withBound } from "#src/base/bounded-memory.js";
import { MiB } from "#src/base/size.js";

interface Api {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => {
    readonly exports: { readonly memory: { grow(pages: number): number } };
  };
  instantiate(bytes: Uint8Array): Promise<unknown>;
}
const { WebAssembly: api } = globalThis as unknown as { readonly WebAssembly: Api };

/** A module that only exports a memory; its section of custom text makes offsets of two bytes. */
function moduleOf(limits: readonly number[], text = ""): Uint8Array<ArrayBuffer> {
  const custom = text === "" ? [] : [0, ...leb(text.length + 2), 1, 120, ...Buffer.from(text)];
  const memory = [5, limits.length + 1, 1, ...limits];
  const name = [...Buffer.from("memory")];
  return new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...custom, ...memory, 7, 10, 1, 6, ...name, 2, 0]);
}

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, value >> 7];
}

/** Pages that the memory takes at most. */
function grows(bytes: Uint8Array): number {
  const { memory } = new api.Instance(new api.Module(bytes)).exports;
  let pages = 1;
  for (let step = 1_024; step >= 1; step /= 2) {
    for (;;) {
      try {
        memory.grow(step);
      } catch {
        break;
      }
      pages += step;
      if (pages > 4_096) return Number.POSITIVE_INFINITY;
    }
  }
  return pages;
}

test("a memory without a maximum, or with a large one, gets a small one; a smaller one stays", () => {
  const bound = (wasm: Uint8Array<ArrayBuffer>): Uint8Array => withBound(wasm, 16 * MiB);
  for (const text of ["", "x".repeat(300)]) {
    assert.equal(grows(moduleOf([0, 1], text)), Number.POSITIVE_INFINITY);
    assert.equal(grows(bound(moduleOf([0, 1], text))), 256);
    assert.equal(grows(bound(moduleOf([1, 1, 128, 128, 2], text))), 256);
    const small = moduleOf([1, 1, 100], text);
    assert.equal(bound(small), small);
    assert.equal(grows(small), 100);
  }
  const none = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
  assert.equal(bound(none), none);
  // It has to hold what it begins with.
  assert.doesNotThrow(() => new api.Instance(new api.Module(bound(moduleOf([0, 128, 8])))));
});

test("what is loaded meanwhile is bounded and finds no fetch; all is as it was afterwards", async () => {
  const { instantiate } = api;
  const { fetch } = globalThis;
  const loaded = boundedMemory(MiB, () => {
    assert.equal(typeof globalThis.fetch, "undefined");
    return api.instantiate(moduleOf([0, 1]));
  });
  assert.ok(await loaded);
  assert.throws(
    () =>
      boundedMemory(MiB, () => {
        throw new Error("no");
      }),
    /no/,
  );
  assert.equal(api.instantiate, instantiate);
  assert.equal(globalThis.fetch, fetch);
});
