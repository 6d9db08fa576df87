import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import {
  ARENA_COUNT,
  ARENA_START,
  ARENA_TOP,
  FLAG_FINAL,
  FLAG_HASH,
  FLAG_VALIDATE,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_INVALID,
} from "#src/kernel/layout.js";
import { hashBytes } from "#src/kernel/typescript/hash.js";
import { Bench, KINDS, latin1 } from "./support.ts";

interface Append {
  readonly bytes: Uint8Array;
  readonly window: number;
  readonly arena: number;
  readonly flags: number;
}

/** Lines in latin1; the invalid ones as "!" and their text. */
function append(bench: Bench, a: Append): string[] {
  bench.reset();
  const arena = bench.arena(a.arena);
  const ctl = bench.ctl();
  const text = bench.put(a.bytes, 3);
  const end = text + a.bytes.length;
  const lines: string[] = [];
  let invalid = 0;
  const drain = (): void => {
    const cells = bench.cells(bench.get32(arena + ARENA_START), bench.get32(arena + ARENA_TOP));
    assert.equal(cells.length, bench.get32(arena + ARENA_COUNT));
    for (const cell of cells) {
      assert.equal(cell.key[0], "P");
      assert.equal(cell.value.length, 0);
      assert.equal(
        cell.hash,
        (a.flags & FLAG_HASH) !== 0 ? hashBytes(latin1(cell.key), 0, cell.key.length) : 0,
      );
      lines.push(cell.key.slice(1));
    }
    bench.set32(arena + ARENA_TOP, bench.get32(arena + ARENA_START));
    bench.set32(arena + ARENA_COUNT, 0);
  };
  let at = text;
  let window = a.window;
  while (at < end) {
    const stop = Math.min(at + window, end);
    const status = bench.kernels.appendLines(arena, ctl, at, stop, a.flags | (stop === end ? FLAG_FINAL : 0));
    const { position, detail } = bench.readCtl(ctl);
    window = status === STATUS_DONE && position === at ? window + a.window : a.window;
    at = position;
    if (status === STATUS_FULL) {
      assert.ok(bench.get32(arena + ARENA_COUNT) > 0);
      drain();
    } else if (status === STATUS_INVALID) {
      drain();
      const newline = bench.heap.u8.indexOf(10, at);
      const ended = newline !== -1 && newline < end;
      const line = bench.bytes(at, ended ? newline : end);
      const good = detail - at;
      assert.ok(isUtf8(line.subarray(0, good)) && !isUtf8(line), "detail is the first wrong byte");
      const shown = Buffer.from(line).toString("latin1");
      lines.push(`!${ended ? shown.replace(/\r$/, "") : shown}`);
      invalid++;
      at += line.length + 1;
    } else assert.equal(status, STATUS_DONE);
  }
  drain();
  assert.equal(bench.readCtl(ctl).records + invalid, lines.length);
  return lines;
}

function naive({ bytes, flags }: Append): string[] {
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  const last = lines.pop()!;
  const ended = lines.map((line) => line.replace(/\r$/, ""));
  return [...ended, ...(last === "" ? [] : [last])].map((line) => {
    return (flags & FLAG_VALIDATE) !== 0 && !isUtf8(latin1(line)) ? `!${line}` : line;
  });
}

for (const kind of KINDS) {
  test(`${kind}: appends the lines of every short text`, () => {
    const bench = new Bench(kind);
    const alphabet = ["a", "\n", "\r", "\xc3", "\xa9"];
    for (let length = 0; length <= 4; length++) {
      for (let code = 0; code < alphabet.length ** length; code++) {
        const letters = Array.from(
          { length },
          (_, i) => alphabet[Math.floor(code / alphabet.length ** i) % 5]!,
        );
        for (const flags of [0, FLAG_VALIDATE]) {
          const a = { bytes: latin1(letters.join("")), window: 100, arena: 1024, flags };
          assert.deepEqual(append(bench, a), naive(a), JSON.stringify(letters.join("")));
        }
      }
    }
  });

  test(`${kind}: appends lines of any length, window and arena`, () => {
    const bench = new Bench(kind);
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      let text = "";
      for (let i = random.below(60); i > 0; i--) {
        const length = random.below(2) * random.below(100);
        for (let j = 0; j < length; j++)
          text += random.below(20) === 0 ? "\xc3\xa9" : "line of text!"[j % 13];
        if (random.below(20) === 0) text += "\xc3";
        text += ["\n", "\r\n", "\n\n"][random.below(3)];
      }
      if (random.below(2) === 0) text += "no end";
      const a = {
        bytes: latin1(text),
        window: 1 + random.below(300),
        arena: 300 + random.below(3000),
        flags: [0, FLAG_HASH, FLAG_VALIDATE, FLAG_HASH | FLAG_VALIDATE][seed % 4]!,
      };
      assert.deepEqual(append(bench, a), naive(a), `seed ${seed}`);
    }
  });

  test(`${kind}: utf8Valid agrees with isUtf8`, () => {
    const bench = new Bench(kind);
    const bytes = [
      0x00, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0,
      0xf4, 0xf5,
    ];
    const at = bench.alloc(64);
    for (const lead of bytes) {
      for (const second of bytes) {
        for (const third of bytes) {
          const four = [lead, second, third, 0x80];
          for (const length of [1, 2, 3, 4]) {
            for (const before of [0, 15]) {
              const text = Uint8Array.from([...new Uint8Array(before).fill(65), ...four.slice(0, length)]);
              bench.heap.u8.set(text, at);
              assert.equal(bench.kernels.utf8Valid(at, text.length), Number(isUtf8(text)), text.join(" "));
            }
          }
        }
      }
    }
  });
}
