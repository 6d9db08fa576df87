import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { hostAllowed, hostList, isEverywhere } from "#src/security/host-list.js";
import { ownNames, reachableHost } from "#src/security/own-names.js";

test("a server bound to everything answers to every name and address of its machine, and tells one of them", () => {
  const own = ownNames();
  assert.ok(own.includes(hostname()));
  assert.ok(own.includes("127.0.0.1"));
  for (const bound of ["0.0.0.0", "::"]) {
    const hosts = hostList({ bound, own });
    const told = reachableHost(bound);
    assert.ok(!isEverywhere(told), told);
    assert.ok(hostAllowed(hosts, told.includes(":") ? `[${told}]:80` : `${told}:80`), told);
    assert.ok(!hostAllowed(hosts, "evil.test"));
  }
});

test("a server bound to one address tells that one", () => {
  for (const bound of ["127.0.0.1", "10.0.0.5", "::1", "head"]) assert.equal(reachableHost(bound), bound);
});
