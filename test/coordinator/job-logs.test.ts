import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { JobLogs } from "#src/coordinator/job-logs.js";

test("printed lines are kept up to their bound, whatever they are made of, and the end is said", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-job-logs-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const logs = new JobLogs(directory, 1_000, false);
  const line = (text: string) => ({ task: "map-00003", attempt: 1, stream: "stdout", text });
  const kept = (): string => readFileSync(join(directory, "logs.txt"), "utf8");
  logs.add([line("é\nb"), { task: "", attempt: 0, stream: "log", text: "" }]);
  const first = "[map-00003.1 stdout] é\n[map-00003.1 stdout] b\n[log] \n";
  assert.equal(kept(), first);
  // Each of these would become a text that is longer than any text can be.
  logs.add(Array.from({ length: 32 }, () => line("\n".repeat(1_000_000))));
  const notice = "[log] more than 1000 bytes were printed; the rest is not kept here\n";
  assert.equal(kept(), first + notice);
  logs.add([line("more")]);
  assert.equal(kept(), first + notice);
});

test("exactly as many bytes as may be kept are kept", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-job-logs-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const text = "[map-00003.1 stdout] ab\n[map-00003.1 stdout] c\n";
  const logs = new JobLogs(directory, text.length, false);
  logs.add([{ task: "map-00003", attempt: 1, stream: "stdout", text: "ab\nc" }]);
  assert.equal(readFileSync(join(directory, "logs.txt"), "utf8"), text);
});
