import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { STATUS_DONE, STATUS_NEED_JS, STATUS_OUT_FULL } from "#src/kernel/layout.js";
import { Bench, KINDS, encodeRecord, latin1 } from "./support.ts";
import type { KeyValue } from "./support.ts";

type Format = "formatText" | "formatTsv";

/** The text of the records; what is left to JavaScript as "<JS>\n". */
function print(bench: Bench, format: Format, records: readonly KeyValue[], window: number): string {
  bench.reset();
  const ctl = bench.ctl();
  const out = bench.alloc(4096);
  const bytes = Buffer.concat(records.map(encodeRecord));
  let at = bench.put(bytes, 7);
  const end = at + bytes.length;
  let text = "";
  let size = window;
  let byJs = 0;
  for (;;) {
    bench.heap.u8.fill(7, out, out + size + 32);
    const status = bench.kernels[format](at, end, out, out + size, ctl);
    const { position, detail, out: outEnd } = bench.readCtl(ctl);
    assert.ok(
      bench.bytes(outEnd, out + size + 32).every((byte) => byte === 7),
      "nothing written behind",
    );
    text += Buffer.from(bench.bytes(out, outEnd)).toString("latin1");
    at = position;
    if (status === STATUS_OUT_FULL) {
      assert.ok(detail > out + size - outEnd, "it would have fitted");
      size = Math.max(window, detail);
    } else if (status === STATUS_NEED_JS) {
      text += "<JS>\n";
      byJs++;
      at += encodeRecord(records[bench.readCtl(ctl).records + byJs - 1]!).length;
    } else {
      assert.equal(status, STATUS_DONE);
      assert.equal(bench.readCtl(ctl).records + byJs, records.length);
      return text;
    }
  }
}

const bytesOf = (...row: number[]): Uint8Array => new Uint8Array(new Float64Array(row).buffer);
const none = new Uint8Array(0);

for (const kind of KINDS) {
  test(`${kind}: formatTsv prints integers and leaves the rest to JavaScript`, () => {
    const bench = new Bench(kind);
    const key = latin1("Pkey");
    const cases: readonly (readonly [Uint8Array, string])[] = [
      [bytesOf(0), "key\t0\n"],
      [bytesOf(7), "key\t7\n"],
      [bytesOf(10), "key\t10\n"],
      [bytesOf(-123), "key\t-123\n"],
      [bytesOf(4294967295), "key\t4294967295\n"],
      [bytesOf(4294967296), "key\t4294967296\n"],
      [bytesOf(Number.MAX_SAFE_INTEGER), "key\t9007199254740991\n"],
      [bytesOf(-Number.MAX_SAFE_INTEGER), "key\t-9007199254740991\n"],
      [bytesOf(2 ** 53), "<JS>\n"],
      [bytesOf(-0), "<JS>\n"],
      [bytesOf(1.5), "<JS>\n"],
      [bytesOf(Infinity), "<JS>\n"],
      [bytesOf(Number.NaN), "<JS>\n"],
      [bytesOf(5, 0, 0, 0, 0), "key\t5\n"],
      [bytesOf(5, 0, 0, 0, -Infinity), "key\t5\n"],
      [bytesOf(5, 0, 0, 0, 1), "<JS>\n"],
      [bytesOf(5, 1e-9, 0, 0, 0), "<JS>\n"],
      [bytesOf(5, 0, 1, 0, 0), "<JS>\n"],
      [bytesOf(5, 0, 0, 1e-99, 0), "<JS>\n"],
      [bytesOf(5, 0), "<JS>\n"],
      [bytesOf(5, 0, 0), "<JS>\n"],
      [none, "key\n"],
      [Uint8Array.of(0), "key\n"],
      [Uint8Array.of(1), "<JS>\n"],
      [Uint8Array.of(4), "<JS>\n"],
    ];
    for (const [value, text] of cases) assert.equal(print(bench, "formatTsv", [{ key, value }], 64), text);
    for (const special of ["\t", "\n", "\r", "\\"]) {
      for (const before of [0, 15, 16, 40]) {
        const odd = latin1(`P${"x".repeat(before)}${special}y`);
        assert.equal(print(bench, "formatTsv", [{ key: odd, value: bytesOf(1) }], 64), "<JS>\n");
      }
    }
    assert.equal(print(bench, "formatTsv", [{ key: latin1("0key"), value: bytesOf(1) }], 64), "<JS>\n");
    assert.equal(print(bench, "formatTsv", [{ key: latin1("P"), value: bytesOf(1) }], 64), "\t1\n");
  });

  test(`${kind}: formatText prints keys that have no value`, () => {
    const bench = new Bench(kind);
    const values = [none, Uint8Array.of(0), Uint8Array.of(1)];
    for (const value of values) {
      assert.equal(print(bench, "formatText", [{ key: latin1("Pa\tb\\"), value }], 64), "a\tb\\\n");
    }
    for (const value of [Uint8Array.of(2), bytesOf(1)]) {
      assert.equal(print(bench, "formatText", [{ key: latin1("Pa"), value }], 64), "<JS>\n");
    }
  });

  test(`${kind}: prints any records through any window`, () => {
    const bench = new Bench(kind);
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const format = seed % 2 === 0 ? "formatTsv" : "formatText";
      const records = Array.from({ length: random.below(20) }, () => {
        const n = Math.floor(random.next() * 10 ** random.below(16));
        const length = random.below(4) === 0 ? random.below(200) : random.below(20);
        return {
          key: latin1(`P${"k".repeat(length)}`),
          value:
            format === "formatText" ? none : random.below(2) === 0 ? bytesOf(n) : bytesOf(-n - 1, 0, 0, 0, 0),
        };
      });
      const want = records.map(({ key, value }) => {
        const row = new Float64Array(value.slice().buffer);
        return `${Buffer.from(key.slice(1)).toString("latin1")}${row.length > 0 ? `\t${row[0]}` : ""}\n`;
      });
      assert.equal(print(bench, format, records, 1 + random.below(500)), want.join(""), `seed ${seed}`);
    }
  });
}
