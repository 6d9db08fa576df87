import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { exec, job, sum, text } from "#src/index.js";
import type { ExecOptions, Job } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { sheafHere } from "../cli/support.js";
import { mrjobPython } from "../kit/python-package.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "sheaf-wordcount-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const programs = [join(root, "examples/python/wordcount.py"), join(root, "python/sheaf_worker.py")];
const python = mrjobPython();

const books = ["one.txt", "two.txt"].map((name, book) => {
  const path = join(directory, name);
  const words = ["the", "Äpfel", "überall", "λόγος", "a", "ab", "The", "дом", "x"];
  const line = (at: number): string =>
    Array.from({ length: 12 }, (_, i) => words[(at * 5 + i * i + book) % words.length]).join(
      at % 3 ? " " : ", ",
    );
  writeFileSync(path, `${Array.from({ length: 300 }, (_, at) => line(at)).join("\n")}\n`);
  return path;
});

/** The parts, in order. */
const partsOf = (output: string): string[] =>
  readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .sort()
    .map((name) => readFileSync(join(output, name), "utf8"));

let runs = 0;
async function counted(what: Job): Promise<{ parts: string[]; counters: Readonly<Record<string, number>> }> {
  const output = join(directory, `out-${runs++}`);
  const result = await runJob(what, {
    inputs: books,
    output,
    partitions: 3,
    attempts: 1,
    stateDirectory: null,
  });
  result.throwIfFailed();
  await result.dispose();
  return { parts: partsOf(output), counters: result.counters };
}

const expected = counted(
  job({
    input: text(),
    map(line, emit) {
      for (const word of line.match(/\p{L}+/gu) ?? []) emit(word, 1);
    },
    reduce: sum(),
  }),
);

const inPython = (options: ExecOptions = {}): Job => {
  const program = (kind: string) =>
    exec(["python3", "wordcount.py", kind, "--protocol", options.protocol ?? "lines"], options);
  const functions = { map: program("map"), combine: program("combine"), reduce: program("reduce") };
  return job({ input: text(), files: programs, ...functions });
};

test("two Python programs count words as a TypeScript job does, byte for byte, and so do two of awk", async () => {
  const { parts } = await expected;
  assert.equal(parts.length, 3);
  const words = parts.join("").split("\n").filter(Boolean);
  assert.equal(words.length, 9);
  const py = await counted(inPython());
  assert.deepEqual(py.parts, parts);
  assert.equal(
    py.counters["words"],
    words.reduce((total, line) => total + Number(line.split("\t")[1]), 0),
  );
  const split = '{ for (i = 1; i <= NF; i++) if ($i != "") print $i "\t1" }';
  const add =
    '$1 != key { if (NR > 1) print key "\t" n; key = $1; n = 0 } { n += $2 } END { if (NR) print key "\t" n }';
  const env = { LC_ALL: "C" };
  const awk = job({
    input: text(),
    map: exec(["awk", "-F", "[^A-Za-z\\200-\\377]+", split], { env }),
    reduce: exec(["awk", "-F", "\t", add], { env }),
  });
  assert.deepEqual((await counted(awk)).parts, parts);
});

test("pairs of a Python program go to an aggregator, as JSON and as lines, and bytes to another program", async () => {
  const { parts } = await expected;
  const map = (protocol: "json" | "lines", more: ExecOptions = {}) =>
    exec(["python3", "wordcount.py", "map", "--protocol", protocol], { protocol, ...more });
  const json = job({ input: text(), files: programs, map: map("json"), reduce: sum() });
  assert.deepEqual((await counted(json)).parts, parts);
  const lines = job({
    input: text(),
    files: programs,
    map: map("lines", { values: "number" }),
    reduce: sum(),
  });
  assert.deepEqual((await counted(lines)).parts, parts);
  const odd = join(directory, "odd.py");
  writeFileSync(
    odd,
    `import sheaf_worker
def each(record):
    yield "tab\\there\\nand a line", {"of": record}
    yield record, None
def listed(key, values):
    yield key, sorted(str(value) for value in values)[:2]
sheaf_worker.main(map=each, reduce=listed)
`,
  );
  const bytes = (kind: string) =>
    exec(["python3", "odd.py", kind, "--protocol", "bytes"], { protocol: "bytes" });
  const made = job({ input: text(), files: [odd, programs[1]!], map: bytes("map"), reduce: bytes("reduce") });
  const result = await runJob(made, {
    inputs: [books[0]!],
    attempts: 1,
    partitions: 1,
    stateDirectory: null,
  });
  result.throwIfFailed();
  const found = new Map<string, string>();
  for await (const [key, value] of result.records())
    found.set(String(Buffer.from(key as Uint8Array)), String(Buffer.from(value as Uint8Array)));
  assert.match(found.get("tab\there\nand a line")!, /^\["\{'of': '/);
  assert.ok(
    found.size > 2 &&
      [...found.values()].filter((value) => value.startsWith('["None"')).length === found.size - 1,
  );
  await result.dispose();
});

test("a function of Python that throws is shown with its record and its lines in the error screen", async () => {
  const failing = join(directory, "fails.py");
  writeFileSync(
    failing,
    `import sheaf_worker
def shares(line):
    print("looking at", line)
    return [(word, 12 // (len(word) - 5)) for word in line.replace(",", "").split()]
sheaf_worker.main(map=shares)
`,
  );
  const path = join(directory, "some.txt");
  writeFileSync(path, "a b\nc Äpfel d\n");
  const jobFile = join(directory, "fails.mjs");
  writeFileSync(
    jobFile,
    `import { exec, job, text } from "sheaf";
export default job({ input: text(), files: ["fails.py", ${JSON.stringify(programs[1])}], map: exec(["python3", "fails.py", "map"]) });
`,
  );
  const { code, stderr } = await sheafHere(["run", jobFile, path, "--inline", "--attempts", "1"], {
    cwd: directory,
  });
  assert.equal(code, 1);
  assert.match(stderr, /python3 fails\.py map: it ended with exit code 1/);
  assert.match(
    stderr,
    /map \(shares\) failed at record 2, 'c Äpfel d'\n.*Traceback[^]*line 4, in <listcomp>|line 4, in shares/,
  );
  assert.match(stderr, /ZeroDivisionError/);
});

test(
  "a script of mrjob counts words as a TypeScript job does, byte for byte",
  { skip: python.skip },
  async () => {
    writeFileSync(
      join(directory, "mr_words.py"),
      `import re
from mrjob.job import MRJob
from mrjob.protocol import RawProtocol

class Words(MRJob):
    INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = RawProtocol

    def mapper(self, _, line):
        for word in re.findall(r"[^\\W\\d_]+", line):
            yield word, "1"

    def combiner(self, word, counts):
        yield word, str(sum(map(int, counts)))

    reducer = combiner

if __name__ == "__main__":
    Words.run()
`,
    );
    const args = [
      "mrjob",
      "mr_words.py",
      ...books,
      "-o",
      "mr",
      "-p",
      "3",
      "--inline",
      "--python",
      python.program,
    ];
    const { code, stderr } = await sheafHere(args, { cwd: directory });
    assert.equal(code, 0, stderr);
    assert.deepEqual(partsOf(join(directory, "mr")), (await expected).parts);
  },
);
