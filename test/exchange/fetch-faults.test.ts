import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { ReduceInputs } from "#src/exchange/fetch-reduce.js";
import type { FetchLimits } from "#src/exchange/fetch-stream.js";
import { TRAILER_BYTES } from "#src/shuffle/run-format.js";
import type { Fault } from "../net/fault-proxy.js";
import { FaultProxy, httpAnswer } from "../net/fault-proxy.js";
import type { Content, Machine } from "./support.js";
import { ask, assertInputs, machine, OutputList, randomContent, writeRun } from "./support.js";

interface Pair {
  readonly proxy: FaultProxy;
  readonly list: OutputList;
  readonly server: Machine;
  readonly reader: Machine;
  /** By map task: the content of partition 0. */
  readonly contents: readonly Content[];
  readonly paths: readonly string[];
}

/** An agent that has map outputs, and one that fetches them through a proxy. */
async function pair(
  t: TestContext,
  contents: readonly Content[],
  limits: Partial<FetchLimits> = {},
): Promise<Pair> {
  const list = new OutputList();
  const server = await machine(t, contents.length, { agent: "b" });
  const other: Content = [[Buffer.from("of another partition")]];
  const paths = contents.map((content, task) => server.map(task, 1, [content, other]));
  const proxy = await FaultProxy.start(t, server.node.address);
  for (const task of contents.keys()) list.put({ task, address: proxy.url });
  const reader = await machine(t, contents.length, { list, limits });
  return { proxy, list, server, reader, contents, paths };
}

const small: readonly Content[] = [
  [[Buffer.from("a block"), Buffer.from("another one")], [Buffer.from("the second run")]],
  [],
  [[Buffer.from("of the third map")]],
];

/** Two slices, one of a block, one empty; and about the bytes of an answer's body with them. */
const tiny: readonly Content[] = [[[Buffer.from("a block")]], []];
const bodyBytes = 330;

function assertUnreadable(inputs: ReduceInputs, task: number, message: RegExp): void {
  assert.equal(inputs.kind, "unreadable", "all was read");
  if (inputs.kind !== "unreadable") return;
  assert.deepEqual([inputs.task, inputs.attempt], [task, 1]);
  assert.match(inputs.message, message);
}

describe("S3: a connection that is cut", () => {
  test("S3: at any byte of the answer: what is missing is fetched, nothing twice", async (t) => {
    const { proxy, list, reader, contents } = await pair(t, tiny);
    const version = list.entries.length;
    await ask(reader.node, 0, { version });
    const length = proxy.bytes;
    assert.ok(length > bodyBytes && length < bodyBytes + 600, `${length} bytes`);
    const head = length - bodyBytes;
    for (let after = 0; after <= length; after++) {
      // The HTTP head is another's business: a few places in it will do.
      if (after < head && after % 50 !== 0) continue;
      for (const kind of ["cut", "end"] as const) {
        if (kind === "end" && after % 8 !== 0) continue;
        const task = 1 + after;
        proxy.next({ kind, after });
        const before = proxy.exchanges;
        assertInputs(await ask(reader.node, task, { version }), contents);
        assert.ok(proxy.exchanges - before <= 2, `cut at ${after}: ${proxy.exchanges - before} requests`);
        reader.node.reduceEnded("job-of-the-test", task);
      }
    }
  });

  test("S3: in the middle of a large slice: it goes on from there, over and over", async (t) => {
    const contents = [randomContent(seededRandom(1), 2, 20, 200_000)];
    const { proxy, list, reader } = await pair(t, contents, { tries: 2 });
    proxy.plan = (exchange) => ({ kind: "end", after: 1_200_000 + exchange });
    assertInputs(await ask(reader.node, 0, { version: list.entries.length }), contents);
    const size = contents.flat(2).reduce((sum, block) => sum + block.length, 0);
    assert.ok(size > 2_500_000 && proxy.exchanges >= 3, `${size} bytes in ${proxy.exchanges} requests`);
    assert.ok(proxy.bytes < size * 1.05, `${proxy.bytes} bytes were sent for ${size}`);
  });
});

describe("S4: an agent that does not answer as it should", () => {
  const faults: Readonly<Record<string, [Fault, RegExp]>> = {
    "500": [{ kind: "answer", text: httpAnswer("500 Broken", "{}") }, /answered 500/],
    "503": [
      { kind: "answer", text: httpAnswer("503 Busy", '{"error":{"code":"X","message":"not now"}}') },
      /answered 503 .*not now/,
    ],
    garbage: [
      { kind: "answer", text: "\u0000\u0001 what is this\r\n\r\n" },
      /does not speak HTTP|HTTPParserError/,
    ],
    "something else than map outputs": [
      { kind: "answer", text: httpAnswer("200 OK", "x".repeat(100)) },
      /something else than map outputs/,
    ],
    "an empty answer": [{ kind: "answer", text: httpAnswer("200 OK", "") }, /ended before all/],
    "a connection that is reset": [{ kind: "cut", after: 0 }, /was cut/],
  };
  for (const [what, [fault, message]] of Object.entries(faults)) {
    test(`S4: ${what}: three tries, then it is unreadable; twice is nothing`, async (t) => {
      const { proxy, list, reader, contents } = await pair(t, small);
      const version = list.entries.length;
      proxy.plan = () => fault;
      assertUnreadable(await ask(reader.node, 0, { version }), 0, message);
      assert.equal(proxy.exchanges, 3);
      proxy.plan = (exchange) => (exchange < 5 ? fault : { kind: "none" });
      assertInputs(await ask(reader.node, 0, { version }), contents);
      assert.equal(proxy.exchanges, 6);
    });
  }

  const slow: Readonly<Record<string, Fault>> = {
    "takes the request and hangs": { kind: "swallow" },
    "hangs after the head of its answer": { kind: "hang", after: 300 },
    "hangs in the middle of a slice": { kind: "hang", after: 550 },
    "sends a byte now and then": { kind: "drip", everyMs: 5 },
  };
  for (const [what, fault] of Object.entries(slow)) {
    test(`S4: one that ${what} is given up after the time there is`, async (t) => {
      const { proxy, list, reader, contents } = await pair(t, small, { stallMs: 80 });
      const version = list.entries.length;
      proxy.plan = () => fault;
      assertUnreadable(await ask(reader.node, 0, { version }), 0, /bytes of map outputs in/);
      assert.ok(proxy.exchanges >= 3);
      proxy.next(fault);
      assertInputs(await ask(reader.node, 0, { version }), contents);
    });
  }

  test("S4: one that nobody listens at", async (t) => {
    const { proxy, list, reader } = await pair(t, small);
    await proxy.close();
    assertUnreadable(await ask(reader.node, 0, { version: list.entries.length }), 0, /nothing listens/);
  });

  test("S4: a late answer is an answer", async (t) => {
    const { proxy, list, reader, contents } = await pair(t, small);
    proxy.plan = () => ({ kind: "delay", ms: 50 });
    assertInputs(await ask(reader.node, 0, { version: list.entries.length }), contents);
    assert.equal(proxy.exchanges, 1);
  });
});

describe("S2: damaged on the way", () => {
  test("S2: any bit of an answer's body: seen, and fetched again", async (t) => {
    // A wrong length makes the parser of HTTP wait for more.
    const { proxy, list, reader, contents } = await pair(t, tiny, { stallMs: 400 });
    const version = list.entries.length;
    await ask(reader.node, 0, { version });
    const length = proxy.bytes;
    for (let at = length - bodyBytes; at < length; at += 2) {
      const task = 1 + at;
      proxy.next({ kind: "flip", at, bit: at % 8 });
      const before = proxy.exchanges;
      assertInputs(await ask(reader.node, task, { version }), contents);
      assert.ok(proxy.exchanges - before <= 3, `byte ${at}: ${proxy.exchanges - before} requests`);
      reader.node.reduceEnded("job-of-the-test", task);
    }
  });
});

describe("S1, S2, S5: what lies at the agent is not what it should be", () => {
  const first = 0;

  test("S1: a deleted file: unreadable at once, the others are kept", async (t) => {
    const { proxy, list, reader, paths } = await pair(t, small);
    const version = list.entries.length;
    rmSync(paths[first]!);
    assertUnreadable(await ask(reader.node, 0, { version }), 0, /not there any more/);
    const { bytes } = proxy;
    assertUnreadable(await ask(reader.node, 0, { version }), 0, /not there any more/);
    assert.ok(proxy.bytes - bytes < bytes, "the other slices were fetched again");
  });

  test("S1: an output that was dropped", async (t) => {
    const { list, reader, server } = await pair(t, small);
    server.node.drop("job-of-the-test", 2, 1);
    assertUnreadable(await ask(reader.node, 0, { version: list.entries.length }), 2, /not there any more/);
  });

  const damages: Readonly<Record<string, (path: string) => void>> = {
    "S2: a bit of a record": (path) => edit(path, (bytes) => void (bytes[75]! ^= 4)),
    "S2: the length of a block": (path) => edit(path, (bytes) => void (bytes[16 + 44]! ^= 1)),
    "S2: a bit of the index": (path) =>
      edit(path, (bytes) => void (bytes[bytes.length - TRAILER_BYTES - 150]! ^= 1)),
    "S2: a bit of the trailer": (path) => edit(path, (bytes) => void (bytes[bytes.length - 20]! ^= 1)),
    "S2: an empty file": (path) => truncateSync(path, 0),
    "S2: a file cut short": (path) => truncateSync(path, 100),
    "S5: another job's file": (path) => {
      rmSync(path);
      writeRun(path, { jobId: "job-2", task: 0, attempt: 1 }, [small[0]!, []]);
    },
    "S5: another attempt's file": (path) => {
      rmSync(path);
      writeRun(path, { jobId: "job-of-the-test", task: 0, attempt: 2 }, [small[0]!, []]);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`${what}: fetched again once, then unreadable`, async (t) => {
      const { proxy, list, reader, paths, contents } = await pair(t, small);
      const version = list.entries.length;
      const sound = readFileSync(paths[first]!);
      damage(paths[first]!);
      assertUnreadable(await ask(reader.node, 0, { version }), 0, /map task 0, attempt 1, from http/);
      assert.ok(proxy.exchanges >= 2, `${proxy.exchanges} requests`);
      writeFileSync(paths[first]!, sound);
      assertInputs(await ask(reader.node, 0, { version }), contents);
    });
  }

  test("S5: another map's file: the server does not even send it", async (t) => {
    const { list, reader, paths } = await pair(t, small);
    copyFileSync(paths[2]!, paths[0]!);
    assertUnreadable(await ask(reader.node, 0, { version: list.entries.length }), 0, /damaged/);
  });
});

function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}
