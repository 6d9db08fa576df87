import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { keptFile, modulePath } from "#src/cli/command/mrjob.js";
import type { MrjobDescription } from "#src/cli/command/mrjob/describe.js";
import { mrjobSource } from "#src/cli/command/mrjob/source.js";
import { mrjobPython } from "../kit/python-package.js";
import { packageRoot, sheafHere, tempDir } from "./support.js";

/* Against the real mrjob; its runner "inline" is what results are held to. */

const { program: python, skip } = mrjobPython();
const options = { skip };

const scripts: Readonly<Record<string, string>> = {
  // The combiner makes keys of its own (Yelp/mrjob#1578);
  // values come sorted only where that is asked for (#660).
  "steps.py": `
import sys
from mrjob.job import MRJob
from mrjob.step import MRStep

class Steps(MRJob):
    FILES = ["stop.txt"]
    JOBCONF = {"mapreduce.job.reduces": 2, "my.own": "x y"}

    def configure_args(self):
        super().configure_args()
        self.add_passthru_arg("--min", type=int, default=1)
        self.add_file_arg("--also")

    def steps(self):
        return [
            MRStep(mapper_init=self.begin, mapper=self.words, mapper_final=self.end,
                   combiner=self.split, reducer=self.total, jobconf={"my.step": "1"}),
            MRStep(reducer=self.listed),
            MRStep(mapper=self.swapped, reducer=self.first),
        ]

    def begin(self):
        from mrjob.compat import jobconf_from_env
        assert jobconf_from_env("my.own") == "x y" and jobconf_from_env("my.step") == "1"
        self.stop = set(open("stop.txt").read().split() + open(self.options.also).read().split())
        self.lines = 0

    def words(self, _, line):
        self.lines += 1
        for word in line.split():
            if word in self.stop:
                self.increment_counter("words", "left, out")
            else:
                yield word, 1

    def end(self):
        yield "lines", self.lines

    def split(self, word, counts):
        counts = list(counts)
        yield word, sum(counts)
        if word != "lines" and "." not in word:
            yield word[0] + ".", sum(counts)

    def total(self, word, counts):
        if sum(counts) >= self.options.min:
            yield len(word), word

    def listed(self, length, words):
        for word in sorted(words):
            yield word, {"length": length, "caf\\u00e9": [None, 1.5]}

    def swapped(self, word, about):
        yield about["length"] % 3, word

    def first(self, rest, words):
        self.set_status("at %s" % rest)
        yield rest, sorted(words)[:20]

if __name__ == "__main__":
    if "--step-num" not in " ".join(sys.argv):
        print("a script may say things")
    Steps.run()
`,
  "values.py": `
from mrjob.job import MRJob

class Values(MRJob):
    SORT_VALUES = True

    def mapper(self, _, line):
        for at, word in enumerate(line.split()):
            yield word[0], [at % 7, word]

    def reducer(self, letter, pairs):
        yield letter, list(pairs)

if __name__ == "__main__":
    Values.run()
`,
  "lines.py": `
from mrjob.job import MRJob
from mrjob.protocol import BytesValueProtocol
from mrjob.step import MRStep

class Lines(MRJob):
    INPUT_PROTOCOL = INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = BytesValueProtocol

    def steps(self):
        return [MRStep(mapper=self.same), MRStep(mapper=self.same)]

    def same(self, _, line):
        yield None, line

if __name__ == "__main__":
    Lines.run()
`,
};

function files(t: TestContext): string {
  const directory = tempDir(t);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(directory, name), text);
  writeFileSync(join(directory, "stop.txt"), "w3 w4");
  writeFileSync(join(directory, "more.txt"), "w5");
  const words = (line: number): string =>
    Array.from({ length: 9 }, (_, i) => `w${(line * 7 + i * i) % 23}`).join(" ");
  for (const [name, from] of [
    ["a.txt", 0],
    ["b.txt", 40],
  ] as const) {
    const lines = Array.from({ length: 40 }, (_, i) => words(from + i));
    writeFileSync(join(directory, name), `${lines.join("\n")}\n`);
  }
  return directory;
}

const inputs = ["a.txt", "b.txt"];

/** What mrjob itself makes of it: its files one after the other, and what it said. */
function inline(directory: string, script: string, given: readonly string[], more: readonly string[] = []) {
  const output = join(directory, `inline-${script}`);
  const done = spawnSync(
    python,
    [script, "-r", "inline", "--no-conf", "--no-cat-output", "-o", output, ...given, ...more],
    { cwd: directory, encoding: "utf8" },
  );
  assert.equal(done.status, 0, done.stderr);
  return { text: partsOf(output), said: done.stderr };
}

const partsOf = (output: string): string =>
  readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .sort()
    .map((name) => readFileSync(join(output, name), "latin1"))
    .join("");
const sorted = (text: string): string[] => text.split("\n").sort();

test(
  "a script of three steps gives what mrjob gives, with its options, files, jobconf and counters",
  options,
  async (t) => {
    const directory = files(t);
    const more = ["--min", "9", "--also", "more.txt", "--no-conf"];
    const expected = inline(directory, "steps.py", inputs, more);
    const { code, stderr } = await sheafHere(
      ["mrjob", "steps.py", ...inputs, "-o", "out", "--inline", "--python", python, "--", ...more],
      { cwd: directory },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(sorted(partsOf(join(directory, "out", "step3"))), sorted(expected.text));
    assert.equal(sorted(expected.text).length, 3);
    const left = /left; out=(\d+)/.exec(expected.said)![1]!;
    assert.match(stderr, new RegExp(`step1\\.words:left; out +${left}\\n`));
    assert.match(stderr, /step1 +plan .* 2 reduce tasks/);
  },
);

test(
  "values come sorted where SORT_VALUES asks for it, and one partition is mrjob's output byte for byte",
  options,
  async (t) => {
    const directory = files(t);
    const expected = inline(directory, "values.py", inputs);
    const { code, stderr } = await sheafHere(
      ["mrjob", "values.py", ...inputs, "-o", "out", "-p", "1", "--inline", "--python", python],
      { cwd: directory },
    );
    assert.equal(code, 0, stderr);
    assert.equal(partsOf(join(directory, "out")), expected.text);
  },
);

test("lines pass through steps as they are, whatever bytes they hold", options, async (t) => {
  const directory = files(t);
  const lines = ["no tab", "", "\t", "k\t", "a\tb\tc", "caf\xe9 \xff\xfe\0", "\u00c3\u00a9", " x "];
  writeFileSync(join(directory, "odd.txt"), Buffer.from(`${lines.join("\n")}\n`, "latin1"));
  const { code, stderr } = await sheafHere(
    ["mrjob", "lines.py", "odd.txt", "-o", "out", "--inline", "--python", python],
    { cwd: directory },
  );
  assert.equal(code, 0, stderr);
  assert.equal(partsOf(join(directory, "out", "step2")), `${lines.join("\n")}\n`);
  // mrjob's runner takes the files of a step in the order in which their directory has them.
  const { text } = inline(directory, "lines.py", ["odd.txt"]);
  assert.deepEqual(sorted(text), sorted(`${lines.join("\n")}\n`));
});

test("a script that fails is told with what it said and what it was at", options, async (t) => {
  const directory = files(t);
  writeFileSync(join(directory, "bad.txt"), "w1\n\nw2\n");
  const failing = scripts["values.py"]!.replace("at % 7", "at % (len(word) - 2)");
  writeFileSync(join(directory, "fails.py"), failing);
  const { code, stderr } = await sheafHere(
    ["mrjob", "fails.py", "bad.txt", "-o", "out", "--attempts", "1", "--inline", "--python", python],
    { cwd: directory },
  );
  assert.equal(code, 1);
  assert.match(stderr, /fails\.py --step-num=0 --mapper.*exit code 1.*ZeroDivisionError/);
  assert.ok(!existsSync(join(directory, "out")));
});

test("what of mrjob is not done is refused by its name before anything runs", options, async (t) => {
  const directory = files(t);
  const own = spawnSync(python, [join(packageRoot, "test", "python", "sheaf_mrjob_test.py")], {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, PYTHONPATH: join(packageRoot, "python"), PYTHONDONTWRITEBYTECODE: "1" },
  });
  assert.equal(own.status, 0, own.stderr);
  assert.match(own.stderr, /^Ran \d+ tests/m);
  writeFileSync(
    join(directory, "cat.py"),
    `from mrjob.job import MRJob
class Cat(MRJob):
    def mapper_cmd(self):
        return "cat"
Cat.run()
`,
  );
  for (const [script, more, message] of [
    ["cat.py", [], /cat\.py: step 1 has a mapper_cmd: run it with sheaf stream/],
    ["values.py", ["--nope"], /unrecognized arguments: --nope/],
  ] as const) {
    const args = ["mrjob", script, "a.txt", "-o", "out", "--python", python, "--", ...more];
    const { code, stderr } = await sheafHere(args, { cwd: directory });
    assert.match(stderr, message);
    assert.equal(code, 1);
  }
  assert.ok(!existsSync(join(directory, "out")));
});

test("without mrjob, or without that Python, the command says how to get it", async (t) => {
  const directory = files(t);
  writeFileSync(join(directory, "mrjob.py"), "raise ImportError('no such luck')");
  const env = { PYTHONPATH: directory };
  const missing = await sheafHere(["mrjob", "values.py", "a.txt"], { cwd: directory, env });
  assert.match(missing.stderr, /cannot load mrjob \(no such luck\)[^]*pip install mrjob[^]*--python/);
  const none = await sheafHere(["mrjob", "values.py", "a.txt", "--python", "./python9"], { cwd: directory });
  assert.match(none.stderr, /\.\/python9 cannot be started/);
});

const step = (jobconf: Readonly<Record<string, string>>, more: object = { reducer: ["--reducer"] }) => ({
  jobconf,
  mapper: ["--mapper"],
  ...more,
});
const described = (
  steps: MrjobDescription["steps"],
  more: Partial<MrjobDescription> = {},
): MrjobDescription => ({
  script: "j.py",
  python: [],
  files: { "j.py": "/x/j.py" },
  cmdenv: {},
  partitioner: null,
  inputFormat: null,
  outputFormat: null,
  steps,
  ...more,
});

test("jobconf decides what it decides on Hadoop, under its names of today and of Hadoop 1", () => {
  const source = (jobconf: Readonly<Record<string, string>>, more?: Partial<MrjobDescription>): string =>
    mrjobSource(described([step(jobconf)], more), ["python3"], "j.py");
  const byFields = "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner";
  const sorted_ = "org.apache.hadoop.mapred.lib.KeyFieldBasedComparator";
  const cases: readonly (readonly [string, RegExp])[] = [
    [source({ "mapred.reduce.tasks": "7" }), /partitions: 7,/],
    [
      source({ "stream.num.map.output.key.fields": "3" }),
      /map: exec\(\["python3","j.py","--mapper"\], .*"keyFields":3/,
    ],
    [
      source({ "mapred.text.key.partitioner.options": "-k1,1" }, { partitioner: byFields }),
      /"partitionBy":"-k1,1"/,
    ],
    [source({ "mapreduce.partition.keypartitioner.options": "-k1,1" }), /^(?![^]*partitionBy)/],
    [
      source({ "mapreduce.totalorderpartitioner.path": "p" }, { partitioner: `lib.TotalOrderPartitioner` }),
      /order: "total",/,
    ],
    [
      source({
        "mapred.output.key.comparator.class": sorted_,
        "mapred.text.key.comparator.options": "-k2nr",
      }),
      /"sort":"-k2nr"/,
    ],
    [source({ "stream.non.zero.exit.is.failure": "false" }), /"exitCodes":"any"/],
    [source({ "stream.non.zero.exit.is.failure": "False" }), /"exitCodes":"any"/],
    [source({ "num.key.fields.for.partition": "2" }, { partitioner: byFields }), /"partitionBy":"-k1,2"/],
    [
      source({ "stream.reduce.input.field.separator": "," }),
      /--mapper"\], \{(?![^\n]*inputSeparator)[^]*--reducer"\], [^\n]*"inputSeparator":","/,
    ],
    [source({ "mapred.textoutputformat.separator": "\t" }), /export default step1;/],
    [source({ "stream.stderr.reporter.prefix": "mine:" }), /"reporter":"mine:"/],
    [source({ "mapreduce.job.maps": "0", "mapreduce.task.timeout": "never" }), /export default step1;/],
    [source({ "my.own-name": "1" }), /"env":\{"my_own_name":"1"\}/],
    [source({ "mapreduce.map.memory.mb": "1" }), /export default step1;/],
  ];
  for (const [text, pattern] of cases) assert.match(text, pattern);
});

test("jobconf that would change what comes out and is not known is refused by its name", () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, Partial<MrjobDescription>, RegExp])[] = [
    [{ "stream.map.input.ignoreKey": "false" }, {}, /ignoreKey=false cannot be had/],
    [{ "stream.map.input": "typedbytes" }, {}, /stream\.map\.input=typedbytes cannot be had/],
    [{ "textinputformat.record.delimiter": ";" }, {}, /record\.delimiter/],
    [{ "mapred.output.compress": "true" }, {}, /compress=true/],
    [
      { "mapreduce.output.textoutputformat.separator": "," },
      {},
      /jobconf map\w+\.(?:output\.)?textoutputformat\.separator/,
    ],
    [
      { "mapred.textoutputformat.separator": "," },
      {},
      /jobconf map\w+\.(?:output\.)?textoutputformat\.separator/,
    ],
    [{ "mapred.output.value.groupfn.class": "com.x.Mine" }, {}, /groupfn\.class=com/],
    [{ "mapreduce.job.output.group.comparator.class": "com.x.Mine" }, {}, /group\.comparator\.class/],
    [
      { "stream.non.zero.exit.is.failure": "no" },
      {},
      /step 1: jobconf stream\.non\.zero\.exit\.is\.failure: "no" is neither/,
    ],
    [{ "num.key.fields.for.partition": "x" }, {}, /partition: "x" is out of range/],
    [{ "mapreduce.job.reduces": "two" }, {}, /reduces: "two" is out of range/],
    [{ "mapreduce.job.reduces": "0" }, {}, /is 0, and there is a reducer/],
    [{ "mapreduce.job.reduces": "1", "mapred.reduce.tasks": "2" }, {}, /differ: 1, 2/],
    [{}, { partitioner: "com.x.Mine" }, /partitioner: there is no com\.x\.Mine/],
    [
      { "mapreduce.job.output.key.comparator.class": "com.x.Mine" },
      {},
      /comparator\.class: there is no com\.x\.Mine/,
    ],
    [{}, { outputFormat: "org.x.SequenceFileOutputFormat" }, /HADOOP_OUTPUT_FORMAT is org\.x\.Seq/],
  ];
  for (const [jobconf, more, message] of cases) {
    assert.throws(() => mrjobSource(described([step(jobconf)], more), ["python3"], "j.py"), message);
  }
  const stray = described([step({}, { combiner: ["--combiner"] })]);
  assert.throws(() => mrjobSource(stray, ["python3"], "j.py"), /step 1 has a combiner and no reducer/);
});

test("the PYTHONPATH of the caller stands behind the script's own", () => {
  const world = { cwd: "/w", env: { PYTHONPATH: "lib::/usr/lib/x" } };
  assert.deepEqual(modulePath(world, { A: "b", PYTHONPATH: "mine.zip" }), {
    PYTHONPATH: "mine.zip:/w/lib:/usr/lib/x",
  });
  assert.deepEqual(modulePath(world, {}), { PYTHONPATH: "/w/lib:/usr/lib/x" });
  assert.deepEqual(modulePath({ cwd: "/w", env: {} }, { PYTHONPATH: "a" }), { PYTHONPATH: "a" });
  assert.deepEqual(modulePath({ cwd: "/w", env: {} }, {}), {});
});

test("a hundred scripts are kept for sheaf resume, those used last, and all of today", (t) => {
  const state = mkdtempSync(join(tmpdir(), "sheaf-mrjob-kept-"));
  t.after(() => rmSync(state, { recursive: true, force: true }));
  const day = 86_400_000;
  const kept = (at: number, n: number): string => keptFile(`export default ${n};`, "job", state, at);
  const files = Array.from({ length: 130 }, (_, n) => kept(10 * day + n, n));
  assert.deepEqual(files.filter(existsSync), files);
  // The first is used again three days later, with 29 others: of the rest only the newest fit.
  kept(13 * day, 0);
  for (let n = 0; n < 29; n++) files.push(kept(13 * day + n, 1_000 + n));
  const left = files.filter((file) => existsSync(file));
  assert.deepEqual(left, [files[0], ...files.slice(60)]);
  assert.equal(left.length, 100);
});
