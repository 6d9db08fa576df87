import assert from "node:assert/strict";
import {
  appendFileSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import { Days, dayText, everything, few } from "./support.ts";

/** Options under which the output does not show how the input was cut. */
const fixed: LocalRunOptions = { partitions: 2, explain: true };

test("of every kind of reduce the 21st day alone is mapped, and the output is that of a full run", async (t) => {
  const days = new Days(t, everything);
  for (let day = 1; day <= 20; day++) days.day(day, day, 40);
  const first = await days.go(fixed);
  assert.equal(first.incremental.full, "nothing is kept of an earlier run");
  assert.equal(first.incremental.kept.tasks, 0);
  const bytes = days.day(21, 21, 40);
  const next = await days.same(fixed);
  assert.deepEqual(
    { full: next.full, bytesIn: next.bytesIn, kept: next.kept.tasks, mapped: next.mappedTasks },
    { full: null, bytesIn: bytes, kept: 20, mapped: 1 },
  );
  assert.deepEqual(days.explained(), [...Array.from({ length: 20 }, () => "kept"), "runs: it is new"]);
  const [planned] = days.of("planned");
  assert.equal(planned!.incremental?.keptTasks, 20);
  assert.deepEqual(days.of("job-finished")[0]!.incremental?.kept, next.kept);

  // A changed day: the same size, the same time of change. A removed one, one that is called otherwise, one
  // that comes between others, and one of which nothing but the time has changed.
  const path = join(days.logs, "day-07.log");
  const { mtime, size } = statSync(path);
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(" u", " v"));
  utimesSync(path, mtime, mtime);
  assert.equal(statSync(path).size, size);
  utimesSync(join(days.logs, "day-03.log"), 1, 1);
  rmSync(join(days.logs, "day-02.log"));
  renameSync(join(days.logs, "day-05.log"), join(days.logs, "zzz.log"));
  const between = dayText(50, 50, 30);
  days.file("logs/day-08b.log", between);
  const moved = await days.same(fixed);
  assert.deepEqual([moved.bytesIn, moved.goneFiles], [size + between.length, 1]);
  assert.equal(days.explained()[4], "runs: its content has changed");

  // Other partitions: the shuffle's records find their new places, and nothing is mapped.
  assert.equal((await days.same({ ...fixed, partitions: 5, memory: "16MiB" })).bytesIn, 0);
});

test("other params, side data or code, another version: all is mapped, and that is said before", async (t) => {
  const job = (more = ""): string => `
    import { job, sum, text } from "sheaf";
    export default job({
      input: text(),
      params: { factor: 1 },
      aux: { rates: { file: "rates.json" } },
      map(line, emit, ctx) {
        const [day, , value] = line.split(" ");
        emit(day!, Number(value) * ctx.params.factor * (ctx.aux.rates as any).x ${more});
      },
      reduce: sum(),
    });`;
  const days = new Days(t, job());
  days.file("rates.json", '{ "x": 2 }');
  for (let day = 1; day <= 3; day++) days.day(day);
  await days.go();
  const full = async (why: RegExp, options: LocalRunOptions = {}): Promise<void> => {
    const { incremental } = await days.go({ ...options, explain: true });
    assert.match(incremental.full ?? "", why);
    assert.match(days.of("planned")[0]!.incremental?.full ?? "", why);
    assert.match(days.explained().join("\n"), why);
    assert.deepEqual((await days.same(options)).kept.tasks, 3);
  };
  await full(/param factor/, { params: { factor: 3 } });
  await full(/param factor/);
  days.file("rates.json", '{ "x": 5 }');
  await full(/side data rates\.json/);
  days.job = job("+ 1");
  await full(/code/);
  await full(/cut at another size/, { partBytes: 1000 });
  const path = join(days.output, "_state", "state.json");
  const [, body = ""] = readFileSync(path, "utf8").split("\n");
  assert.match(body, /"node":/);
});

test("side data called files, files of programs and programs elsewhere: a change of any is seen", async (t) => {
  const days = new Days(t, "");
  const outside = days.file("elsewhere/pick.sh", "cat\n");
  days.file("files", "1");
  days.file("own.sh", "cat\n");
  days.job = `
    import { exec, job, text } from "sheaf";
    export default job({
      input: text(),
      aux: { one: { file: "files" } },
      files: ["own.sh"],
      map: exec(["sh", ${JSON.stringify(outside)}, "/no/such/file"]),
      reduce: exec(["sh", "own.sh"]),
      partitions: 1,
    });`;
  days.day(1, 1, 5);
  days.day(2, 2, 5);
  await days.go();
  assert.equal((await days.same()).bytesIn, 0);
  const seen = async (why: RegExp): Promise<void> => {
    const { incremental } = await days.go();
    assert.match(incremental.full ?? "", why);
  };
  days.file("elsewhere/pick.sh", "sort\n");
  await seen(/the program .*elsewhere\/pick\.sh has changed/);
  assert.equal((await days.same()).bytesIn, 0);
  days.file("files", "2");
  await seen(/the side data files has changed/);
  days.file("own.sh", "cat \n");
  await seen(/the file own\.sh has changed/);
});

test("a variable of the environment and the time zone that the code asks for belong to what is kept", async (t) => {
  const before = { FACTOR: process.env["SHEAF_TEST_FACTOR"], TZ: process.env["TZ"] };
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  t.after(() => {
    set("SHEAF_TEST_FACTOR", before.FACTOR);
    set("TZ", before.TZ);
  });
  set("TZ", "UTC");
  set("SHEAF_TEST_FACTOR", "2");
  const days = new Days(
    t,
    `import { job, sum, text } from "sheaf";
     export default job({
       input: text(),
       map: (line, emit) => emit(new Date(0).getHours(), Number(process.env.SHEAF_TEST_FACTOR)),
       reduce: sum(),
     });`,
  );
  days.day(1, 1, 5);
  days.day(2, 2, 5);
  await days.go();
  assert.equal((await days.same()).bytesIn, 0);
  set("SHEAF_TEST_FACTOR", "3");
  assert.match((await days.same()).full ?? "", /the variable SHEAF_TEST_FACTOR has changed/);
  set("TZ", "Asia/Tokyo");
  assert.match((await days.same()).full ?? "", /the time zone has changed/);
  set("SHEAF_TEST_OTHER", "1");
  assert.equal((await days.same()).bytesIn, 0);
  set("SHEAF_TEST_OTHER", undefined);
});

test("of a file that was appended to only its end is mapped, also when its last line was not whole", async (t) => {
  const days = new Days(t, few);
  const path = join(days.logs, "app.log");
  writeFileSync(path, dayText(1, 1, 200));
  const options = { ...fixed, splitSize: 1500 };
  await days.go(options);
  const more = dayText(2, 2, 20);
  appendFileSync(path, more);
  assert.equal((await days.same(options)).bytesIn, more.length);
  appendFileSync(path, "3 u1 0.2 1");
  await days.same(options);
  appendFileSync(path, "5\n4 u2 7 1\n");
  const end = await days.same(options);
  assert.ok(end.bytesIn < 1600 && end.kept.tasks > 3, JSON.stringify(end));
  assert.ok(days.explained().includes("runs: it was appended to"));
  // What was there before has changed, too.
  writeFileSync(path, readFileSync(path, "utf8").replace("1 u", "1 v"));
  appendFileSync(path, "9 u9 9 1\n");
  assert.equal((await days.same(options)).kept.tasks, 0);
});

test("csv with quotes and a header: kept where nothing changed, also in files that are cut", async (t) => {
  const job = `
    import { csv, job, sum } from "sheaf";
    export default job({
      input: csv(),
      map(row: any, emit) { emit(row.name, Number(row.value ?? row.Value)); },
      reduce: sum(),
    });`;
  const days = new Days(t, job);
  const rows = (seed: number): string =>
    Array.from({ length: 80 }, (_, i) => `"n${i % 7}\n""x""",${(i * seed) / 10}\n`).join("");
  days.file("logs/a.csv", `name,value\n${rows(1)}`);
  days.file("logs/b.csv", `value,name\n1,z\n`);
  const options = { splitSize: 300, explain: true };
  await days.go(options);
  days.file("logs/c.csv", `name,value\n${rows(3)}`);
  const next = await days.same(options);
  const header = "name,value\n".length;
  assert.equal(next.bytesIn, statSync(join(days.logs, "c.csv")).size - header);
  appendFileSync(join(days.logs, "a.csv"), rows(5));
  const appended = await days.same(options);
  assert.ok(appended.kept.tasks >= 8, JSON.stringify(appended));
  // The header is part of every split of its file.
  days.file("logs/a.csv", readFileSync(join(days.logs, "a.csv"), "utf8").replace("name,value", "name,Value"));
  assert.equal((await days.same(options)).bytesIn, statSync(join(days.logs, "a.csv")).size - header);
});

test("a quote that nothing closes is closed by what is appended: the rows between are of its record", async (t) => {
  const job = (options = ""): string => `
    import { csv, job } from "sheaf";
    export default job({
      input: csv({ header: false${options} }),
      map(row: any, emit) { emit(row[0], row[1]); },
      reduce: (_key: any, values: Iterable<any>) => [...values].join("+"),
    });`;
  const days = new Days(t, job());
  const rows = Array.from({ length: 40 }, (_, i) => `r${i},${i}\n`).join("");
  const path = join(days.logs, "a.csv");
  days.file("logs/a.csv", `${rows}x,"open\n${rows}`);
  const options = { splitSize: 64, maxBad: "100%", explain: true };
  await days.go(options);
  appendFileSync(path, 'y,shut"\nz,1\n');
  const closed = await days.same(options);
  assert.ok(closed.kept.tasks >= 3, "what lies before it is kept");
  // Where such a row is one like others, nothing tells which ones are none any more.
  days.job = job(', quotes: "lenient"');
  days.file("logs/a.csv", `${rows}x,"open\n${rows}`);
  await days.go(options);
  appendFileSync(path, 'y,shut"\nz,1\n');
  assert.equal((await days.same(options)).kept.tasks, 0);
});

test("what the job asks of its task is not kept, and what it asks of the path belongs to the name", async (t) => {
  const job = (value: string): string => `
    import { collect, job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit, ctx) { emit(line.slice(0, 4), ${value}); },
      reduce: collect(),
    });`;
  const days = new Days(t, job("ctx.path.slice(-10)"));
  for (let day = 1; day <= 3; day++) days.day(day, day, 4);
  await days.go();
  renameSync(join(days.logs, "day-02.log"), join(days.logs, "day-04.log"));
  const renamed = await days.same({ explain: true });
  assert.equal(renamed.kept.tasks, 2);
  assert.match(days.explained()[2]!, /another name/);
  for (const value of ["ctx.index", "ctx.task", "ctx.random()"]) {
    days.job = job(value);
    await days.go({ mappers: 3 });
    const { incremental } = await days.go({ explain: true, mappers: 3 });
    assert.equal(incremental.kept.tasks, 0, value);
    assert.match(days.explained()[0]!, new RegExp(value.replace("()", "")), value);
  }
});

test("bad records are kept with their budget; where none are allowed, a map that had some runs again", async (t) => {
  const job = `
    import { job, sum, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) {
        if (line.includes("BAD")) throw new Error("bad line");
        emit(line.split(" ")[0]!, 1);
      },
      reduce: sum(),
    });`;
  const days = new Days(t, job);
  for (let day = 1; day <= 3; day++) days.day(day, day, 10);
  appendFileSync(join(days.logs, "day-02.log"), "BAD\nBAD\n");
  await days.go({ maxBad: 2 });
  days.day(4, 4, 10);
  const next = await days.same({ maxBad: 2, splitSize: "1MiB" });
  assert.deepEqual([next.kept.tasks, next.mappedTasks], [3, 1]);
  const put = days.saved();
  const failed = async (options: LocalRunOptions, code: string): Promise<void> => {
    const before = readFileSync(join(days.output, "_SUCCESS"), "utf8");
    const result = await days.run(days.job, {
      on: "inline",
      inputs: days.logs,
      incremental: true,
      ...options,
    });
    assert.equal(result.error?.code, code, result.error?.report);
    assert.equal(readFileSync(join(days.output, "_SUCCESS"), "utf8"), before);
    assert.deepEqual(days.left(), ["out"]);
  };
  await failed({}, "USER_CODE");
  await failed({ maxBad: 1 }, "BAD_BUDGET");
  await failed({ maxBad: "4%" }, "BAD_BUDGET");
  assert.equal((await days.go({ maxBad: "5%" })).incremental.kept.records, 42);
  put();
});

test("a gate that refuses leaves the output and what it has kept as they were", async (t) => {
  const days = new Days(
    t,
    few.replace("collections: {", "expect: (c: any) => c.lines < 100, collections: {"),
  );
  for (let day = 1; day <= 3; day++) days.day(day, day, 30);
  await days.go(fixed);
  days.day(4, 4, 30);
  const result = await days.run(days.job, { on: "inline", inputs: days.logs, incremental: true, ...fixed });
  assert.equal(result.error?.code, "EXPECT_FAILED");
  rmSync(join(days.logs, "day-04.log"));
  assert.equal((await days.same(fixed)).bytesIn, 0);
});

test("map-only results are taken over file by file", async (t) => {
  const days = new Days(
    t,
    `import { job, text } from "sheaf";
     export default job({
       input: text(),
       collections: { odd: { output: text() }, even: { output: text() } },
       map(line, emit) { (Number(line.split(" ")[3]) % 2 ? emit.odd : emit.even)(line); },
     });`,
  );
  // As large as a split, so that a full run has a task for each file, too.
  for (let day = 1; day <= 4; day++) days.day(day, day, 50);
  const options = { splitSize: 1200 };
  await days.go(options);
  const bytes = days.day(5, 5, 50);
  const next = await days.same(options);
  assert.equal(next.bytesIn, bytes);
  writeFileSync(join(days.output, "odd", "part-00001.txt"), "edited\n");
  const mended = await days.same(options);
  assert.ok(mended.bytesIn > 0 && mended.kept.tasks > 0, JSON.stringify(mended));
  assert.ok(days.of("log").some(({ text }) => /damaged/.test(text)));
});

test("a total order chooses its partitions of all the input, as a full run does", async (t) => {
  const days = new Days(
    t,
    `import { job, text } from "sheaf";
     export default job({ input: text(), order: "total", map(line, emit) { emit(line.split(" ")[2]!, line); } });`,
  );
  for (let day = 1; day <= 3; day++) days.day(day, day, 200);
  await days.go({ partitions: 4 });
  const bytes = days.day(4, 44, 300);
  const next = await days.same({ partitions: 4 });
  assert.deepEqual([next.bytesIn, next.kept.tasks], [bytes, 3]);
  assert.equal((await days.same({ partitions: 2 })).bytesIn, 0);
});

test("several inputs keep what belongs to each, and standard input is known by its content", async (t) => {
  const days = new Days(
    t,
    `import { collect, job, text } from "sheaf";
     const map = (line: string, emit: any, ctx: any) => emit(line.slice(0, 4), ctx.input + line.length);
     const inputs = { left: text(), right: text() };
     export default job({ inputs, map: { left: map, right: map }, reduce: collect() });`,
  );
  for (let day = 1; day <= 3; day++) days.day(day, day, 20);
  const paths = (...names: string[]): string[] => names.map((name) => join(days.logs, `day-0${name}.log`));
  await days.go({ inputs: { left: paths("1", "2"), right: paths("3") } });
  const swapped = await days.same({ inputs: { left: paths("1", "3"), right: paths("2") } });
  // What another input has read was read by another map.
  assert.equal(swapped.kept.tasks, 1);
  assert.equal((await days.same({ inputs: { left: paths("1", "3"), right: paths("2") } })).bytesIn, 0);
});
