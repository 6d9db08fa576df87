import fc from "fast-check";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ensureTokenFile, findToken, readTokenFile, tokenFilesIn } from "#src/security/token-file.js";
import { digestToken, makeToken, matchesDigest, sameToken, tokenKind } from "#src/security/token.js";
import type { TokenKind } from "#src/security/token.js";
import { tempDir } from "../cli/support.js";
import { anyText, refuses } from "./support.js";

const kinds: readonly TokenKind[] = ["client", "agent", "job"];
const mode = (path: string): number => statSync(path).mode & 0o777;

/** A directory as token files live in. */
function stateDir(t: TestContext): string {
  const directory = join(tempDir(t), "state");
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

test("a token is 256 random bits with the prefix of its kind, and no two are alike", () => {
  for (const kind of kinds) {
    const tokens = Array.from({ length: 100 }, () => makeToken(kind));
    assert.equal(new Set(tokens).size, 100);
    for (const token of tokens) {
      assert.match(token, new RegExp(`^sheaf_${kind[0]}_[A-Za-z0-9_-]{43}$`));
      assert.equal(Buffer.from(token.slice(8), "base64url").length, 32);
      assert.equal(tokenKind(token), kind);
    }
  }
});

test("what is nearly a token is none", () => {
  const token = makeToken("client");
  for (const text of [
    "",
    token.slice(1),
    token.slice(0, -1),
    `${token}a`,
    `${token}\n`,
    ` ${token}`,
    token.replace("_c_", "_x_"),
    token.toUpperCase(),
  ])
    assert.equal(tokenKind(text), null, JSON.stringify(text));
});

test("tokens of any two lengths are compared without throwing, and only equal ones are the same", () => {
  fc.assert(
    fc.property(anyText, anyText, (a, b) => {
      assert.equal(sameToken(a, b), a === b);
      assert.equal(matchesDigest(a, digestToken(b)), a === b);
    }),
  );
  const token = makeToken("agent");
  assert.ok(sameToken(token, token.slice(0)));
  for (const other of ["", token.slice(0, -1), `${token}x`, token.repeat(1000)])
    assert.equal(sameToken(token, other), false);
});

test("one changed character makes another token, wherever it is", () => {
  const token = makeToken("client");
  for (let at = 0; at < token.length; at++) {
    const changed = token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
    assert.equal(sameToken(token, changed), false, `character ${at}`);
  }
});

test("a token file is 0600 in a 0700 directory, whatever the umask, and nothing else is left there", (t) => {
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const directory = join(tempDir(t), "a", "b");
  const path = join(directory, "client.token");
  const token = ensureTokenFile(path, "client");
  assert.equal(mode(path), 0o600);
  assert.equal(mode(directory), 0o700);
  assert.equal(readFileSync(path, "utf8"), `${token}\n`);
  assert.deepEqual(readdirSync(directory), ["client.token"]);
  assert.equal(readTokenFile(path, "client"), token);
});

test("a token file that is there is never replaced", (t) => {
  const path = join(stateDir(t), "client.token");
  const token = ensureTokenFile(path, "client");
  assert.equal(ensureTokenFile(path, "client"), token);
  assert.equal(readFileSync(path, "utf8"), `${token}\n`);
});

test("processes that make the same token file at once all get the same token", (t) => {
  const path = join(stateDir(t), "agent.token");
  const module = new URL("../../../modules/security/token-file.js", import.meta.url).href;
  const code = `import { ensureTokenFile } from ${JSON.stringify(module)};
    import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
    if (isMainThread) {
      const gate = new SharedArrayBuffer(4);
      const url = new URL("data:text/javascript," + encodeURIComponent(process.env.CODE));
      const workers = Array.from({ length: 8 }, () => new Worker(url, { workerData: gate }));
      const seen = await Promise.all(workers.map((w) => new Promise((ok) => w.once("message", () => ok(w)))));
      const told = Promise.all(seen.map((w) => new Promise((ok) => w.once("message", ok))));
      Atomics.store(new Int32Array(gate), 0, 1);
      Atomics.notify(new Int32Array(gate), 0);
      console.log(new Set(await told).size);
    } else {
      parentPort.postMessage("ready");
      Atomics.wait(new Int32Array(workerData), 0, 0);
      parentPort.postMessage(ensureTokenFile(process.env.TOKEN_PATH, "agent"));
    }`;
  const done = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], CODE: code, TOKEN_PATH: path },
  });
  assert.equal(done.stdout, "1\n", done.stderr);
  readTokenFile(path, "agent");
});

test("a token file that cannot be trusted is refused, and says what to do", (t) => {
  const directory = stateDir(t);
  const path = join(directory, "client.token");
  const good = `${makeToken("client")}\n`;
  const cases: readonly (readonly [string, RegExp, (path: string) => void])[] = [
    ["missing", /does not exist/, () => undefined],
    ["empty", /is empty/, (at) => writeFileSync(at, "", { mode: 0o600 })],
    ["blank", /is empty/, (at) => writeFileSync(at, " \n\n", { mode: 0o600 })],
    ["malformed", /holds no token/, (at) => writeFileSync(at, "hunter2\n", { mode: 0o600 })],
    ["cut", /holds no token/, (at) => writeFileSync(at, good.slice(0, 20), { mode: 0o600 })],
    ["doubled", /holds no token/, (at) => writeFileSync(at, good + good, { mode: 0o600 })],
    ["binary", /holds no token/, (at) => writeFileSync(at, Buffer.alloc(51, 255), { mode: 0o600 })],
    [
      "an agent's",
      /holds a token of the kind "agent"/,
      (at) => writeFileSync(at, makeToken("agent"), { mode: 0o600 }),
    ],
    ["a job's", /of the kind "job"/, (at) => writeFileSync(at, makeToken("job"), { mode: 0o600 })],
    ["huge", /larger than 1024 bytes/, (at) => writeFileSync(at, good.padEnd(1_000_000), { mode: 0o600 })],
    ["a directory", /is no regular file/, (at) => mkdirSync(at)],
    ["a device", /is no regular file/, (at) => symlinkSync("/dev/null", at)],
    ["a dangling link", /does not exist/, (at) => symlinkSync("/nowhere/at/all", at)],
    ...[0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o660].map(
      (bits): readonly [string, RegExp, (path: string) => void] => [
        `mode ${bits.toString(8)}`,
        new RegExp(`can be read or changed by other users \\(mode 0${bits.toString(8)}\\)`),
        (at) => {
          writeFileSync(at, good);
          chmodSync(at, bits);
        },
      ],
    ),
  ];
  for (const [name, message, make] of cases) {
    const at = join(directory, name.replaceAll(/\W/g, "-"));
    make(at);
    const error = refuses(() => readTokenFile(at, "client"), "TOKEN_INVALID", message);
    assert.ok(error.message.includes(at), name);
    assert.doesNotMatch(`${error.message} ${error.hint}`, /sheaf_|hunter2/, name);
    if (name !== "missing" && !name.includes("link")) {
      refuses(() => ensureTokenFile(at, "client"), "TOKEN_INVALID", message);
    }
  }
  assert.equal(spawnSync("mkfifo", [path]).status, 0);
  refuses(() => readTokenFile(path, "client"), "TOKEN_INVALID", /is no regular file/);
});

test("a token file of another user is refused", { skip: process.getuid?.() !== 0 }, (t) => {
  const path = join(stateDir(t), "client.token");
  ensureTokenFile(path, "client");
  spawnSync("chown", ["65534", path]);
  refuses(() => readTokenFile(path, "client"), "TOKEN_INVALID", /belongs to user 65534/);
});

test("an unreadable token file is refused", { skip: process.getuid?.() === 0 }, (t) => {
  const path = join(stateDir(t), "client.token");
  ensureTokenFile(path, "client");
  chmodSync(path, 0);
  refuses(() => readTokenFile(path, "client"), "TOKEN_INVALID", /cannot be read/);
});

test("no token is put where others may write, nor through a link that was planted", (t) => {
  const directory = tempDir(t);
  const open = join(directory, "open");
  mkdirSync(open);
  for (const bits of [0o777, 0o770, 0o707, 0o1777]) {
    chmodSync(open, bits);
    refuses(
      () => ensureTokenFile(join(open, "client.token"), "client"),
      "TOKEN_INVALID",
      /can be changed by other users/,
    );
  }
  chmodSync(open, 0o700);
  const link = join(directory, "link");
  symlinkSync(open, link);
  refuses(
    () => ensureTokenFile(join(link, "client.token"), "client"),
    "TOKEN_INVALID",
    /is a link or no directory/,
  );

  // In the place of the file itself: neither followed nor replaced.
  const victim = join(directory, "victim");
  symlinkSync(victim, join(open, "client.token"));
  refuses(() => ensureTokenFile(join(open, "client.token"), "client"), "TOKEN_INVALID", /does not exist/);
  assert.throws(() => statSync(victim));
  assert.deepEqual(readdirSync(open), ["client.token"]);
});

test("a file whose directory is a file, or cannot be made, is refused", (t) => {
  const directory = stateDir(t);
  writeFileSync(join(directory, "file"), "");
  refuses(
    () => ensureTokenFile(join(directory, "file", "client.token"), "client"),
    "TOKEN_INVALID",
    /is a link or no directory|cannot be made/,
  );
});

test("a client finds its token by flag, then variable, then state directory, and falls back to no other", (t) => {
  const stateDirectory = stateDir(t);
  const files = tokenFilesIn(stateDirectory);
  const byState = ensureTokenFile(files.client, "client");
  const flagged = join(stateDirectory, "flag.token");
  const byFlag = ensureTokenFile(flagged, "client");
  const named = join(stateDirectory, "env.token");
  const byEnv = ensureTokenFile(named, "client");
  const env = { SHEAF_TOKEN_FILE: named };
  const found = (places: Omit<Parameters<typeof findToken>[1], "stateDirectory">): string =>
    findToken("client", { ...places, stateDirectory }).token;
  assert.equal(found({ env, tokenFile: flagged }), byFlag);
  assert.equal(found({ env }), byEnv);
  assert.equal(found({ env: { SHEAF_TOKEN_FILE: "" } }), byState);
  assert.equal(found({ env: {} }), byState);
  // A token in the variable itself is not taken.
  assert.equal(found({ env: { SHEAF_TOKEN: byEnv } }), byState);
  refuses(() => found({ env: { SHEAF_TOKEN_FILE: "/nowhere" } }), "TOKEN_INVALID", /does not exist/);
  refuses(() => found({ env, tokenFile: "/nowhere" }), "TOKEN_INVALID", /does not exist/);
});

test("a hard link to a token file is the same file", (t) => {
  const directory = stateDir(t);
  const token = ensureTokenFile(join(directory, "a"), "client");
  linkSync(join(directory, "a"), join(directory, "b"));
  assert.equal(readTokenFile(join(directory, "b"), "client"), token);
});
