import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { until } from "../kit/wait.ts";
import { Bench } from "./support.ts";

const linux = process.platform === "linux" ? {} : { skip: "looks into /proc" };

/** Whether a process runs; one that has ended and that nobody has asked for does not. */
function runs(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** A child that would go on for ten minutes, one that has ended, and then `after`. */
const startsChildren = (after: string): string => `
  import { spawn } from "node:child_process";
  import { once } from "node:events";
  import { job, text } from "sheaf";
  export default job({
    input: text(),
    async map(line: string, emit, ctx) {
      const ended = spawn("true", { stdio: "ignore" });
      await once(ended, "exit");
      const child = spawn("sleep", ["600"], { stdio: "ignore" });
      child.unref();
      await once(child, "spawn");
      console.log("pid", child.pid, "of", line);
      ${after}
      emit(line, 1);
    },
    reduce: (key: string) => key,
  });`;

for (const isolation of ["thread", "process"] as const) {
  for (const [how, after, status] of [
    ["succeeds", "", "SUCCEEDED"],
    ["fails", 'throw new Error("no");', "FAILED"],
    ["is cancelled", "for (;;);", "CANCELLED"],
  ] as const) {
    test(`what user code in a ${isolation} has started ends with a run that ${how}`, linux, async (t) => {
      const bench = new Bench(t);
      const pids: number[] = [];
      const stop = new AbortController();
      const result = await bench.run(startsChildren(after), {
        inputs: bench.file("in.txt", "one\n"),
        isolate: isolation,
        attempts: 1,
        signal: stop.signal,
        onEvent: (event) => {
          const pid = event.kind === "log" ? /pid (\d+) of/.exec(event.text)?.[1] : undefined;
          if (pid === undefined) return;
          pids.push(Number(pid));
          assert.ok(runs(Number(pid)) || status === "FAILED");
          if (how === "is cancelled") stop.abort();
        },
      });
      assert.equal(result.status, status);
      assert.equal(pids.length, 1);
      // It has been killed; until the system has done that some time may pass.
      await until(`the end of process ${pids[0]}`, () => !runs(pids[0]!));
    });
  }
}
