import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runOnCluster } from "#src/client/cluster-run.js";
import { runJob } from "#src/runner/run.js";
import { Place, input, tree, wordcount } from "./place.js";

test("lost answers and cut connections change nothing but the number of requests", async (t) => {
  const place = await Place.make(t);
  const job = place.file("job.ts", wordcount);
  const inputs = place.file("in.txt", input);
  const cut = new Set<string>();
  place.fake.intercept = (request, response, count) => {
    const name = `${request.method} ${request.path}`;
    const once = /^(POST \/jobs|GET \/jobs\/[^/]+|PUT \/blobs\/.*|GET .*\/results\/output\/0)$/.test(name);
    if (once && count === 1 && !cut.has(name)) {
      cut.add(name);
      // The server has done it; the answer is what is lost.
      if (name === "POST /jobs") {
        const end = response.end.bind(response);
        response.end = (() => (response.destroy(), response)) as typeof end;
        return false;
      }
      if (name.includes("/results/")) {
        const { end } = response;
        response.end = ((bytes: Buffer) => {
          response.write(bytes.subarray(0, 40), () => response.destroy());
          return response;
        }) as typeof end;
        return false;
      }
      response.destroy();
      return true;
    }
    if (name.endsWith("/events") && count <= 2) {
      const { write } = response;
      let written = 0;
      response.write = ((text: string) => {
        if (++written > count) return void response.destroy();
        return write.call(response, text, "utf8");
      }) as never;
    }
    return false;
  };
  const local = join(place.root, "local");
  await runJob(job, { inputs, output: local, stateDirectory: null });
  const out = join(place.root, "out");
  const result = await runOnCluster(job, place.options({ inputs, output: out, shared: false }));
  assert.equal(result.error, null);
  assert.deepEqual(tree(out), tree(local));
  assert.equal(place.fake.jobs.size, 1);
  assert.deepEqual(
    place
      .warnings()
      .map((text) => text.split(/[,:]/)[0])
      .slice(0, 2),
    ["lost the coordinator", "the coordinator is back"],
  );
  // Every event once, whatever was cut.
  const told = place.kinds().filter((kind) => kind.startsWith("phase-started"));
  assert.deepEqual(
    told,
    ["load", "load", "plan", "map", "reduce", "commit"].map((phase) => `phase-started ${phase}`),
  );
  assert.equal(cut.size, 5, [...cut].join());
});

test("a result file that comes damaged is fetched again, and refused when it stays so", async (t) => {
  const place = await Place.make(t);
  const job = place.file("job.ts", wordcount);
  const inputs = place.file("in.txt", input);
  let damaged = 1;
  place.fake.intercept = (request, response, count) => {
    if (!request.path.endsWith("/results/output/0") || count > damaged) return false;
    const { end } = response;
    response.end = ((bytes: Buffer) => {
      const wrong = Buffer.from(bytes);
      wrong[3]! ^= 1;
      return end.call(response, wrong, "utf8");
    }) as typeof end;
    return false;
  };
  const out = join(place.root, "out");
  assert.equal((await runOnCluster(job, place.options({ inputs, output: out, shared: false }))).error, null);
  damaged = 9;
  const again = join(place.root, "again");
  const result = await runOnCluster(job, place.options({ inputs, output: again, shared: false }));
  assert.equal(result.error?.code, "BLOCK_CORRUPT");
  assert.ok(!existsSync(again));
  assert.ok(!readdirSync(place.root).some((name) => name.startsWith(".")));
});

const endless = `
  import { generate, job, count } from "sheaf";
  export default job({ input: generate({ tasks: 1, *records() { for (;;) yield 1; } }), reduce: count(),
    map(n, emit) { emit(n); } });`;

test("an abort cancels the job, says so, and leaves nothing", async (t) => {
  const place = await Place.make(t);
  place.fake.isolate = "thread";
  const abort = new AbortController();
  const out = join(place.root, "out");
  const options = place.options({ output: out, shared: false, signal: abort.signal });
  const running = runOnCluster(place.file("job.ts", endless), {
    ...options,
    onEvent: (event) => {
      if (event.kind === "attempt-started") abort.abort(new Error("stopped by Ctrl-C"));
    },
  });
  const result = await running;
  assert.deepEqual([result.status, result.error?.code], ["CANCELLED", "CANCELLED"]);
  assert.equal(place.fake.onlyJob.killed, "stopped by Ctrl-C");
  assert.deepEqual(readdirSync(place.root).sort(), ["job.ts", "state"]);
  const early = new AbortController();
  early.abort(new Error("at once"));
  const never = await runOnCluster(place.file("job.ts", endless), place.options({ signal: early.signal }));
  assert.deepEqual([never.status, never.jobId], ["CANCELLED", ""]);
  assert.equal(place.fake.jobs.size, 1);
});

test("while it runs, the coordinator hears of its client", async (t) => {
  const place = await Place.make(t);
  place.fake.isolate = "thread";
  const abort = new AbortController();
  place.fake.intercept = (request) => {
    if (request.path.endsWith("/heartbeat") && place.fake.onlyJob.beats.length >= 4) abort.abort();
    return false;
  };
  const result = await runOnCluster(place.file("job.ts", endless), place.options({ signal: abort.signal }));
  assert.equal(result.status, "CANCELLED");
  assert.equal(place.fake.onlyJob.submission.attached, true);
});
