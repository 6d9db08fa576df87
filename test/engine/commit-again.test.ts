import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { seededRandom } from "#src/base/random.js";
import { commitOutput } from "#src/engine/commit.js";
import type { CommitPlan, Outputs } from "#src/engine/commit.js";
import { jobSibling, putAsideBack } from "#src/storage/atomic-output.js";
import type { TaskSuccess } from "#src/task/task-spec.js";
import { writeOutput } from "../storage/support.ts";

const changing = ["mkdir", "rename", "writeFile", "copyFile", "rm", "chmod", "mkdtemp", "open"] as const;

/**
 * Runs `work` as a process would that dies at its `at`-th call that changes the disk: just before it is made,
 * or just after. From then on nothing it calls does anything. Returns whether it came so far.
 */
async function dyingAt(at: number, when: "before" | "after", work: () => Promise<unknown>): Promise<boolean> {
  const real = Object.fromEntries(changing.map((name) => [name, promises[name]]));
  let calls = 0;
  let isDead = false;
  const died = (): Error => Object.assign(new Error("the process is dead"), { code: "EDEAD" });
  for (const name of changing) {
    const call = real[name] as (...given: unknown[]) => Promise<unknown>;
    const dying = async (...given: unknown[]): Promise<unknown> => {
      if (isDead) throw died();
      calls++;
      if (calls !== at) return call(...given);
      isDead = true;
      if (when === "after" && name !== "open") await call(...given);
      throw died();
    };
    Object.assign(promises, { [name]: dying });
  }
  syncBuiltinESMExports();
  try {
    await work().catch((error: unknown) => {
      if (!isDead) throw error;
    });
    return isDead;
  } finally {
    Object.assign(promises, real);
    syncBuiltinESMExports();
  }
}

/** A job whose attempts have written two parts and a file of bad records beside the output. */
class Place {
  readonly root = mkdtempSync(join(tmpdir(), "sheaf-commit-test-"));
  readonly output = join(this.root, "out");
  readonly sibling = jobSibling(this.output, "job-1");
  readonly plan: CommitPlan;
  readonly outputs: Outputs;

  constructor(t: TestContext, overwrite: boolean) {
    t.after(() => rmSync(this.root, { recursive: true, force: true }));
    if (overwrite) {
      writeOutput(this.output, { old: "old" });
    }
    this.plan = {
      name: "words",
      code: "0123456789abcdef",
      collections: ["", "more"],
      staging: join(this.sibling, "out"),
      output: this.output,
      overwrite,
      aside: join(this.sibling, "replaced"),
    };
    const reduce = [this.#attempt(0, 0, "a\t1\n"), this.#attempt(1, 1, "b\t2\n", "bad\n")];
    this.outputs = { sample: [], map: [], reduce, counters: { lines: 4 } };
  }

  commit(): Promise<unknown> {
    return commitOutput(this.plan, this.outputs);
  }

  /** What is visible at the output: the earlier one, the new one whole, or nothing. */
  seen(): "old" | "new" | "nothing" {
    if (!existsSync(this.output)) return "nothing";
    if (existsSync(join(this.output, "old"))) return "old";
    assert.deepEqual(readdirSync(this.output).sort(), ["_SUCCESS", "_bad", "more", "part-00000.tsv"]);
    assert.equal(readFileSync(join(this.output, "part-00000.tsv"), "utf8"), "a\t1\n");
    assert.equal(readFileSync(join(this.output, "more", "part-00000.tsv"), "utf8"), "b\t2\n");
    assert.equal(readFileSync(join(this.output, "_bad", "part-00000.jsonl"), "utf8"), "bad\n");
    const manifest = JSON.parse(readFileSync(join(this.output, "_SUCCESS"), "utf8")) as { parts: unknown[] };
    assert.equal(manifest.parts.length, 2);
    return "new";
  }

  #attempt(task: number, collection: number, text: string, bad?: string): TaskSuccess {
    const directory = join(this.sibling, "attempts", `reduce-0000${task}.1`);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `out-${collection}-0-0.tsv`);
    writeFileSync(path, text);
    const badPath = bad === undefined ? null : join(directory, "bad.jsonl");
    if (badPath !== null) writeFileSync(badPath, bad!);
    const bytes = text.length;
    const part = { kind: "output", collection, partition: 0, roll: 0, path, extension: ".tsv" } as const;
    return {
      kind: "success",
      stats: { badRecords: bad === undefined ? 0 : 1 } as TaskSuccess["stats"],
      counters: {},
      output: null,
      parts: [{ ...part, bytes, records: 1, crc32c: 1 }],
      keys: [],
      partitionBytes: [],
      pairs: [],
      hotKeys: [],
      badPath,
    };
  }
}

for (const overwrite of [false, true]) {
  for (const when of ["before", "after"] as const) {
    test(`a commit that dies ${when} any of its steps${overwrite ? ", replacing an output," : ""} can be done again`, async (t) => {
      let steps = 0;
      for (; ; steps++) {
        const place = new Place(t, overwrite);
        if (!(await dyingAt(steps + 1, when, () => place.commit()))) break;
        const seen = place.seen();
        assert.ok(seen === "new" || overwrite || seen === "nothing", `step ${steps + 1}`);
        await place.commit();
        assert.equal(place.seen(), "new", `step ${steps + 1}`);
        assert.equal(existsSync(place.plan.aside!), false, `step ${steps + 1}`);
        // And again, by somebody who has not heard that it is done.
        await place.commit();
        assert.equal(place.seen(), "new", `step ${steps + 1}`);
      }
      assert.ok(steps > 10, `only ${steps} steps`);
    });

    test(`a commit that dies ${when} any of its steps${overwrite ? ", replacing an output," : ""} can be called off`, async (t) => {
      for (let step = 1; ; step++) {
        const place = new Place(t, overwrite);
        if (!(await dyingAt(step, when, () => place.commit()))) break;
        const before = place.seen();
        await putAsideBack(place.plan.aside!, place.output);
        assert.equal(place.seen(), before === "new" ? "new" : overwrite ? "old" : "nothing", `step ${step}`);
      }
    });
  }
}

test("a commit that dies twice can be done again", async (t) => {
  for (let first = 1; first < 40; first += 3) {
    for (let second = 1; second < 40; second += 3) {
      const place = new Place(t, true);
      await dyingAt(first, "after", () => place.commit());
      await dyingAt(second, "before", () => place.commit());
      await place.commit();
      assert.equal(place.seen(), "new", `steps ${first} and ${second}`);
    }
  }
});

test("of several that commit at once all succeed, however their steps mix", async (t) => {
  const random = seededRandom(4711);
  for (let round = 0; round < 60; round++) {
    const place = new Place(t, round % 2 === 0);
    const late = async (): Promise<unknown> => {
      for (let turns = random.below(60); turns > 0; turns--) await setImmediate();
      return place.commit();
    };
    await Promise.all([late(), late(), late()]);
    assert.equal(place.seen(), "new", `round ${round}`);
    assert.equal(existsSync(place.plan.aside!), false, `round ${round}`);
  }
});

test("a commit that is called off between two steps changes nothing more; another one makes it whole", async (t) => {
  for (let last = 0; ; last++) {
    const place = new Place(t, true);
    let steps = 0;
    const step = (): void => {
      if (steps++ === last) throw new Error("called off");
    };
    const committed = await commitOutput({ ...place.plan, step }, place.outputs).then(
      () => true,
      () => false,
    );
    if (committed) {
      assert.ok(last > 4, `only ${last} steps`);
      return;
    }
    assert.equal(place.seen(), "old", `after ${last} steps`);
    await place.commit();
    assert.equal(place.seen(), "new", `after ${last} steps`);
  }
});

test("a part that is nowhere is an error, and nothing becomes visible", async (t) => {
  const place = new Place(t, false);
  rmSync(join(place.sibling, "attempts", "reduce-00001.1", "out-1-0-0.tsv"));
  await assert.rejects(place.commit(), { code: "OUTPUT_UNWRITABLE", message: /out-1-0-0\.tsv/ });
  assert.equal(place.seen(), "nothing");
});

test("a part of another size where the part should have been moved is no part", async (t) => {
  const place = new Place(t, false);
  rmSync(join(place.sibling, "attempts", "reduce-00001.1", "out-1-0-0.tsv"));
  mkdirSync(join(place.plan.staging, "more"), { recursive: true });
  writeFileSync(join(place.plan.staging, "more", "part-00000.tsv"), "torn");
  writeFileSync(join(place.plan.staging, "more", "part-00000.tsv"), "b");
  await assert.rejects(place.commit(), { code: "OUTPUT_UNWRITABLE" });
  assert.equal(place.seen(), "nothing");
});
