import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { isSigned, signRequest, verifySigned } from "#src/security/signed-url.js";
import { makeToken } from "#src/security/token.js";

const key = makeToken("job");
const request = {
  method: "GET",
  path: "/shuffle/20260101-101010123-words-abcd/map-00001.1",
  query: { collection: "by city/é", partition: 3 },
  job: "20260101-101010123-words-abcd",
  expiresMs: 1_770_000_000_000,
};
const nowMs = request.expiresMs - 1;
const target = signRequest(key, request);

function verdict(change: Partial<Parameters<typeof verifySigned>[1]> = {}, withKey = key): string | null {
  return verifySigned(withKey, { method: "GET", target, job: request.job, nowMs, ...change });
}

test("a signed URL is good for what was signed, until it expires", () => {
  assert.match(
    target,
    /\?collection=by\+city%2F%C3%A9&partition=3&expires=1770000000000&signature=[0-9a-f]{64}$/,
  );
  assert.ok(isSigned(target));
  assert.equal(verdict(), null);
  assert.equal(verdict({ nowMs: 0 }), null);
  assert.match(verdict({ nowMs: request.expiresMs })!, /expired/);
  assert.match(verdict({ method: "PUT" })!, /does not fit/);
  assert.match(verdict({ method: "get" })!, /does not fit/);
  assert.match(verdict({ job: request.job.replace("abcd", "abce") })!, /does not fit/);
  assert.match(verdict({}, makeToken("job"))!, /does not fit/);
  assert.match(verdict({}, "")!, /does not fit/);
});

test("one changed character anywhere spoils it, and so does one added or left out", () => {
  for (let at = 0; at < target.length; at++) {
    const [before, after] = [target.slice(0, at), target.slice(at + 1)];
    for (const other of ["a", "0", "Z", "/", "%", "&", "=", target[at]!.toUpperCase(), ""]) {
      if (other === target[at]) continue;
      assert.notEqual(verdict({ target: before + other + after }), null, `${before}[${other}]${after}`);
      if (other !== "") assert.notEqual(verdict({ target: before + other + target.slice(at) }), null);
    }
  }
  for (const more of ["0", "&", "&x=1", "#", "#x", `&signature=${"0".repeat(64)}`, " ", "\n"])
    assert.notEqual(verdict({ target: target + more }), null, more);
});

test("what stands in one field cannot be moved into another", () => {
  const sign = (method: string, path: string, job: string, query = {}): string =>
    signRequest(key, { method, path, job, query, expiresMs: 1 }).slice(-64);
  const all = [
    sign("GET", "/b", "a"),
    sign("GET", "b", "a/"),
    sign("GETa", "/b", ""),
    sign("GETa/", "b", ""),
    sign("GET", "", "a/b"),
    sign("GE", "/b", "Ta"),
    sign("GET", "/bx=1&", "a"),
    sign("GET", "/b", "a", { x: 1 }),
    sign("GET", "1:/b", "a"),
    sign("GET", "/b", "1:a"),
  ];
  assert.equal(new Set(all).size, all.length);
});

test("a signature without a time, or with a strange one, is none", () => {
  const path = "/shuffle/j/x";
  for (const text of [
    path,
    `${path}?`,
    `${path}?signature=${"0".repeat(64)}`,
    `${path}?expires=&signature=${"0".repeat(64)}`,
    `${path}?expires=1e99&signature=${"0".repeat(64)}`,
    `${path}?expires=-1&signature=${"0".repeat(64)}`,
    `${path}?expires=99999999999999999999&signature=${"0".repeat(64)}`,
    `${path}?expires=Infinity&signature=${"0".repeat(64)}`,
    target.replace("signature=", "SIGNATURE="),
    target.replace(/[0-9a-f]{64}$/, (hex) => hex.toUpperCase()),
  ])
    assert.match(verdict({ target: text })!, /missing or malformed|does not fit/, text);
});

test("what was signed verifies, whatever its parts, and never with another part", () => {
  const part = fc.webSegment({ size: "small" });
  fc.assert(
    fc.property(
      part,
      part,
      fc.dictionary(fc.string(), fc.string()),
      fc.string(),
      (path, other, query, job) => {
        const made = signRequest(key, { method: "GET", path: `/${path}`, query, job, expiresMs: 10 });
        const given = { method: "GET", target: made, job, nowMs: 9 };
        assert.equal(verifySigned(key, given), null);
        assert.notEqual(verifySigned(key, { ...given, job: `${job}x` }), null);
        if (other !== path) {
          const moved = made.replace(`/${path}?`, () => `/${other}?`);
          assert.notEqual(verifySigned(key, { ...given, target: moved }), null);
        }
      },
    ),
  );
});
