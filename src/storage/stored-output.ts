import { SheafError } from "../base/errors.ts";
import { MiB } from "../base/size.ts";
import { quotePath } from "./fs-error.ts";
import { foreignIn, outputExists, replacesForeign } from "./own-output.ts";
import type { Store, StoreOutputOptions } from "./store.ts";

/** A `_SUCCESS` of a million parts. */
const MANIFEST_BYTES_MAX = 256 * MiB;

/**
 * Whether a directory of a store can become an output: nothing is there, or with `overwrite` nothing but what
 * a job has written and nobody added to, and no input.
 * @param address ends in "/"
 * @throws SheafError OUTPUT_EXISTS, OUTPUT_UNWRITABLE
 */
export async function checkFree(store: Store, address: string, options: StoreOutputOptions): Promise<void> {
  const there = await store.stat(address.slice(0, -1));
  if (there === null) return;
  if (options.overwrite !== true) throw outputExists(address);
  const kept = (options.keep ?? []).find((one) => `${one}/`.startsWith(address));
  if (kept !== undefined) {
    throw new SheafError(
      "OUTPUT_UNWRITABLE",
      `overwriting ${quotePath(address)} would remove ${quotePath(kept)}`,
      {
        hint: "Choose another output, or inputs that do not lie in this one.",
        details: { path: address },
      },
    );
  }
  const foreign =
    there === "directory"
      ? await foreignIn(
          {
            async names(below) {
              const names: { name: string; isDirectory: boolean }[] = [];
              const directory = below === "" ? address : `${address}${below}/`;
              for await (const { name, kind } of store.entries!(directory, options.step))
                names.push({ name, isDirectory: kind === "directory" });
              return names;
            },
            success: () => readText(store, `${address}_SUCCESS`),
          },
          (name) => address + name,
        )
      : "replace a file that is not the output of a job";
  if (foreign !== null) throw replacesForeign(address, foreign);
}

/** A small file of a store; null when there is none. @throws SheafError LIMIT_EXCEEDED, as Store.open */
export async function readText(store: Store, address: string): Promise<string | null> {
  const file = await store.stat(address);
  if (file === null || file === "directory") return null;
  const { bytes, version, mtimeMs } = file;
  if (bytes === null || version === null) {
    throw new SheafError("INPUT_UNREADABLE", `${quotePath(address)} cannot be read in ranges`, {
      hint: "Put it into a storage that says how large files are and when they change.",
    });
  }
  if (bytes > MANIFEST_BYTES_MAX) {
    throw new SheafError("LIMIT_EXCEEDED", `${quotePath(address)} has ${bytes} bytes`, {
      hint: `At most ${MANIFEST_BYTES_MAX} are read.`,
    });
  }
  const range = await store.open({ address, name: address, bytes, version, mtimeMs, from: 0, to: bytes });
  try {
    const text = Buffer.alloc(bytes);
    await range.read(text, 0);
    return text.toString("utf8");
  } finally {
    await range.close();
  }
}
