import assert from "node:assert/strict";
import { test } from "node:test";
import { hostAllowed, hostList, isEverywhere, isLoopback } from "#src/security/host-list.js";
import { checkListen } from "#src/security/listen.js";
import { refuses } from "./support.js";

const loopback = [
  "127.0.0.1",
  "127.0.0.2",
  "127.255.255.254",
  "localhost",
  "LocalHost",
  "::1",
  "[::1]",
  "0:0:0:0:0:0:0:1",
  "::ffff:127.0.0.1",
];
const beyond = [
  "0.0.0.0",
  "::",
  "[::]",
  "",
  "*",
  "10.0.0.5",
  "192.168.1.1",
  "169.254.169.254",
  "128.0.0.1",
  "::2",
  "fe80::1",
  "::ffff:10.0.0.1",
  "::ffff:7f:1",
  "::127.0.0.1",
  "example.com",
  "localhost.evil.test",
  "127.0.0.1.evil.test",
  "127.1",
  "2130706433",
  "0x7f000001",
  "0177.0.0.1",
  "127.0.0.1 ",
];

test("what is not surely this machine alone counts as beyond it", () => {
  for (const host of loopback) assert.ok(isLoopback(host), host);
  for (const host of beyond) assert.ok(!isLoopback(host), host);
  for (const host of ["0.0.0.0", "::", "[::]", "", "0:0:0:0:0:0:0:0"]) assert.ok(isEverywhere(host), host);
  for (const host of [...loopback, "10.0.0.5"]) assert.ok(!isEverywhere(host), host);
});

test("servers listen on 127.0.0.1 unless they are told otherwise, and need no token for that", () => {
  for (const hasToken of [true, false]) {
    assert.deepEqual(checkListen({ hasToken, insecure: false, tls: false }), {
      host: "127.0.0.1",
      warnings: [],
    });
  }
  for (const host of loopback) {
    assert.deepEqual(checkListen({ host, hasToken: false, insecure: false, tls: false }).warnings, [], host);
  }
});

test("beyond this machine a token is needed; the refusal names the ways out", () => {
  for (const host of beyond) {
    for (const tls of [true, false]) {
      const error = refuses(
        () => checkListen({ host, hasToken: false, insecure: false, tls }),
        "USAGE",
        /listening beyond this machine needs a token/,
      );
      assert.match(error.hint!, /--token-file.*--insecure/s);
      assert.ok(error.message.includes(JSON.stringify(host)));
    }
  }
});

test("what is allowed all the same is warned of at every start", () => {
  const warnings = (host: string, hasToken: boolean, insecure: boolean, tls: boolean): readonly string[] =>
    checkListen({ host, hasToken, insecure, tls }).warnings;
  assert.deepEqual(warnings("10.0.0.5", true, false, true), []);
  assert.equal(warnings("10.0.0.5", true, false, false).length, 1);
  assert.match(warnings("10.0.0.5", true, false, false)[0]!, /without TLS.*in clear/);
  assert.match(warnings("0.0.0.0", false, true, true)[0]!, /--insecure: whoever can reach this port/);
  assert.equal(warnings("0.0.0.0", true, true, false).length, 2);
  assert.match(warnings("127.0.0.1", true, true, false)[0]!, /--insecure: every user of this machine/);
});

test("a server answers to what it is bound to and what it was told it is called", () => {
  const allowed = (source: Parameters<typeof hostList>[0], ...headers: string[]): boolean[] =>
    headers.map((header) => hostAllowed(hostList(source), header));
  assert.deepEqual(allowed({ bound: "127.0.0.1" }, "127.0.0.1:1", "localhost", "[::1]", "host1"), [
    true,
    true,
    true,
    false,
  ]);
  assert.deepEqual(allowed({ bound: "10.0.0.5" }, "10.0.0.5:7077", "localhost", "127.0.0.1", "10.0.0.6"), [
    true,
    false,
    false,
    false,
  ]);
  const everywhere = { bound: "0.0.0.0", own: ["host1", "10.0.0.5", "fe80::1"] };
  assert.deepEqual(
    allowed(everywhere, "host1:80", "10.0.0.5", "[fe80::1]", "localhost", "0.0.0.0", "evil.test"),
    [true, true, true, true, false, false],
  );
  const told = {
    bound: "10.0.0.5",
    told: ["Sheaf.Example:7077", "https://jobs.example:443/x", "[FE80::2]", "no/host"],
  };
  assert.deepEqual(
    allowed(told, "sheaf.example", "jobs.example", "[fe80:0::2]:1", "no", "no/host", "evil.test"),
    [true, true, true, false, false, false],
  );
});
