import fc from "fast-check";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { rawRecord, rawText, typedLength, typedText } from "#src/format/typed-bytes.js";
import { exec } from "#src/index.js";
import { execOf } from "#src/job/exec.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import { pairReader } from "#src/task/exec-pairs.js";
import { sheafHere } from "../cli/support.js";

const root = mkdtempSync(join(tmpdir(), "sheaf-stream-io-test-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Typed bytes as the package's description has them, and what a job of such programs comes to. */
writeFileSync(
  join(root, "typed.py"),
  `
import struct, sys
from itertools import groupby

def encode(value):
    if isinstance(value, bool): return struct.pack(">bb", 2, value)
    if isinstance(value, int):
        return struct.pack(">bi", 3, value) if -2**31 <= value < 2**31 else struct.pack(">bq", 4, value)
    if isinstance(value, float): return struct.pack(">bd", 6, value)
    if isinstance(value, bytes): return struct.pack(">bi", 0, len(value)) + value
    if isinstance(value, str): return struct.pack(">bi", 7, len(value.encode())) + value.encode()
    if isinstance(value, tuple): return struct.pack(">bi", 8, len(value)) + b"".join(map(encode, value))
    if isinstance(value, list): return b"\\x09" + b"".join(map(encode, value)) + b"\\xff"
    return struct.pack(">bi", 10, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())

def decode(file):
    code = file.read(1)
    if code in (b"", b"\\xff"): return None
    take = lambda form: struct.unpack(form, file.read(struct.calcsize(form)))[0]
    code = code[0]
    if code == 2: return take(">b") != 0
    if code in (3, 4, 6): return take({3: ">i", 4: ">q", 6: ">d"}[code])
    if code == 0: return file.read(take(">i"))
    if code == 7: return file.read(take(">i")).decode()
    if code == 8: return tuple(decode(file) for _ in range(take(">i")))
    if code == 9: return list(iter(lambda: decode(file), None))
    return {decode(file): decode(file) for _ in range(take(">i"))}

def pairs(file):
    while True:
        key = decode(file)
        if key is None: return
        yield key, decode(file)

def keys_of(offset, line):
    for at, word in enumerate(line.split(" ")):
        kinds = [word, len(word), [word, at], (offset > 100, word), {word: 1.5}, word.encode()]
        yield kinds[at] if at < len(kinds) else 2**40 + at, 1

def total(key, ones):
    return key, sum(ones) * 10**10

def write(out, key, value):
    out.write(encode(key) + encode(value))
`,
);
writeFileSync(
  join(root, "map.py"),
  `import sys, typed
for offset, line in typed.pairs(sys.stdin.buffer):
    for key, one in typed.keys_of(offset, line): typed.write(sys.stdout.buffer, key, one)
`,
);
writeFileSync(
  join(root, "reduce.py"),
  `import sys, typed
for key, group in typed.groupby(typed.pairs(sys.stdin.buffer), lambda pair: typed.encode(pair[0])):
    group = list(group)
    typed.write(sys.stdout.buffer, *typed.total(group[0][0], (value for _, value in group)))
`,
);
writeFileSync(
  join(root, "oracle.py"),
  `import sys, typed
offset, found = 0, {}
for line in open("in.txt", "rb"):
    for key, one in typed.keys_of(offset, line.rstrip(b"\\n").decode()):
        found.setdefault(typed.encode(key), []).append((key, one))
    offset += len(line)
def shown(value):
    if isinstance(value, bool): return str(value).lower()
    if isinstance(value, bytes): return value.hex()
    if isinstance(value, (list, tuple)): return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict): return "{" + ", ".join(shown(k) + "=" + shown(v) for k, v in value.items()) + "}"
    return str(value)
for raw in sorted(found):
    key, sum_ = typed.total(found[raw][0][0], (one for _, one in found[raw]))
    print(shown(key) + "\\t" + shown(sum_))
`,
);
const words = ["a", "bé", "cc", "a b", "dd ee a", "x x x x x x x x", "bé cc a dd ee ff gg"];
mkdirSync(join(root, "out"), { recursive: true });
writeFileSync(
  join(root, "in.txt"),
  Array.from({ length: 60 }, (_, i) => `${words[(i * i) % words.length]}\n`).join(""),
);

async function stream(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const given = [
    "stream",
    "-q",
    "-input",
    "in.txt",
    "-file",
    "typed.py",
    ...args,
    "--inline",
    "--attempts",
    "1",
  ];
  return sheafHere(given, { cwd: root });
}

describe("-io", () => {
  test("typedbytes: two programs of Python give what a naive one does, sorted by their bytes", async () => {
    const expected = execFileSync("python3", ["oracle.py"], { cwd: root, encoding: "utf8" });
    const programs = ["-mapper", "python3 map.py", "-reducer", "python3 reduce.py"];
    const { code, stdout, stderr } = await stream("-io", "typedbytes", ...programs, "--mappers", "3");
    assert.equal(code, 0, stderr);
    assert.equal(stdout, expected);
  });

  test("single ends: typed bytes between the programs alone, and text elsewhere", async () => {
    const map = `import sys, typed
for line in sys.stdin.buffer: typed.write(sys.stdout.buffer, line.decode().split()[0], 1)
`;
    const reduce = `import sys, typed
for key, one in typed.pairs(sys.stdin.buffer): sys.stdout.buffer.write(("%s %d\\n" % (key, one)).encode())
`;
    writeFileSync(join(root, "text-map.py"), map);
    writeFileSync(join(root, "text-reduce.py"), reduce);
    const ends = ["-D", "stream.map.output=typedbytes", "-D", "stream.reduce.input=typedbytes"];
    const programs = ["-mapper", "python3 text-map.py", "-reducer", "python3 text-reduce.py"];
    const { code, stdout, stderr } = await stream(...ends, ...programs);
    assert.equal(code, 0, stderr);
    const first = Array.from({ length: 60 }, (_, i) => words[(i * i) % words.length]!.split(" ")[0]!);
    // By length first: that is what the bytes begin with.
    const sorted = first.sort(
      (a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    assert.equal(stdout, sorted.map((word) => `${word} 1\n`).join(""));
  });

  test("rawbytes: offsets and lines as Hadoop hands them over, and bytes as it prints them", async () => {
    const { code, stdout, stderr } = await stream("-io", "rawbytes", "-mapper", "cat", "-reducer", "NONE");
    assert.equal(code, 0, stderr);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(lines.length, 60);
    assert.equal(lines[0], "00 00 00 00 00 00 00 00\t01 61");
    assert.equal(lines[1], "00 00 00 00 00 00 00 02\t03 62 c3 a9");
  });

  test("what a program should not write is told", async () => {
    for (const [program, expected] of [
      ["printf '\\014'", /there is no type code 12/],
      ["echo hello", /announced a piece of 1701604468 bytes/],
      ["printf '\\007\\0\\0\\0\\005abc'", /its output ends in the middle of a piece/],
      ["printf '\\002\\001'", /its output ends with a key that has no value/],
      ["printf '\\003\\377'", /its output ends in the middle/],
      ["printf '\\010\\377\\377\\377\\377'", /a length of -1/],
    ] as const) {
      const { code, stderr } = await stream("-io", "typedbytes", "-mapper", program, "-reducer", "cat");
      assert.equal(code, 1, program);
      assert.match(stderr, expected);
    }
  });
});

describe("typed bytes", () => {
  const cases: [hex: string, text: string][] = [
    ["00 00000002 61ff", "61ff"],
    ["01 ff", "-1"],
    ["02 00", "false"],
    ["02 01", "true"],
    ["03 fffffffe", "-2"],
    ["04 7fffffffffffffff", "9223372036854775807"],
    ["05 3dcccccd", "0.1"],
    ["05 4b189680", "1.0E7"],
    ["06 3ff8000000000000", "1.5"],
    ["06 7ff0000000000000", "Infinity"],
    ["07 00000003 61c3a9", "aé"],
    ["08 00000002 0201 0700000000", "[true, ]"],
    ["09 03 00000001 09 ff ff", "[1, []]"],
    ["0a 00000002 03 0000000a 0201 03 00000009 0200", "{9=false, 10=true}"],
    ["32 00000001 00", "00"],
    ["c8 00000000", ""],
  ];
  const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

  test("have a length, which is known when they are whole, and a text", () => {
    for (const [hex, text] of cases) {
      const bytes = bytesOf(hex);
      assert.equal(typedText(bytes).toString(), text, hex);
      assert.equal(typedLength(Buffer.concat([bytes, Buffer.from([99])]), 0), bytes.length, hex);
      for (let cut = 0; cut < bytes.length; cut++)
        assert.ok(typedLength(bytes.subarray(0, cut), 0) > cut, hex);
    }
    for (const code of [11, 49, 201, 255])
      assert.throws(() => typedLength(Buffer.from([code, 0]), 0), /no type code/);
    assert.throws(() => typedLength(Buffer.alloc(5_000, 9), 0), /in one another/);
    assert.equal(rawText(Buffer.from("a\n\xff", "latin1")).toString(), "61 0a ff");
    // WritableUtils.writeVInt(200) is 8f c8; (70000) is 8d 01 11 70.
    assert.equal(
      rawRecord(1, Buffer.alloc(200)).toString("hex", 0, 18),
      `00000008${"0".repeat(15)}1000000ca8fc8`,
    );
    assert.equal(rawRecord(1, Buffer.alloc(70_000)).toString("hex", 12, 20), "000111748d011170");
  });

  test("are the same pairs, however a pipe has cut them", () => {
    const one = fc.constantFrom(...cases.map(([hex]) => bytesOf(hex)));
    const plan = execOf(exec(["x"], { protocol: "typedbytes" }))!;
    fc.assert(
      fc.property(fc.array(fc.tuple(one, one), { maxLength: 6 }), fc.array(fc.nat(200)), (pairs, cuts) => {
        const found: Buffer[] = [];
        const target = {
          emit: (key: unknown, value: unknown) => void found.push(key as Buffer, value as Buffer),
        };
        const reader = pairReader(plan, target, new TaskMemory(1 << 16), false);
        const bytes = Buffer.concat(pairs.flat());
        const places = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        places.reduce((from, to) => (void reader.take(bytes.subarray(from, to)), to), 0);
        void reader.end();
        assert.deepEqual(
          found.map((piece) => Buffer.from(piece).toString("hex")),
          pairs.flat().map((piece) => piece.toString("hex")),
        );
      }),
    );
  });
});
