import { originalPositionFor, TraceMap } from "@jridgewell/trace-mapping";
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { WebSocket } from "undici";
import { sheafHere, startSheaf, tempDir } from "./support.js";

interface Message {
  readonly method?: string;
  readonly params: {
    readonly scriptId?: string;
    readonly url?: string;
    readonly sourceMapURL?: string;
    readonly callFrames?: readonly {
      readonly functionName: string;
      readonly location: {
        readonly scriptId: string;
        readonly lineNumber: number;
        readonly columnNumber: number;
      };
    }[];
  };
}

/** Where a debugger that attaches there stops, as source maps tell it. It goes on each time. */
async function stopsOf(url: string): Promise<string[]> {
  const socket = new WebSocket(url);
  const scripts = new Map<string, { readonly url: string; readonly map: string }>();
  const stops: string[] = [];
  let count = 0;
  const send = (method: string): void => socket.send(JSON.stringify({ id: ++count, method, params: {} }));
  socket.addEventListener("message", ({ data }) => {
    const { method, params } = JSON.parse(String(data)) as Message;
    if (method === "Debugger.scriptParsed")
      scripts.set(params.scriptId!, { url: params.url!, map: params.sourceMapURL! });
    if (method === "NodeRuntime.waitingForDisconnect" || method === "Runtime.executionContextDestroyed")
      socket.close();
    if (method !== "Debugger.paused") return;
    const { functionName, location } = params.callFrames![0]!;
    const script = scripts.get(location.scriptId)!;
    const map = fileURLToPath(new URL(script.map, script.url));
    const place = originalPositionFor(new TraceMap(readFileSync(map, "utf8"), map), {
      line: location.lineNumber + 1,
      column: location.columnNumber,
    });
    stops.push(`${functionName} ${place.source?.split("/").at(-1)}:${place.line}`);
    send("Debugger.resume");
  });
  await once(socket, "open");
  for (const method of ["Runtime.enable", "Debugger.enable", "Runtime.runIfWaitingForDebugger"]) send(method);
  await once(socket, "close");
  return stops;
}

const cases = [
  {
    what: "a map, at its record",
    source: `import { job, sum, text } from "sheaf";
export default job({
  input: text(),
  map(line: string, emit) {
    if (line === "c") throw new Error("no c");
    emit(line, 1);
  },
  reduce: sum(),
});
`,
    stop: "map broken.ts:5",
  },
  {
    what: "a reduce that is a generator, at its key",
    source: `import { job, text } from "sheaf";
export default job({
  input: text(),
  map: (line, emit) => emit(line, 1),
  *reduce(key: string, values: Iterable<number>) {
    if (key === "b") throw new Error("no b");
    for (const value of values) yield value;
  },
});
`,
    stop: "reduce broken.ts:",
  },
];

for (const { what, source, stop } of cases) {
  test(`replay --inspect stops in ${what}, in the file that was written`, async (t) => {
    const cwd = tempDir(t);
    const env = { SHEAF_STATE: join(cwd, "state") };
    writeFileSync(join(cwd, "broken.ts"), source);
    writeFileSync(join(cwd, "in.txt"), "a\nb\nc\nd\n");
    assert.equal((await sheafHere(["run", "broken.ts", "in.txt"], { cwd, env })).code, 1);
    const replayed = startSheaf(["replay", "--inspect=0"], { cwd, env });
    let said = "";
    replayed.child.stderr!.on("data", (text) => (said += String(text)));
    await replayed.until("attach from an editor");
    const stops = await stopsOf(/waiting for a debugger at (ws:\S+)/.exec(said)![1]!);
    const { code } = await replayed.done;
    assert.equal(code, 1);
    assert.equal(stops.length, 1, stops.join());
    assert.ok(stops[0]!.startsWith(stop), stops[0]);
  });
}

test("replay --inspect says so when its port is taken, and takes a port only behind =", async (t) => {
  const cwd = tempDir(t);
  const env = { SHEAF_STATE: join(cwd, "state") };
  writeFileSync(join(cwd, "broken.ts"), cases[0]!.source);
  writeFileSync(join(cwd, "in.txt"), "c\n");
  await sheafHere(["run", "broken.ts", "in.txt"], { cwd, env });
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const taken = await sheafHere(["replay", `--inspect=${port}`], { cwd, env });
  assert.equal(taken.code, 2);
  assert.match(
    taken.stderr,
    new RegExp(`the inspector cannot listen on 127\\.0\\.0\\.1:${port} \\[USAGE\\]\n.*--inspect=9230`),
  );
  assert.match((await sheafHere(["replay", "--inspect=x"], { cwd, env })).stderr, /--inspect: "x" is not/);
  assert.match((await sheafHere(["replay", "--help"])).stdout, /--inspect\[=PORT\]/);
});
