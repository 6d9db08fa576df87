import assert from "node:assert/strict";
import { test } from "node:test";
import { readNodeKey } from "#src/steps/node-job.js";

test("files that come back from agents have names below the directory that they are put in", () => {
  for (const key of [
    ["one", "", ""],
    ["one", "report", ""],
    ["one", "report", "a/b.txt"],
    ["one", "report", "..a/b..c/ .x"],
  ])
    assert.deepEqual(readNodeKey(JSON.stringify(key)), key);
  const refused = [
    ["one", "report", "../b"],
    ["one", "report", "a/../../b"],
    ["one", "report", "/etc/passwd"],
    ["one", "report", "a//b"],
    ["one", "report", "a/\0b"],
    ["one", "../report", ""],
    ["..", "report", "b"],
    ["", "report", "b"],
    ["one/two", "report", "b"],
    ["one", "report"],
    ["one", "report", 7],
    { 0: "one" },
  ];
  for (const key of refused)
    assert.throws(() => readNodeKey(JSON.stringify(key)), { code: "MESSAGE_INVALID" }, JSON.stringify(key));
  assert.throws(() => readNodeKey("one"), { code: "MESSAGE_INVALID" });
});
