import assert from "node:assert/strict";
import {
  type Dirent,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { crc32c } from "#src/base/crc32.js";
import type { RunOptions } from "#src/engine/options.js";
import { resultOf } from "#src/engine/result.js";
import type { RunResult } from "#src/engine/run-result.js";
import { nameStore } from "#src/engine/user-stores.js";
import { type AgentCopying, fetchFromAgents, listOnAgents } from "#src/pipeline/agent-transfer.js";
import { takeOutputs } from "#src/pipeline/node-script.js";
import { packageRoot } from "../cli/support.js";
import { RealCluster } from "../cluster/real-cluster.js";
import { PipelineBench } from "./support.js";

/** Steps of pipelines that do something on each agent of a cluster. */
describe("scripts and transfers on the agents of a cluster", () => {
  let cluster: RealCluster;
  /** What addresses of the storage box:// lead to, and the module that docs/storage.md shows. */
  const boxes = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-boxes-")));
  const boxStore = join(boxes, "box-store.ts");
  before(async () => {
    const page = readFileSync(join(packageRoot, "docs", "storage.md"), "utf8");
    writeFileSync(boxStore, /```ts\n\/\/ box-store\.ts\n(.*?)```/s.exec(page)![1]!);
    process.env["BOX_ROOT"] = boxes;
    nameStore("box", boxStore, {});
    const stored = ["--root", "box://shelf/"];
    cluster = await RealCluster.start(null, {
      agents: 2,
      heartbeatMs: 500,
      leaseMs: 30_000,
      coordinatorFlags: ["--root", "/", ...stored],
      agentFlags: (index) => {
        const root = index === 1 ? realpathSync(tmpdir()) : "/";
        return ["--root", root, ...stored, "--store", `box=${boxStore}`];
      },
    });
  });
  after(async () => {
    await cluster.remove();
    rmSync(boxes, { recursive: true, force: true });
    delete process.env["BOX_ROOT"];
  });

  class AgentBench extends PipelineBench {
    constructor(t: TestContext) {
      super(t);
    }

    there(text: string, options: RunOptions = {}, name = "below/pipe.ts"): Promise<RunResult> {
      return this.pipeline(text, { ...this.#own, ...options }, name);
    }

    again(options: RunOptions = {}): Promise<RunResult> {
      return this.resume({ ...this.#own, ...options });
    }

    get #own(): RunOptions {
      return { on: cluster.url, tokenFile: join(cluster.state, "client.token") };
    }
  }

  test("a script runs once on each agent: files in by content, out by agent, a clean environment", async (t) => {
    const bench = new AgentBench(t);
    bench.file(
      "below/tool.sh",
      `#!/bin/sh\nmkdir "$2"\nfor f in "$1"/*; do wc -c < "$f" >> "$2/sizes"; done\n: > "$2/empty"\ncp -r "$1" "$3"\n`,
    );
    chmodSync(join(bench.root, "below/tool.sh"), 0o755);
    bench.file(
      "below/score.py",
      `import os, sys
directory, model, out = sys.argv[1:]
print("secret" if "SHEAF_STATE" in os.environ else "clean", os.environ["FLAVOUR"])
print(sorted(os.listdir(".")), file=sys.stderr)
with open(out, "w") as to:
    for name in [name for name in sorted(os.listdir(directory)) if name.startswith("part-")]:
        for line in open(os.path.join(directory, name)):
            to.write("=".join(line.split()) + " " + open(model).read())
`,
    );
    bench.file("below/model.txt", "m1\n");
    const binary = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7) % 256));
    mkdirSync(join(bench.root, "below/data", "_below"), { recursive: true });
    writeFileSync(join(bench.root, "below/data", "a [1].bin"), binary);
    writeFileSync(join(bench.root, "below/data", ".hidden"), "");
    writeFileSync(join(bench.root, "below/data", "_below", "b"), "xyz");
    const result = await bench.there(
      `import { count, from, job, pipeline, script, sum, text, tsv } from "sheaf";
      const counts = job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });
      const score = script({
        run: ["python3", "score.py", "{in.counts}", "{in.model}", "{out.scores}"],
        in: { counts: from(counts), model: "model.txt" },
        out: { scores: text() },
        env: { FLAVOUR: "plum" },
        on: "each",
        keep: true,
      });
      const sized = script({
        run: ["./tool.sh", "{in.data}", "{out.sizes}", "{out.all}"],
        in: { data: "data" },
        out: { sizes: text(), all: text() },
        on: "each",
      });
      const lines = job({ input: from(score, "scores"), map: (line, emit) => emit(line, 1), reduce: count() });
      export default pipeline({ counts, score, sized, lines });`,
      { inputs: bench.file("in.txt", "b\na\nb\n") },
    );
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    const files = (name: string): string[] =>
      (readdirSync(join(bench.output, name), { recursive: true }) as string[]).toSorted();
    assert.deepEqual(files("score/scores"), ["a0", "a1"]);
    assert.equal(readFileSync(join(bench.output, "score/scores/a1"), "utf8"), "a=1 m1\nb=2 m1\n");
    assert.deepEqual(bench.step("lines"), ["a=1 m1\t2", "b=2 m1\t2"]);
    const copy = join(bench.output, "sized/all/a0");
    assert.deepEqual(readdirSync(copy).toSorted(), [".hidden", "_below", "a [1].bin"]);
    assert.ok(readFileSync(join(copy, "a [1].bin")).equals(binary));
    assert.deepEqual(
      files("sized/sizes").filter((name) => name.startsWith("a1/")),
      ["a1/empty", "a1/sizes"],
    );
    const said = bench
      .of("log")
      .filter(({ step }) => step === "score")
      .map(({ text }) => text);
    assert.deepEqual(said.toSorted(), [
      "a0: ['score.py']",
      "a0: clean plum",
      "a1: ['score.py']",
      "a1: clean plum",
      "it has run on a0, a1",
    ]);
  });

  test("one that fails on an agent fails the step, with what it said, and is not tried again", async (t) => {
    const bench = new AgentBench(t);
    const mark = join(bench.root, "ran");
    const failing = (run: string, more = ""): string => `
      import { pipeline, script, text } from "sheaf";
      export default pipeline({ all: script({ run: ${run}, out: { x: text() }, on: "each", ${more} }) });`;
    const run = `["sh", "-c", "echo one >> ${mark}; echo no disk >&2; exit 3"]`;
    const failed = await bench.there(failing(run));
    assert.match(failed.error?.report ?? "", /agent a[01]: sh ended with exit code 3[^]*no disk/);
    assert.ok(readFileSync(mark, "utf8").length <= 8, "it ran more than once on an agent");
    const cases: [string, string, RegExp][] = [
      [`["sleep", "600"]`, "timeoutMs: 100,", /agent a[01]: it took longer than 100 ms and was ended/],
      [`["cat", "../outside.txt"]`, "", /outside\.txt lies outside of/],
      [
        `["sh", "-c", 'ln -s /etc/passwd "$0"', "{out.x}"]`,
        "",
        /x of what it wrote is neither a file nor a directory/,
      ],
    ];
    bench.file("outside.txt", "");
    for (const [command, more, message] of cases) {
      const result = await bench.there(failing(command, more));
      assert.match(result.error?.message ?? "", message);
    }
    assert.ok(!existsSync(bench.output));
    // Nothing of a task stays on an agent.
    const left = [0, 1].flatMap((index) => readdirSync(join(cluster.agentState(index), "jobs")));
    assert.deepEqual(left, []);
    assert.ok(statSync(mark).size > 0);
  });

  test("files are copied from agents and to agents, checked, gone on with, and within an agent's roots", async (t) => {
    const bench = new AgentBench(t);
    const big = Buffer.from(Array.from({ length: 900_001 }, (_, index) => (index * index) % 251));
    bench.file("data/small [x].txt", "one\n");
    bench.file("data/below/empty.txt", "");
    writeFileSync(join(bench.root, "data/below/big.bin"), big);
    const crc = crc32c(big).toString(16);
    mkdirSync(join(bench.root, "below/got/a0/below"), { recursive: true });
    mkdirSync(join(bench.root, "below/got/a1/below"), { recursive: true });
    // What was cut off, and is the beginning of the file; and one that is not.
    writeFileSync(
      join(bench.root, `below/got/a0/below/.big.bin.sheaf-part-${crc}`),
      big.subarray(0, 600_000),
    );
    writeFileSync(join(bench.root, `below/got/a1/below/.big.bin.sheaf-part-${crc}`), "something else");
    bench.file("below/got/a1/small [x].txt", "two\n");
    const result = await bench.there(
      `import { bytes, count, from, job, pipeline, text, transfer } from "sheaf";
      const fetched = transfer({ from: "agent:${bench.root}/data", to: "got", as: text({ invalid: "bytes" }) });
      const pushed = transfer({ from: from(fetched), to: "agent:a1:${bench.root}/pushed" });
      const across = transfer({
        from: "agent:a0:${bench.root}/data/**/*.txt", to: "agent:${bench.root}/across", after: ["pushed"],
      });
      const files = job({
        input: from(fetched),
        map: (_line, emit, ctx) => emit(ctx.path.split("/").at(-1), 1),
        reduce: count(),
      });
      export default pipeline({ fetched, pushed, across, files });`,
    );
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    const read = (path: string): Buffer => readFileSync(join(bench.root, path));
    const below = (path: string): string[] =>
      (readdirSync(join(bench.root, path), { recursive: true, withFileTypes: true }) as Dirent[])
        .filter((entry) => entry.isFile())
        .map((entry) => relative(join(bench.root, path), join(entry.parentPath, entry.name)))
        .toSorted();
    const each = ["below/big.bin", "below/empty.txt", "small [x].txt"];
    const both = ["a0", "a1"].flatMap((agent) => each.map((file) => `${agent}/${file}`));
    assert.deepEqual([below("below/got"), below("pushed")], [both, both]);
    assert.deepEqual(below("across"), ["below/empty.txt", "small [x].txt"]);
    for (const file of [
      "below/got/a0/below/big.bin",
      "below/got/a1/below/big.bin",
      "pushed/a1/below/big.bin",
    ])
      assert.ok(read(file).equals(big), file);
    assert.equal(String(read("below/got/a1/small [x].txt")), "one\n");
    assert.equal(bench.step("files").length, 2);
    const told = bench
      .of("transferred")
      .filter(({ step }) => step === "fetched")
      .at(-1);
    assert.deepEqual([told?.files, told?.filesDone, told?.bytesDone], [6, 6, 2 * (big.length + 4)]);

    const wrong: [string, string, RegExp][] = [
      ["agent:a1:/etc/hostname", "x", /\/etc.* is refused: it is not inside/],
      ["agent:a7:/tmp", "x", /the cluster has no agent "a7"/],
      [`agent:${bench.root}/nothing*`, "x", /no agent has such files/],
      [`agent:a0:${bench.root}/data`, "agent:a1:/etc/sheaf-test", /\/etc.* is refused/],
    ];
    for (const [from, to, message] of wrong) {
      const failed = await bench.there(
        `import { pipeline, transfer } from "sheaf";
        export default pipeline({ x: transfer(${JSON.stringify({ from, to })}) });`,
        { overwrite: true },
      );
      assert.match(failed.error?.message ?? "", message);
    }
  });

  test("files go from agents into a storage of users, and from it to agents, as they are", async (t) => {
    const bench = new AgentBench(t);
    const big = Buffer.from(Array.from({ length: 700_001 }, (_, index) => (index * 7) % 253));
    for (const name of ["a b+%41.txt", "below/ü.txt"]) bench.file(`data/${name}`, `${name}\n`);
    writeFileSync(join(bench.root, "data/big.bin"), big);
    const pipe = (from: string, to: string): string =>
      `import { pipeline, transfer } from "sheaf";
      const moved = transfer(${JSON.stringify({ from, to })});
      export default pipeline({ moved });`;
    const up = await bench.there(pipe(`agent:${bench.root}/data`, "box://moved/up"));
    assert.equal(up.status, "SUCCEEDED", up.error?.report);
    const names = ["a b+%41.txt", "below/ü.txt", "big.bin"];
    const there = readdirSync(join(boxes, "moved/up"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(join(boxes, "moved/up"), join(entry.parentPath, entry.name)));
    const both = ["a0", "a1"].flatMap((agent) => names.map((name) => `${agent}/${name}`));
    assert.deepEqual(there.toSorted(), ["_SUCCESS", ...both].toSorted());
    const down = await bench.there(pipe("box://moved/up/a0", `agent:a1:${bench.root}/down`), {
      overwrite: true,
    });
    assert.equal(down.status, "SUCCEEDED", down.error?.report);
    for (const name of names) {
      const bytes = readFileSync(join(bench.root, "data", name));
      assert.ok(readFileSync(join(boxes, "moved/up/a1", name)).equals(bytes), name);
      assert.ok(readFileSync(join(bench.root, "down", name)).equals(bytes), name);
    }
    assert.deepEqual(readdirSync(join(boxes, "moved")), ["up"]);
    // What is there already and is none of a transfer is not replaced.
    writeFileSync(join(boxes, "moved/up/mine"), "mine");
    const refused = await bench.there(pipe(`agent:a0:${bench.root}/data`, "box://moved/up"), {
      overwrite: true,
    });
    assert.match(refused.error?.message ?? "", /moved\/up\/mine/);
  });

  test("agents read a storage of users that --store names, and so does replay", async (t) => {
    const bench = new AgentBench(t);
    mkdirSync(join(boxes, "shelf"), { recursive: true });
    for (const name of ["a", "b"]) writeFileSync(join(boxes, "shelf", `${name}.txt`), `${name} x\n`);
    const job = bench.file(
      "count.ts",
      `import { count, job, text } from "sheaf";
      export default job({
        input: text(),
        stores: { box: ${JSON.stringify(boxStore)} },
        map(line) {
          if (line === "bad") throw new Error("no good line");
          return line.split(" ").map((word) => [word, 1]);
        },
        reduce: count(),
      });`,
    );
    const args = ["run", job, "box://shelf/", "-p", "1", "--mappers", "2"];
    const done = await cluster.run([...args, "-o", "box://counted/words"]);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(readFileSync(join(boxes, "counted/words/part-00000.tsv"), "utf8"), "a\t1\nb\t1\nx\t2\n");
    writeFileSync(join(boxes, "shelf/c.txt"), "bad\n");
    assert.match((await cluster.run([...args, "-o", "box://counted/bad"])).stderr, /no good line/);
    assert.deepEqual(readdirSync(join(boxes, "counted")), ["words"]);
    // In a process that knows no such storage but from the job, or is told of it.
    for (const more of [[], ["--on", cluster.url], ["--store", `box=${boxStore}`]]) {
      const replayed = await cluster.start(["replay", ...more], { env: { BOX_ROOT: boxes } }).done;
      assert.match(replayed.stderr, /no good line/, more.join(" "));
    }
  });
});

/** What a job on agents gives, as `pairs`. */
function answering(pairs: readonly (readonly [readonly string[], unknown])[]): AgentCopying {
  const result = resultOf({ status: "SUCCEEDED", jobId: "", name: "x" });
  async function* records(): AsyncGenerator<[string, unknown]> {
    for (const [key, value] of pairs) yield [JSON.stringify(key), value];
  }
  const run = (): Promise<RunResult> =>
    Promise.resolve({ ...result, dispose: async () => undefined, records } as never);
  return { run, signal: undefined, count: () => undefined };
}

test("what an agent answers leads nowhere else, and is what was asked for", async (t) => {
  const bench = new PipelineBench(t);
  const listed = { path: "/data/a", place: "a", bytes: 3, crc32c: crc32c(Buffer.from("abc")), mtimeMs: 1 };
  for (const place of ["../a", "/etc/a", "x/../../a", "", "a//b"]) {
    const list = listOnAgents(
      "agent:/data",
      bench.root,
      answering([[["a0", "file", ""], { ...listed, place }]]),
    );
    await assert.rejects(list, /no file can have here/, place);
  }
  const target = join(bench.root, "got", "a");
  const copy = { ...listed, agent: "a0", target };
  const fetch = (...pairs: [readonly string[], unknown][]): Promise<string[]> =>
    fetchFromAgents([copy], answering(pairs));
  const text = (value: string): Uint8Array => Buffer.from(value);
  await assert.rejects(fetch([["a0", "0", ""], text("abd")]), /changed while it was copied/);
  await assert.rejects(fetch([["a0", "0", ""], text("ab")]), /changed while it was copied/);
  await assert.rejects(fetch([["a0", "0", ""], text("abcd")]), /has sent what was not asked for/);
  await assert.rejects(fetch([["a1", "0", ""], text("abc")]), /has sent what was not asked for/);
  await assert.rejects(fetch([["a0", "1", ""], text("abc")]), /has sent what was not asked for/);
  assert.ok(!existsSync(target));
  await fetch([["a0", "0", ""], text("ab")], [["a0", "0", ""], text("c")]);
  assert.equal(readFileSync(target, "utf8"), "abc");

  for (const key of [
    ["a0", "x", "../b"],
    ["../a0", "x", ""],
    ["a/0", "x", ""],
    ["a0", "y", ""],
  ]) {
    const { run } = answering([[key, 0o644]]);
    await assert.rejects(
      takeOutputs(await run({} as never), ["x"], bench.root),
      /no file that an agent can have|no file can have|not asked for/,
    );
  }
});
