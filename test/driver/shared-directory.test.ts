import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { systemClock } from "#src/base/clock.js";
import { SharedDirectoryDriver } from "#src/driver/shared-directory-driver.js";
import type { SharedDirectoryOptions } from "#src/driver/shared-directory-driver.js";
import type { TaskAnswer, TaskReportAnswer } from "#src/protocol/task-messages.js";
import { taskRoutes } from "#src/rest/route/task-routes.js";
import { startServer } from "#src/rest/server.js";
import { hostList } from "#src/security/host-list.js";
import { digestToken, makeToken } from "#src/security/token.js";
import { createTempOutput } from "#src/storage/atomic-output.js";

const worker = new URL("../../../examples/python/wordcount.py", import.meta.url).pathname;
const helper = new URL("../../../python", import.meta.url).pathname;
const token = makeToken("agent");

/** A driver listening on a free port, its files, and what it told. */
async function drive(
  context: TestContext,
  texts: readonly string[],
  changes: Partial<SharedDirectoryOptions> = {},
) {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-driver-"));
  const children: ChildProcess[] = [];
  const stop = new AbortController();
  context.after(() => {
    stop.abort();
    for (const child of children) child.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  });
  const files = texts.map((content, index) => {
    const path = join(directory, `input-${index}.txt`);
    writeFileSync(path, content);
    return path;
  });
  const output = join(directory, "out");
  const intermediate = join(directory, "between");
  mkdirSync(intermediate);
  const lines: string[] = [];
  const driver = new SharedDirectoryDriver({
    job: "20260101-101010123-wordcount-k3x9",
    name: "wordcount",
    maps: files.map((path) => [path]),
    partitions: 2,
    intermediate,
    staging: await createTempOutput(output),
    output,
    overwrite: false,
    attempts: 2,
    leaseMs: 60_000,
    clock: systemClock,
    tell: (line) => lines.push(line),
    ...changes,
  });
  const server = await startServer({
    routes: (app) => taskRoutes(app, driver),
    policy: {
      tokens: [{ role: "agent", digest: digestToken(token) }],
      open: false,
      hosts: hostList({ bound: "127.0.0.1" }),
      jobKey: () => null,
      clock: systemClock,
    },
    host: "127.0.0.1",
    port: 0,
    tls: null,
    version: "0.0.0",
    log: pino({ level: "silent" }),
  });
  context.after(() => server.close());
  const tokenFile = join(directory, "agent.token");
  writeFileSync(tokenFile, token);
  const python = (program = worker): Promise<{ code: number | null; said: string }> => {
    const args = [program, "worker", "--driver", server.url, "--token-file", tokenFile];
    const child = spawn("python3", args, {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, PYTHONPATH: helper },
    });
    children.push(child);
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text));
    return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
  };
  const run = (): ReturnType<typeof driver.run> => driver.run(stop.signal);
  return { run, stop, url: server.url, output, intermediate, files, lines, python };
}

async function call<T>(url: string, method: string, path: string, pid: number, body?: object): Promise<T> {
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      "worker-pid": String(pid),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await response.json()) as T;
}

const askTask = (url: string, pid: number): Promise<TaskAnswer> => call(url, "PUT", "/task", pid);
const report = (url: string, pid: number, task: TaskAnswer, body: object): Promise<TaskReportAnswer> =>
  call(url, "POST", `/task/${task.type}/${task.id}/status`, pid, body);

function countWords(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of texts.join("\n").match(/\p{L}+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

const books = ["one two two three\nthree three\n", "four one\nÄpfel überall Äpfel\n", "", "two\n"];

test("three workers in another language count words over a shared directory", async (t) => {
  const { run, output, python } = await drive(t, books);
  const result = run();
  for (const { code, said } of await Promise.all([python(), python(), python()])) assert.equal(code, 0, said);
  const { status, parts, counters } = await result;
  assert.equal(status, "SUCCEEDED");
  const counted = new Map<string, number>();
  for (const { file } of parts) {
    for (const line of readFileSync(join(output, file), "utf8").trim().split("\n").filter(Boolean)) {
      const [word, count] = line.split("\t") as [string, string];
      assert.ok(!counted.has(word), `${word} is in two parts`);
      counted.set(word, Number(count));
    }
  }
  const expected = countWords(books);
  assert.deepEqual([...counted].sort(), [...expected].sort());
  assert.equal(
    counters["words"],
    [...expected.values()].reduce((sum, count) => sum + count, 0),
  );
  assert.equal(parts.length, 2);
  assert.ok(existsSync(join(output, "_SUCCESS")));
});

test("eight maps with four workers that fail nothing run exactly eight times", async (t) => {
  const { run, lines, python } = await drive(
    t,
    Array.from({ length: 8 }, (_, i) => `word${i}\n`),
  );
  const result = run();
  await Promise.all([python(), python(), python(), python()]);
  assert.equal((await result).status, "SUCCEEDED");
  const starts = lines.filter((line) => line.startsWith("map-"));
  assert.deepEqual(
    starts.map((line) => line.split(" ")[0]).sort(),
    Array.from({ length: 8 }, (_, i) => `map-0000${i}.1`),
  );
});

test("a function that throws fails the job with its record and its lines, and an output that cannot be is refused", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-python-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const programs = {
    "throws.py": "def per(line):\n  return [(line, 6 // len(line))]\nsheaf_worker.main(map=per)\n",
    "tabs.py": 'def per(line):\n  yield "a\\tb", line\nsheaf_worker.main(map=per)\n',
    "escaped.py":
      'def per(line):\n  yield ["a\\tb", line], {"b": 1, "a": None}\n' +
      "def swap(key, values):\n  return [(value, key) for value in values]\n" +
      'sheaf_worker.main(map=per, reduce=swap, keys="json")\n',
  };
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(directory, name), `import sheaf_worker\n${text}`);
  }
  const ways = [
    [
      "throws.py",
      /map \(per\) failed at record 2, ''\nTraceback[^]*throws\.py", line 3, in per\n[^]*ZeroDivisionError/,
    ],
    ["tabs.py", /a key with a tab or line end does not fit into a line: \(b'a\\tb', b'"x"'\); use "json"/],
  ] as const;
  for (const [name, cause] of ways) {
    const { run, python } = await drive(t, ["x\n\n"], { partitions: 1 });
    const result = run();
    const { code, said } = await python(join(directory, name));
    assert.equal(code, 1);
    assert.match(said, cause);
    const ended = await result;
    assert.equal(ended.status, "FAILED");
    assert.match(ended.cause!, cause);
  }
  const { run, output, python } = await drive(t, ["y\r\nx"], { partitions: 1 });
  const result = run();
  assert.equal((await python(join(directory, "escaped.py"))).code, 0);
  assert.equal((await result).status, "SUCCEEDED");
  assert.equal(
    readFileSync(join(output, "part-00000.tsv"), "utf8"),
    ["x", "y"].map((line) => `{"a":null,"b":1}\t["a\\tb","${line}"]\n`).join(""),
  );
});

test("reducers wait for all mappers; later and exit are told apart", async (t) => {
  const { run, url, output } = await drive(t, ["a\n", "b\n"], { partitions: 1 });
  const result = run();
  const first = await askTask(url, 1);
  const second = await askTask(url, 2);
  assert.deepEqual([first.type, first.id, first.status, first.n_buckets], ["mapper", 0, 3, 1]);
  assert.deepEqual([second.type, second.id], ["mapper", 1]);
  const status = await call<{ status: number }>(url, "GET", "/task/reducer/0/status", 3);
  assert.equal(status.status, 1);
  const later = await askTask(url, 3);
  assert.deepEqual([later.type, later.job_status], [null, 1]);
  assert.ok(later.retry_after_ms !== null);
  writeFileSync(join(first.o_path!, "00000"), "a\t1\n");
  assert.deepEqual(await report(url, 1, first, { status: 4 }), { status: 4, accepted: true });
  assert.deepEqual(await report(url, 2, second, { status: 4 }), { status: 4, accepted: true });
  const reduce = await askTask(url, 1);
  assert.equal(reduce.type, "reducer");
  assert.deepEqual(reduce.i_path, [join(first.o_path!, "00000")]);
  assert.ok(!existsSync(output), "nothing is visible before the end");
  writeFileSync(join(reduce.o_path!, "x.txt"), "a\t1\n");
  await report(url, 1, reduce, { status: 4 });
  for (const pid of [1, 2, 3]) assert.equal((await askTask(url, pid)).job_status, 2);
  assert.equal((await result).status, "SUCCEEDED");
  assert.deepEqual(readdirSync(output).sort(), ["_SUCCESS", "part-00000.txt"]);
});

test("a worker that asks again has given its task up, and its late report changes nothing", async (t) => {
  const { run, url } = await drive(t, ["a\n"], { partitions: 1 });
  const result = run();
  const first = await askTask(url, 1);
  const again = await askTask(url, 1);
  assert.deepEqual([again.type, again.id], ["mapper", 0]);
  assert.notEqual(again.o_path, first.o_path, "each attempt has a directory of its own");
  assert.deepEqual(await report(url, 2, first, { status: 4 }), { status: 3, accepted: false });
  assert.deepEqual(await report(url, 1, again, { status: 4 }), { status: 4, accepted: true });
  assert.deepEqual(await report(url, 1, again, { status: 4 }), { status: 4, accepted: false });
  const reduce = await askTask(url, 1);
  await report(url, 1, reduce, { status: 4 });
  assert.equal((await askTask(url, 1)).job_status, 2);
  assert.equal((await result).status, "SUCCEEDED");
});

test("a task that fails as often as it may fails the job with what the worker said", async (t) => {
  const { run, url, output } = await drive(t, ["a\n"]);
  const result = run();
  for (let attempt = 1; attempt <= 2; attempt++) {
    const task = await askTask(url, 1);
    await report(url, 1, task, { status: 5, message: "line 3 is no number" });
  }
  assert.equal((await askTask(url, 1)).job_status, 3);
  const { status, cause } = await result;
  assert.equal(status, "FAILED");
  assert.match(cause!, /line 3 is no number/);
  assert.ok(!existsSync(output));
});

test("a bucket that nobody would read is refused", async (t) => {
  const { run, stop, url } = await drive(t, ["a\n"]);
  const result = run();
  const task = await askTask(url, 1);
  writeFileSync(join(task.o_path!, "00002"), "a\t1\n");
  const refused = await report(url, 1, task, { status: 4 });
  assert.match(JSON.stringify(refused), /PARTITION_INVALID.*00002/);
  stop.abort();
  assert.equal((await askTask(url, 1)).job_status, 4);
  assert.equal((await result).status, "CANCELLED");
});

test("a worker that is silent for too long is given up, and comes back as a new one", async (t) => {
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
  const { run, url } = await drive(t, ["a\n"], { partitions: 1, leaseMs: 1_000, clock });
  const result = run();
  const lost = await askTask(url, 1);
  assert.equal(lost.type, "mapper");
  nowMs = 2_500;
  const next = await askTask(url, 2);
  assert.deepEqual([next.type, next.id], ["mapper", 0]);
  assert.equal((await report(url, 1, lost, { status: 4 })).accepted, false);
  await report(url, 2, next, { status: 4 });
  const reduce = await askTask(url, 2);
  assert.equal(reduce.type, "reducer");
  await report(url, 2, reduce, { status: 4 });
  assert.equal((await askTask(url, 2)).job_status, 2);
  assert.equal((await askTask(url, 1)).job_status, 2);
  assert.equal((await result).status, "SUCCEEDED");
});
