import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Redactor, redact } from "#src/security/redact.js";
import { makeToken } from "#src/security/token.js";

const token = makeToken("client");
const secret = token.slice(8);

test("whatever looks like a token is taken out of a text, the rest of it stays", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["nothing secret here: 17 MB/s, sheaf_home, a@b.c", "nothing secret here: 17 MB/s, sheaf_home, a@b.c"],
    [`token ${token} refused`, "token [redacted] refused"],
    [`{"t":"${makeToken("job")}","n":1}`, '{"t":"[redacted]","n":1}'],
    [`cut ${token.slice(0, 20)}`, "cut [redacted]"],
    [`Authorization: Bearer ${token}`, "Authorization: Bearer [redacted]"],
    ["authorization: bearer abcdef123456", "authorization: bearer [redacted]"],
    ["Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"],
    [
      "GET /x?job=j&expires=1&signature=0a1b2c&z=1 200",
      "GET /x?job=j&expires=1&signature=[redacted]&z=1 200",
    ],
    ["http://me:hunter2@host:80/x", "http://me:[redacted]@host:80/x"],
    ["http://host:80/x@y and http://a/b:c@d", "http://host:80/x@y and http://a/b:c@d"],
    [
      "key -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nx==\n-----END EC PRIVATE KEY----- end",
      "key [redacted] end",
    ],
    [
      JSON.stringify({ key: "-----BEGIN PRIVATE KEY-----\nMHcCAQEE\n-----END PRIVATE KEY-----\n", n: 1 }),
      String.raw`{"key":"[redacted]\n","n":1}`,
    ],
    [JSON.stringify({ key: "-----BEGIN PRIVATE KEY-----\nMHcC", n: 1 }), '{"key":"[redacted]","n":1}'],
  ];
  for (const [given, wanted] of cases) assert.equal(redact(given), wanted);
});

test("known secrets go whatever their form: as they are, in JSON, in a URL", () => {
  const known = 'p"ss wörd/42';
  const redactor = new Redactor();
  redactor.add(known);
  redactor.add("short");
  const line = `${known} ${JSON.stringify(known)} ?p=${encodeURIComponent(known)} short`;
  assert.equal(redactor.redact(line), '[redacted] "[redacted]" ?p=[redacted] short');
  assert.equal(redact(line, []), line);
});

test("no token survives in any surroundings, and JSON stays JSON", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      const text = before + token + after;
      assert.ok(!redact(text).includes(secret));
      const line = JSON.stringify({ before, token, after, nested: { [token]: text } });
      const clean = redact(line);
      assert.ok(!clean.includes(secret));
      assert.doesNotThrow(() => JSON.parse(clean), clean);
    }),
  );
});

test("a long line made to be slow is cleaned in time that grows with its length only", () => {
  for (const piece of ["a", "sheaf_", "://", "Bearer ", "?sig=", "-----BEGIN PRIVATE KEY-----", "://a:"]) {
    const line = piece.repeat(Math.ceil(500_000 / piece.length));
    // Quadratic, this would be minutes: the test runner ends it.
    assert.ok(redact(line).length > 0);
  }
});
