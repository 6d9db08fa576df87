import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, suite, test } from "node:test";
import type { HostedRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runHosted } from "#src/hosted/hosted-run.js";
import { setStoreAccess } from "#src/storage/stores.js";
import { hostedJar, javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { Bench } from "../runner/support.ts";
import { type Machines, startMachines } from "./yarn-machines.ts";

const what = "YARN THAT COUNTS MEMORY";
const skip = onlyWithEngines(what) ?? javaMissing(what, "cluster", "streaming", "hosted") ?? false;

/** Nothing but the application master's is set here: containers are those that sheaf asks for. */
const conf = {
  "yarn.app.mapreduce.am.resource.mb": "1536",
  "yarn.app.mapreduce.am.command-opts":
    "-Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:CompressedClassSpaceSize=64m",
};

suite("YARN that ends containers by the memory of their processes", { skip, timeout: 3_600_000 }, () => {
  let lab: Machines;
  const former = { ...process.env };
  before(async () => {
    hostedJar();
    // As Hadoop had it before 3.4 took to control groups, which are not there: every 3 s it is looked.
    lab = await startMachines(1, {
      "yarn.nodemanager.resource.memory-mb": "6144",
      "yarn.nodemanager.resource.memory.enforced": "false",
      "yarn.nodemanager.vmem-check-enabled": "true",
      "yarn.nodemanager.pmem-check-enabled": "true",
    });
    Object.assign(process.env, lab.lab.env);
    setStoreAccess({ env: process.env, fetch: null });
  });
  after(async () => {
    for (const name of Object.keys(lab.lab.env)) delete process.env[name];
    Object.assign(process.env, former);
    setStoreAccess({ env: process.env, fetch: null });
    await lab.close();
  });

  /** Runs a job whose map does this with a line, and waits until YARN has looked at it twice. */
  async function run(
    bench: Bench,
    more: string,
    options: Partial<HostedRunOptions> = {},
  ): Promise<RunResult> {
    const file = bench.file(
      "job.ts",
      `import { job, sum, text } from "sheaf";
      const cell = new Int32Array(new SharedArrayBuffer(4));
      const kept = [];
      export default job({
        input: text(),
        params: { url: "" },
        async map(line, emit, ctx) {
          ${more}
          Atomics.wait(cell, 0, 0, 9_000);
          emit(line, kept.length);
        },
        reduce: sum(),
      });`,
    );
    return await runHosted(file, {
      on: "hadoop",
      conf,
      inputs: bench.file("in.txt", "one\n"),
      mappers: 1,
      partitions: 1,
      attempts: 1,
      output: bench.output,
      stateDirectory: bench.state,
      onEvent: (event) => void bench.events.push(event),
      ...options,
    });
  }

  test("a job passes, and one that calls fetch", async (t) => {
    const server = createServer((_, answer) => answer.end("hello"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const bench = new Bench(t);
    const asks = "kept.push(await (await fetch(ctx.params.url)).text());";
    (await run(bench, asks, { params: { url } })).throwIfFailed();
    assert.deepEqual(bench.lines(), ["one\t1"]);
  });

  for (const [kind, more, hint] of [
    ["address space", "kept.push(new WebAssembly.Memory({ initial: 1 }));", /vmem-check-enabled/],
    ["memory", "for (let n = 0; n < 20; n++) kept.push(Buffer.alloc(128 << 20, 1));", /map\.memory\.mb=\d+/],
  ] as const) {
    test(`a task that takes more ${kind} than there is for it is told with what to raise`, async (t) => {
      const { error, status } = await run(new Bench(t), more);
      assert.equal(status, "FAILED");
      assert.equal(error?.code, "OUT_OF_MEMORY", error?.report);
      assert.match(error.hint ?? "", hint);
      assert.match(error.report, /^map-00000 failed \(attempt 1\): /);
    });
  }
});
