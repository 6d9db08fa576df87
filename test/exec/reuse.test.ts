import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { wordForm } from "#src/exec/words.js";
import { exec, type ExecOptions, type ExecProtocol, job, jsonl, sum, text } from "#src/index.js";
import type { Job } from "#src/index.js";
import { until } from "../kit/wait.js";
import { file, outputOf, ran, root } from "./support.js";

const helper = fileURLToPath(new URL("../../../python/sheaf_worker.py", import.meta.url));
const inputs = Array.from({ length: 6 }, (_, i) =>
  file(`many/${i}.jsonl`, [`{"k":"a${i % 3}","n":${i}}`, `{"k":"b","n":1}`].join("\n")),
);

/** A program of the helper that notes each start of it, and changes what it can reach. */
const program = file(
  "counts.py",
  `
import os, random, sys
import sheaf_worker
with open(os.environ["STARTS"], "a") as starts:
    starts.write("%d\\n" % os.getpid())
random.seed(5)
seen = []
def spoil():
    assert "SPOILT" not in os.environ and not os.path.exists("spoilt") and os.path.exists("counts.py")
    if len(seen) == 1:
        os.environ["SPOILT"] = "yes"
        open("spoilt", "w").close()
        os.chdir("/")
def counts(record):
    seen.append(record)
    if len(seen) == 1:
        spoil()
    sheaf_worker.count("records")
    print("seen", len(seen))
    yield record["k"], [record["n"], len(seen), random.random() if "DRAW" in os.environ else 0]
def total(key, values):
    seen.append(key)
    values = list(values)
    yield key, [sum(value[0] for value in values), sum(value[1] for value in values), values[0][2]]
sheaf_worker.main(map=counts, combine=total, reduce=total)
`,
);

const starts = (name: string): string => join(root, `starts-${name}`);
const startsOf = (name: string): number[] =>
  existsSync(starts(name)) ? readFileSync(starts(name), "utf8").trim().split("\n").map(Number) : [];

function counting(name: string, protocol: ExecProtocol, options: ExecOptions): Job {
  const env = { STARTS: starts(name), ...options.env };
  const words = (mode: string): string[] => ["python3", "counts.py", mode, "--protocol", protocol];
  const some = (mode: string): ReturnType<typeof exec> => exec(words(mode), { protocol, ...options, env });
  return job({
    input: jsonl(),
    files: [program, helper],
    map: some("map"),
    combine: some("combine"),
    reduce: some("reduce"),
    partitions: 3,
  });
}

describe("one process for several tasks", () => {
  test("gives what one process for each gives, whatever a task changes, with its counters", async () => {
    const one = await ran(counting("one", "json", {}), inputs, { mappers: 2 });
    const many = await ran(counting("many", "json", { reuse: true }), inputs, { mappers: 2 });
    assert.equal(one.result.status, "SUCCEEDED", one.result.error?.message);
    assert.equal(many.result.status, "SUCCEEDED", many.result.error?.message);
    assert.notEqual(many.output, "");
    assert.equal(many.output, one.output);
    assert.deepEqual(many.result.counters, one.result.counters);
    assert.equal(many.result.counters["records"], 12);
    // Six files, two combiners and three reduces; in one worker a program of each kind.
    assert.equal(startsOf("one").length, 6 + 2 + 3);
    assert.equal(startsOf("many").length, 3 * (many.result.workers ?? 1));
    for (const pid of startsOf("many"))
      await until(`process ${pid} ends`, () => !existsSync(`/proc/${pid}/cmdline`));
  });

  test("bytes as well; random numbers differ between tasks, and not between runs with a seed", async () => {
    const draws = async (name: string): Promise<readonly string[]> => {
      const what = job({
        input: jsonl(),
        files: [program, helper],
        map: exec(["python3", "counts.py", "map", "--protocol", "json"], {
          protocol: "json",
          reuse: true,
          env: { STARTS: starts(name), DRAW: "yes" },
        }),
        output: jsonl(),
      });
      return (await outputOf(what, inputs, { mappers: 6 })).trim().split("\n");
    };
    const first = await draws("first");
    assert.deepEqual(await draws("second"), first);
    const numbers = first.map((line) => (JSON.parse(line) as { value: number[] }).value[2]);
    assert.equal(new Set(numbers).size, 12);

    const lines = file(
      "lines.py",
      `import sheaf_worker\nsheaf_worker.main(map=lambda line: [(line, line)], values="text")\n`,
    );
    const bytes = job({
      input: text({ invalid: "bytes" }),
      files: [lines, helper],
      map: exec(["python3", "lines.py", "map", "--protocol", "bytes"], { protocol: "bytes", reuse: true }),
      reduce: exec(["python3", "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"], {
        protocol: "bytes",
      }),
      output: text(),
      partitions: 1,
    });
    const some = ["x", "\xff\xff\xff\xff", 'sheaf {"done":1}'];
    const files = some.map((one, i) => file(`bytes/${i}`, Buffer.from(`${one}\n`, "latin1")));
    const found = await ran(bytes, files, { mappers: 3 });
    assert.equal(found.result.status, "SUCCEEDED", found.result.error?.message);
    assert.equal(found.output.split("\n").length - 1, 3);
  });

  test("one that fails is told with its record, and the next attempt has a new process", async () => {
    const failing = file(
      "fails.py",
      `
import os, sheaf_worker
with open(os.environ["STARTS"], "a") as starts:
    starts.write("%d\\n" % os.getpid())
def fails(record):
    if record["k"] == "a1" and not os.path.exists(os.environ["STARTS"] + ".failed"):
        open(os.environ["STARTS"] + ".failed", "w").close()
        os.kill(os.getpid(), 9) if "KILL" in os.environ else 1 / 0
    yield record["k"], record["n"]
sheaf_worker.main(map=fails)
`,
    );
    const what = (name: string, env: Readonly<Record<string, string>> = {}): Job =>
      job({
        input: jsonl(),
        files: [failing, helper],
        map: exec(["python3", "fails.py", "map", "--protocol", "json"], {
          protocol: "json",
          reuse: true,
          env: { STARTS: starts(name), ...env },
        }),
        reduce: sum(),
        partitions: 1,
      });
    for (const [name, env, message] of [
      ["raises", {}, /exit code 1: ZeroDivisionError: division by zero; it had been given .*\.jsonl/],
      ["killed", { KILL: "yes" }, /ended by SIGKILL/],
    ] as const) {
      const failed = await ran(what(name, env), inputs, { mappers: 6 });
      assert.equal(failed.result.status, "FAILED");
      assert.match(failed.result.error!.message, message);
      const before = startsOf(name).length;
      const again = await ran(what(name, env), inputs, { mappers: 6 });
      assert.equal(again.output, "a0\t3\na1\t5\na2\t7\nb\t6\n");
      assert.equal(startsOf(name).length, before + again.result.workers);
    }
  });
});

/** A program that keeps to the protocol in one process, as one in any language may. */
const speaking = file(
  "speaks.py",
  `
import json, os, sys
how = sys.argv[1]
def say(text):
    sys.stdout.write("sheaf " + text + "\\n")
    sys.stdout.flush()
with open(os.environ["STARTS"], "a") as starts:
    starts.write("%d\\n" % os.getpid())
if how == "mute":
    sys.stdin.read()
    sys.exit()
if how == "early":
    print("[1,1]")
sys.stderr.write("reporter:counter:sheaf,outside,1\\nsheaf:end:0\\n")
sys.stderr.flush()
say('{"sheaf":0}')
for line in sys.stdin:
    if line.startswith('sheaf {"end"'):
        sys.stderr.write("half a linesheaf:end:%d\\n" % task)
        sys.stderr.flush()
        if how == "late":
            say('{"done":%d}' % task)
            print('["late",1]', flush=True)
            continue
        if how == "ends":
            sys.exit()
        say('{"done":%d}' % task)
        if how == "dies":
            os._exit(3)
    elif line.startswith("sheaf "):
        told = json.loads(line[6:])
        task = told["task"]
        say('{"began":%d}' % (task if how != "wrong" else task + 1))
        sys.stderr.write("reporter:counter:sheaf,tasks,1\\n")
        sys.stderr.flush()
    else:
        record = json.loads(line)
        print(json.dumps([record["k"], record["n"]]))
`,
);

describe("a program that says itself what it does", () => {
  const what = (how: string, options: ExecOptions = {}): Job =>
    job({
      input: jsonl(),
      files: [speaking],
      map: exec(["python3", "speaks.py", how], {
        protocol: "json",
        reuse: true,
        env: { STARTS: starts(how) },
        ...options,
      }),
      reduce: sum(),
      partitions: 1,
    });
  const expected = "a0\t3\na1\t5\na2\t7\nb\t6\n";

  test("is started once, and its counters are those of tasks", async () => {
    const { result, output } = await ran(what("counts"), inputs, { mappers: 6 });
    assert.equal(output, expected, result.error?.message);
    assert.equal(startsOf("counts").length, result.workers);
    assert.equal(result.counters["tasks"], 6);
    assert.equal(result.counters["outside"], undefined);
  });

  test("is started again when it ends between two tasks", async () => {
    assert.equal(await outputOf(what("dies"), inputs, { mappers: 6 }), expected);
    assert.equal(startsOf("dies").length, 6);
  });

  test("is told what it does wrong, instead of results that lack something", async () => {
    for (const [how, message, options] of [
      ["early", /has written "\[1,1\]\\n" before its first task/],
      ["late", /has written (?:"\[\\"late\\",1\]\\n" after it said that its task was done|.*is no pair)/],
      ["ends", /it ended with exit code 0 before it said that its task is done/],
      ["wrong", /has said "{\\"began\\":2}" where it was to say {"began":1}/],
      ["mute", /it has not said that it is ready for several tasks/, { noProgressMs: 200 }],
    ] as [string, RegExp, ExecOptions?][]) {
      const { result } = await ran(what(how, options), inputs, { mappers: 6 });
      assert.equal(result.status, "FAILED", how);
      assert.match(result.error!.message, message);
      assert.match(result.error!.code, /^(?:PROGRAM_FAILED|VALUE_INVALID)$/);
    }
  });
});

test("words are found among data, however a pipe has cut both", () => {
  const cases = {
    json: Buffer.from('["a",1]\n["she"]\n[]\nsheaf {"done":7}\n'),
    bytes: Buffer.concat([
      Buffer.from("\0\0\0\x06sheaf \0\0\0\0\0\0\0\x04\xff\xff\xff\xff", "latin1"),
      wordForm("bytes").join({ done: 7 }),
    ]),
  };
  for (const [protocol, bytes] of Object.entries(cases) as ["json" | "bytes", Buffer][]) {
    const form = wordForm(protocol);
    const data = bytes.subarray(0, bytes.length - form.join({ done: 7 }).length);
    for (let one = 0; one <= bytes.length; one++) {
      for (let two = one; two <= bytes.length; two++) {
        const split = form.splitter();
        const parts = [bytes.subarray(0, one), bytes.subarray(one, two), bytes.subarray(two)].map(split);
        assert.deepEqual(Buffer.concat(parts.map((part) => part.data)), data);
        assert.deepEqual(
          parts.flatMap(({ word }) => word ?? []).map((word) => JSON.parse(word) as unknown),
          [{ done: 7 }],
        );
      }
    }
  }
});

test("reuse is refused where nothing can be said between two tasks", () => {
  assert.throws(() => exec(["x"], { reuse: true }), {
    message: "exec(): reuse: between lines nothing can be said",
  });
  assert.throws(() => exec(["x"], { protocol: "json", reuse: true, exitCodes: [0, 1] }), /exitCodes/);
});
