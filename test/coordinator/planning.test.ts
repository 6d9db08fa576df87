import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Errand, ErrandResult } from "#src/protocol/agent-messages.js";
import type { TaskReport } from "#src/protocol/task-messages.js";
import type { FakeAgent, TaskOrder } from "./fake-agent.js";
import { Stage } from "./stage.js";

test("each agent's own files are listed by it, numbered by agent and path, and read there", async (t) => {
  const stage = new Stage(t);
  const shares: Readonly<Record<string, number>> = { b: 2, a: 1, c: 0 };
  const agents = Object.entries(shares).map(([name, maps]) =>
    stage.agent(name, {
      errand: async (errand, self): Promise<ErrandResult> => {
        if (errand.kind !== "plan") return self.answer(errand);
        assert.equal(errand.agentLocal, true);
        return maps === 0 ? self.failed("INPUT_MISSING", "no file fits") : self.planned(errand, maps);
      },
    }),
  );
  const { options } = await stage.submission();
  const job = await stage.submit({
    inputs: ["agent:/var/log/*.gz"],
    options: { ...options, partitions: [null], cores: 1 },
  });
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  assert.deepEqual([view.mapTasks, view.partitions], [3, [1]]);
  const maps = stage.coordinator.clients.attempts(job).filter(({ attempt }) => attempt.phase === "map");
  assert.deepEqual(
    maps.map(({ attempt, agent }) => [attempt.task, agent]),
    [
      [0, "a"],
      [1, "b"],
      [2, "b"],
    ],
  );
  assert.equal(agents.length, 3);
});

test("inputs come one after the other, of each what all agents see and then their own", async (t) => {
  const stage = new Stage(t);
  const local: Readonly<Record<string, readonly number[]>> = { b: [0, 1], a: [1] };
  for (const [name, inputs] of Object.entries(local)) {
    stage.agent(name, {
      errand: async (errand, self): Promise<ErrandResult> => {
        const of = errand.kind === "plan" && errand.agentLocal ? inputs : [0, 1, 1];
        const planned = errand.kind === "plan" ? self.planned(errand, of.length) : await self.answer(errand);
        if (planned.kind !== "planned") return planned;
        return { ...planned, splits: planned.splits.map((split, i) => ({ ...split, input: of[i]! })) };
      },
    });
  }
  const { options, outline } = await stage.submission();
  const { input } = outline;
  const job = await stage.submit({
    inputs: [
      `x=${join(stage.root, "data", "x")}`,
      "y=agent:/var/y",
      `y=${join(stage.root, "data", "y")}`,
      "x=agent:/x",
    ],
    outline: { ...outline, inputs: ["x", "y"].map((name) => ({ name, input })) },
    options: { ...options, partitions: [null], cores: 1 },
  });
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.mapTasks], ["SUCCEEDED", 6]);
  const maps = stage.coordinator.clients.attempts(job).filter(({ attempt }) => attempt.phase === "map");
  const own = maps.filter(({ attempt }) => [1, 4, 5].includes(attempt.task));
  assert.deepEqual(
    own.map(({ agent }) => agent),
    ["b", "a", "b"],
  );
});

test("texts that name no input of the job are refused when it is submitted, and paths outside the roots", async (t) => {
  const stage = new Stage(t);
  const { outline } = await stage.submission();
  const several = { ...outline, inputs: ["x", "y"].map((name) => ({ name, input: outline.input })) };
  const path = join(stage.root, "data", "x");
  const wrong: readonly (readonly [inputs: string[], code: string])[] = [
    [[path, `y=${path}`], "USAGE"],
    [[`x=${path}`], "USAGE"],
    [[`x=${path}`, "y=/etc/passwd"], "FORBIDDEN"],
    [[`x=${path}`, `y=${path}/../../z`], "FORBIDDEN"],
    [[`x=${path}`, "y=agent:relative"], "FORBIDDEN"],
  ];
  for (const [inputs, code] of wrong)
    await assert.rejects(stage.submit({ inputs, outline: several }), { code });
});

test("incremental goes with neither sample, live nor records that are kept; these lie beside the output", async (t) => {
  const stage = new Stage(t);
  const { options } = await stage.submission();
  const data = join(stage.root, "data");
  const output = { kind: "shared", path: stage.output, overwrite: true } as const;
  const incremental = { output, incremental: true };
  const cases: readonly (readonly [Parameters<Stage["submit"]>[0], RegExp])[] = [
    [{ ...incremental, options: { ...options, sample: 0.5 } }, /incremental and sample exclude each other/],
    [{ ...incremental, options: { ...options, live: true } }, /incremental and live exclude each other/],
    [{ ...incremental, materialize: join(data, "kept") }, /incremental and materialize exclude each other/],
    ...[stage.output, `${data}/./out//`, join(stage.output, "kept"), data].map(
      (materialize) =>
        [{ output, materialize }, /materialize: .* and the output lie in one another/] as const,
    ),
  ];
  for (const [changes, message] of cases)
    await assert.rejects(stage.submit(changes), { code: "USAGE", message });
  await stage.submit({ output, materialize: `${stage.output}-kept` });
});

test("splits whose storage knows its hosts are read there, or elsewhere when those have no slot free", async (t) => {
  const stage = new Stage(t);
  const near = [["host-of-c"], ["elsewhere", "host-of-a"], [], ["host-of-c", "host-of-b"], ["host-of-c"]];
  let running = 0;
  let go: () => void = () => undefined;
  const all = new Promise<void>((resolve) => (go = resolve));
  for (const name of ["a", "b", "c", "d", "e"]) {
    const errand = async (given: Errand, self: FakeAgent): Promise<ErrandResult> => {
      const planned = given.kind === "plan" ? self.planned(given, near.length) : await self.answer(given);
      if (planned.kind !== "planned") return planned;
      const hosts = (index: number) => (near[index]!.length === 0 ? {} : { hosts: near[index]! });
      return { ...planned, splits: planned.splits.map((split, index) => ({ ...split, ...hosts(index) })) };
    };
    const task = async (order: TaskOrder, self: FakeAgent): Promise<TaskReport> => {
      // Nobody has a slot free for a second map.
      if (order.work.kind === "map" && ++running === near.length) go();
      if (order.work.kind === "map") await all;
      return self.succeed(order);
    };
    stage.agent(name, { errand, task }, 1);
  }
  const job = await stage.submit();
  const { state, nearMaps } = await stage.ended(job);
  assert.deepEqual([state, nearMaps], ["SUCCEEDED", { maps: 5, local: 3 }]);
  const maps = stage.coordinator.clients.attempts(job).filter(({ attempt }) => attempt.phase === "map");
  const by = new Map(maps.map(({ attempt, agent }) => [attempt.task, agent]));
  assert.deepEqual([by.get(0), by.get(1), by.get(3)], ["c", "a", "b"]);
  assert.deepEqual([by.get(2), by.get(4)].sort(), ["d", "e"]);
});

test("no agent has such files: the job fails by that", async (t) => {
  const stage = new Stage(t);
  for (const name of ["a", "b"])
    stage.agent(name, { errand: async (_, self) => self.failed("INPUT_MISSING", "no file fits /x") });
  const view = await stage.ended(await stage.submit({ inputs: ["agent:/x"] }));
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "INPUT_MISSING"]);
});

test("a planner that is lost is replaced by another one; its late plan changes nothing", async (t) => {
  const stage = new Stage(t);
  let asked = 0;
  const a = stage.agent("a", {
    errand: async () => {
      asked++;
      return null;
    },
  });
  const job = await stage.submit();
  await stage.until("a plans", () => asked === 1);
  stage.agent("b");
  const errand = a.had.find((order) => order.kind === "errand")!;
  a.stop();
  await stage.until("b has planned", () => stage.coordinator.clients.job(job).state === "RUNNING", 50);
  if (errand.kind === "errand")
    stage.coordinator.agents.errandDone(errand.errand.id, a.planned(errand.errand, 9));
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.mapTasks], ["SUCCEEDED", 3]);
});

test("a plan that fails fails the job, with what the agent said and where", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {
    errand: async (errand, self) =>
      errand.kind === "plan" ? self.failed("OUTPUT_EXISTS", "it is there") : self.answer(errand),
  });
  const view = await stage.ended(
    await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } }),
  );
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "OUTPUT_EXISTS"]);
  assert.match(view.error?.report ?? "", /it is there \(on host-of-a\)/);
});

test("agents that may not use a job's paths neither plan nor run it; with none that may it fails", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {}, 2, [join(stage.root, "elsewhere")]);
  const refused = await stage.ended(await stage.submit({}, "first"));
  assert.deepEqual([refused.state, refused.error?.code], ["FAILED", "FORBIDDEN"]);
  assert.match(refused.error?.message ?? "", /none of 1 agents may use .*data\/in/);
  stage.agent("b");
  const view = await stage.ended(await stage.submit({}, "second"));
  assert.deepEqual([view.state, view.agents], ["SUCCEEDED", ["b"]]);
});

test("an agent that may use the output but not the place of the records neither commits nor discards", async (t) => {
  const stage = new Stage(t);
  const data = join(stage.root, "data");
  const other = stage.agent("b", {}, 2, [join(data, "x")]);
  other.utility = 900;
  const agent = stage.agent("a", {
    errand: async (errand, self) =>
      errand.kind === "plan" && errand.job === failing
        ? self.failed("OUTPUT_EXISTS", "no")
        : self.answer(errand),
  });
  let failing = "";
  stage.beat();
  const output = { kind: "shared", path: join(data, "x", "out"), overwrite: false } as const;
  const places = { output, materialize: join(data, "records") };
  const committed = await stage.submit(places, "first");
  assert.equal((await stage.ended(committed)).state, "SUCCEEDED");
  const discarded = await stage.submit(places, "second");
  failing = discarded;
  assert.equal((await stage.ended(discarded)).state, "FAILED");
  const errands = ({ had }: FakeAgent) =>
    had.flatMap((order) => (order.kind === "errand" ? [order.errand.kind] : []));
  assert.deepEqual([errands(other), errands(agent)], [[], ["plan", "commit", "plan", "discard"]]);
});

test("a plan of an incremental job that says nothing of what is kept fails the job", async (t) => {
  const stage = new Stage(t);
  stage.agent("a");
  const output = { kind: "shared", path: stage.output, overwrite: true } as const;
  const view = await stage.ended(await stage.submit({ output, incremental: true }));
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "INTERNAL"]);
  assert.match(view.error?.message ?? "", /without a word of what an earlier run has kept \(on host-of-a\)/);
});

test("bounds of a total order come from the samples, before the first map, also after a restart", async (t) => {
  for (const kill of [false, true]) {
    const stage = new Stage(t);
    const settings: number[] = [];
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    stage.agent("a", {
      errand: async (errand, self) =>
        errand.kind === "plan"
          ? self.planned(errand, 1, [{ index: 0, bytes: 1, pieces: [] }])
          : self.answer(errand),
      task: async (order, self) => {
        if (order.work.kind === "map") {
          const { version, settings: given } = self.coordinator.agents.preparation(order.attempt.job, "a");
          settings.push(order.settings, version);
          assert.deepEqual(given["bounds"], [["AAED"]]);
          await gate;
        }
        return self.succeed(order);
      },
    });
    const { outline } = await stage.submission();
    const collections = [{ ...outline.collections[0]!, order: "total" as const }];
    const job = await stage.submit({ outline: { ...outline, collections } });
    await stage.until("the map runs", () => settings.length > 0);
    if (kill) stage.restart();
    assert.equal(stage.coordinator.agents.preparation(job, "a").version, 2);
    go();
    const view = await stage.ended(job);
    assert.equal(view.state, "SUCCEEDED");
    assert.deepEqual(settings, [2, 2]);
    assert.deepEqual(stage.coordinator.clients.job(job).counters, { map: 1, reduce: 2, sample: 1 });
  }
});
