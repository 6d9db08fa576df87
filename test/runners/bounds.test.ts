import assert from "node:assert/strict";
import { test } from "node:test";
import { settings } from "#src/base/limits.js";
import { runFlags } from "#src/cli/command/run/flags.js";
import type { Flag } from "#src/cli/flag.js";
import { resolveOptions } from "#src/engine/resolve-options.js";
import { JobOptionsSchema } from "#src/protocol/submission.js";

interface Bounds {
  readonly minimum?: number;
  readonly maximum?: number;
}

/** A field of a submission's options; of one that may be null the other form. */
function fieldOf(name: string): Bounds {
  const field = (JobOptionsSchema.properties as Readonly<Record<string, unknown>>)[name] as Bounds & {
    readonly anyOf?: readonly Bounds[];
  };
  return field.anyOf?.[0] ?? field;
}

/** A setting, its flag, its option where runs here have it, its field of a submission where it is in one. */
const cases: readonly [
  setting: { readonly min: number; readonly max: number },
  flag: Flag<unknown>,
  option: string | null,
  field: string | null,
][] = [
  [settings.attempts, runFlags.attempts, "attempts", "attempts"],
  [settings.mappers, runFlags.mappers, "mappers", "mappers"],
  [settings.workers, runFlags.workers, "workers", null],
  [settings.partitions, runFlags.partitions, null, null],
  [settings.cores, runFlags.cores, null, "cores"],
  [settings.priority, runFlags.priority, null, "priority"],
];

test("flag, option and submission have the bounds of the table", () => {
  for (const [{ min, max }, flag, option, field] of cases) {
    const inside = [min, max];
    const outside = [min - 1, max + 1];
    for (const value of inside) flag.bind([String(value)]);
    for (const value of outside)
      assert.throws(() => flag.bind([String(value)]), { code: "USAGE" }, `--${flag.name}`);
    if (field !== null) {
      const { minimum, maximum } = fieldOf(field);
      assert.deepEqual([minimum, maximum], [min, max], field);
    }
    if (option === null) continue;
    for (const value of inside) resolveOptions({ [option]: value }, "thread");
    for (const value of outside)
      assert.throws(() => resolveOptions({ [option]: value }, "thread"), { code: "USAGE" }, option);
  }
});

test("the least memory and heap are the same for all three", () => {
  for (const [{ min }, flag, option, field] of [
    [settings.memoryBytes, runFlags.memory, "memory", "memoryBytes"],
    [settings.heapBytes, runFlags.heap, "heap", "heapBytes"],
    [settings.partBytes, runFlags.partSize, "partBytes", "partBytes"],
  ] as const) {
    flag.bind([String(min)]);
    resolveOptions({ [option]: min }, "thread");
    assert.throws(() => flag.bind([String(min - 1)]), { code: "USAGE" }, `--${flag.name}`);
    assert.throws(() => resolveOptions({ [option]: min - 1 }, "thread"), { code: "USAGE" }, option);
    assert.equal(fieldOf(field).minimum, min, field);
  }
});
