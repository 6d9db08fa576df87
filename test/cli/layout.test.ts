import assert from "node:assert/strict";
import { test } from "node:test";
import {
  definitions,
  formatCount,
  formatDuration,
  formatShortCount,
  formatTimeLeft,
  plural,
  textTable,
  wrapText,
} from "#src/cli/ui/text.js";

test("text is broken at spaces, and a long word has a line to itself", () => {
  assert.deepEqual(wrapText("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrapText("a muchlongerword b", 5), ["a", "muchlongerword", "b"]);
  assert.deepEqual(wrapText("", 5), [""]);
});

test("definitions: meanings beside the terms, or below them where there is no room", () => {
  const entries = [
    ["-a", "the first"],
    ["--long-flag", "the second, which needs more than a line"],
  ] as const;
  assert.equal(
    definitions(entries, 40),
    "  -a           the first\n  --long-flag  the second, which needs\n               more than a line",
  );
  assert.equal(
    definitions(entries, 30),
    "  -a\n      the first\n  --long-flag\n      the second, which needs\n      more than a line",
  );
});

test("tables line up, wide characters too", () => {
  assert.deepEqual(
    textTable(
      ["KEY", ">N"],
      [
        ["日本", "7"],
        ["a", "100"],
      ],
    ),
    ["KEY     N", "日本    7", "a     100"],
  );
});

test("numbers and times as people read them", () => {
  assert.deepEqual([0, 999, 1234567].map(formatCount), ["0", "999", "1,234,567"]);
  assert.deepEqual([950, 1234, 99_950, 1_250_000].map(formatShortCount), ["950", "1.23k", "100k", "1.25M"]);
  assert.deepEqual([plural(1, "task"), plural(2000, "task")], ["1 task", "2,000 tasks"]);
  assert.deepEqual([300, 8000, 80_000, 7_500_000].map(formatTimeLeft), ["<1 s", "8 s", "1m 20s", "2h 05m"]);
  assert.deepEqual([4, 420, 12_345, 65_000, 7_380_000].map(formatDuration), [
    "0.00 s",
    "0.42 s",
    "12.3 s",
    "1m 05s",
    "2h 03m",
  ]);
});
