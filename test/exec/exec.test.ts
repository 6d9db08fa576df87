import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { exec, type ExecOptions, job, jsonl, sum, text, tsv } from "#src/index.js";
import type { Job } from "#src/index.js";
import { errorOf, file, lines, many, outputOf, ran, root } from "./support.js";

/* Programs of every POSIX system, on this thread: only the worker is another elsewhere. */

const bytes = (options: ExecOptions = {}): Job =>
  job({
    input: text({ invalid: "bytes" }),
    map: exec(["cat"], options),
    reduce: exec(["cat"]),
    partitions: 1,
  });

/** As LC_ALL=C sort -s -t TAB -k1,1 has them. */
function sorted(of: readonly string[]): string {
  const keyed = of.map((line, i) => [Buffer.from(line.split("\t")[0]!, "latin1"), i] as const);
  keyed.sort(([a, i], [b, j]) => Buffer.compare(a, b) || i - j);
  return keyed.map(([, i]) => `${of[i]}\n`).join("");
}

describe("lines from program to program", () => {
  test("are sorted by the bytes of their keys, and equal keys keep their order, however splits are cut", async () => {
    const expected = sorted(lines);
    assert.equal(await outputOf(bytes(), many), expected);
    assert.equal(await outputOf(bytes(), many, { splitSize: 50_000 }), expected);
  });

  test("pass whatever bytes they hold", async () => {
    const odd = [
      "a\xff\xfe\t1",
      "a\0b\t\0",
      "no tab",
      "\tempty key",
      "",
      "k\t",
      "k\tv\tw",
      "\xc3\xa9\t\xe9",
      "~\r\t\r.",
      " k \t v ",
      "k",
    ];
    const path = file("odd.txt", Buffer.from(`${odd.join("\n")}\nlast`, "latin1"));
    const all = [...odd, "last"];
    assert.equal(await outputOf(bytes(), path), sorted(all));
    // Without a reduce they stay in their order; without a program for it they are sorted all the same.
    const input = text({ invalid: "bytes" });
    assert.equal(await outputOf(job({ input, map: exec(["cat"]) }), path), `${all.join("\n")}\n`);
    assert.equal(
      await outputOf(job({ input, map: exec(["cat"]), order: "hash", partitions: 1 }), path),
      sorted(all),
    );
  });

  test("end as the reader says: CRLF, and a last line without its end, in files that follow each other", async () => {
    const path = [
      file("crlf-1.txt", "a\r\nb\rc\r\nd"),
      file("crlf-2.txt", "e\r"),
      file("crlf-3.txt", "\r\n"),
    ];
    const what = job({ input: text(), map: exec(["cat"], { perFile: false }) });
    assert.equal(await outputOf(what, path), "a\nb\rc\nd\ne\r\n\n");
  });

  test("have keys of several fields, and of other separators; of too few fields the line is the key", async () => {
    const path = file("fields.txt", "b.1.x.y\na.2.z\nb.1.w\nalone\na.2\n");
    const what = (keyFields: number): Job =>
      job({
        input: text(),
        map: exec(["cat"], { separator: ".", keyFields }),
        reduce: exec(["cat"], { inputSeparator: "|" }),
        partitions: 1,
      });
    assert.equal(await outputOf(what(2), path), "a.2|z\na.2\nalone\nb.1|x.y\nb.1|w\n");
    assert.equal(await outputOf(what(9), path), "a.2\na.2.z\nalone\nb.1.w\nb.1.x.y\n");
  });

  test("are sorted as sort(1) does with -k, -n and -r", async () => {
    const keys = [
      "b 10",
      "a -2",
      "a 9",
      "c 1e3",
      "b 10.50",
      "a 0.5",
      "b",
      "c 12345678901234567890",
      "a -0.05",
    ];
    const path = file("numbers.txt", `${[...keys, "b 10"].join("\n")}\n`);
    for (const sort of ["-k2,2nr", "-k2,2n", "-k1,1r -k2,2n", "-k1.1,1.1 -k2nr", "-r", "-k2,2"]) {
      const argv = ["-s", "-t", " ", ...sort.split(" ")];
      const oracle = execFileSync("sort", [...argv, path], { encoding: "latin1", env: { LC_ALL: "C" } });
      const what = job({
        input: text(),
        map: exec(["cat"], { sort, keySeparator: " " }),
        reduce: exec(["cat"]),
        partitions: 1,
      });
      // Keys that compare equal are in the order of their bytes here.
      const found = await outputOf(what, path);
      assert.deepEqual(found.split("\n").sort(), oracle.split("\n").sort());
      const again = execFileSync("sort", ["-c", ...argv], { input: found, env: { LC_ALL: "C" } });
      assert.equal(again.length, 0, sort);
    }
  });

  test("of keys that are alike in the fields of partitionBy meet in one part", async () => {
    const what = job({
      input: text(),
      map: exec(["cat"], { keyFields: 2, partitionBy: "-k1.1,1.2" }),
      reduce: exec(["sh", "-c", "cut -c1,2 | sort -u"]),
      partitions: 4,
    });
    const found = (await outputOf(what, many)).trim().split("\n");
    assert.deepEqual(found.sort(), [...new Set(lines.map((line) => line.slice(0, 2)))].sort());
  });
});

describe("programs that do not read and write in turn", () => {
  const copies: readonly [name: string, argv: readonly string[], expected: string][] = [
    ["reads all before it writes", ["tac"], `${[...lines].reverse().join("\n")}\n`],
    ["closes its input early", ["head", "-n", "3"], `${lines.slice(0, 3).join("\n")}\n`],
    ["reads nothing", ["echo", "done"], "done\n"],
    [
      "writes 20 MB before it reads",
      ["sh", "-c", "yes 0123456789 | head -n 1900000 | wc -c; wc -l"],
      "20900000\n30000\n",
    ],
    ["writes a last line without its end", ["printf", "x"], "x\n"],
  ];
  for (const [name, argv, expected] of copies) {
    test(`as a map: one that ${name}`, async () => {
      assert.equal(await outputOf(job({ input: text(), map: exec(argv) }), many, { mappers: 1 }), expected);
    });
  }

  test("as a reduce: one that writes much before it reads, one that stops early, one that gets nothing", async () => {
    const flood = exec(["sh", "-c", "yes 0123456789 | head -n 1900000; wc -l"]);
    const found = await outputOf(
      job({ input: text(), map: exec(["cat"]), reduce: flood, partitions: 1 }),
      many,
    );
    assert.equal(found, `${"0123456789\n".repeat(1_900_000)}30000\n`);
    const one = job({ input: text(), map: exec(["cat"]), reduce: exec(["head", "-n", "1"]), partitions: 1 });
    assert.equal(await outputOf(one, many), "k0\tv0\n");
    const none = job({ input: text(), map: exec(["true"]), reduce: exec(["wc", "-l"]), partitions: 2 });
    assert.equal((await outputOf(none, many)).replaceAll(" ", ""), "0\n0\n");
  });
});

describe("what goes in and out besides lines", () => {
  const path = file(
    "records.jsonl",
    '{"city":"Oslo","n":1}\n{"city":"Rome","n":2}\n{"city":"Oslo","n":40}\n',
  );

  test("JSON: records, pairs, and keys and values of every kind", async () => {
    const asPairs = String.raw`s/.*"city":"\([^"]*\)","n":\([0-9]*\).*/[["\1",true],\2]/`;
    const map = exec(["sed", asPairs], { protocol: "json" });
    const total = job({ input: jsonl(), map, reduce: sum(), output: tsv() });
    assert.equal(await outputOf(total, path), "Oslo\ttrue\t41\nRome\ttrue\t2\n");
    const through = job({ input: jsonl(), map, reduce: exec(["cat"], { protocol: "json" }), partitions: 1 });
    assert.equal(await outputOf(through, path), "Oslo\ttrue\t1\nOslo\ttrue\t40\nRome\ttrue\t2\n");
    const error = await errorOf(
      job({ input: jsonl(), map: exec(["sed", "s/^/x/"], { protocol: "json" }) }),
      path,
    );
    assert.equal(error.code, "VALUE_INVALID");
    assert.match(error.message, /is no pair/);
  });

  test("length-framed bytes pass newlines and all else", async () => {
    const framed = (piece: string): Buffer => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(piece, "latin1"));
      return Buffer.concat([length, Buffer.from(piece, "latin1")]);
    };
    const pairs = file("frames", Buffer.concat(["b\n", "1\0", "a", "\xff", "b\n", ""].map(framed)));
    const what = job({
      input: text(),
      map: exec(["sh", "-c", `cat >/dev/null; cat ${pairs}`], { protocol: "bytes" }),
      reduce: (key: Uint8Array, values: Iterable<Uint8Array>) =>
        [
          Buffer.from(key).toString("hex"),
          ...[...values].map((one) => Buffer.from(one).toString("hex")),
        ].join(),
      partitions: 1,
    });
    assert.match(await outputOf(what, path), /\t61,ff\n.*\t620a,3100,\n/s);
    const cut = job({ input: text(), map: exec(["printf", "abc"], { protocol: "bytes" }) });
    assert.match((await errorOf(cut, path)).message, /ends in the middle of a piece/);
  });

  test("aggregators and functions read what programs write, and the other way round", async () => {
    const first = exec(["sed", "s/^\\(..\\).*/\\1\t1/"], { values: "number" });
    const counts = new Map<string, number>();
    for (const line of lines) counts.set(line.slice(0, 2), (counts.get(line.slice(0, 2)) ?? 0) + 1);
    const expected = [...counts]
      .sort()
      .map(([key, n]) => `${key}\t${n}\n`)
      .join("");
    assert.equal(
      await outputOf(job({ input: text(), map: first, reduce: sum(), partitions: 1 }), many),
      expected,
    );
    const asText = job({
      input: text(),
      map: exec(["sed", "s/^\\(..\\).*/\\1\t1/"]),
      reduce: (_key: string, values: Iterable<string>) => [...values].join("").length,
      partitions: 1,
    });
    assert.equal(await outputOf(asText, many), expected);
    const written = job({
      input: text(),
      map(line, emit: (key: string, value: number) => void) {
        emit(line.slice(0, 2), 1);
      },
      reduce: exec(["uniq", "-c"]),
      partitions: 1,
    });
    const uniq = [...counts]
      .sort()
      .map(([key, n]) => `${n} ${key}\t1\n`)
      .join("");
    assert.equal((await outputOf(written, many)).replace(/^ +/gm, ""), uniq);
  });

  test("what is not UTF-8 is refused where JavaScript reads it, or comes as bytes", async () => {
    const latin = file("latin.txt", Buffer.from("caf\xe9\t1\n", "latin1"));
    const what = (options: ExecOptions): Job =>
      job({
        input: text({ invalid: "bytes" }),
        map: exec(["cat"], options),
        reduce: (key: unknown, values: Iterable<unknown>) => `${String(key)} ${[...values].length}`,
      });
    const error = await errorOf(what({}), latin);
    assert.equal(error.code, "VALUE_INVALID");
    assert.match(error.message, /not UTF-8/);
    assert.match(await outputOf(what({ invalid: "bytes" }), latin), /99,97,102,233 1/);
  });

  test("a combiner is given sorted pairs, once for a map task, and gives pairs again", async () => {
    const add = ["awk", "-F\t", "-vOFS=\t", "{ n[$1] += $2 } END { for (k in n) print k, n[k] }"];
    const map = exec(["sed", "s/^\\(..\\).*/\\1\t1/"]);
    const reduce = exec(["sh", "-c", "wc -l"]);
    const without = await outputOf(job({ input: text(), map, reduce, partitions: 1 }), many, { mappers: 3 });
    assert.equal(without.trim(), "30000");
    const { result, output } = await ran(
      job({ input: text(), map, combine: exec(add), reduce: exec(add), partitions: 2 }),
      many,
      { mappers: 3 },
    );
    result.throwIfFailed();
    assert.equal(output.split("\n").length - 1, new Set(lines.map((line) => line.slice(0, 2))).size);
    assert.equal(
      output.split("\n").reduce((sum, line) => sum + Number(line.split("\t")[1] ?? 0), 0),
      30_000,
    );
    const order = exec(["sort", "-c"], { env: { LC_ALL: "C" } });
    await outputOf(job({ input: text(), map, combine: order, reduce: exec(["cat"]), partitions: 1 }), many);
  });
});

describe("what a program is told, and tells", () => {
  test("counters, status and a log from standard error; a counter that is none is a line", async () => {
    const says =
      "reporter:counter:G,seen,2\nreporter:status:half\nreporter:counter:G,bad,x\nplain\nreporter:counter:G,seen,40";
    const { result } = await ran(
      job({
        input: text(),
        // A process that the program has started tells as well.
        map: exec([
          "sh",
          "-c",
          `cat >/dev/null; printf '${says}' >&2; env printf '\nreporter:counter:G,child,2' >&2`,
        ]),
      }),
      many,
      { mappers: 1 },
    );
    assert.deepEqual(result.counters, { "G:seen": 42, "G:child": 2 });
  });

  test("the variables of a task, for each file its own, and nothing of sheaf's own environment", async () => {
    const files = [file("in/one.txt", "1\n"), file("in/two.txt", "2\n")];
    process.env["SHEAF_TEST_SECRET"] = "x";
    const told =
      'read line; echo "$line $mapreduce_map_input_file $mapreduce_task_partition $mapreduce_job_reduces ' +
      '$mapreduce_task_ismap ${mapreduce_task_attempt_id##*_m_} ${SHEAF_TEST_SECRET:-none} $OWN"';
    const what = job({ input: text(), map: exec(["sh", "-c", told], { env: { OWN: "mine" } }) });
    const tail = "0 0 true 000000_0 none mine";
    assert.equal(await outputOf(what, files), `1 ${files[0]} ${tail}\n2 ${files[1]} ${tail}\n`);
    const reduce = exec(["sh", "-c", 'echo "${mapreduce_map_input_file-unset} $mapreduce_job_reduces"']);
    const reduced = job({ input: text(), map: exec(["cat"]), reduce, partitions: 1 });
    assert.equal(await outputOf(reduced, files), "unset 1\n");
  });

  test("the job's files are in its directory, under their names and with their permissions", async () => {
    file("tool.sh", "#!/bin/sh\nsed s/^/$(cat word)/\n", 0o755);
    const files = [join(root, "tool.sh"), `${file("data/w.txt", "<")}#word`];
    const input = file("three.txt", "a\nb\n");
    assert.equal(await outputOf(job({ input: text(), files, map: exec(["tool.sh"]) }), input), "<a\n<b\n");
    const spoils = job({ input: text(), files, map: exec(["sh", "-c", "cat; echo x >> word"]) });
    assert.match((await errorOf(spoils, input)).message, /has written to word/);
    const lacking = job({ input: text(), files: ["nowhere.py"], map: exec(["cat"]) });
    assert.equal((await errorOf(lacking, input)).code, "INPUT_MISSING");
  });
});

describe("programs that fail", () => {
  const input = file("short.txt", "a\nb\n");
  const failing = (argv: readonly string[], options?: ExecOptions): Job =>
    job({ input: text(), map: exec(argv, options) });

  test("exit codes and signals are told, with the last words and the input", async () => {
    const error = await errorOf(failing(["sh", "-c", "cat >/dev/null; echo 'bad day' >&2; exit 3"]), input);
    assert.equal(error.code, "PROGRAM_FAILED");
    assert.match(error.message, /exit code 3: bad day; it had been given .*short\.txt up to offset 4/);
    assert.match(error.report, /short\.txt/);
    assert.match((await errorOf(failing(["sh", "-c", "kill -s SEGV $$"]), input)).message, /SIGSEGV/);
    assert.equal(await outputOf(failing(["sh", "-c", "exit 1"], { exitCodes: [0, 1] }), input), "");
    assert.equal(await outputOf(failing(["sh", "-c", "exit 9"], { exitCodes: "any" }), input), "");
    const what = job({ input: text(), map: exec(["cat"]), reduce: exec(["sh", "-c", "exit 4"]) });
    assert.match((await errorOf(what, input)).message, /exit code 4/);
  });

  test("a program that cannot be started is told before it is", async () => {
    const cases: readonly [name: string, content: string | null, mode: number, expected: RegExp][] = [
      ["missing", null, 0, /there is no program .*missing/],
      ["plain", "#!/bin/sh\n", 0o644, /not executable/],
      ["crlf", "#!/usr/bin/env sh\r\necho\r\n", 0o755, /line ends of Windows/],
      ["nowhere", "#!/no/such/shell\n", 0o755, /asks for \/no\/such\/shell/],
      ["no-env", "#!/usr/bin/env no-such-language\n", 0o755, /asks for no-such-language/],
    ];
    for (const [name, content, mode, expected] of cases) {
      const path = content === null ? join(root, name) : file(name, content, mode);
      const error = await errorOf(failing([path]), input);
      assert.equal(error.code, "PROGRAM_UNUSABLE", name);
      assert.match(error.message, expected);
    }
    assert.match((await errorOf(failing(["no-such-program"]), input)).message, /there is no program no-such/);
  });

  test("too much memory, too long without progress, too long a line", async () => {
    const idle = await errorOf(failing(["sleep", "1000"], { noProgressMs: 100 }), input);
    assert.equal(idle.code, "NO_PROGRESS");
    const long = failing(["sh", "-c", "yes | tr -d '\\n' | head -c 300000"], { recordBytesMax: 100_000 });
    assert.equal((await errorOf(long, input)).code, "RECORD_TOO_LARGE");
    if (process.platform !== "linux") return;
    const fat = failing(["sh", "-c", "x=$(yes | head -c 100000000); sleep 1000"], { memory: "40MiB" });
    assert.equal((await errorOf(fat, input)).code, "OUT_OF_MEMORY");
  });

  test("nothing that they have started is left: after a success, a failure, a run that is cancelled", async () => {
    const left = (mark: string): string[] =>
      execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })
        .split("\n")
        .filter((one) => one.includes(mark) && !one.includes("ps -eo"));
    await outputOf(failing(["sh", "-c", "sleep 98761 >/dev/null 2>&1 & cat"]), input);
    await errorOf(failing(["sh", "-c", "sleep 98762 >/dev/null 2>&1 & exit 1"]), input);
    const stop = new AbortController();
    const marks = file("started", "");
    const begun = exec(["sh", "-c", `(sleep 98763 & echo x > ${marks}; wait); cat`]);
    const running = ran(job({ input: text(), map: begun }), input, { signal: stop.signal });
    while (readFileSync(marks, "latin1") === "") await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    assert.equal((await running).result.status, "CANCELLED");
    for (let turn = 0; turn < 10_000 && left("sleep 9876").length > 0;) turn++;
    assert.deepEqual(left("sleep 9876"), []);
  });
});
