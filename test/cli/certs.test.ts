import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadTls } from "#src/security/tls.js";
import { sheaf, tempDir } from "./support.js";

test("sheaf certs makes an authority and certificates that work together", async (t) => {
  const cwd = tempDir(t);
  const at = (name: string): string => join(cwd, "certs", name);
  const init = await sheaf(["certs", "init", "certs"], { cwd });
  assert.equal(init.code, 0, init.stderr);
  assert.equal(init.stdout, "");
  assert.match(
    init.stderr,
    /wrote\n {2}certs\/ca\.pem\n {2}certs\/ca\.key\n\nNext: sheaf certs issue certs NAME/,
  );

  const hosts = ["--host", "node1.example", "--host", "10.0.0.5"];
  const issue = await sheaf(["certs", "issue", "certs", "node1", ...hosts, "--days", "30", "--json"], {
    cwd,
  });
  assert.equal(issue.code, 0, issue.stderr);
  const files = JSON.parse(issue.stdout) as {
    readonly cert: string;
    readonly key: string;
    readonly ca: string;
  };
  assert.deepEqual(files, {
    kind: "certificate",
    cert: at("node1.pem"),
    key: at("node1.key"),
    ca: at("ca.pem"),
  });
  assert.equal(statSync(files.key).mode & 0o777, 0o600);
  assert.equal(loadTls(files, Date.now()).warnings.length, 1);
  const own = new X509Certificate(readFileSync(files.cert));
  assert.equal(own.subjectAltName, "DNS:node1.example, IP Address:10.0.0.5");
  const days = (Date.parse(own.validTo) - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days <= 30, String(days));
});

test("sheaf certs overwrites nothing and says what is missing", async (t) => {
  const cwd = tempDir(t);
  const refused = async (args: readonly string[], code: number, message: RegExp): Promise<void> => {
    const result = await sheaf(["certs", ...args], { cwd });
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
    assert.equal(result.stdout, "");
  };
  await refused(["issue", "certs", "a"], 1, /authority .*ca\.pem does not exist/);
  assert.equal(existsSync(join(cwd, "certs")), false);
  assert.equal((await sheaf(["certs", "init", "certs"], { cwd })).code, 0);
  const before = readFileSync(join(cwd, "certs/ca.pem"), "utf8");
  await refused(["init", "certs"], 1, /there is a file at .*ca\.pem already/);
  assert.equal(readFileSync(join(cwd, "certs/ca.pem"), "utf8"), before);
  await refused(["issue", "certs"], 2, /NAME is missing/);
  await refused(["init", "certs", "name"], 2, /takes neither NAME nor --host/);
  await refused(["isue", "certs"], 2, /Did you mean issue/);
  await refused(["issue", "certs", "../../x"], 1, /is no agent id/);
  await refused(["issue", "certs", "a", "--host", "http://x"], 2, /is no host name/);
  await refused(["issue", "certs", "a", "--days", "0"], 2, /--days/);
});
