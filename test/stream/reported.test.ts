import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { sheafHere } from "../cli/support.js";

/* What users of Hadoop Streaming, mrjob, dumbo, rmr, Spark and GNU parallel have got wrong results of. */

const root = mkdtempSync(join(tmpdir(), "sheaf-reported-test-"));
after(() => rmSync(root, { recursive: true, force: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

let runs = 0;

/** The parts that `sheaf stream` writes. */
async function partsOf(...words: string[]): Promise<string[]> {
  const output = join(root, `out-${runs++}`);
  const given = ["stream", "-q", ...words, "-output", output, "--attempts", "1"];
  const { code, stderr } = await sheafHere(given, { cwd: root });
  assert.equal(code, 0, stderr);
  return readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .sort()
    .map((name) => readFileSync(join(output, name), "latin1"));
}

/** What a shell makes of it. */
function shell(command: string): string {
  const env = { ...process.env, LC_ALL: "C" };
  return execFileSync("bash", ["-c", command], { cwd: root, encoding: "latin1", env, maxBuffer: 1 << 28 });
}

const sorted = (parts: readonly string[]): string =>
  parts
    .flatMap((part) => part.split("\n").slice(0, -1))
    .sort()
    .map((line) => `${line}\n`)
    .join("");

describe("results that others got wrong", () => {
  test("stretches of Chinese text counted in two reduces: each key once (Yelp/mrjob#883)", async () => {
    const text = "人民大會堂人民法院\n人大民會人民\n法院人民大會堂，人民\n".repeat(40);
    const path = file("chinese.txt", text);
    file(
      "grams.py",
      `import sys
for line in sys.stdin:
    line = line.strip()
    for at in range(len(line)):
        for size in (1, 2, 3):
            if at + size <= len(line): print("%s\\t1" % line[at:at + size])
`,
    );
    const add = "'{ n[$1] += $2 } END { for (k in n) print k, n[k] }'";
    const reducer = ["-reducer", `awk -F\\t -vOFS=\\t ${add}`];
    const mapper = ["-mapper", "python3 grams.py", "-cmdenv", "PYTHONUTF8=1"];
    const parts = await partsOf(
      "-input",
      path,
      ...mapper,
      ...reducer,
      "-numReduceTasks",
      "2",
      "--mappers",
      "3",
      "--inline",
    );
    assert.equal(
      sorted(parts),
      shell(`PYTHONUTF8=1 python3 grams.py < chinese.txt | awk -F'\\t' -vOFS='\\t' ${add} | sort`),
    );
    assert.ok(parts.every((part) => part !== ""));
  });

  test("a key with very many values is one key (RevolutionAnalytics/rmr2#58)", async () => {
    const path = file("flights.txt", "PS\nTW\n".repeat(60_000) + "PS\n".repeat(60_000));
    const parts = await partsOf(
      "-input",
      path,
      "-mapper",
      "cat",
      "-reducer",
      "uniq -c",
      "--memory",
      "8MiB",
      "--inline",
    );
    assert.deepEqual(parts, [" 120000 PS\n  60000 TW\n"]);
  });

  test("lines about as long as buffers are (openwall/john#4923)", async () => {
    const sizes = [16, 32, 64, 128].flatMap((kib) => [-2, -1, 0, 1, 2].map((more) => kib * 1024 + more));
    const content = sizes.map((size, i) => `${i}${"a".repeat(size - String(i).length)}\n`).join("");
    const path = file("long.txt", content.repeat(3));
    assert.deepEqual(await partsOf("-input", path, "-mapper", "cat", "-reducer", "NONE", "--inline"), [
      content.repeat(3),
    ]);
    const keyed = ["-mapper", "sed 's/a/\\t/'", "-reducer", "cat", "--inline"];
    assert.equal(
      sorted(await partsOf("-input", path, ...keyed)),
      sorted([content.repeat(3).replace(/^(\d+)a/gm, "$1\t")]),
    );
  });

  test("nothing comes of an empty file, and every reduce runs (ivan-tkatchev/tab#4, SPARK-16613)", async () => {
    const path = file("empty.txt", "");
    assert.deepEqual(await partsOf("-input", path, "-mapper", "cat", "-reducer", "cat", "--inline"), [""]);
    const counted = ["-mapper", "cat", "-reducer", "wc -l", "-numReduceTasks", "3", "--inline"];
    assert.deepEqual(await partsOf("-input", path, ...counted), ["0\n", "0\n", "0\n"]);
  });

  test("a program that fails before it writes fails the job (SPARK-7735, SPARK-30973)", async () => {
    const path = file("numbers.txt", shell("seq 10000"));
    file("broken.py", "import no_such_module\nfor line in []: pass\n");
    const ends = [
      ["-mapper", "sh -c 'exec 1>&-; exit 7'", "-reducer", "NONE"],
      ["-mapper", "cat", "-reducer", "python3 broken.py"],
    ];
    for (const end of ends) {
      const words = ["stream", "-q", "-input", path, ...end, "--attempts", "1", "--inline"];
      const { code, stdout } = await sheafHere(words, { cwd: root });
      assert.deepEqual([code, stdout], [1, ""], end.join(" "));
    }
  });

  test("a flood on standard error blocks nobody (SPARK-7862)", async () => {
    const path = file("many.txt", shell("seq 20000"));
    const noisy = `awk '{ print; printf "%0200d\\n", $1 > "/dev/stderr" }'`;
    const [part] = await partsOf("-input", path, "-mapper", noisy, "-reducer", "NONE", "--inline");
    assert.equal(part, shell("seq 20000"));
  });

  test("archives of several parts, and files without a last line end (Yelp/mrjob#817, #333)", async () => {
    const [first, second] = ["a\nb\nc", "d\ne\nf\n"];
    file("two.gz", Buffer.concat([gzipSync(`${first}\n`), gzipSync(second), gzipSync("")]));
    const pack = `import bz2; open("two.bz2", "wb").write(bz2.compress(b"a\\nb\\nc") + bz2.compress(b"\\nd\\ne\\nf\\n"))`;
    shell(`python3 -c '${pack}'`);
    file("plain.txt", first);
    const words = [
      "-input",
      join(root, "two.gz"),
      "-input",
      join(root, "two.bz2"),
      "-input",
      join(root, "plain.txt"),
    ];
    const parts = await partsOf(...words, "-mapper", "cat", "-reducer", "cat", "--inline");
    assert.deepEqual(parts, ["a\na\na\nb\nb\nb\nc\nc\nc\nd\nd\ne\ne\nf\nf\n"]);
  });

  test("programs that write half lines side by side (pelias/placeholder#142, shenwei356/seqkit#283)", async () => {
    const path = file("halves.txt", shell("seq 3000"));
    file(
      "halves.py",
      `import os, sys
for line in sys.stdin:
    os.write(1, line[:1].encode()); os.write(1, (line[1:-1] + "\\t" + "x" * 50).encode()); os.write(1, b"\\n")
`,
    );
    const words = [
      "-input",
      path,
      "-mapper",
      "python3 halves.py",
      "-reducer",
      "cat",
      "-numReduceTasks",
      "2",
      "--mappers",
      "4",
    ];
    const parts = await partsOf(...words, "--workers", "2");
    assert.equal(sorted(parts), shell("seq 3000 | sed 's/$/\\t" + "x".repeat(50) + "/' | sort"));
  });

  test("typed bytes: lines that are no UTF-8, types of one's own, several reduces (klbostee/dumbo#82, #88, typedbytes#5)", async () => {
    const path = file("latin.txt", Buffer.from("caf\xe9\nna\xefve\ncaf\xe9\n\xff\n", "latin1"));
    file(
      "types.py",
      `import struct, sys
read = sys.stdin.buffer.read
while read(1):
    read(8); code, size = struct.unpack(">bi", read(5)); line = read(size)
    assert code == 7
    # A type of its own, and the string as it came.
    sys.stdout.buffer.write(struct.pack(">Bi", 50, size) + line + struct.pack(">bi", 7, size) + line)
`,
    );
    const words = [
      "-io",
      "typedbytes",
      "-input",
      path,
      "-mapper",
      "python3 types.py",
      "-numReduceTasks",
      "2",
      "--inline",
    ];
    const parts = await partsOf(...words);
    const expected = ["636166e9\tcaf\xe9\n", "636166e9\tcaf\xe9\n", "6e61ef7665\tna\xefve\n", "ff\t\xff\n"];
    assert.equal(sorted(parts), expected.join(""));
    assert.equal(parts.length, 2);
    assert.ok(parts.some((part) => part.includes(expected[0]! + expected[1]!)));
  });

  test("fields of keys by a dot, in five reduces (songyilon/blog#2); no tab behind a line (rmr2#20, Yelp/mrjob#670)", async () => {
    const path = file("dots.txt", "d.1.5.23\ne.9.4.5\ne.5.9.22\ne.5.1.45\ne.5.1.23\na.7.2.6\nf.8.3.3\n");
    const keys = [
      "-jobconf",
      "stream.num.map.output.key.fields=2",
      "-jobconf",
      "stream.map.output.field.separator=.",
    ];
    const parts = await partsOf(
      ...keys,
      "-input",
      path,
      "-mapper",
      "cat",
      "-reducer",
      "cat",
      "-jobconf",
      "mapred.reduce.tasks=5",
      "--inline",
    );
    assert.equal(sorted(parts), shell("sed 's/\\./\\t/2' dots.txt | sort"));
    assert.equal(parts.filter((part) => part.includes("e.5\t")).length, 1);
    for (const reducer of ["NONE", "IdentityReducer"]) {
      const plain = await partsOf(
        "-input",
        file("bars.txt", "a|1\nb|2\n"),
        "-mapper",
        "cat",
        "-reducer",
        reducer,
        "--inline",
      );
      assert.deepEqual(plain, ["a|1\nb|2\n"]);
    }
  });

  test("one order over all parts, without a file of bounds (Yelp/mrjob#2217)", async () => {
    const numbersOf = Array.from({ length: 4_000 }, (_, i) => [...String(i * 7 + 1)].reverse().join(""));
    const path = file("order.txt", `${numbersOf.join("\n")}\n`);
    const total = [
      "-partitioner",
      "org.apache.hadoop.mapred.lib.TotalOrderPartitioner",
      "-numReduceTasks",
      "4",
    ];
    const parts = await partsOf("-input", path, ...total, "-mapper", "cat", "-reducer", "cat", "--inline");
    assert.equal(parts.join(""), shell("sort order.txt"));
    assert.ok(parts.length === 4 && parts.every((part) => part.split("\n").length > 500));
    const numbers = [
      "mapreduce.job.output.key.comparator.class=org.apache.hadoop.mapreduce.lib.partition.KeyFieldBasedComparator",
      "mapreduce.partition.keycomparator.options=-k1,1nr",
      "mapreduce.totalorderpartitioner.path=/no/such/file",
    ].flatMap((property) => ["-D", property]);
    const descending = await partsOf(...numbers, "-input", path, ...total, "-mapper", "cat", "--inline");
    assert.equal(descending.join(""), shell("sort -k1,1nr order.txt"));
    assert.ok(descending.every((part) => part.split("\n").length > 500));
  });

  test("an input format that would change what a mapper reads is refused by name (Yelp/mrjob#792)", async () => {
    const format = "org.apache.hadoop.mapred.lib.NLineInputFormat";
    const { code, stderr } = await sheafHere([
      "stream",
      "-input",
      root,
      "-inputformat",
      format,
      "-mapper",
      "cat",
    ]);
    assert.equal(code, 2);
    assert.match(stderr, /there is no org\.apache\.hadoop\.mapred\.lib\.NLineInputFormat/);
  });
});
