import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { HostedRunOptions } from "#src/engine/options.js";
import { archiveOf, filesBelow } from "#src/hosted/archive.js";
import type { HostJob } from "#src/hosted/host-engine.js";
import { runOnEngine } from "#src/hosted/hosted-run.js";
import { readMapRecord, readSpec } from "#src/hosted/spec.js";
import { aboutNode, homeArchives } from "#src/hosted/stage.js";
import { isAlive } from "#src/storage/remove-directory.js";
import { until, waitFor } from "../kit/wait.js";
import { Bench } from "../runner/support.js";
import { bytesOf, failureIn, FakeEngine, type Frame, framesOf, hadoopText, runTask } from "./fake-engine.js";

/** Has the job staged, and does something with its home. */
async function inHome(
  t: TestContext,
  {
    job,
    text,
    options = {},
    isLocal = true,
  }: { job: string; text: string | null; options?: Partial<HostedRunOptions>; isLocal?: boolean },
  use: (host: HostJob, bench: Bench) => Promise<void>,
): Promise<void> {
  const bench = new Bench(t);
  const file = bench.file("job.ts", job);
  const inputs = text === null ? [] : [bench.file("in.txt", text)];
  let problem: unknown;
  const instead = (host: HostJob): Promise<void> =>
    use(host, bench).catch((error: unknown) => void (problem = error));
  const engine = new FakeEngine({ instead, isLocal });
  const common = { inputs, stateDirectory: bench.state, memory: "8MiB" };
  await runOnEngine(file, { ...common, on: "hadoop", output: bench.output, ...options }, engine);
  if (problem !== undefined) throw problem;
}

function mapInput(host: HostJob, line = 0): Buffer {
  const value = readFileSync(host.splits, "utf8").split("\n")[line]!.split("\t")[1]!;
  return bytesOf([{ key: Buffer.from([0]), value: Buffer.from(value) }]);
}

const counting = (more: string): string => `
  import { spawn } from "node:child_process";
  import { readFileSync, writeSync } from "node:fs";
  import { job, sum, text } from "sheaf";
  export default job({
    input: text(),
    async map(line: string, emit: (key: string, value: number) => void, ctx) {
      ${more}
      for (const word of line.split(" ")) emit(word, 1);
    },
    reduce: sum(),
    partitions: 2,
  });`;

test("what a reduce is given is looked at: blocks that are missing, twice, changed or another's", async (t) => {
  await inHome(t, { job: counting(""), text: "a b c d e f g h\n" }, async (host) => {
    const map = await runTask(host.home, "map", mapInput(host), host.scratch);
    assert.equal(map.code, 0, map.stderr);
    const frames = framesOf(map.stdout);
    const of = (partition: number): Frame[] =>
      frames.filter(({ key }) => key[3] === frames[partition]!.key[3]);
    const [mine, other] = [of(0), of(1)];
    assert.deepEqual([mine.length, other.length], [3, 2]);
    const kinds = mine.map(({ value }) => value[0]);
    assert.deepEqual(kinds, [1, 2, 3]);
    const [hello, slice, report] = mine as [Frame, Frame, Frame];
    const changed = { ...slice, value: Buffer.from(slice.value) };
    changed.value[100]! ^= 1;
    const cut = bytesOf(mine);
    const wrongs: [string, Buffer, RegExp][] = [
      ["none", Buffer.alloc(0), /those of the first map are missing/],
      ["no hello", bytesOf([slice, report]), /those of the first map are missing/],
      ["hello twice", bytesOf([hello, hello, slice, report]), /the first map's came twice/],
      ["slice twice", bytesOf([hello, slice, report, slice]), /the slice of map 0 came twice/],
      ["changed", bytesOf([hello, changed, report]), /a block fails its checksum/],
      ["another's", bytesOf([hello, slice, report, other[1]!]), /blocks of reduce/],
      ["cut", cut.subarray(0, cut.length - 1), /they end inside a value/],
      ["negative", Buffer.concat([cut, Buffer.from("ffffffff", "hex")]), /a key of -1 bytes/],
    ];
    for (const [name, input, message] of wrongs) {
      const done = await runTask(host.home, "reduce", input, host.scratch);
      const { failure } = failureIn(done);
      assert.deepEqual(
        [name, done.code, failure.code, failure.blame],
        [name, 3, "MESSAGE_INVALID", "system"],
      );
      assert.match(failure.message, message, name);
      assert.equal(done.stdout.length, 0, name);
    }
    assert.deepEqual(readdirSync(host.scratch), []);
  });
});

test("a map that is given no task, two, or one of another job says so", async (t) => {
  await inHome(t, { job: counting(""), text: "a\n" }, async (host) => {
    const record = (value: unknown): Buffer =>
      bytesOf([{ key: Buffer.alloc(4), value: Buffer.from(JSON.stringify(value)) }]);
    const one = mapInput(host);
    const wrongs: [Buffer, RegExp][] = [
      [Buffer.alloc(0), /there is none/],
      [Buffer.concat([one, one]), /there are several/],
      [
        record({ index: 5, split: { index: 5, pieces: [], bytes: 0 } }),
        /there are 1 map tasks, and no index 5/,
      ],
    ];
    for (const [input, message] of wrongs) {
      const done = await runTask(host.home, "map", input, host.scratch);
      assert.deepEqual([done.code, done.stdout.length], [3, 0]);
      assert.match(failureIn(done).failure.message, message);
    }
    const hello = await runTask(host.home, "map", record({ index: -1 }), host.scratch);
    assert.equal(hello.code, 0, hello.stderr);
    assert.deepEqual(
      framesOf(hello.stdout).map(({ value }) => value.toString("hex")),
      ["01", "01"],
    );
    const spec = readSpec(join(host.home, "job"));
    assert.throws(() => readMapRecord(Buffer.from("{"), spec), { code: "MESSAGE_INVALID" });
    for (const line of ["x", "y".repeat(100), "z".repeat(300), "é".repeat(70_000)]) {
      const split = { index: 0, pieces: [], bytes: 0, hosts: [line.slice(0, 500)] };
      const text = `h1,h2\t${JSON.stringify({ index: 0, split })}`;
      const lines = { ...spec, input: "lines" } as const;
      assert.deepEqual(readMapRecord(hadoopText(text), lines), { index: 0, split });
      assert.throws(() => readMapRecord(hadoopText(text).subarray(0, -1), lines), {
        message: /its length is wrong/,
      });
    }
    const path = join(host.home, "job", "spec.json");
    const written = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...written, version: 2 }));
    const other = failureIn(await runTask(host.home, "map", one, host.scratch));
    assert.equal(other.failure.code, "VERSION_MISMATCH");
    for (const field of ["maps", "bundle", "machine", "noProgressMs", "settings"]) {
      writeFileSync(path, JSON.stringify({ ...written, [field]: "x".repeat(40_000) }));
      assert.throws(() => readSpec(join(host.home, "job")), {
        code: "MESSAGE_INVALID",
        message: new RegExp(field),
      });
    }
    writeFileSync(join(host.home, "job", "start"), "Linux other 99.1 -\n");
    const start = failureIn(await runTask(host.home, "map", one, host.scratch));
    assert.deepEqual([start.failure.code, start.task], ["PROGRAM_UNUSABLE", null]);
    assert.match(start.failure.message, /and the Node that came with the job is for Linux other/);
  });
});

test("user code that ends the process, hangs, or waits for ever fails its task, however it does so", async (t) => {
  const ways = `
    const way = readFileSync(process.env.TMPDIR + "/../way", "utf8");
    if (way === "throw") throw new TypeError("no " + line);
    if (way === "exit") process.exit(0);
    if (way === "reallyExit") (process as never as { reallyExit(code: number): void }).reallyExit(0);
    if (way === "never") return new Promise(() => undefined);
    if (way === "late") setTimeout(() => { throw new Error("late") }, 0);
    if (way === "loop") for (;;);
    if (way === "forge") console.log("\\nsheaf-error: {}");
  `;
  await inHome(t, { job: counting(ways), text: "a b\nc\n" }, async (host) => {
    const path = join(host.home, "job", "spec.json");
    const spec = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...spec, noProgressMs: 1_000 }));
    const way = async (name: string): Promise<Awaited<ReturnType<typeof runTask>>> => {
      writeFileSync(join(host.scratch, "way"), name);
      return runTask(host.home, "map", mapInput(host), host.scratch);
    };
    const thrown = await way("throw");
    const { task, failure } = failureIn(thrown);
    assert.deepEqual(
      [thrown.code, task, failure.code, failure.name],
      [3, "map-00000", "USER_CODE", "TypeError"],
    );
    assert.deepEqual([failure.message, failure.record, failure.offset], ["no a b", "a b", 0]);
    // The frame is one that the submitting machine knows.
    const { origin } = spec as { origin: { bundle: string } };
    assert.ok(failure.stack!.includes(`${origin.bundle}:`), failure.stack!);
    const cases: [string, number | null, RegExp][] = [
      ["exit", 3, /user code exited: it ended the worker \(exit code 0\)/],
      ["never", 3, /waits for a promise that never settles/],
      ["late", 3, /late/],
      ["loop", null, /map-00000 finished no record for \d+ ms/],
    ];
    for (const [name, code, message] of cases) {
      const done = await way(name);
      assert.deepEqual([name, done.code, done.stdout.length], [name, code, 0]);
      assert.match(failureIn(done).failure.message, message);
    }
    const forged = await way("forge");
    assert.equal(forged.code, 0);
    assert.match(forged.stderr, /^ sheaf-error: \{\}$/m);
    assert.deepEqual(readdirSync(host.scratch), ["way"]);
    // Nobody can see to that; without its report the job does not succeed.
    assert.equal((await way("reallyExit")).stdout.length, 0);
  });
});

test("the program ends when its engine does, and what it starts has nothing of the data", async (t) => {
  const server = createServer((_, answer) => answer.end("hello"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const map = `
    if (line === "descriptors") {
      const said = await (await fetch("http://127.0.0.1:${port}/")).text();
      if (said !== "hello") throw new Error(said);
      const child = spawn("sh", ["-c", "ls -l /proc/self/fd; echo >&3; exec sleep 60"], { stdio: "inherit" });
      child.unref();
      console.log("started " + child.pid);
      console.log(Object.keys(process.env).sort().join());
      console.log(readFileSync("/proc/self/status", "utf8").split("\\n").find((one) => one.startsWith("VmPeak")));
    }
    if (line === "loop") { writeSync(2, "looping " + process.pid + "\\n"); for (;;); }
  `;
  await inHome(t, { job: counting(map), text: "descriptors\n" }, async (host, bench) => {
    // As a JVM does: with pipes, and with what else is in its environment.
    const script = 'cat "$1" | /bin/sh "$2" map | cat >"$3"';
    const [input, output] = [join(bench.root, "given"), join(bench.root, "made")];
    writeFileSync(input, mapInput(host));
    const start = join(host.home, "job", "start");
    writeFileSync(start, readFileSync(start, "utf8").replace("free", "counted"));
    const env = {
      PATH: process.env["PATH"]!,
      SECRET_KEY: "x",
      mapreduce_job_name: "y",
      NODE_OPTIONS: "--bad",
    };
    const run = join(host.home, "sheaf/run.sh");
    const child = spawn("/bin/sh", ["-c", script, "sh", input, run, output], {
      cwd: host.scratch,
      env,
      stdio: "pipe",
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child, "exit");
    // What it has started is there, and has the end of this pipe.
    const sleeps = await waitFor("what it started", () => /^started (\d+)$/m.exec(stderr)?.[1]);
    process.kill(Number(sleeps));
    await once(child, "close");
    assert.deepEqual(
      framesOf(readFileSync(output))
        .map(({ value }) => value[0])
        .sort(),
      [1, 1, 2, 3],
      stderr,
    );
    const opened = [...stderr.matchAll(/ (\d+) -> (.*)$/gm)].map(([, fd]) => Number(fd));
    assert.ok(opened.length >= 3, stderr);
    assert.match(stderr, /^PATH,TMPDIR$/m);
    assert.match(stderr, /3: .*[Bb]ad file descriptor|cannot .* 3/);
    // With the runtime's flag and bounds for memories, fetch's too; a gigabyte of it is the runtime's own.
    const vm = Number(/VmPeak:\s+(\d+) kB/.exec(stderr)?.[1]);
    assert.ok(vm > 0 && vm < 3_600_000, `${vm} kB of address space`);
  });
  await inHome(t, { job: counting(map), text: "loop\n" }, async (host) => {
    const script = '/bin/sh "$1" map <"$2" & echo started; wait';
    const input = join(host.scratch, "given");
    writeFileSync(input, mapInput(host));
    const args = ["-c", script, "sh", join(host.home, "sheaf/run.sh"), input];
    const engine = spawn("/bin/sh", args, { cwd: host.scratch, stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    const pid = await new Promise<number>((resolve) => {
      engine.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
        const found = /looping (\d+)/.exec(stderr);
        if (found !== null) resolve(Number(found[1]));
      });
    });
    engine.kill("SIGKILL");
    // Its end of the pipe is closed when it is gone.
    await once(engine, "close");
    await until("the end of the task", () => !isAlive(pid));
    assert.deepEqual(readdirSync(host.scratch), ["given"]);
  });
});

test("tasks run from the archives alone, with side data and programs that came in them", async (t) => {
  const bench = new Bench(t);
  const side = bench.file("side.json", JSON.stringify({ a: "A" }));
  const program = bench.file("mark.sh", "#!/bin/sh\nsed 's/^/> /'\n");
  chmodSync(program, 0o755);
  const job = `
    import { exec, generate, job } from "sheaf";
    export default job({
      input: generate({ tasks: 1, count: 2, records: () => ["a", "b"] }),
      aux: { words: { file: ${JSON.stringify(side)} } },
      files: [${JSON.stringify(program)}],
      map(one: string, emit: (key: string, value: string) => void, ctx) {
        emit(one, (ctx.aux.words as Record<string, string>)[one] ?? "-");
      },
      reduce: exec(["./mark.sh"]),
      partitions: 1,
    });`;
  await inHome(t, { job, text: null, isLocal: false }, async (host, { root }) => {
    const archives = await homeArchives(host.home, [], new URL("../../../dist/", import.meta.url));
    assert.match(archives.node.name, /^node-v[\d.]+-\w+-\w+-[0-9a-f]{16}\.tgz$/);
    const place = join(root, "elsewhere");
    mkdirSync(join(place, "node", "bin"), { recursive: true });
    // Too large to be packed for a test: what is packed is that one file.
    symlinkSync(process.execPath, join(place, "node", "bin", "node"));
    for (const part of ["sheaf", "job"] as const) {
      const path = join(root, archives[part].name);
      await archives[part].pack(path);
      mkdirSync(join(place, part));
      execFileSync("tar", ["-xzf", path, "-C", join(place, part)]);
    }
    const input = mapInput(host);
    for (const gone of [host.home, side, program]) renameSync(gone, `${gone}-gone`);
    const map = await runTask(".", "map", input, place);
    assert.equal(map.code, 0, map.stderr);
    const reduce = await runTask(".", "reduce", map.stdout, place);
    assert.equal(reduce.code, 0, reduce.stderr);
    const frames = framesOf(reduce.stdout);
    assert.deepEqual(
      frames.map(({ key }) => key.toString()),
      ["reports/map-00000.jsonl", "files/reduce-00000/out-0-0-0.txt", "reports/reduce-00000.jsonl"],
    );
    assert.equal(frames[1]!.value.toString(), "> a\tA\n> b\t-\n");
    assert.deepEqual(readdirSync(place).sort(), ["job", "node", "sheaf"]);
  });
});

test("the same files have an archive of the same name and bytes, which other programs read", async (t) => {
  const bench = new Bench(t);
  const long = `${"d".repeat(90)}/${"e".repeat(60)}/${"f".repeat(99)}`;
  const texts: Record<string, string> = {
    "a b.txt": "",
    "é/x": "x".repeat(511),
    [long]: "y".repeat(70_000),
    z: "z".repeat(512),
  };
  const made = async (at: string): Promise<string> => {
    for (const [name, text] of Object.entries(texts)) bench.file(`${at}/${name}`, text);
    const archive = await archiveOf(
      "some",
      filesBelow(join(bench.root, at), "", () => false),
    );
    const path = join(bench.root, `${at}-${archive.name}`);
    await archive.pack(path);
    return path;
  };
  const [one, other] = [await made("one"), await made("other")];
  assert.equal(one.replace("one-", "other-"), other);
  assert.ok(readFileSync(one).equals(readFileSync(other)));
  const to = join(bench.root, "to");
  mkdirSync(to);
  const read = "import sys,tarfile;tarfile.open(sys.argv[1],errorlevel=2).extractall(sys.argv[2])";
  execFileSync("python3", ["-W", "ignore", "-c", read, one, to]);
  for (const [name, text] of Object.entries(texts)) assert.equal(readFileSync(join(to, name), "utf8"), text);
  texts["z"] = "changed";
  assert.notEqual((await made("third")).replace("third-", "one-"), one);
  const tooLong = bench.file(`four/${"g".repeat(101)}`, "");
  await assert.rejects(
    (await archiveOf("x", [{ name: "g".repeat(101), path: tooLong }])).pack(join(bench.root, "x")),
    {
      code: "LIMIT_EXCEEDED",
    },
  );
  assert.deepEqual(
    readdirSync(bench.root).filter((name) => name.startsWith("x")),
    [],
  );
});

test("a Node that is none for these nodes is refused", (t) => {
  const bench = new Bench(t);
  const old = bench.file(
    "node",
    '#!/bin/sh\necho \'{"version":"v18.20.0","platform":"linux","arch":"x64","glibc":null}\'\n',
  );
  execFileSync("chmod", ["755", old]);
  assert.throws(() => aboutNode(old), { code: "USAGE", message: /is Node v18\.20\.0/ });
  assert.throws(() => aboutNode(join(bench.root, "none")), {
    code: "USAGE",
    message: /cannot be run on this machine/,
  });
  assert.equal(aboutNode(process.execPath).version, process.version);
});
