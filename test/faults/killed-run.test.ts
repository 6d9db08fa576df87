import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { successFile } from "#src/testing/store-files.js";
import { wordCount } from "../runner/support.ts";
import { assertDone, assertNoProcess, Place } from "./support.ts";

describe("N5: workers of a run that is killed", () => {
  for (const [what, parts] of [
    ["are busy in map", { map: 'console.log("at work"); for (;;);' }],
    ["are busy in reduce", { reduce: 'console.log("at work"); for (;;);' }],
    [
      "wait",
      { map: 'console.log("at work"); return new Promise(() => setInterval(() => {}, 50)) as never;' },
    ],
  ] as const) {
    test(`N5: processes that ${what} end by themselves`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount(parts));
      place.file("in.txt", "a b\n");
      const run = place.start(["run", "job.ts", "in.txt", "-o", "out", "--isolate", "process"]);
      await run.until("at work");
      run.child.kill("SIGKILL");
      assert.equal((await run.done).signal, "SIGKILL");
      await assertNoProcess(place);
      assert.equal(existsSync(place.path("out")), false);
    });
  }
});

/** Kills the process in front of a call of the commit, or right behind it: "rename 2 before". */
const killing = `
  import fs from "node:fs/promises";
  import now from "node:fs";
  import { basename } from "node:path";
  import { syncBuiltinESMExports } from "node:module";
  import { isMainThread } from "node:worker_threads";
  const [call, name, when] = process.env.TEST_KILL.split(" ");
  const original = fs[call];
  const die = () => process.kill(process.pid, "SIGKILL");
  if (isMainThread) {
    fs[call] = async (...args) => {
      const path = String(call === "writeFile" ? args[0] : args[1]);
      const hit = basename(path) === name;
      if (hit && when === "before") die();
      const result = await original(...args);
      if (hit && when === "after") die();
      return result;
    };
    const { renameSync } = now;
    now.renameSync = (...args) => {
      const hit = call === "rename" && basename(String(args[1])) === name;
      if (hit && when === "before") die();
      renameSync(...args);
      if (hit && when === "after") die();
    };
    syncBuiltinESMExports();
  }
`;

describe("N7: a run that is killed in its commit", () => {
  const old = { "part-00000.tsv": "old\t1\n", _SUCCESS: successFile(["part-00000.tsv"]) };

  for (const [moment, outcome] of [
    ["rename part-00001.tsv after", "old"],
    ["writeFile _SUCCESS before", "old"],
    ["writeFile _SUCCESS after", "old"],
    // The output is set aside, then its place is taken.
    ["rename old after", "none"],
    ["rename out before", "none"],
    ["rename out after", "new"],
  ] as const) {
    test(`N7: at "${moment}" leaves one outcome: ${outcome}; the next run finds the old one or replaces it`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount());
      place.file("in.txt", "a b\n");
      for (const [name, text] of Object.entries(old)) place.file(`out/${name}`, text);
      const node = ["--import", pathToFileURL(place.file("killing.mjs", killing)).href];
      const args = ["run", "job.ts", "in.txt", "-o", "out", "-p", "2"];
      const killed = await place.sheaf([...args, "--overwrite"], { node, env: { TEST_KILL: moment } });
      assert.equal(killed.signal, "SIGKILL", killed.stderr);
      if (outcome === "none") assert.equal(existsSync(place.path("out")), false);
      else assert.deepEqual(place.lines().sort(), outcome === "old" ? ["old\t1"] : ["a\t1", "b\t1"]);
      // Without --overwrite nothing is touched, but what was set aside comes back.
      const refused = await place.sheaf(args);
      assert.match(refused.stderr, /\[OUTPUT_EXISTS\]/);
      assert.deepEqual(place.lines().sort(), outcome === "new" ? ["a\t1", "b\t1"] : ["old\t1"]);
      assert.deepEqual(
        readdirSync(place.root).filter((name) => name.startsWith(".")),
        [],
      );
      const next = await place.sheaf([...args, "--overwrite"]);
      assert.equal(next.code, 0, next.stderr);
      assert.deepEqual(place.lines().sort(), ["a\t1", "b\t1"]);
      assert.match(readFileSync(place.path("out/_SUCCESS"), "utf8"), /part-00001/);
    });
  }
});

test("N26: a wall clock that jumps hours at every look changes nothing", async (t) => {
  const place = new Place(t);
  const wait = 'if (line === "wait") while (!existsSync("gate/open")) ctx.progress();';
  place.file("job.ts", wordCount({ map: wait, top: 'import { existsSync } from "node:fs";' }));
  place.file("in.txt", "wait\na b\n");
  place.file("gate/x", "");
  const jumping = `
    const now = Date.now;
    let looks = 0;
    Date.now = () => now() + (looks++ % 2 === 0 ? 1 : -1) * 36_000_000 * looks;
  `;
  const node = ["--import", pathToFileURL(place.file("jumping.mjs", jumping)).href];
  const args = ["run", "job.ts", "in.txt", "-o", "out", "-p", "1", "--attempts", "1", "--json"];
  const run = place.start(args, { node });
  // Told every time the running attempts were looked at.
  await run.until('"kind":"progress"');
  place.file("gate/open", "");
  await assertDone(place, await run.done);
  assert.deepEqual(place.lines(), ["a\t1", "b\t1", "wait\t1"]);
});
