import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer, get } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { SecureVersion } from "node:tls";
import { initAuthority, issueInto } from "#src/security/certificate-directory.js";
import { describeRefusedPeer, describeTlsError } from "#src/security/tls-error.js";
import { checkTlsName, loadTls, tlsFiles } from "#src/security/tls.js";
import type { TlsFiles, TlsOptions } from "#src/security/tls.js";
import { tempDir } from "../cli/support.js";
import { refuses, rejects } from "./support.js";
import { TestAuthority, dayMs, startMs } from "./tls-support.js";

test("an authority and what it issues are files of mode 0600, that openssl agrees with", async (t) => {
  const directory = join(tempDir(t), "certs");
  const ca = await initAuthority(directory, { days: 3_650, nowMs: startMs });
  const files = await issueInto(directory, {
    name: "node1",
    hosts: ["Node1.example", "10.0.0.5", "::1", "localhost"],
    days: 365,
    nowMs: startMs,
  });
  assert.deepEqual(readdirSync(directory).sort(), ["ca.key", "ca.pem", "node1.key", "node1.pem"]);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const path of [...Object.values(ca), ...Object.values(files)])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
  const own = new X509Certificate(readFileSync(files.cert));
  const authority = new X509Certificate(readFileSync(ca.cert));
  assert.equal(own.subject, "CN=node1");
  assert.equal(own.ca, false);
  assert.equal(authority.ca, true);
  assert.deepEqual(own.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(own.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.ok(own.checkIssued(authority) && own.verify(authority.publicKey));
  const days = (one: X509Certificate): number => Math.round((Date.parse(one.validTo) - startMs) / dayMs);
  assert.deepEqual([days(own), days(authority)], [365, 3_650]);
  assert.equal(own.checkHost("node1.example"), "node1.example");
  assert.equal(own.checkIP("10.0.0.5"), "10.0.0.5");
  assert.equal(own.checkIP("::1"), "::1");
  assert.equal(own.checkHost("node2.example"), undefined);
  const openssl = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", ca.cert, files.cert], {
    encoding: "utf8",
  });
  if (openssl.error === undefined) assert.equal(openssl.status, 0, openssl.stdout + openssl.stderr);

  await rejects(
    () => initAuthority(directory, { days: 1, nowMs: startMs }),
    "CERTIFICATE_INVALID",
    /already/,
  );
  const again = { name: "node1", hosts: [], days: 1, nowMs: startMs };
  await rejects(() => issueInto(directory, again), "CERTIFICATE_INVALID", /already/);
  await rejects(() => issueInto(directory, { ...again, name: "ca" }), "CERTIFICATE_INVALID", /already/);
  await rejects(() => issueInto(directory, { ...again, name: "../x" }), "MESSAGE_INVALID", /no agent id/);
  await rejects(() => issueInto(tempDir(t), again), "CERTIFICATE_INVALID", /authority .* does not exist/);
  for (const host of ["a b", "", "http://x", "x:80", "-x", "1.2.3", "x,DNS:evil"]) {
    const named = { ...again, name: "x", hosts: [host] };
    await rejects(() => issueInto(directory, named), "USAGE", /is no host name and no address/);
  }
});

test("no certificate outlives its authority, and an expired authority issues none", async (t) => {
  const directory = join(tempDir(t), "certs");
  await initAuthority(directory, { days: 10, nowMs: startMs });
  const options = { name: "a", hosts: [], days: 365, nowMs: startMs };
  const { cert } = await issueInto(directory, options);
  const endsMs = Date.parse(new X509Certificate(readFileSync(cert)).validTo);
  assert.ok(endsMs <= startMs + 10 * dayMs);
  const late = { ...options, name: "b", nowMs: startMs + 11 * dayMs };
  await rejects(() => issueInto(directory, late), "CERTIFICATE_INVALID", /the authority has expired/);
});

test("files that cannot work together are refused at start, each with what is wrong with it", async (t) => {
  const authority = await TestAuthority.make(t);
  const stranger = await TestAuthority.make(t);
  const good = await authority.issue("good", { hosts: ["localhost"] });
  const other = await stranger.issue("other");
  const at = (name: string, text: string | Buffer): string => {
    const path = join(authority.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const open = at("open.key", readFileSync(good.key));
  chmodSync(open, 0o644);
  const cut = readFileSync(good.cert, "utf8");
  // Another signature than the authority's, under its name.
  const der = Buffer.from(new X509Certificate(cut).raw);
  der[der.length - 1]! ^= 1;
  const forged = der.toString("base64").replaceAll(/.{64}/g, "$&\n");
  const sealed = spawnSync("openssl", ["pkcs8", "-topk8", "-in", good.key, "-passout", "pass:hunter2"], {
    encoding: "utf8",
  });
  const cases: readonly (readonly [Partial<TlsFiles>, RegExp])[] = [
    [{ cert: "/nowhere.pem" }, /the certificate \/nowhere.pem cannot be read/],
    [{ ca: "/nowhere.pem" }, /the certificate \/nowhere.pem cannot be read/],
    [{ key: "/nowhere.key" }, /the TLS key \/nowhere.key does not exist/],
    [{ cert: authority.directory }, /cannot be read/],
    [{ cert: at("empty.pem", "") }, /empty.pem holds no certificate/],
    [{ ca: at("empty-ca.pem", "") }, /empty-ca.pem holds no certificate/],
    [{ key: at("empty.key", "") }, /empty.key holds no private key/],
    [{ cert: good.key }, /good.key holds no certificate/],
    [{ key: good.cert }, /good.pem holds no private key/],
    [{ cert: at("cut.pem", `${cut.slice(0, 200)}\n-----END CERTIFICATE-----\n`) }, /cut.pem is damaged/],
    [
      { cert: at("forged.pem", `-----BEGIN CERTIFICATE-----\n${forged}\n-----END CERTIFICATE-----\n`) },
      /forged.pem was not issued by an authority/,
    ],
    [{ key: open }, /can be read or changed by other users \(mode 0644\)/],
    [{ key: other.key }, /the key .*other.key is not that of the certificate .*good.pem/],
    [{ ca: other.ca }, /good.pem was not issued by an authority in/],
    [{ ca: good.cert }, /good.pem is none of an authority/],
    [await authority.issue("old", { days: 10, agoMs: 11 * dayMs }), /old.pem has expired, at 20/],
    [await authority.issue("early", { agoMs: -2 * dayMs }), /early.pem is valid from 20.* on only/],
  ];
  for (const [change, message] of cases) {
    const error = refuses(() => loadTls({ ...good, ...change }, startMs), "CERTIFICATE_INVALID", message);
    assert.doesNotMatch(`${error.message}${error.hint}`, /PRIVATE KEY-----\n\w/);
  }
  if (sealed.status === 0) {
    const key = at("sealed.key", sealed.stdout);
    refuses(() => loadTls({ ...good, key }, startMs), "CERTIFICATE_INVALID", /without a passphrase/);
  }
  const loaded = loadTls(good, startMs);
  assert.deepEqual(loaded.warnings, []);
  assert.equal(loaded.server.requestCert, true);
  assert.match(loadTls(good, startMs + 340 * dayMs).warnings[0]!, /good.pem ends at 20/);
  // Several authorities in one file, while one takes the place of another.
  const both = at("both.pem", readFileSync(good.ca, "utf8") + readFileSync(other.ca, "utf8"));
  loadTls({ ...good, ca: both }, startMs);
  loadTls({ ...other, ca: both }, startMs);
});

test("an authority of the same name with another key is another authority", async (t) => {
  const [one, two] = [await TestAuthority.make(t), await TestAuthority.make(t)];
  const files = await one.issue("x");
  refuses(
    () => loadTls({ ...files, ca: two.files("x").ca }, startMs),
    "CERTIFICATE_INVALID",
    /was not issued by/,
  );
});

test("the certificate of a server is checked against the name others will use", async (t) => {
  const authority = await TestAuthority.make(t);
  const hosts = ["node1.example", "10.0.0.5", "::1"];
  const tls = loadTls(await authority.issue("node1", { hosts }), startMs);
  for (const host of [...hosts, "[::1]", "NODE1.example", "node1.example:7077", "https://10.0.0.5:1/x"])
    checkTlsName(tls, host);
  for (const host of ["node2.example", "10.0.0.6", "localhost", "node1.example.evil.test", "::2"])
    refuses(() => checkTlsName(tls, host), "CERTIFICATE_INVALID", /is for .*, not for/);
});

test("TLS is all three files or none", () => {
  assert.equal(tlsFiles({}), null);
  assert.deepEqual(tlsFiles({ ca: "a", cert: "b", key: "c" }), { ca: "a", cert: "b", key: "c" });
  refuses(() => tlsFiles({ ca: "a" }), "USAGE", /TLS needs --tls-cert and --tls-key, too/);
  refuses(() => tlsFiles({ cert: "a", key: "b" }), "USAGE", /TLS needs --tls-ca, too/);
});

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

/** The body of GET /, or the error as describeTlsError tells it. */
function fetchFrom(
  url: string,
  options: Partial<TlsOptions & { maxVersion: SecureVersion }>,
): Promise<string> {
  return new Promise((resolve) => {
    const request = get(url, { ...options, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      answer.on("end", () => resolve(text));
      answer.on("error", (error) => resolve(told(error)));
    });
    const told = (error: unknown): string =>
      describeTlsError(error, url)?.message ?? `untold: ${String(error)}`;
    request.on("error", (error) => resolve(told(error)));
  });
}

test("both ends check each other: authority, time and name; what is wrong is told", async (t) => {
  const authority = await TestAuthority.make(t);
  const stranger = await TestAuthority.make(t);
  const hosts = ["127.0.0.1", "localhost"];
  // Made as a machine whose clock is wrong would accept them.
  const server = async (issue: Parameters<TestAuthority["issue"]>, nowMs = startMs): Promise<number> => {
    const tls = loadTls(await authority.issue(...issue), nowMs);
    const made = createServer(tls.server, (_request, answer) => answer.end("in"));
    made.on("tlsClientError", (error, socket) =>
      seen.push(describeRefusedPeer(error, socket.authorizationError)),
    );
    return listening(t, made);
  };
  const seen: string[] = [];
  /** That the server has refused the connection, and what each side says of it. */
  const refused = async (options: Partial<TlsOptions>, why: RegExp): Promise<void> => {
    seen.length = 0;
    assert.match(await fetchFrom(url, options), /refuses the certificate of this side|hang up|disconnected/);
    for (let waits = 0; seen.length === 0 && waits < 100_000; waits++) await setImmediate();
    assert.match(seen.join(), why);
  };
  const client = loadTls(await authority.issue("client"), startMs).client;
  const port = await server(["server", { hosts }]);
  const url = `https://127.0.0.1:${port}`;
  assert.equal(await fetchFrom(url, client), "in");
  assert.equal(await fetchFrom(`https://localhost:${port}`, client), "in");

  const foreign = loadTls(await stranger.issue("foreign"), startMs).client;
  const { ca } = client;
  assert.match(await fetchFrom(url, foreign), /: its certificate was not issued by the authority/);
  assert.match(await fetchFrom(url, {}), /: its certificate was not issued by the authority/);
  await refused({ ca }, /it has no certificate/);
  assert.match(
    await fetchFrom(url, { ca, maxVersion: "TLSv1.2" }),
    /it refuses the certificate of this side/,
  );
  await refused({ ...foreign, ca }, /was not issued by the authority/);
  const oldIssue = { days: 10, agoMs: 11 * dayMs };
  const old = loadTls(await authority.issue("old-client", oldIssue), startMs - 5 * dayMs).client;
  await refused(old, /has expired/);

  const oldPort = await server(["old-server", { hosts, ...oldIssue }], startMs - 5 * dayMs);
  assert.match(await fetchFrom(`https://127.0.0.1:${oldPort}`, client), /: its certificate has expired/);
  const early = await server(["early", { hosts, agoMs: -2 * dayMs }], startMs + 3 * dayMs);
  assert.match(await fetchFrom(`https://127.0.0.1:${early}`, client), /is not valid yet/);
  const named = await server(["named", { hosts: ["node1.example"] }]);
  assert.match(await fetchFrom(`https://127.0.0.1:${named}`, client), /: its certificate is for other names/);
  const plain = await listening(
    t,
    createHttp((_request, answer) => answer.end("in")),
  );
  assert.match(await fetchFrom(`https://127.0.0.1:${plain}`, client), /does not speak TLS/);
  const weak = { ...client, minVersion: "TLSv1.1" as "TLSv1.2", maxVersion: "TLSv1.1" } as const;
  assert.doesNotMatch(await fetchFrom(url, weak), /^in$/);
  assert.equal(describeTlsError(Object.assign(new Error("no"), { code: "ECONNREFUSED" }), url), null);
  assert.equal(describeTlsError("no", url), null);
});

test("what fetch says of a certificate is told as well", async (t) => {
  const authority = await TestAuthority.make(t);
  const tls = loadTls(await authority.issue("server", { hosts: ["127.0.0.1"] }), startMs);
  const port = await listening(
    t,
    createServer(tls.server, (_request, answer) => answer.end("in")),
  );
  const url = `https://127.0.0.1:${port}`;
  const error = await fetch(url).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.match(describeTlsError(error, url)!.message, /not issued by the authority/);
});
