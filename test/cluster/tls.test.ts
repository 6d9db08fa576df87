import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Agent, fetch } from "undici";
import { ApiClient } from "#src/client/api-client.js";
import type { NodeView } from "#src/protocol/job-view.js";
import { loadTls } from "#src/security/tls.js";
import { sheaf } from "../cli/support.js";
import type { SheafResult } from "../cli/support.js";
import { treeOf } from "./output-tree.js";
import type { OutputTree } from "./output-tree.js";
import { eventually } from "./real-cluster.js";
import { Scene } from "./scene.js";

/*
 * The certificates of `sheaf certs`, given to every command as docs/tls.md says; another authority's beside
 * them.
 */
describe("a cluster whose every connection is TLS", () => {
  let place: string;
  let scene: Scene;
  let args: readonly string[];
  let expected: OutputTree;

  const at = (authority: string, file: string): string => join(place, authority, file);
  const filesOf = (name: string, authority = "certs") => ({
    ca: at(authority, "ca.pem"),
    cert: at(authority, `${name}.pem`),
    key: at(authority, `${name}.key`),
  });
  const flags = ({ ca, cert, key }: ReturnType<typeof filesOf>): string[] => {
    return ["--tls-ca", ca, "--tls-cert", cert, "--tls-key", key];
  };
  const certs = async (...rest: readonly string[]): Promise<void> => {
    const { code, stderr } = await sheaf(["certs", ...rest], { cwd: place });
    assert.equal(code, 0, stderr);
  };

  before(async () => {
    place = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-tls-")));
    await Promise.all([certs("init", "certs"), certs("init", "others")]);
    const server = ["--host", "127.0.0.1"];
    await Promise.all([
      certs("issue", "certs", "machine", ...server),
      certs("issue", "certs", "alice"),
      certs("issue", "others", "mallory", ...server),
    ]);
    const { ca, cert, key } = filesOf("alice");
    const connect = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
    scene = await Scene.open({
      agents: 2,
      heartbeatMs: 500,
      leaseMs: 4_000,
      coordinatorFlags: flags(filesOf("machine")),
      agentFlags: () => flags(filesOf("machine")),
      dispatcher: async () => new Agent({ connect }),
    });
    args = [scene.gated, await scene.generated("text", "300KB"), "--mappers", "4", "-p", "2"];
    expected = await scene.oracle(args);
  });
  after(async () => {
    await scene?.close();
    rmSync(place, { recursive: true, force: true });
  });

  const nodes = async (): Promise<readonly NodeView[]> =>
    (await scene.cluster.get<{ nodes: NodeView[] }>("/nodes")).nodes;

  test("X22: a whole job, its shuffle between agents included", async () => {
    scene.gate.clear();
    scene.gate.hold("map-00000", "map-00001");
    const started = await scene.start([...args, ...flags(filesOf("alice"))]);
    const id = await started.id();
    // Each agent has one of them, so every reduce needs what lies on the other.
    await started.reached("map-00000.1");
    await started.reached("map-00001.1");
    scene.gate.openAll();
    await scene.assertDone(started, expected);
    const maps = (await scene.attempts(id)).filter(({ attempt }) => attempt.phase === "map");
    assert.deepEqual([...new Set(maps.map(({ agent }) => agent))].sort(), ["a0", "a1"]);
    for (const url of [scene.cluster.url, ...(await nodes()).map(({ address }) => address)])
      assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/);
  });

  test("X22: a job submitted, and its results fetched, with the client's certificate", async () => {
    const alice = flags(filesOf("alice"));
    const submitted = await scene.cluster.run(["submit", ...args, "-q", ...alice]);
    assert.equal(submitted.code, 0, submitted.stderr);
    const id = submitted.stdout.trim();
    await eventually(
      async () => (await scene.job(id)).state === "SUCCEEDED",
      60_000,
      () => "the job does not end",
    );
    const output = scene.path("outputs", "fetched");
    const fetched = await scene.cluster.run(["results", id, "-o", output, ...alice]);
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.deepEqual(treeOf(output), expected);
  });

  test("X22: whoever has no certificate, or one of another authority, is refused, and told what is wrong", async () => {
    const { url } = scene.cluster;
    const mixed = { ...filesOf("mallory", "others"), ca: at("certs", "ca.pem") };
    const both = join(place, "both.pem");
    writeFileSync(both, ["certs", "others"].map((name) => readFileSync(at(name, "ca.pem"), "utf8")).join(""));
    const jobs = (...more: readonly string[]): Promise<SheafResult> =>
      scene.cluster.run(["jobs", ...more], { timeoutMs: 30_000 });
    const told = await Promise.all([
      jobs(),
      jobs(...flags(filesOf("mallory", "others"))),
      jobs(...flags(mixed)),
    ]);
    const says = [
      /its certificate was not issued by the authority this side knows.*--tls-ca/s,
      /its certificate was not issued by the authority this side knows.*--tls-ca/s,
      /mallory\.pem was not issued by an authority in .*ca\.pem/,
    ];
    for (const [index, { code, stdout, stderr }] of told.entries()) {
      assert.notEqual(code, 0, stdout);
      assert.match(stderr, says[index]!);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
    const mallory = loadTls({ ...filesOf("mallory", "others"), ca: both }, Date.now()).client;
    const stranger = new ApiClient({ url, token: null, retryMs: 0, tls: mallory });
    await assert.rejects(stranger.nodes(), (error: Error & { readonly hint?: string }) =>
      /refuses? the certificate of this side/.test(`${error.message} ${error.hint}`),
    );
    await stranger.close();
    const plain = new ApiClient({ url: url.replace("https:", "http:"), token: null, retryMs: 0 });
    await assert.rejects(plain.nodes(), { code: "UNREACHABLE", hint: /If it speaks TLS, write https:/ });
    await plain.close();
    // Neither do the servers of the agents let anybody in.
    const ca = readFileSync(at("certs", "ca.pem"));
    const { cert, key } = filesOf("mallory", "others");
    const strangers = [{ ca }, { ca, cert: readFileSync(cert), key: readFileSync(key) }];
    for (const server of [url, ...(await nodes()).map(({ address }) => address)]) {
      for (const connect of strangers) {
        const dispatcher = new Agent({ connect });
        await assert.rejects(fetch(`${server}/health`, { dispatcher }), `${server} lets somebody in`);
        await dispatcher.close();
      }
    }
  });

  test("X22: an agent with a certificate of another authority does not join", async () => {
    const state = scene.path("stranger");
    const token = join(scene.cluster.state, "agent.token");
    const own = ["--join", scene.cluster.url, "--name", "stranger", "--state", state, "--token-file", token];
    const stranger = scene.cluster.start(["agent", ...own, ...flags(filesOf("mallory", "others"))]);
    await stranger.until("its certificate was not issued by the authority this side knows");
    stranger.child.kill("SIGKILL");
    await stranger.done;
    assert.deepEqual((await nodes()).map(({ agent }) => agent).sort(), ["a0", "a1"]);
  });
});
