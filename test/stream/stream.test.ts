import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { seededRandom } from "#src/base/random.js";
import { streamWords } from "#src/cli/command/stream/words.js";
import { javaDouble } from "#src/format/java-number.js";
import { combineValues, reduceValues } from "#src/stream/aggregate-values.js";
import { splitCommand } from "#src/stream/split-command.js";
import { sheafHere, type SheafResult } from "../cli/support.js";

const root = mkdtempSync(join(tmpdir(), "sheaf-stream-test-"));
after(() => rmSync(root, { recursive: true, force: true }));

function file(name: string, content: string, mode = 0o644): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

/** `sheaf stream` with these words, on this thread. */
function stream(...words: string[]): Promise<SheafResult> {
  return sheafHere(["stream", ...words, "--inline", "--attempts", "1"], { cwd: root });
}

async function output(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await stream("-q", ...words);
  assert.equal(code, 0, stderr);
  return stdout;
}

const books = file("books.txt", "b a\na c b\n\nb\n");
file("words.sh", "#!/bin/sh\ntr -s ' ' '\\n' | sed '/^$/d; s/$/\t1/'\n", 0o755);
file("add.awk", 'BEGIN { FS = OFS = "\\t" } { n[$1] += $2 } END { for (k in n) print k, n[k] | "sort" }\n');

describe("sheaf stream", () => {
  test("counts words with two programs and a combiner, as Hadoop writes it and with two dashes", async () => {
    const expected = "a\t2\nb\t3\nc\t1\n";
    const add = "awk -f add.awk";
    const old = ["-input", "books.txt", "-mapper", "words.sh", "-combiner", add, "-reducer", add];
    assert.equal(await output(...old, "-file", "words.sh", "-file", "add.awk"), expected);
    const { stdout, stderr } = await stream("--mapper=./words.sh", "--reducer", add, "--input", books);
    assert.equal(stdout, expected);
    assert.match(stderr, /\.\/words\.sh travels with the job/);
    assert.match(stderr, /add\.awk travels with the job/);
  });

  test("leaves the words of a command as they are, and a program without a slash to PATH", async () => {
    file("src/main.c", "");
    file("cat", "#!/bin/sh\necho wrong\n", 0o755);
    file("bin/twice", "#!/bin/sh\nsed p\n", 0o755);
    const path = file("paths.txt", "main.c\nsrc/main.c\n");
    const found = await stream("-input", path, "-mapper", "grep src/main.c", "-reducer", "cat");
    rmSync(join(root, "cat"));
    assert.equal(found.stdout, "src/main.c\n");
    assert.match(found.stderr, /src\/main\.c does not travel with the job/);
    const twice = await output("-input", path, "-mapper", "bin/twice", "-reducer", "NONE");
    assert.equal(twice, "main.c\nmain.c\nsrc/main.c\nsrc/main.c\n");
  });

  test("writes parts without extension, compressed when it is asked for, by default one", async () => {
    const gzip = "mapreduce.output.fileoutputformat.compress";
    const words = ["-input", books, "-mapper", "tr -s ' ' '\n'", "-q"];
    assert.equal((await stream(...words, "-output", "plain")).code, 0);
    assert.deepEqual(readdirSync(join(root, "plain")).sort(), ["_SUCCESS", "part-00000"]);
    const compressed = ["-D", `${gzip}=true`, `-D${gzip}.codec=org.apache.hadoop.io.compress.GzipCodec`];
    assert.equal(
      (await stream(...compressed, ...words, "-output", "packed", "-numReduceTasks", "2")).code,
      0,
    );
    const parts = readdirSync(join(root, "packed")).filter((name) => name !== "_SUCCESS");
    assert.deepEqual(parts.sort(), ["part-00000.gz", "part-00001.gz"]);
    const lines = parts
      .map((name) => gunzipSync(readFileSync(join(root, "packed", name))).toString())
      .join("");
    assert.deepEqual(
      lines.split("\n").sort(),
      readFileSync(join(root, "plain", "part-00000"), "utf8")
        .split("\n")
        .sort(),
    );
  });

  test("has no reduce with NONE and with 0 of them, and sorted lines without one", async () => {
    const path = file("lines.txt", "b\t2\na\nb\t1\n");
    assert.equal(await output("-input", path, "-reducer", "NONE"), "b\t2\na\nb\t1\n");
    assert.equal(
      await output("-input", path, "-D", "mapred.reduce.tasks=0", "-reducer", "cat"),
      "b\t2\na\nb\t1\n",
    );
    assert.equal(await output("-input", path), "a\nb\t2\nb\t1\n");
    assert.equal(
      await output("-input", path, "-reducer", "org.apache.hadoop.mapred.lib.IdentityReducer"),
      "a\nb\t2\nb\t1\n",
    );
    const combined = ["-combiner", 'awk \'{ print $1 "\\t" "c" }\'', "-reducer", "IdentityReducer"];
    assert.equal(await output("-input", path, ...combined), "a\tc\nb\tc\nb\tc\n");
  });

  test("follows the properties of keys: separators, numbers of fields, partitioner and comparator", async () => {
    const path = file("keys.txt", "x.2.one\nx.10.two\na.2.three\n");
    const keys = ["-D", "stream.map.output.field.separator=.", "-D", "stream.num.map.output.key.fields=2"];
    assert.equal(
      await output(...keys, "-input", path, "-reducer", "cat"),
      "a.2\tthree\nx.10\ttwo\nx.2\tone\n",
    );
    const byNumber = [
      "-D",
      "mapreduce.job.output.key.comparator.class=org.apache.hadoop.mapreduce.lib.partition.KeyFieldBasedComparator",
      "-D",
      "mapreduce.partition.keycomparator.options=-k2,2nr",
      "-D",
      "mapreduce.map.output.key.field.separator=.",
      "-D",
      "mapreduce.partition.keypartitioner.options=-k1,1",
      "-partitioner",
      "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner",
    ];
    const found = await output(...keys, ...byNumber, "-input", path, "-reducer", "cat");
    assert.equal(found, "x.10\ttwo\na.2\tthree\nx.2\tone\n");
  });

  test("orders keys by stretches of bytes as sort(1) does, past the end of a field too", async () => {
    const random = seededRandom(20261129);
    const letters = "ab10.";
    const line = (): string =>
      Array.from({ length: 1 + random.below(9) }, () => letters[random.below(letters.length)]).join("");
    const lines = Array.from({ length: 120 }, line).join("\n");
    const path = file("stretches.txt", `${lines}\n`);
    const keys = [
      "stream.num.map.output.key.fields=99",
      "stream.map.output.field.separator=.",
      "mapreduce.map.output.key.field.separator=.",
      "mapreduce.job.output.key.comparator.class=KeyFieldBasedComparator",
    ].flatMap((property) => ["-D", property]);
    for (const spec of ["-k1.2,1.3", "-k1.1,1.5 -k2,2nr", "-k1.5,1.6 -k2n", "-k2.2,3.1r"]) {
      const expected = execFileSync("sort", ["-t.", ...spec.split(" "), path], {
        env: { ...process.env, LC_ALL: "C" },
        encoding: "utf8",
      });
      const asked = ["-D", `mapreduce.partition.keycomparator.options=${spec}`];
      assert.equal(await output(...keys, ...asked, "-input", path, "-reducer", "cat"), expected, spec);
    }
  });

  test("gives programs their variables, exit codes their meaning, and several inputs in one", async () => {
    const inputs = `${file("one.txt", "1\n")},${file("two.txt", "2\n")}`;
    const show = "sh -c 'cat; echo $GREETING $my_own'";
    const given = ["-cmdenv", "GREETING=hello", "-D", "my.own=x"];
    assert.equal(await output("-input", inputs, "-reducer", show, ...given), "1\n2\nhello x\n");
    const lenient = "stream.non.zero.exit.is.failure";
    assert.equal(await output("-input", inputs, "-mapper", "grep 7", "-D", `${lenient}=false`), "");
    const { code, stderr } = await stream("-input", inputs, "-mapper", "grep 7");
    assert.equal(code, 1);
    assert.match(stderr, /grep 7: it ended with exit code 1/);
  });

  test("refuses by name what it cannot do, and tells what it does not follow", async () => {
    const cases: readonly [words: readonly string[], expected: RegExp][] = [
      [["-maper", "cat"], /no flag -maper[^]*-mapper/],
      [
        ["-D", "mapreduce.job.reducs=1"],
        /mapreduce\.job\.reducs: there is no such property[^]*mapreduce\.job\.reduces/,
      ],
      [["-D", "mapreduce.job.reduces=x"], /"x" is out of range/],
      [["-libjars", "a.jar"], /-libjars is not there/],
      [["--sample", "1%", "--estimate"], /--estimate is not there.* not known of a program/s],
      [["-inputformat", "SequenceFileInputFormat"], /there is no SequenceFileInputFormat/],
      [["-outputformat", "MapFileOutputFormat"], /there is no MapFileOutputFormat/],
      [["-partitioner", "my.Own"], /there is no my\.Own/],
      [["-io", "avro"], /-io: there is no avro/],
      [["-D", "stream.map.output=typedbytes"], /stream\.map\.output and stream\.reduce\.input differ/],
      [["-io", "rawbytes", "-D", "stream.num.map.output.key.fields=2"], /fields of keys are for lines/],
      [["-io", "typedbytes", "-reducer", "aggregate"], /-reducer aggregate is for lines, not for typedbytes/],
      [["-D", "mapreduce.output.textoutputformat.separator=,"], /textoutputformat\.separator/],
      [["-D", "stream.map.input.ignoreKey=false"], /ignoreKey=false is not there with TextInputFormat/],
      [["-mapper", "awk '{print"], /is not closed/],
      [["-D", "mapreduce.output.fileoutputformat.compress=true"], /cannot be compressed/],
    ];
    for (const [words, expected] of cases) {
      const { code, stderr } = await stream("-input", books, ...words);
      assert.equal(code, 2, words.join(" "));
      assert.match(stderr, expected);
    }
    assert.match((await stream("-mapper", "cat")).stderr, /there is no input/);
    const ignored = [
      "-D",
      "mapreduce.map.memory.mb=2048",
      "-D",
      "mapreduce.partition.keycomparator.options=-n",
    ];
    const { code, stderr } = await stream("-input", books, ...ignored, "-lazyOutput");
    assert.equal(code, 0);
    assert.match(stderr, /mapreduce\.map\.memory\.mb is of Hadoop's own/);
    assert.match(stderr, /comparator's options change nothing/);
    assert.match(stderr, /-lazyOutput changes nothing/);
  });

  test("aggregates by what keys say", async () => {
    const pairs = [
      "LongValueSum:n\t9007199254740993",
      "LongValueSum:n\t-1",
      "UniqValueCount:u\tx",
      "UniqValueCount:u\tx",
    ];
    const path = file("agg.txt", `${pairs.join("\n")}\nStringValueMax:s\tZ\nStringValueMax:s\ta\n`);
    assert.equal(await output("-input", path, "-reducer", "Aggregate"), "n\t9007199254740992\ns\ta\nu\t1\n");
  });
});

describe("the parts", () => {
  test("words of a command are parted as Hadoop parts them", () => {
    const cases: readonly [string, readonly string[]][] = [
      ["cat", ["cat"]],
      ["  a  b ", ["a", "b"]],
      ["awk '{ print $1 }' \"x y\"", ["awk", "{ print $1 }", "x y"]],
      ["a'b c'd", ["ab cd"]],
      [`a "it's" ''`, ["a", "it's", ""]],
      ["a | b > c \\n", ["a", "|", "b", ">", "c", "\\n"]],
    ];
    for (const [command, words] of cases) assert.deepEqual(splitCommand(command, "-mapper"), words);
    assert.throws(() => splitCommand(" ", "-mapper"), { code: "USAGE" });
  });

  test("flags are written with one dash or two", () => {
    const words = ["-D", "a=-1", "-Db=2", "-mapper", "-x", "--reducer=NONE", "-q", "in", "--", "-mapper"];
    const expected = [
      "--jobconf=a=-1",
      "--jobconf=b=2",
      "--mapper=-x",
      "--reducer=NONE",
      "-q",
      "in",
      "--",
      "-mapper",
    ];
    assert.deepEqual(streamWords(words), expected);
    assert.throws(() => streamWords(["-mapper"]), { code: "USAGE" });
  });

  test("aggregations come to the same with and without a combiner", () => {
    const cases: readonly [kind: string, values: readonly string[], expected: string][] = [
      ["LongValueSum", ["1", "-7", " 40 "], "34"],
      ["DoubleValueSum", ["1.5", "1.5"], "3.0"],
      ["DoubleValueSum", ["0.1", "0.2", "0.3"], "0.6"],
      ["DoubleValueSum", ["1", "1e100", "1e-9", "-1e100"], "1.000000001"],
      ["DoubleValueSum", ["3", "0.1", "-0.1", "-3"], "0.0"],
      [
        "DoubleValueSum",
        ["1.7976931348623157e308", "1e308", "1e308", "-1e308", "-1e308"],
        "1.7976931348623157E308",
      ],
      ["DoubleValueSum", ["5e-324", "-1e-323"], "-5.0E-324"],
      ["LongValueMax", ["9", "10", "-3"], "10"],
      ["LongValueMin", ["9", "10", "-3"], "-3"],
      ["StringValueMax", ["b", "\u{ffff}", "\u{10000}"], "\u{10000}"],
      ["StringValueMin", ["b", "B"], "B"],
      ["UniqValueCount", ["x", "y", "x", ""], "3"],
      ["ValueHistogram", ["q", "q", "r", "s\t5"], "3\t1\t2\t5\t2.6666666666666665\t1.699673171197595"],
    ];
    for (const [kind, values, expected] of cases) {
      assert.deepEqual(reduceValues(`${kind}:k:1`, values), ["k:1", expected]);
      const [first = "", ...rest] = values;
      const combined = [...combineValues(`${kind}:k:1`, [first]), ...combineValues(`${kind}:k:1`, rest)];
      assert.deepEqual(reduceValues(`${kind}:k:1`, combined), ["k:1", expected]);
    }
    for (const [key, value] of [
      ["word", "1"],
      ["Sum:x", "1"],
      ["LongValueSum:x", "1.5"],
      ["LongValueMax:x", ""],
    ] as const)
      assert.throws(() => reduceValues(key, [value]), { code: "VALUE_INVALID" });
  });

  test("doubles are printed as Java prints them", () => {
    const cases = [
      [3, "3.0"],
      [0.1, "0.1"],
      [1e7, "1.0E7"],
      [1.25e-5, "1.25E-5"],
      [-0, "-0.0"],
      [123456.5, "123456.5"],
    ] as const;
    for (const [number, expected] of cases) assert.equal(javaDouble(number), expected);
  });
});
