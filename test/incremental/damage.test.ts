import assert from "node:assert/strict";
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { job, run, sum, text } from "sheaf";
import { seededRandom } from "#src/base/random.js";
import type { RunFlags } from "#src/cli/command/run/options.js";
import { checkRunFlags } from "#src/cli/command/run/options.js";
import { Days, few } from "./support.ts";

const fixed = { partitions: 2 };

function flip(path: string, at: number): void {
  const byte = readFileSync(path).subarray(at, at + 1);
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.of(byte[0]! ^ 0x10), 0, 1, at);
  closeSync(fd);
}

test("a state that is damaged anywhere is not believed: the output is right all the same", async (t) => {
  const days = new Days(t, few);
  for (let day = 1; day <= 3; day++) days.day(day, day, 12);
  await days.go(fixed);
  days.day(4, 4, 12);
  const put = days.saved();
  const state = join(days.output, "_state");
  const random = seededRandom("damage");
  const files = readdirSync(state);
  assert.deepEqual(files, ["map-00000.run", "map-00001.run", "map-00002.run", "state.json"]);
  for (let round = 0; round < 8; round++) {
    put();
    const path = join(state, files[round % files.length]!);
    const { size } = statSync(path);
    const at = Math.floor(random.next() * size);
    // The first one lies in a payload, which only a reduce finds out.
    if (round === 0) flip(path, 16 + 56 + 3);
    else if (round < 6) flip(path, at);
    else truncateSync(path, at);
    const next = await days.same(fixed);
    assert.ok(next.kept.tasks < 3, `${path} at ${at} of ${size}: ${JSON.stringify(next)}`);
  }
  put();
  for (const name of files) rmSync(join(state, name));
  assert.match((await days.same(fixed)).full ?? "", /nothing is kept/);
  put();
  rmSync(join(state, "map-00001.run"));
  assert.equal((await days.same(fixed)).kept.tasks, 2);
  put();
  writeFileSync(join(state, "state.json"), "not a state");
  assert.match((await days.same(fixed)).full ?? "", /damaged/);
  put();
  // Run files that are whole and sound, but others.
  cpSync(join(state, "map-00000.run"), join(state, "map-00001.run"));
  assert.equal((await days.same(fixed)).kept.tasks, 2);
});

test("the state of another job, or of another version, is not used", async (t) => {
  const days = new Days(t, few);
  for (let day = 1; day <= 2; day++) days.day(day, day, 12);
  await days.go(fixed);
  const foreign = join(days.root, "foreign");
  cpSync(join(days.output, "_state"), foreign, { recursive: true });
  days.job = few.replace('"lines"', '"Lines"');
  await days.go(fixed);
  cpSync(foreign, join(days.output, "_state"), { recursive: true });
  assert.match((await days.same(fixed)).full ?? "", /code has changed/);
  const path = join(days.output, "_state", "state.json");
  writeFileSync(path, readFileSync(path, "utf8").replace('"sheafState":1', '"sheafState":2'));
  assert.match((await days.same(fixed)).full ?? "", /version 2, this sheaf reads version 1/);
});

test("an output that no incremental run has made is replaced by a full one, one with strangers is not", async (t) => {
  const days = new Days(t, few);
  days.day(1, 1, 30);
  await days.run(days.job, { on: "inline", inputs: days.logs, ...fixed });
  assert.match((await days.same(fixed)).full ?? "", /nothing is kept/);
  writeFileSync(join(days.output, "mine.txt"), "mine");
  const result = await days.run(days.job, { on: "inline", inputs: days.logs, incremental: true, ...fixed });
  assert.match(result.error?.message ?? "", /would remove .*mine\.txt/);
});

test("what cannot be done incrementally is refused, with what to do", async (t) => {
  const days = new Days(t, few);
  days.day(1, 1, 5);
  const options = { on: "inline", inputs: days.logs, incremental: true, stateDirectory: null } as const;
  const file = days.file("job.ts", few);
  const output = days.output;
  await assert.rejects(run(file, options), /without an output there is nothing to go on from/);
  await assert.rejects(run(file, { ...options, output, sample: 0.5 }), /sample exclude each other/);
  await assert.rejects(run(file, { ...options, output, live: true }), /live exclude each other/);
  await assert.rejects(
    run(file, { ...options, output, materialize: join(days.root, "records") }),
    /materialize exclude each other/,
  );
  await assert.rejects(
    run(file, { ...options, output, external: ["left-pad"] }),
    /incremental: left-pad stays outside the bundle/,
  );
  const native = `import { createRequire } from "node:module";
    const addOn = (name: string) => createRequire(import.meta.url)(name);`;
  // As compilers, napi and node-gyp-build have it.
  for (const text of ['addOn("./x.node");', "addOn(`./${1}.node`);", "/\\.node$/.test(addOn.name);"])
    await assert.rejects(
      run(days.file("native.ts", `${native} ${text} ${few}`), { ...options, output }),
      /incremental: the job loads a native add-on/,
      text,
    );
  const object = job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });
  await assert.rejects(run(object, { ...options, output }), /code of a Job object/);
  const making = `
    import { generate, job, sum } from "sheaf";
    const input = generate({ tasks: 2, *records() { yield 1; } });
    export default job({ input, map(_: any, emit: any) { emit("a", 1); }, reduce: sum() });`;
  await assert.rejects(
    run(days.file("making.ts", making), { on: "inline", incremental: true, stateDirectory: null, output }),
    /makes its own records/,
  );
  const mapOnly = `import { job, text } from "sheaf"; export default job({ input: text(), map: (line, emit) => emit(line), output: text() });`;
  await assert.rejects(
    run(days.file("only.ts", mapOnly), { ...options, output, collect: true }),
    /cannot be collected/,
  );
  assert.throws(() => checkRunFlags({ incremental: true } as RunFlags, "local"), /without --output/);
});
