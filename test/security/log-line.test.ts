import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { escapeControls } from "#src/base/escape-controls.js";
import { safeLogStream } from "#src/security/log-line.js";
import { Redactor } from "#src/security/redact.js";
import { makeToken } from "#src/security/token.js";
import { anyText } from "./support.js";

const token = makeToken("agent");
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const raw = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\u200b\u200e\u200f\ufeff]/;

const forgeries = [
  'x\n{"level":"info","msg":"admin logged in"}',
  "x\r\ny",
  "\u001b[2J\u001b[31mred\u001b]0;title\u0007",
  "\u009b31m",
  "a\u2028b\u2029c",
  "\u202egnirts desrever",
  "\u0000\u0008\u007f",
  "\u200bzero\ufeff",
];

/** What comes out for a record. */
function lineOf(record: Readonly<Record<string, unknown>>): string {
  const lines: string[] = [];
  safeLogStream({ write: (text: string) => lines.push(text) }).write(`${JSON.stringify(record)}\n`);
  assert.equal(lines.length, 1);
  return lines[0]!.slice(0, -1);
}

test("whatever is logged is one line of JSON that means the same and does nothing to a terminal", () => {
  for (const text of forgeries) {
    const line = lineOf({ msg: text, [text]: 1, nested: { deep: [text] } });
    assert.doesNotMatch(line, raw);
    assert.ok(!line.includes("\n"));
    assert.deepEqual(JSON.parse(line), { msg: text, [text]: 1, nested: { deep: [text] } });
  }
  fc.assert(
    fc.property(fc.dictionary(anyText, fc.jsonValue()), (record) => {
      const line = lineOf(record);
      assert.doesNotMatch(line, raw);
      assert.ok(!line.includes("\n"));
      assert.deepEqual(JSON.parse(line), JSON.parse(JSON.stringify(record)));
    }),
  );
});

test("pino's lines come out safe, whichever way something got into them", () => {
  const lines: string[] = [];
  const redactor = new Redactor();
  redactor.add("hunter2-hunter2");
  const logger = pino(
    { level: "trace" },
    safeLogStream({ write: (text: string) => lines.push(text) }, redactor),
  );
  const error = new Error(`refused ${token}`);
  logger.info({ headers: { authorization: `Bearer ${token}` }, url: `/x?signature=${"0".repeat(64)}` }, "in");
  logger.error(error, "failed with hunter2-hunter2");
  logger.child({ token }).warn("token %s", token);
  logger.info({ [token]: "as a key" });
  for (const text of forgeries) logger.info({ text }, text);
  assert.equal(lines.length, 4 + forgeries.length);
  for (const line of lines) {
    assert.match(line, /^[^\n]*\n$/);
    assert.doesNotMatch(line.slice(0, -1), raw);
    assert.ok(!line.includes(token.slice(8)) && !line.includes("hunter2") && !line.includes("0".repeat(64)));
    assert.doesNotThrow(() => JSON.parse(line), line);
  }
  for (const [i, text] of forgeries.entries())
    assert.equal((JSON.parse(lines[4 + i]!) as { readonly msg: string }).msg, text);
});

test("a line of another logger that is not quite JSON is still one line", () => {
  const lines: string[] = [];
  const stream = safeLogStream({ write: (text: string) => lines.push(text) });
  stream.write('{"a":1}\r\n');
  stream.write(`raw\nforged \u001b[2J ${token}`);
  assert.deepEqual(lines, ['{"a":1}\n', "raw\\nforged \\u001b[2J [redacted]\n"]);
});

test("lines and tabs can be kept where a text is shown to people", () => {
  assert.equal(escapeControls("a\tb\nc\u001b[0m", "\n\t"), "a\tb\nc\\u001b[0m");
  assert.equal(escapeControls("plain ünïcödé 🎉 עברית"), "plain ünïcödé 🎉 עברית");
});
