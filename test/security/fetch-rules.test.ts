import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { isSheafError } from "#src/base/errors.js";
import { isAddressInside } from "#src/storage/address-roots.js";
import type { FetchRules, Store } from "#src/storage/store.js";
import { addressList, checkedLookup, checkUrl, isPublicAddress } from "#src/storage/stores/guarded-fetch.js";
import { createStore } from "#src/storage/stores/http.js";

/* SECURITY.md, X14: what reads addresses for others is no way to servers that only it can reach. */

test("X14: addresses of this machine and its networks are told in every spelling", () => {
  for (const host of [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "0x7f.1",
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "100.100.100.200",
    "168.63.129.16",
    "198.18.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[::ffff:a9fe:a9fe]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:ffff:7f00:0001]",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
  ]) {
    const { hostname } = new URL(`http://${host}/`);
    const address = hostname.replace(/^\[|\]$/g, "");
    assert.equal(isPublicAddress(address), false, `${host} is ${address}`);
    const rules = { roots: [`http://${host}/`], addresses: [] };
    assert.throws(() => checkUrl(new URL(`http://${host}/a`), rules, host), { code: "FORBIDDEN" }, host);
  }
  for (const address of [
    "93.184.216.34",
    "8.8.8.8",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.255.255",
    "11.0.0.1",
    "2606:2800:220:1:248:1893:25c8:1946",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
  ]) {
    assert.equal(isPublicAddress(address), true, address);
  }
  assert.equal(isPublicAddress("no address"), false);
});

test("X14: what is listed is open, by host, port and path, and nothing beside it", () => {
  const roots = [
    "https://data.example.org/pub/",
    "http://data.example.org:8080",
    "/srv/data",
    "s3://bucket/in/",
    "s3a://logs/in/",
    "sftp://me@host:22/in",
  ];
  for (const address of [
    "https://data.example.org/pub/a.csv",
    "https://DATA.example.org:443/pub/a.csv?x=1",
    "http://data.example.org:8080/anything",
    "s3://bucket/in/a",
    "s3://bucket/in/*.csv",
    "s3://bucket/in",
    "s3n://bucket/in/a",
    "s3://logs/in/a",
    "sftp://me@host/in/a",
  ]) {
    assert.equal(isAddressInside(address, roots), true, address);
  }
  for (const address of [
    "https://data.example.org/a.csv",
    "https://data.example.org/pub/../a.csv",
    "https://data.example.org/pub/%2e%2e/a.csv",
    "https://data.example.org/pub/..%2fa.csv",
    "https://data.example.org/pub/..%5ca.csv",
    "https://data.example.org/public/a.csv",
    "http://data.example.org/pub/a.csv",
    "https://data.example.org.evil.org/pub/a.csv",
    "https://data.example.org@evil.org/pub/a.csv",
    "https://evil.org/pub/a.csv",
    "ftp://data.example.org/pub/a.csv",
    "s3://bucket/other/a",
    "s3://bucket/in/{../other,x}/a",
    "s3://bucket/in/{x,{y,..}}/a",
    "s3://bucket/in/.\\./other/a",
    "s3://bucket/in/\\.\\./other/a",
    "s3://bucket/in/*/..\\/..\\/other/a",
    "s3://bucket/in/.{.,x}/other/a",
    "s3://logs/other",
    "s3b://bucket/in/a",
    "sftp://me@host:2222/in/a",
    "sftp://you@host/in/a",
    "s3://bucket/in/../other/a",
    "s3://bucket/i*/a",
    "s3://bucket2/in/a",
    "s3://buck{et,et2}/in/a",
    "/srv/data/a",
    "agent:/srv/data/a",
  ]) {
    assert.equal(isAddressInside(address, roots), false, address);
  }
});

test("X14: a name is looked up once, and what it leads to is checked; answers that change do not help", async () => {
  const answers = ["93.184.216.34", "127.0.0.1"];
  let asked = 0;
  const lookup = (rules: FetchRules) =>
    checkedLookup(rules, (_host, _options, callback) => {
      callback(null, [{ address: answers[asked++ % 2]!, family: 4 }]);
    });
  const found = (rules: FetchRules) =>
    new Promise<unknown>((resolve) =>
      lookup(rules)("name.example", {}, (error, address) => resolve(error ?? address)),
    );
  const strict = { roots: [], addresses: [] };
  // What is connected to is what was checked: the second answer is asked for by a second connection only.
  assert.equal(await found(strict), "93.184.216.34");
  const refused = await found(strict);
  assert.ok(isSheafError(refused) && refused.code === "FORBIDDEN");
  await found(strict);
  assert.equal(await found({ roots: [], addresses: ["127.0.0.0/8"] }), "127.0.0.1");
  // One private address among several is enough.
  const several = checkedLookup(strict, (_host, _options, callback) => {
    callback(null, [
      { address: "93.184.216.34", family: 4 },
      { address: "::1", family: 6 },
    ]);
  });
  const both = await new Promise((resolve) => several("name", { all: true }, (error) => resolve(error)));
  assert.ok(isSheafError(both) && both.code === "FORBIDDEN");
});

test("X14: redirects are checked like what was asked for, and names that lead here are not connected to", async (t) => {
  const hits: string[] = [];
  const inner = await server(t, (request, response) => {
    hits.push(request.url!);
    response.end("secret");
  });
  const outer = await server(t, (request, response) => {
    const to = request.url === "/away" ? `http://127.0.0.1:${inner}/x` : `http://localhost:${inner}/x`;
    response.writeHead(302, { location: to }).end();
  });
  const open = `http://127.0.0.1:${outer}/`;
  const store = guarded({ roots: [open, `http://localhost:${inner}/`], addresses: ["127.0.0.1"] });
  // Not listed at all.
  await assert.rejects(Promise.resolve(store.stat(`${open}away`)), { code: "FORBIDDEN" });
  // Listed by its name, whose address is not.
  const strict = guarded({ roots: [`http://localhost:${inner}/`], addresses: [] });
  await assert.rejects(Promise.resolve(strict.stat(`http://localhost:${inner}/x`)), { code: "FORBIDDEN" });
  const unlisted = guarded({ roots: [], addresses: ["127.0.0.0/8"] });
  await assert.rejects(Promise.resolve(unlisted.stat(`http://127.0.0.1:${inner}/x`)), { code: "FORBIDDEN" });
  assert.deepEqual(hits, []);
});

test("ranges of addresses that make no sense are refused", () => {
  for (const range of ["", "host", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "::1/129", "1.2.3", "-1"])
    assert.throws(() => addressList([range]), { code: "USAGE" }, range);
});

function guarded(fetch: FetchRules): Store {
  return createStore("http", { env: {}, fetch, world: { clock: systemClock, random: () => 0 } });
}

async function server(t: TestContext, handle: RequestListener): Promise<number> {
  const one = createServer(handle).listen(0, "127.0.0.1");
  await once(one, "listening");
  t.after(() => {
    one.closeAllConnections();
    one.close();
  });
  return (one.address() as AddressInfo).port;
}
