import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { outputDigest } from "#src/engine/committed-output.js";
import type { JobView } from "#src/protocol/job-view.js";
import type { Submission } from "#src/protocol/submission.js";
import type { FakeWork } from "./fake-agent.js";
import { Stage } from "./stage.js";

/** What the agent says of the input, and of an output that is there. */
class Told {
  identity: string | null = "input 1";
  existing: string | null | undefined;

  readonly errand: FakeWork["errand"] = async (errand, agent) => {
    if (errand.kind !== "plan") return agent.answer(errand);
    const { identity, existing } = this;
    return { ...agent.planned(errand, 1), identity, ...(existing !== undefined && { existing }) } as never;
  };
}

const digestOf = ({ counters, badRecords, parts }: JobView): string =>
  outputDigest({ counters, badRecords, parts });

test("a job that was done before runs nothing, and its results are its own", async (t) => {
  const stage = new Stage(t, { limits: { retention: 2 } });
  const told = new Told();
  const agent = stage.agent("a", { errand: told.errand });
  const first = await stage.submit({}, "first");
  const firstView = await stage.ended(first);
  assert.equal(firstView.sameAs, undefined);
  stage.restart();
  const ran = agent.ran.size;
  const again = await stage.submit({ once: "run" }, "again");
  const view = await stage.ended(again);
  assert.deepEqual([view.state, view.sameAs, agent.ran.size], ["SUCCEEDED", first, ran]);
  assert.deepEqual([view.parts, view.counters], [firstView.parts, firstView.counters]);
  const end = (await stage.events(again)).at(-1);
  assert.equal(end?.kind === "job-finished" && end.sameAs, first);
  // The first is forgotten; what it has made is not.
  const third = await stage.submit({ once: "run" }, "third");
  assert.equal((await stage.ended(third)).sameAs, first);
  assert.throws(() => stage.coordinator.clients.job(first));
  stage.restart();
  const file = stage.coordinator.clients.resultFile(third, "output", 1);
  assert.equal(readFileSync(file.path, "utf8"), "1: 1 maps\n");
});

test("whatever may change the result makes it another job", async (t) => {
  const stage = new Stage(t);
  const told = new Told();
  stage.agent("a", { errand: told.errand });
  const { options, outline } = await stage.submission();
  await stage.ended(await stage.submit({}, "first"));
  const cases: Readonly<Record<string, Partial<Submission>>> = {
    "a param": { options: { ...options, params: { year: 2 } } },
    "the sample": { options: { ...options, sample: 0.5 } },
    estimates: { options: { ...options, sample: 0.5, estimate: true } },
    "the partitions": { options: { ...options, partitions: [3] } },
    "the size of parts": { options: { ...options, partBytes: 1_000 } },
    "the budget": { options: { ...options, badBudget: { kind: "count", max: 1 } } },
    "the share of tasks": { options: { ...options, failedTasksShare: 0.5 } },
    "the seed": { outline: { ...outline, seed: 2 } },
    "the name": { name: "other" },
    "where it goes": { output: { kind: "collect", write: true, collect: true } },
  };
  for (const [what, changes] of Object.entries(cases)) {
    const { state, sameAs } = await stage.ended(await stage.submit({ once: "run", ...changes }, `x ${what}`));
    assert.deepEqual([state, sameAs], ["SUCCEEDED", undefined], what);
    const twice = await stage.ended(await stage.submit({ once: "run", ...changes }, `y ${what}`));
    assert.equal(typeof twice.sameAs, "string", what);
  }
  const looks: Readonly<Record<string, Partial<Submission>>> = {
    "what is shown meanwhile": { options: { ...options, live: true } },
    "more attempts": { options: { ...options, attempts: 9 } },
  };
  for (const [what, changes] of Object.entries(looks)) {
    const { sameAs: same } = await stage.ended(await stage.submit({ once: "run", ...changes }, `z ${what}`));
    assert.equal(typeof same, "string", what);
  }
  const sameAs = async (key: string) => (await stage.ended(await stage.submit({ once: "run" }, key))).sameAs;
  assert.equal(typeof (await sameAs("as before")), "string");
  told.identity = "input 2";
  assert.equal(await sameAs("other input"), undefined);
  told.identity = null;
  assert.equal(await sameAs("nobody knows"), undefined);
  assert.equal(await sameAs("nobody knows, again"), undefined);
});

test("of a shared output it must be there, whole, as the earlier job has left it", async (t) => {
  const stage = new Stage(t);
  const told = new Told();
  const agent = stage.agent("a", { errand: told.errand });
  const output = { kind: "shared", path: stage.output, overwrite: true } as const;
  const first = await stage.submit({ output }, "first");
  const made = digestOf(await stage.ended(first));
  for (const existing of [undefined, null, "another"]) {
    told.existing = existing;
    const view = await stage.ended(await stage.submit({ output, once: "run" }, `run ${existing}`));
    assert.deepEqual([view.state, view.sameAs], ["SUCCEEDED", undefined]);
  }
  const inTheWay = { ...output, overwrite: false };
  const refused = await stage.ended(await stage.submit({ output: inTheWay, once: "run" }, "refused"));
  assert.deepEqual([refused.state, refused.error?.code], ["FAILED", "OUTPUT_EXISTS"]);
  told.existing = made;
  const same = await stage.ended(await stage.submit({ output: inTheWay, once: "run" }, "same"));
  assert.deepEqual([same.state, typeof same.sameAs], ["SUCCEEDED", "string"]);
  const discards = agent.had.filter((order) => order.kind === "errand" && order.errand.kind === "discard");
  assert.equal(discards.length, 2, "what was made ready for outputs that are not written has to go");
});

test("what the client has may be in the way of another run", async (t) => {
  const stage = new Stage(t);
  const told = new Told();
  stage.agent("a", { errand: told.errand });
  const refused = await stage.ended(await stage.submit({ once: "fail" }, "a"));
  assert.deepEqual([refused.state, refused.error?.code], ["FAILED", "OUTPUT_EXISTS"]);
  const first = await stage.submit({}, "b");
  await stage.ended(first);
  assert.equal((await stage.ended(await stage.submit({ once: "fail" }, "c"))).sameAs, first);
});
