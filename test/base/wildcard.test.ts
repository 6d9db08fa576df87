import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesWildcard } from "#src/base/wildcard.js";

/** All texts of these letters, up to a length. */
function texts(letters: string, length: number): string[] {
  let all = [""];
  let last = all;
  for (let count = 0; count < length; count++) {
    last = last.flatMap((text) => [...letters].map((letter) => text + letter));
    all = [...all, ...last];
  }
  return all;
}

test("a pattern matches what the same regular expression does", () => {
  for (const pattern of texts("a*?", 5)) {
    const expected = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`, "su");
    for (const text of texts("ab", 5))
      assert.equal(matchesWildcard(pattern, text), expected.test(text), `${pattern} ${text}`);
  }
});

test("nothing but * and ? is special, and a character of two units is one", () => {
  for (const text of ["a.b", "[a]", "a\\b", "$x^", "a+b"]) assert.ok(matchesWildcard(text, text));
  assert.ok(!matchesWildcard("a.b", "axb"));
  assert.deepEqual([matchesWildcard("?", "😀"), matchesWildcard("??", "😀")], [true, false]);
  assert.ok(matchesWildcard("*\n?", "a\nb"));
});

test("patterns that make regular expressions take for ever do not", () => {
  assert.equal(matchesWildcard(`${"*a".repeat(100)}b`, "a".repeat(200)), false);
});
