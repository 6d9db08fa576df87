import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { listInput } from "#src/storage/list-input.js";
import type { Store } from "#src/storage/store.js";
import { KnownHosts, knownHostOf } from "#src/storage/stores/known-hosts.js";
import { createStore } from "#src/storage/stores/sftp.js";
import { readAll, statOf, type StoreSubject } from "#src/testing/store-bench.js";
import { successFile } from "#src/testing/store-files.js";
import { until } from "../kit/wait.ts";
import { conformance } from "./conformance.ts";
import { makeKey, type Sshd, sshdMissing, startSshd } from "./sshd.ts";

const missing = sshdMissing();
const started: Promise<Sshd> | null = missing === null ? startSshd() : null;
started?.catch(() => undefined);

async function subject(): Promise<StoreSubject> {
  const server = await started!;
  const pathOf = (name: string): string => join(server.files, "c", name);
  let writes = 0;
  return {
    scheme: "sftp",
    module: { createStore },
    port: server.port,
    http: false,
    env: () => ({ HOME: server.home, SSH_AUTH_SOCK: "" }),
    address: (name, port) => `sftp://127.0.0.1:${port}${server.files}/c/${name}`,
    put: (name, bytes) => {
      mkdirSync(dirname(pathOf(name)), { recursive: true });
      // SFTP tells of seconds: what is written anew must be another one's.
      writeFileSync(pathOf(name), bytes);
      utimesSync(pathOf(name), 1_700_000_000 + ++writes, 1_700_000_000 + writes);
      return Promise.resolve();
    },
    remove: (name) => Promise.resolve(rmSync(pathOf(name))),
    hidden: () => {
      const out = pathOf("out");
      return Promise.resolve(existsSync(out) ? readdirSync(out).filter((name) => name.startsWith(".")) : []);
    },
    close: () => Promise.resolve(),
  };
}

if (missing === null) conformance("sftp (OpenSSH)", subject);

describe("SFTP", missing === null ? {} : { skip: missing }, () => {
  let server!: Sshd;
  let home!: string;
  before(async () => {
    server = await started!;
    home = mkdtempSync(join(tmpdir(), "sheaf-home-"));
    mkdirSync(join(home, ".ssh"));
    writeFileSync(join(server.files, "a"), "hello");
  });
  after(async () => {
    rmSync(home, { recursive: true, force: true });
    await server.close();
  });

  const storeWith = (env: Readonly<Record<string, string>>): Store =>
    createStore("sftp", {
      env: { PATH: process.env["PATH"]!, HOME: home, ...env },
      fetch: null,
      world: { clock: systemClock, random: () => 0.5 },
    });
  const address = (): string => `sftp://root@127.0.0.1:${server.port}${server.files}/a`;
  const know = (hosts: string, key = server.hostKey): void =>
    writeFileSync(join(home, ".ssh", "known_hosts"), `# of a test\n${hosts} ${key}\n`);

  test("a host that is not known, or shows another key, is refused", async () => {
    writeFileSync(join(home, ".ssh", "id_ed25519"), readFileSync(join(server.home, ".ssh", "key")));
    await assert.rejects(storeWith({}).stat(address()), {
      code: "CERTIFICATE_INVALID",
      message: /is not known: it shows the key SHA256:/,
      hint: /ssh-keyscan -p \d+ 127\.0\.0\.1 >> .*known_hosts/,
    });
    const host = `[127.0.0.1]:${server.port}`;
    makeKey(join(home, "other"));
    const other = readFileSync(join(home, "other.pub"), "utf8").split(" ").slice(0, 2).join(" ");
    know(host, other);
    await assert.rejects(storeWith({}).stat(address()), {
      code: "CERTIFICATE_INVALID",
      message: /may be another one: its key is not the one that is known/,
      hint: /ssh-keygen -f .* -R/,
    });
    know(`@revoked ${host}`);
    await assert.rejects(storeWith({}).stat(address()), { message: /its key was revoked/ });
    know(`nothing,${host}`);
    assert.equal((await statOf(storeWith({}), address())).bytes, 5);
    execFileSync("ssh-keygen", ["-q", "-H", "-f", join(home, ".ssh", "known_hosts")]);
    assert.match(readFileSync(join(home, ".ssh", "known_hosts"), "utf8"), /\|1\|/);
    assert.equal((await readAll(storeWith({}), await statOf(storeWith({}), address()))).toString(), "hello");
  });

  test("without a key, with one that is encrypted, and with an agent", async (t) => {
    know(`[127.0.0.1]:${server.port}`);
    const key = join(home, ".ssh", "id_ed25519");
    rmSync(key, { force: true });
    await assert.rejects(storeWith({}).stat(address()), {
      code: "UNAUTHORIZED",
      message: /root@127\.0\.0\.1 does not let this user in: there is no key to offer/,
    });
    writeFileSync(key, readFileSync(join(server.home, ".ssh", "key")), { mode: 0o600 });
    execFileSync("ssh-keygen", ["-q", "-p", "-P", "", "-N", "open sesame", "-f", key]);
    await assert.rejects(storeWith({}).stat(address()), {
      code: "UNAUTHORIZED",
      hint: /id_ed25519 cannot be used: it is encrypted \(ssh-add it, or set SSH_KEY_PASSPHRASE\)/,
    });
    assert.equal((await statOf(storeWith({ SSH_KEY_PASSPHRASE: "open sesame" }), address())).bytes, 5);
    rmSync(key);
    const socket = join(home, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    t.after(async () => {
      agent.kill();
      await once(agent, "exit");
    });
    await until("the agent", () => existsSync(socket));
    const env = { PATH: process.env["PATH"]!, SSH_AUTH_SOCK: socket };
    execFileSync("ssh-add", ["-q", join(server.home, ".ssh", "key")], { env });
    assert.equal((await statOf(storeWith({ SSH_AUTH_SOCK: socket }), address())).bytes, 5);
  });

  test("links, a home, and what is no file", async () => {
    const store = storeWith({ HOME: server.home });
    const at = `sftp://127.0.0.1:${server.port}`;
    const directory = join(server.files, "links");
    mkdirSync(join(directory, "real"), { recursive: true });
    writeFileSync(join(directory, "real", "x"), "x");
    symlinkSync("real", join(directory, "link"));
    symlinkSync("real/x", join(directory, "file"));
    const names: string[] = [];
    for await (const { name, kind, file } of store.entries!(`${at}${directory}/`, undefined))
      names.push(`${name} ${kind} ${file?.bytes ?? "-"}`);
    assert.deepEqual(names.toSorted(), ["file file 1", "link directory -", "real directory -"]);
    assert.equal(await store.stat(`${at}/~/`), "directory");
    assert.equal(store.canonical!(`sftp://me@HOST:22//a//b/`), "sftp://me@host/a/b/");
    assert.equal(await store.stat(`${at}${server.files}/a/b`), null);
    const listed = async (...given: string[]): Promise<string[]> => {
      const files = await listInput(given.map((one) => `${at}${directory}/${one}`));
      return files.map(({ path }) => path.slice(`${at}${directory}/`.length));
    };
    process.env["HOME"] = server.home;
    for (const given of [[""], ["*"], ["file", "link/*"], ["real", "link", "file"]])
      assert.equal((await listed(...given)).length, 1, given.join(" "));
    symlinkSync("..", join(directory, "real", "up"));
    await assert.rejects(listed(""), {
      code: "INPUT_UNREADABLE",
      message: /is a link to a directory it lies in/,
    });
    execFileSync("mkfifo", [join(directory, "fifo")]);
    await assert.rejects(store.stat(`${at}${directory}/fifo`), { code: "INPUT_UNREADABLE" });
  });

  test("an output removes links, and never what they lead to", async () => {
    const store = storeWith({ HOME: server.home });
    const root = join(server.files, "planted");
    const at = `sftp://127.0.0.1:${server.port}${root}`;
    const mine = join(root, "mine");
    mkdirSync(join(root, "beside"), { recursive: true });
    mkdirSync(mine);
    writeFileSync(join(mine, "data"), "mine");
    const planted = ["job", "old"].map((kind) => join(root, "beside", `.out.sheaf-${kind}-x`));
    for (const path of planted) symlinkSync(mine, path);
    await store.output!(`${at}/beside/out/`, "x").check({});
    assert.equal(existsSync(join(root, "beside", "out")), false);
    await store.output!(`${at}/beside/out/`, "x").abort();
    assert.equal(existsSync(join(root, "beside", "out")), false);

    symlinkSync(mine, join(root, "link"));
    for (const [overwrite, code] of [
      [true, "OUTPUT_UNWRITABLE"],
      [false, "OUTPUT_EXISTS"],
    ] as const)
      await assert.rejects(store.output!(`${at}/link/`, "y").check({ overwrite }), { code });

    // Of what a job has made, a directory was moved to another disk.
    const output = (job: string) => store.output!(`${at}/out/`, job);
    const put = async (job: string) => [
      await output(job).put(Buffer.from(successFile([])), "_SUCCESS", undefined),
    ];
    await output("1").check({});
    await output("1").commit(await put("1"), {});
    symlinkSync(mine, join(root, "out", "_state"));
    await output("2").check({ overwrite: true });
    await output("2").commit(await put("2"), { overwrite: true });
    assert.deepEqual(readdirSync(join(root, "out")), ["_SUCCESS"]);
    assert.equal(readFileSync(join(mine, "data"), "utf8"), "mine");
  });

  test("what ssh would not do, either, and what it would do otherwise", async () => {
    const asked = (given: string): Promise<unknown> => storeWith({ HOME: server.home }).stat(given);
    await assert.rejects(asked(`sftp://me:secret@127.0.0.1/a`), (error: Error) => {
      assert.match(error.message, /sftp:\/\/me:\.\.\.@127\.0\.0\.1 is not of the form/);
      assert.doesNotMatch(`${error.stack} ${JSON.stringify(error)}`, /secret/);
      return true;
    });
    await assert.rejects(asked(`sftp://-oProxyCommand=x/a`), { code: "USAGE" });
    writeFileSync(join(home, ".ssh", "config"), "Host inner\n  ProxyJump outer\n");
    await assert.rejects(storeWith({}).stat("sftp://inner/a"), { code: "USAGE", message: /proxyjump/ });
    rmSync(join(home, ".ssh", "config"));
    await assert.rejects(storeWith({}).stat("sftp://127.0.0.1:1/a"), {
      code: "UNREACHABLE",
      message: /nothing listens there/,
    });
  });

  test("a job lists and reads what lies there", async () => {
    process.env["HOME"] = server.home;
    const [file] = await listInput([`sftp://127.0.0.1:${server.port}${server.files}/?`]);
    assert.equal(file!.bytes, 5);
    assert.match(file!.version!, /^\d+-5$/);
  });
});

describe("known_hosts", () => {
  const key = Buffer.from("key of a host");
  const text = key.toString("base64");
  const cases: [line: string, host: string, port: number, verdict: string][] = [
    [`example.org ssh-rsa ${text}`, "Example.ORG", 22, "known"],
    [`example.org ssh-rsa ${text}`, "example.org", 2222, "unknown"],
    [`[example.org]:2222 ssh-rsa ${text} a comment`, "example.org", 2222, "known"],
    [`*.example.org,!bad.example.org ssh-rsa ${text}`, "good.example.org", 22, "known"],
    [`*.example.org,!bad.example.org ssh-rsa ${text}`, "bad.example.org", 22, "unknown"],
    [`192.168.0.? ssh-rsa ${text}`, "192.168.0.7", 22, "known"],
    [`192.168.0.? ssh-rsa ${text}`, "192x168.0.7", 22, "unknown"],
    [`example.org ssh-rsa AAAA`, "example.org", 22, "changed"],
    [`@cert-authority example.org ssh-rsa ${text}`, "example.org", 22, "unknown"],
    [`@revoked * ssh-rsa ${text}\nexample.org ssh-rsa ${text}`, "example.org", 22, "revoked"],
    [`#example.org ssh-rsa ${text}\n\n  \nexample.org`, "example.org", 22, "unknown"],
  ];
  test("lines are read as OpenSSH reads them", () => {
    for (const [line, host, port, verdict] of cases)
      assert.equal(new KnownHosts([line]).verdict(knownHostOf(host, port), key), verdict, line);
    assert.deepEqual(new KnownHosts(["a ssh-rsa x\na,b ssh-ed25519 y"]).types("a"), [
      "ssh-rsa",
      "ssh-ed25519",
    ]);
  });
});
