import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import type { RunOptions, RunResult } from "#src/engine/options.js";
import { RealCluster } from "../cluster/real-cluster.js";
import { PipelineBench } from "./support.js";

/** Steps of pipelines that do something on each agent of a cluster. */
describe("scripts and transfers on the agents of a cluster", () => {
  let cluster: RealCluster;
  before(async () => {
    cluster = await RealCluster.start(null, { agents: 2, heartbeatMs: 500, leaseMs: 30_000 });
  });
  after(() => cluster.remove());

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
});
