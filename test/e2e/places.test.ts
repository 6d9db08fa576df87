/** The same bytes in every time zone and locale. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { tempDir } from "../cli/support.js";

const program = fileURLToPath(new URL("./print-outputs.js", import.meta.url));

/** What the jobs write in a process with this environment: its lines, and the last one apart. */
async function printed(
  directory: string,
  zone: string,
  locale: string,
): Promise<{ files: string[]; own: string }> {
  const env: Record<string, string | undefined> = { ...process.env, TZ: zone, LANG: locale, LC_ALL: locale };
  delete env["NODE_TEST_CONTEXT"];
  delete env["NODE_OPTIONS"];
  const child = spawn(process.execPath, [program, directory], { env, stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (some: string) => (text += some));
  const code = await new Promise((done) => child.once("close", done));
  assert.equal(code, 0);
  const files = text.trimEnd().split("\n");
  return { own: files.pop()!, files };
}

test("jobs write the same bytes and counters in other time zones and locales", async (t) => {
  const root = tempDir(t);
  const places = [
    ["UTC", "C", "# 0 1,234.5"],
    ["America/St_Johns", "tr_TR.UTF-8", "# 210 1.234,5"],
    ["Asia/Kathmandu", "de_DE.UTF-8", "# -330 1.234,5"],
  ] as const;
  const outputs = await Promise.all(
    places.map(([zone, locale], i) => printed(join(root, `place-${i}`), zone, locale)),
  );
  for (const [i, [, , own]] of places.entries())
    assert.equal(outputs[i]!.own, own, "the environment is another");
  assert.ok(outputs[0]!.files.length > 30, `${outputs[0]!.files.length} lines`);
  for (const { files } of outputs.slice(1)) assert.deepEqual(files, outputs[0]!.files);
  const first = readFileSync(join(root, "place-1", "dates", "tsv", "part-00000.tsv"), "utf8").split("\n");
  assert.deepEqual(first.slice(0, 4), [
    "0\t2024-03-10T02:30:00.001Z",
    "1\t2024-11-03T01:30:00.251Z",
    "2\t2023-12-31T00:00:00.001Z",
    "3\t2023-12-31T18:30:00.001Z",
  ]);
});
