import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { Submission } from "#src/protocol/submission.js";
import { Stage } from "./stage.js";

/** Kinds of jobs that go through all that can be interrupted. */
const kinds: Readonly<Record<string, (stage: Stage) => Partial<Submission>>> = {
  collect: () => ({}),
  shared: (stage) => ({ output: { kind: "shared", path: stage.output, overwrite: false } }),
};

for (const [kind, changes] of Object.entries(kinds)) {
  test(`a coordinator killed anywhere carries a ${kind} job on, and no finished task runs again`, async (t) => {
    for (let seed = 1; seed <= 6; seed++) {
      const stage = new Stage(t);
      const random = seededRandom(`${kind} ${seed}`);
      const agents = ["a", "b"].map((name) => stage.agent(name));
      const job = await stage.submit(changes(stage));
      let restarts = 0;
      let turns = random.below(6);
      await stage.until(`seed ${seed}: the job ends`, () => {
        if (stage.coordinator.job(job).state === "SUCCEEDED") return true;
        if (turns-- <= 0 && restarts < 8) {
          restarts++;
          turns = random.below(12);
          stage.restart();
          stage.beat();
        }
        return false;
      });
      const view = stage.coordinator.job(job);
      assert.deepEqual(view.counters, { map: 3, reduce: 2 }, `seed ${seed}`);
      assert.equal(view.stats?.recordsIn, 30);
      assert.equal(view.parts.length, 2);
      const ran = agents.flatMap((agent) => [...agent.ran]);
      assert.deepEqual(
        ran.map(([name, times]) => `${name.split(" ")[1]} ${times}`).sort(),
        ["map-00000.1 1", "map-00001.1 1", "map-00002.1 1", "reduce-00000.1 1", "reduce-00001.1 1"],
        `seed ${seed}, after ${restarts} restarts`,
      );
      const last = (await stage.events(job)).at(-1);
      assert.equal(last?.kind === "job-finished" ? last.status : null, "SUCCEEDED");
    }
  });
}
