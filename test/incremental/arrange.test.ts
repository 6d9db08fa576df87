import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Arrangement, FileNow } from "#src/incremental/arrange.js";
import { arrange } from "#src/incremental/arrange.js";
import type { State, StateUnit } from "#src/incremental/kept-state.js";

/*
 * Against a naive job: the records of a file are its lines but those that begin with "#", as a split reads
 * them. What is kept of a unit are the lines it gave then; with names they begin with the name of their file.
 */

interface TextFile {
  readonly name: string;
  readonly text: string;
}

function linesOf({ name, text }: TextFile, start: number, end: number, named: boolean): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf("\n", at);
    const next = newline === -1 ? text.length : newline + 1;
    if (at >= start && at < end && text[at] !== "#")
      lines.push((named ? `${name}:` : "") + text.slice(at, next));
    at = next;
  }
  return lines;
}

interface Unit {
  readonly pieces: StateUnit["pieces"];
  readonly lines: readonly string[];
  readonly isKept: boolean;
}

/** Packs the pieces of the files into units as `together` says, one choice a piece. */
function unitsOf(
  files: readonly TextFile[],
  cuts: readonly number[],
  together: readonly number[],
  named: boolean,
): Unit[] {
  const pieces = files.flatMap(({ text }, file) => {
    const cut = 1 + (cuts[file % cuts.length]! % text.length);
    const bounds = cut === text.length ? [0, text.length] : [0, cut, text.length];
    return bounds.slice(1).map((end, i) => ({ file, start: bounds[i]!, end }));
  });
  const units: Unit[] = [];
  for (let at = 0; at < pieces.length;) {
    const choice = together[at % together.length]!;
    const some = pieces.slice(at, at + 1 + (choice % 3));
    const lines = some.flatMap(({ file, start, end }) => linesOf(files[file]!, start, end, named));
    units.push({ pieces: some, lines, isKept: choice !== 5 });
    at += some.length;
  }
  return units;
}

function stateOf(files: readonly TextFile[], units: readonly Unit[], named: boolean): State {
  return {
    job: { code: "", sheaf: "", node: "", partBytes: 1, params: {}, aux: {} },
    key: "",
    partitions: [1],
    bounds: [null],
    files: files.map(({ name, text }) => ({ input: 0, name, bytes: text.length, digest: text })),
    units: units.map(({ pieces, lines, isKept }) => {
      const isEmpty = pieces.some(
        ({ file, start, end }) =>
          end - start === files[file]!.text.length && linesOf(files[file]!, start, end, false).length === 0,
      );
      const stats = { recordsIn: lines.length, bytesIn: 0, emitted: 0, shuffleBytes: 0, badRecords: 0 };
      const map = {
        run: null,
        bad: null,
        parts: [],
        counters: {},
        stats,
        partitionBytes: [],
        pairs: [],
        hotKeys: [],
        emptyFiles: isEmpty ? { files: 1, names: [] } : null,
        namesMatter: named || isEmpty,
      };
      return { pieces, map: isKept ? map : null, why: isKept ? null : "no" };
    }),
  };
}

function filesNow(state: State, now: readonly TextFile[]): FileNow[] {
  return now.map(({ name, text }) => {
    const file = state.files.findLastIndex((one) => one.name === name);
    const before = state.files[file];
    const hasGrown = before !== undefined && before.bytes < text.length && text.startsWith(before.digest);
    const grownFrom = hasGrown ? { file, atEnd: before.digest.endsWith("\n"), joins: false } : null;
    return { name, bytes: text.length, digest: text, grownFrom };
  });
}

function linesBy(
  found: readonly Arrangement[],
  units: readonly Unit[],
  now: readonly TextFile[],
  named: boolean,
): string[] {
  return found.flatMap((one) =>
    one.kind === "kept" ? units[one.unit]!.lines : linesOf(now[one.file]!, one.from, one.to, named),
  );
}

/** Every byte is in one stretch, in order. */
function assertCovers(found: readonly Arrangement[], now: readonly TextFile[]): void {
  const parts = found.flatMap((one) =>
    one.kind === "kept" ? one.pieces : [{ file: one.file, start: one.from, end: one.to }],
  );
  let [file, at] = [0, 0];
  for (const part of parts) {
    assert.deepEqual({ file: part.file, start: part.start }, { file, start: at });
    assert.ok(part.end > part.start);
    [file, at] = part.end === now[file]!.text.length ? [file + 1, 0] : [file, part.end];
  }
  assert.deepEqual([file, at], [now.length, 0]);
}

const texts = fc.string({ unit: fc.constantFrom("a", "b", "#", "\n"), minLength: 1, maxLength: 9 });
const choices = fc.array(fc.nat(5), { minLength: 1, maxLength: 6 });
const change = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: "same" as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("append" as const), text: texts }) },
  fc.record({ kind: fc.constant("write" as const), text: texts }),
  fc.constant({ kind: "remove" as const }),
  fc.record({ kind: fc.constant("rename" as const), to: fc.nat(9) }),
  fc.record({ kind: fc.constant("add" as const), text: texts, name: fc.nat(9) }),
);

test("what is kept and what is mapped anew give the lines of all files, whatever has happened to them", () => {
  let kept = 0;
  fc.assert(
    fc.property(
      fc.record({
        texts: fc.array(texts, { minLength: 1, maxLength: 4 }),
        cuts: choices,
        together: choices,
        changes: fc.array(change, { minLength: 1, maxLength: 6 }),
        named: fc.boolean(),
        reverse: fc.boolean(),
      }),
      ({ texts: before, cuts, together, changes, named, reverse }) => {
        const files = before.map((text, i) => ({ name: `f${i}`, text }));
        const units = unitsOf(files, cuts, together, named);
        const state = stateOf(files, units, named);
        const now = changes.flatMap((one, i): TextFile[] => {
          const file = files[i % files.length]!;
          switch (one.kind) {
            case "same":
              return i < files.length ? [file] : [];
            case "append":
              return [{ ...file, text: file.text + one.text }];
            case "write":
              return [{ ...file, text: one.text }];
            case "remove":
              return [];
            case "rename":
              return [{ ...file, name: `f${one.to}` }];
            case "add":
              return [file, { name: `f${one.name}`, text: one.text }];
          }
        });
        if (reverse) now.reverse();
        const found = arrange(state, filesNow(state, now), { input: 0, keepBad: false });
        assertCovers(found, now);
        const expected = now.flatMap((file) => linesOf(file, 0, file.text.length, named));
        assert.deepEqual(linesBy(found, units, now, named), expected);
        kept += found.filter((one) => one.kind === "kept").length;
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(kept > 400, `only ${kept} units were kept: the test compares nothing`);
});

test("all is kept of files that are as they were, and all but the end of one that was appended to", () => {
  const files = [
    { name: "a", text: "1\n2\n3\n" },
    { name: "b", text: "4\n5\n" },
  ];
  const units = unitsOf(files, [1], [0], false);
  assert.equal(units.length, 4);
  const state = stateOf(files, units, false);
  const kinds = (now: readonly TextFile[]): string[] =>
    arrange(state, filesNow(state, now), { input: 0, keepBad: false }).map((one) =>
      one.kind === "kept" ? `kept ${one.unit}` : `${now[one.file]!.name} ${one.from}-${one.to}: ${one.why}`,
    );
  const [a, b] = [files[0]!, files[1]!];
  assert.deepEqual(kinds(files), ["kept 0", "kept 1", "kept 2", "kept 3"]);
  assert.deepEqual(kinds([b]), ["kept 2", "kept 3"]);
  assert.deepEqual(kinds([{ ...a, text: `${a.text}x\n` }, b]), [
    "kept 0",
    "kept 1",
    "a 6-8: it was appended to",
    "kept 2",
    "kept 3",
  ]);
  assert.deepEqual(kinds([{ ...a, text: "9\n2\n3\n" }, b]), [
    "a 0-6: its content has changed",
    "kept 2",
    "kept 3",
  ]);
  assert.deepEqual(kinds([a, { name: "aa", text: "7\n" }, { ...b, name: "c" }]), [
    "kept 0",
    "kept 1",
    "aa 0-2: it is new",
    "kept 2",
    "kept 3",
  ]);
});

test("a line that goes on in what was appended is not taken from what is kept", () => {
  const files = [{ name: "a", text: "1\n2\n3" }];
  const state = stateOf(files, unitsOf(files, [3], [0], false), false);
  const now = [{ name: "a", text: "1\n2\n34\n" }];
  const found = arrange(state, filesNow(state, now), { input: 0, keepBad: false });
  assert.deepEqual(
    found.map((one) => (one.kind === "kept" ? one.unit : [one.from, one.to])),
    [0, [4, 7]],
  );
});
