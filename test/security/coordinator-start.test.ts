import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { startCoordinator as start } from "#src/rest/start-coordinator.js";
import type { StartCoordinatorOptions } from "#src/rest/start-coordinator.js";
import { describeTlsError } from "#src/security/tls-error.js";
import type { TlsOptions } from "#src/security/tls.js";
import { loadTls } from "#src/security/tls.js";
import { ensureTokenFile, tokenFilesIn } from "#src/security/token-file.js";
import { makeToken } from "#src/security/token.js";
import { sheaf, startSheaf, tempDir } from "../cli/support.js";
import { until } from "../kit/wait.js";
import { startCoordinator } from "./coordinator-process.js";
import { rejects } from "./support.js";
import { TestAuthority, dayMs, startMs } from "./tls-support.js";

test("beyond this machine a coordinator does not start without tokens, and says how it would", async (t) => {
  const state = join(tempDir(t), "state");
  const result = await sheaf(["coordinator", "--port", "0", "--state", state, "--host", "0.0.0.0"]);
  assert.equal(result.code, 2, result.stderr);
  assert.match(
    result.stderr,
    /--host "0\.0\.0\.0".*needs a token.*Start it once without --host.*--insecure/s,
  );
  assert.equal(result.stdout, "");
  assert.deepEqual(readdirSync(state), []);
});

test("--insecure opens it, and warns at each start", async (t) => {
  const state = join(tempDir(t), "state");
  for (let start = 0; start < 2; start++) {
    const running = startSheaf([
      "coordinator",
      "--port",
      "0",
      "--state",
      state,
      "--host",
      "0.0.0.0",
      "--insecure",
    ]);
    await running.until("listens on");
    running.child.kill("SIGTERM");
    const { code, stderr } = await running.done;
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /"event":"operator","msg":"--insecure: whoever can reach this port can run any program here/,
    );
    for (const line of stderr.trimEnd().split("\n")) JSON.parse(line);
    assert.match(stderr, /"event":"operator","msg":"listening on 0\.0\.0\.0 without TLS/);
  }
  assert.equal(existsSync(join(state, "client.token")), false);
});

/** Options of a coordinator in this process that has a state directory with tokens. */
function options(t: TestContext, change: Partial<StartCoordinatorOptions> = {}): StartCoordinatorOptions {
  const stateDirectory = join(tempDir(t), "state");
  const files = tokenFilesIn(stateDirectory);
  ensureTokenFile(files.client, "client");
  ensureTokenFile(files.agent, "agent");
  return { stateDirectory, port: 0, version: "0.0.0", logTo: process.stderr, logLevel: "silent", ...change };
}

test("whatever is wrong with a token file stops it: it never goes on without", async (t) => {
  const good = options(t);
  const path = tokenFilesIn(good.stateDirectory).client;
  const broken: readonly (readonly [RegExp, () => void])[] = [
    [/is empty/, () => writeFileSync(path, "")],
    [/holds no token/, () => writeFileSync(path, "x\n")],
    [/holds a token of the kind "agent"/, () => writeFileSync(path, makeToken("agent"))],
    [
      /can be read or changed by other users/,
      () => {
        writeFileSync(path, makeToken("client"));
        chmodSync(path, 0o644);
      },
    ],
  ];
  for (const [message, damage] of broken) {
    damage();
    await rejects(() => start(good), "TOKEN_INVALID", message);
    const named = options(t, { clientTokenFile: path });
    await rejects(() => start(named), "TOKEN_INVALID", message);
  }
  const missing = options(t, { agentTokenFile: "/nowhere/agent.token" });
  await rejects(() => start(missing), "TOKEN_INVALID", /\/nowhere\/agent\.token does not exist/);
});

test("a state directory that others can change, or a link planted in its place, stops it", async (t) => {
  const good = options(t);
  chmodSync(good.stateDirectory, 0o777);
  await rejects(() => start(good), "USAGE", /can be changed by other users/);
  const link = join(tempDir(t), "link");
  mkdirSync(`${link}-target`);
  symlinkSync(`${link}-target`, link);
  await rejects(() => start({ ...good, stateDirectory: link }), "USAGE", /is a link or no directory/);
  assert.deepEqual(readdirSync(`${link}-target`), []);
});

test("certificates that cannot work stop it; good ones let in only those who show one", async (t) => {
  const authority = await TestAuthority.make(t);
  const stranger = await TestAuthority.make(t);
  const good = await authority.issue("server", { hosts: ["127.0.0.1"] });
  const other = await stranger.issue("other");
  const old = await authority.issue("old", { days: 10, agoMs: 11 * dayMs });
  const stopped = (tls: typeof good, message: RegExp): Promise<unknown> =>
    rejects(() => start(options(t, { tls })), "CERTIFICATE_INVALID", message);
  await stopped(old, /has expired/);
  await stopped({ ...good, ca: other.ca }, /was not issued by an authority/);
  await stopped({ ...good, key: other.key }, /is not that of the certificate/);
  await stopped({ ...good, key: "/nowhere" }, /does not exist/);

  const files = ["--tls-ca", good.ca, "--tls-cert", good.cert, "--tls-key", good.key];
  const { port, client, said } = await startCoordinator(t, files);
  assert.match(said(), /listens on https:/);
  const status = (tls: Partial<TlsOptions>): Promise<string> =>
    new Promise((resolve) => {
      const url = `https://127.0.0.1:${port}/jobs`;
      const headers = { authorization: `Bearer ${client}` };
      const request = get(url, { ...tls, headers, agent: false }, (answer) => {
        answer.resume();
        resolve(String(answer.statusCode));
      });
      request.on("error", (error) => resolve(describeTlsError(error, url)?.message ?? error.message));
    });
  const own = loadTls(await authority.issue("client"), startMs).client;
  assert.equal(await status(own), "200");
  assert.match(await status({ ca: own.ca }), /refuses the certificate of this side|hang up|disconnected/);
  const foreign = loadTls(other, startMs).client;
  assert.match(await status({ ...foreign, ca: own.ca }), /refuses the certificate|hang up|disconnected/);
  assert.match(await status(foreign), /was not issued by the authority this side knows/);
  // It says so in its own time. Of a connection that is gone it does not know any more from where it came.
  const refused = (why: string): string => `"msg":"a connection was refused: ${why}`;
  const none = `"event":"tls","from":"127.0.0.1",${refused("it has no certificate")}`;
  for (const line of [none, refused("its certificate was not issued by the authority")])
    await until(`${line} in the log`, () => said().includes(line));
});
