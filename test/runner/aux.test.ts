import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { auxCopies, planAux } from "#src/engine/aux-files.js";
import { csv, fixedLength, job, jsonArray, jsonl, sum, table, text, tsv, wholeFile } from "#src/index.js";
import type { AnyAux } from "#src/job/aux.js";
import { AuxData, auxFiles } from "#src/task/aux.js";
import { Bench } from "./support.ts";

/** Files, and a job file that side data lies beside. */
class Side {
  readonly bench: Bench;

  constructor(t: TestContext, files: Readonly<Record<string, string | Uint8Array>> = {}) {
    this.bench = new Bench(t);
    this.bench.file("job.ts", "");
    for (const [name, content] of Object.entries(files)) this.bench.file(name, content);
  }

  /** What a worker makes of it. */
  async load(aux: AnyAux, bytesMax = 2 ** 30): Promise<Record<string, unknown>> {
    const { copies } = await planAux(auxFiles(aux), join(this.bench.root, "job.ts"), {
      bytesMax,
      share: false,
      directory: () => Promise.resolve(mkdtempSync(join(this.bench.root, "fetched-"))),
    });
    return (await new AuxData().load(aux, copies, { bytesMax })) as Record<string, unknown>;
  }

  async refuses(aux: AnyAux, code: string, message: RegExp, hint = /./, bytesMax?: number): Promise<void> {
    await assert.rejects(
      this.load(aux, bytesMax),
      (error: { code: string; message: string; hint: string }) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      },
    );
  }
}

test("rows of every kind of file become lists and Maps", async (t) => {
  const rows = 'id,name\r\n1,"Ann, \r\n B"\r\n\r\n2,Zoë\r\n';
  const side = new Side(t, {
    "c.csv": `\ufeff${rows}`,
    "latin.csv": Buffer.from("id,name\n1,Zo\xeb\n", "latin1"),
    "wide.csv": Buffer.from("\ufeffid,name\n1,Zo\u00eb\n", "utf16le"),
    "t.tsv": "a\t1\nb\t2\n",
    "l.jsonl": '{"id":1,"x":[1]}\n\n{"id":"1","x":[2]}\n',
    "a.json": '[{"id":true},\n {"id":false}]',
    "w.txt": "eins\nzwei\n\n",
    "f.bin": "aabbcc",
    "empty.csv": "",
    "header.csv": "id,name\n",
    "d/k.txt": "K",
    "d/e.txt": "E",
  });
  const loaded = await side.load({
    typed: csv("c.csv", { columns: { id: "integer", name: "string" } }).by("id"),
    texts: csv("c.csv").by("id"),
    latin: csv("latin.csv", { encoding: "latin1" }).by("id"),
    wide: csv("wide.csv", { encoding: "utf-16le" }).by("name"),
    tabs: tsv("t.tsv").by(0),
    lines: jsonl<{ id: unknown }>("l.jsonl").by((row) => row.id as number),
    array: jsonArray<{ id: boolean }>("a.json").by("id"),
    words: text("w.txt"),
    words2: text("w.txt").list(),
    bytes: table("f.bin", fixedLength(2, { invalid: "fail" })).list(),
    whole: table("d", wholeFile()).list(),
    none: csv("empty.csv").by("id"),
    none2: csv("header.csv").by("id"),
  });
  assert.deepEqual(
    loaded["typed"],
    new Map([
      [1, { id: 1, name: "Ann, \r\n B" }],
      [2, { id: 2, name: "Zoë" }],
    ]),
  );
  assert.deepEqual([...(loaded["texts"] as Map<string, unknown>).keys()], ["1", "2"]);
  assert.deepEqual(loaded["latin"], new Map([["1", { id: "1", name: "Zoë" }]]));
  assert.deepEqual(loaded["wide"], new Map([["Zoë", { id: "1", name: "Zoë" }]]));
  assert.deepEqual(
    loaded["tabs"],
    new Map([
      ["a", ["a", "1"]],
      ["b", ["b", "2"]],
    ]),
  );
  assert.deepEqual(
    loaded["lines"],
    new Map<unknown, unknown>([
      [1, { id: 1, x: [1] }],
      ["1", { id: "1", x: [2] }],
    ]),
  );
  assert.deepEqual([...(loaded["array"] as Map<boolean, unknown>).keys()], [true, false]);
  assert.deepEqual(loaded["words"], ["eins", "zwei", ""]);
  assert.deepEqual(loaded["words2"], loaded["words"]);
  assert.deepEqual(loaded["bytes"], ["aa", "bb", "cc"]);
  assert.deepEqual(loaded["whole"], ["E", "K"]);
  assert.deepEqual([loaded["none"], loaded["none2"]], [new Map(), new Map()]);
});

test("names that objects inherit are keys, columns and names like others", async (t) => {
  const names = ["constructor", "__proto__", "toString", "hasOwnProperty", "", "ﬁ", "İ"];
  const side = new Side(t, {
    "p.csv": `constructor,__proto__\n${names.map((name) => `"${name}",x`).join("\n")}\n`,
    "p.jsonl": '{"__proto__":1}\n{"constructor":2}\n',
  });
  const loaded = await side.load({
    ["__proto__"]: csv("p.csv").by("constructor"),
    constructor: csv("p.csv").by("__proto__", { duplicates: "list" }),
  });
  assert.deepEqual(Object.keys(loaded), ["__proto__", "constructor"]);
  const [byName, byProto] = Object.values(loaded) as [
    Map<string, Record<string, string>>,
    Map<string, unknown[]>,
  ];
  assert.deepEqual([...byName.keys()], names);
  assert.equal(byName.get("toString")!["constructor"], "toString");
  assert.equal(byName.get("valueOf"), undefined);
  assert.equal(byProto.get("x")!.length, names.length);
  // What a row inherits is no field of it.
  await side.refuses(
    { t: jsonl("p.jsonl").by("constructor") },
    "KEY_INVALID",
    /p\.jsonl, line 1: the row has no field "constructor"/,
  );
  await side.refuses(
    { t: jsonl("p.jsonl").by("toString") },
    "KEY_INVALID",
    /line 1: the row has no field "toString"/,
  );
});

test("duplicate keys are an error that names both lines, unless it is said which counts", async (t) => {
  const side = new Side(t, {
    "a.csv": 'id,v\n7,"one\ntwo"\n8,x\n',
    "b.csv": "id,v\n9,y\n7,z\n",
    "n.jsonl": '{"k":0,"v":1}\n{"k":-0,"v":2}\n',
  });
  const both = csv(["a.csv", "b.csv"]);
  const message = /^aux\.t: two rows have the id "7": a\.csv, line 2 and b\.csv, line 3$/;
  await side.refuses({ t: both.by("id") }, "RECORD_INVALID", message, /duplicates: "first"/);
  await side.refuses(
    { t: both.by((row) => row["id"]!.length) },
    "RECORD_INVALID",
    /the key 1: a\.csv, line 2 and a\.csv, line 4/,
  );
  await side.refuses(
    { t: jsonl("n.jsonl").by("k") },
    "RECORD_INVALID",
    /the k -?0: n\.jsonl, line 1 and n\.jsonl, line 2/,
  );
  const loaded = await side.load({
    first: both.by("id", { duplicates: "first" }),
    last: both.by("id", { duplicates: "last" }),
    list: both.by("id", { duplicates: "list" }),
  });
  const values = (name: string): unknown[] =>
    [...(loaded[name] as Map<string, { v: string } | { v: string }[]>).values()].map((row) =>
      Array.isArray(row) ? row.map(({ v }) => v) : row.v,
    );
  assert.deepEqual(values("first"), ["one\ntwo", "x", "y"]);
  assert.deepEqual(values("last"), ["z", "x", "y"]);
  assert.deepEqual(values("list"), [["one\ntwo", "z"], ["x"], ["y"]]);
});

test("a row that is wrong is told with its file and line, a key that no Map finds as well", async (t) => {
  const side = new Side(t, {
    "c.csv": "id,n\n1,2\n2,x\n",
    "c.csv.gz": gzipSync("id,n\n1,2\n2,x\n"),
    "mac.csv": "id,n\r1,2\r2,x\r",
    "short.csv": "id,n\n1,2\n3\n",
    "l.jsonl": '{"id":1}\n{"id":null}\n{"id":[1]}\n{"oid":2}\n',
    "cut.json": '[{"id":1},\n{"id":2}',
    "bad.json": '{"a":1,\n "b":}',
    "ids.json": '{"a":1234567890123456789}',
    "mark.json": '\ufeff{"a":1}',
    "x.txt": Buffer.from("Zo\xeb", "latin1"),
    "x.png": Buffer.from("\x89PNG\r\n\x1a\n0000", "latin1"),
    "odd.bin": "abc",
    "gone.csv.gz": gzipSync("id\n1\n").subarray(0, 20),
  });
  const typed = { columns: { id: "integer", n: "integer" } } as const;
  const cases: [AnyAux, string, RegExp, RegExp?][] = [
    [{ t: csv("c.csv", typed).by("id") }, "RECORD_INVALID", /^aux\.t: c\.csv, line 3: column "n": /],
    [{ t: csv("c.csv.gz", typed).list() }, "RECORD_INVALID", /^aux\.t: c\.csv\.gz, line 3: column "n": /],
    [
      { t: csv("mac.csv", { ...typed, lineEnd: "\r" }).list() },
      "RECORD_INVALID",
      /mac\.csv, line 3: column "n": /,
    ],
    [{ t: csv("short.csv").list() }, "RECORD_INVALID", /^aux\.t: short\.csv, line 3: /],
    [{ t: csv("c.csv").by("ID") }, "KEY_INVALID", /line 2: the row has no field "ID"/, /Did you mean "id"/],
    [
      { t: jsonl("l.jsonl").by("id") },
      "KEY_INVALID",
      /l\.jsonl, line 2: the field "id" is null/,
      /by identity/,
    ],
    [
      { t: jsonl<{ id: 1 }>("l.jsonl").by((row) => row.id ?? NaN) },
      "KEY_INVALID",
      /line 2: what by\(\) .* NaN/,
    ],
    [{ t: jsonl<{ id: number[] }>("l.jsonl").by((row) => row.id[0]!) }, "KEY_INVALID", /line 1: what by/],
    [
      { t: jsonl<{ id: number[] }>("l.jsonl").by((row) => row.id.at(-1)!) },
      "USER_CODE",
      /line 1: /,
      /by\(\) threw/,
    ],
    [{ t: jsonArray("cut.json").list() }, "RECORD_INVALID", /cut\.json/],
    [{ t: { file: "bad.json" } }, "RECORD_INVALID", /^aux\.t: bad\.json, line 2: /],
    [{ t: { file: "ids.json" } }, "RECORD_INVALID", /^aux\.t: ids\.json: a: the integer \d+ is beyond 2\^53/],
    [
      { t: { file: "x.txt" } },
      "RECORD_INVALID",
      /^aux\.t: x\.txt:0: byte 2 .*not valid UTF-8/,
      /as: "bytes"/,
    ],
    [
      { t: { file: "x.png", as: "text" } },
      "INPUT_UNREADABLE",
      /^aux\.t: x\.png is a PNG image/,
      /as: "bytes"/,
    ],
    [{ t: table("odd.bin", fixedLength(2)).list() }, "RECORD_INVALID", /odd\.bin/],
    [{ t: csv("gone.csv.gz").list() }, "INPUT_CORRUPT", /gone\.csv\.gz/],
    [
      { t: csv("none.csv").list() },
      "INPUT_MISSING",
      /^aux\.t: no such input: none\.csv/,
      /relative to the job file/,
    ],
    [{ t: csv("*.tsv").list() }, "INPUT_MISSING", /^aux\.t: no file matches \*\.tsv/],
    [{ t: { file: "." } }, "INPUT_MISSING", /it is a directory/],
    [
      { t: csv("zz://bucket/c.csv").list() },
      "USAGE",
      /^aux\.t: .*zz:\/\/bucket\/c\.csv is an address/,
      /Fetch it/,
    ],
    [{ t: { file: "zz://host/c.json" } }, "USAGE", /^aux\.t: .*zz:\/\/host\/c\.json is an address/],
  ];
  for (const [aux, code, message, hint] of cases) await side.refuses(aux, code, message, hint);
  assert.deepEqual(await side.load({ t: { file: "mark.json" } }), { t: { a: 1 } });
});

test("files are texts, JSON, bytes or paths; several are told apart by their paths", async (t) => {
  const gz = gzipSync('{"x":1}');
  const side = new Side(t, {
    "a.json": "\ufeff[1]",
    "b.JSON.gz": gz,
    "c.txt": "\ufeffone\r\ntwo",
    "empty.txt": "",
    "u/x.txt": "ux",
    "v/x.txt": "vx",
    "v/żółć 日本.txt": "uni",
    "v/.hidden": "no",
  });
  const loaded = await side.load({
    json: { file: "a.json" },
    packed: { file: "b.JSON.gz" },
    text: { file: "./c.txt" },
    asText: { file: "a.json", as: "text" },
    raw: { file: "b.JSON.gz", as: "bytes" },
    path: { file: "c.txt", as: "path" },
    empty: { file: "empty.txt" },
    several: { files: ["u", "v/*.txt", "u/x.txt"] },
    paths: { files: "u", as: "path" },
    value: { files: 3 },
  });
  const { root } = side.bench;
  assert.deepEqual(loaded, {
    json: [1],
    packed: { x: 1 },
    text: "one\r\ntwo",
    asText: "[1]",
    raw: new Uint8Array(gz),
    path: join(root, "c.txt"),
    empty: "",
    several: new Map([
      ["u/x.txt", "ux"],
      ["v/x.txt", "vx"],
      ["v/żółć 日本.txt", "uni"],
    ]),
    paths: new Map([["u/x.txt", join(root, "u/x.txt")]]),
    value: { files: 3 },
  });
});

test("sent to another machine, files of one content stay files of their own, and a directory may be empty", async (t) => {
  const side = new Side(t, { "lists/a.csv": "id\n1\n", "lists/b.csv": "id\n1\n" });
  mkdirSync(join(side.bench.root, "none"));
  const aux = {
    lists: { files: "lists/" },
    rows: csv("lists/*.csv"),
    none: { files: "none/" },
    twice: { files: ["lists/a.csv", "./lists/a.csv", "lists/b.csv"] },
  };
  const directory = (): never => assert.fail("nothing is fetched");
  const place = { bytesMax: 2 ** 20, share: false, directory };
  const sources = auxFiles(aux);
  const { copies } = await planAux(sources, join(side.bench.root, "job.ts"), place);
  const sent = Object.entries(copies).flatMap(([path, some]) =>
    some.map(({ name, sha256, bytes, place: at }) => ({ path, file: name, blob: sha256, bytes, place: at })),
  );
  const there = await auxCopies(
    sources.map(({ file }) => file),
    sent,
    // As agents have them: by their content.
    (hash) => Promise.resolve(side.bench.file(`blobs/${hash}`, "id\n1\n")),
  );
  assert.equal(new Set(Object.values(there).flatMap((some) => some.map(({ path }) => path))).size, 1);
  for (const known of [copies, there]) {
    const loaded = (await new AuxData().load(aux, known)) as Record<string, Map<string, unknown>>;
    assert.deepEqual([...loaded["lists"]!.keys()], ["lists/a.csv", "lists/b.csv"]);
    assert.deepEqual(loaded["rows"], [{ id: "1" }, { id: "1" }]);
    assert.equal(loaded["none"]!.size, 0);
    assert.equal(loaded["twice"]!.size, 2);
  }
});

test("side data has a limit, for its files and for what they hold", async (t) => {
  const side = new Side(t, {
    "a.txt": "x".repeat(60),
    "b.txt": "y".repeat(60),
    "z.gz": gzipSync("z".repeat(500_000)),
  });
  const aux = { a: text("a.txt"), b: { file: "b.txt" } };
  await side.refuses(
    aux,
    "LIMIT_EXCEEDED",
    /^aux\.b: with it the files of side data are more than 119 B/,
    /--max-aux/,
    119,
  );
  assert.equal((await side.load(aux, 120))["b"], "y".repeat(60));
  await side.refuses(
    { z: text("z.gz") },
    "LIMIT_EXCEEDED",
    /^aux\.z: .*decompressed, more than/,
    /--max-aux/,
    400_000,
  );
  // One file under two names counts, and is read, once.
  await side.load({ a: text("a.txt"), again: { file: "a.txt" } }, 120);
});

test("what is no side data is refused when the job is defined", () => {
  const define = (aux: Record<string, unknown>, input: unknown = text()): unknown =>
    job({ input, aux, reduce: sum() } as never);
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ t: csv() }, /^aux\.t: a reader without a path/],
    [{ t: { file: "x", as: "xml" } }, /^aux\.t: as cannot be "xml"/],
    [{ t: { files: ["x"], as: "xml" } }, /^aux\.t: as cannot be "xml"/],
    [{ t: { file: "" } }, /^aux\.t: its path is empty/],
    [{ t: { file: new URL("file:///x") } }, /^aux\.t: its file is a URL object/],
    [{ t: { us: csv("us.csv").by("id") } }, /^aux\.t: the table us lies in another value/],
  ];
  for (const [aux, message] of cases) assert.throws(() => define(aux), { code: "JOB_INVALID", message });
  assert.throws(() => define({}, csv("in.csv")), {
    code: "JOB_INVALID",
    message: /^input: it is a table of side data/,
  });
  assert.throws(() => csv("x.csv").by(null as never), {
    code: "JOB_INVALID",
    message: /x\.csv cannot be found by null/,
  });
  assert.throws(() => csv("x.csv").by("id", { duplicates: "any" as "last" }), {
    message: /duplicates cannot be "any"/,
  });
  assert.throws(() => table("x", undefined as never), {
    code: "JOB_INVALID",
    message: /undefined is no reader of x/,
  });
  assert.throws(() => csv([] as string[]), { code: "JOB_INVALID" });
});

test("tables of random rows are what Python's csv module and a dict make of them", async (t) => {
  const side = new Side(t);
  const seed = Date.now() % 1e9;
  const script = `
import csv, json, random, sys
random.seed(${seed})
pieces = ["a", "1", "01", " ", ",", '"', "\\n", "é", "x y", "constructor", "", "None", "\\t"]
text = lambda: "".join(random.choice(pieces) for _ in range(random.randrange(4)))
rows = [[text(), text()] for _ in range(300)]
with open("r.csv", "w", newline="", encoding="utf-8") as f:
    w = csv.writer(f); w.writerow(["k", "v"]); w.writerows(rows)
first = {}
for k, v in rows: first.setdefault(k, []).append(v)
print(json.dumps(list(first.items())))`;
  const said = execFileSync("python3", ["-c", script], { cwd: side.bench.root, encoding: "utf8" });
  const expected = JSON.parse(said) as [string, string[]][];
  const loaded = await side.load({
    list: csv("r.csv").by("k", { duplicates: "list" }),
    last: csv("r.csv").by((row) => row["k"]!, { duplicates: "last" }),
  });
  const list = [...(loaded["list"] as Map<string, { v: string }[]>)].map(([k, some]) => [
    k,
    some.map(({ v }) => v),
  ]);
  assert.deepEqual(list, expected, `seed ${seed}`);
  const last = [...(loaded["last"] as Map<string, { v: string }>)].map(([k, { v }]) => [k, v]);
  assert.deepEqual(
    last,
    expected.map(([k, some]) => [k, some.at(-1)]),
    `seed ${seed}`,
  );
});
