import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { HadoopConf } from "#src/storage/stores/hadoop-conf.js";
import { authorityOf, identityOf, serversOf } from "#src/storage/stores/hadoop-places.js";
import { refusalError, refusalOf } from "#src/storage/stores/webhdfs-errors.js";
import { createStore } from "#src/storage/stores/webhdfs.js";

const directory = mkdtempSync(join(tmpdir(), "sheaf-hadoop-"));
after(() => rmSync(directory, { recursive: true, force: true }));

function confWith(files: Readonly<Record<string, string>>): HadoopConf {
  const at = mkdtempSync(join(directory, "conf-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(at, name), text);
  return new HadoopConf({ HADOOP_CONF_DIR: at, WHERE: "here" });
}

const property = (name: string, value: string): string =>
  `<property><name>${name}</name><value>${value}</value></property>`;

describe("Hadoop's configuration", () => {
  test("later files win; comments, entities, variables, attributes and includes are read", () => {
    const conf = confWith({
      "core-site.xml": `<?xml version="1.0"?><configuration>${property("a", "1")}${property("b", "x")}
        <!-- ${property("hidden", "no")} --> ${property("amp", " &lt;a&amp;b&#33;&#x21; ")}
        <property name="short" value="yes"/> ${property("empty", "")}
        <property><name>cdata</name><value><![CDATA[<&>]]></value></property>
        <xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="more.xml"/></configuration>`,
      "hdfs-site.xml": `<configuration>${property("b", "${a}-${env.WHERE}-${env.NOT:-there}-${nothing}")}
        ${property("loop", "${loop}")}<property>\n<value>\n late \n</value>\n<final>true</final><name>late</name>
        </property></configuration>`,
      "more.xml": `<configuration>${property("included", "${short}")}</configuration>`,
    });
    const values = Object.entries({
      a: "1",
      b: "1-here-there-${nothing}",
      hidden: undefined,
      amp: "<a&b!!",
      short: "yes",
      empty: undefined,
      cdata: "<&>",
      loop: "${loop}",
      late: "late",
      included: "yes",
    });
    for (const [name, value] of values) assert.equal(conf.get(name), value, name);
    assert.throws(() => confWith({ "core-site.xml": "<html>" }), {
      code: "USAGE",
      message: /core-site\.xml is no conf/,
    });
    assert.equal(new HadoopConf({}).get("a"), undefined);
    mkdirSync(join(directory, "home", "etc", "hadoop"), { recursive: true });
    assert.equal(
      new HadoopConf({ HADOOP_HOME: join(directory, "home") }).directory,
      join(directory, "home/etc/hadoop"),
    );
  });

  const pair = {
    "core-site.xml": `<configuration>${property("fs.defaultFS", "hdfs://lab")}</configuration>`,
    "hdfs-site.xml": `<configuration>${property("dfs.nameservices", "lab, single")}
      ${property("dfs.ha.namenodes.lab", "nn1, nn2")}
      ${property("dfs.namenode.rpc-address.lab.nn1", "one.example:8020")}
      ${property("dfs.namenode.rpc-address.lab.nn2", "two.example:8020")}
      ${property("dfs.namenode.http-address.lab.nn1", "0.0.0.0:19870")}
      ${property("dfs.namenode.http-address.single", "three.example:9870")}</configuration>`,
  };
  const none = new HadoopConf({});
  const cases: [scheme: string, authority: string, conf: HadoopConf, origins: string[]][] = [
    ["webhdfs", "nn:9870", none, ["http://nn:9870"]],
    ["webhdfs", "nn", none, ["http://nn:9870"]],
    ["webhdfs", "a:14000,b", none, ["http://a:14000", "http://b:9870"]],
    ["webhdfs", "[::1]:9870", none, ["http://[::1]:9870"]],
    ["swebhdfs", "nn", none, ["https://nn:9871"]],
    ["hdfs", "nn", none, ["http://nn:9870"]],
    ["hdfs", "nn:8020", none, ["http://nn:9870"]],
    ["hdfs", "nn:50070", none, ["http://nn:50070"]],
    ["hdfs", "lab", confWith(pair), ["http://one.example:19870", "http://two.example:9870"]],
    ["webhdfs", "lab", confWith(pair), ["http://one.example:19870", "http://two.example:9870"]],
    ["hdfs", "", confWith(pair), ["http://one.example:19870", "http://two.example:9870"]],
    ["hdfs", "single", confWith(pair), ["http://three.example:9870"]],
    ["hdfs", "one.example:8020", confWith(pair), ["http://one.example:19870"]],
    ["hdfs", "other:8020", confWith(pair), ["http://other:9870"]],
    [
      "hdfs",
      "nn:9000",
      confWith({
        "core-site.xml": `<configuration>${property("fs.defaultFS", "hdfs://nn:9000/")}</configuration>`,
        "hdfs-site.xml": `<configuration>${property("dfs.namenode.http-address", "0.0.0.0:9999")}</configuration>`,
      }),
      ["http://nn:9999"],
    ],
    [
      "hdfs",
      "nn",
      confWith({
        "hdfs-site.xml": `<configuration>${property("dfs.http.policy", "HTTPS_ONLY")}</configuration>`,
      }),
      ["https://nn:9871"],
    ],
  ];
  test("the web addresses behind an authority", () => {
    for (const [scheme, authority, conf, origins] of cases)
      assert.deepEqual(serversOf(scheme, authority, conf).origins, origins, `${scheme}://${authority}`);
    assert.equal(authorityOf("", confWith(pair)), "lab");
    for (const wrong of ["", "me@nn", "a b", "nn:port", "nn:1:2", "a,,b"])
      assert.throws(() => serversOf("hdfs", wrong, none), { code: "USAGE" }, wrong);
  });
});

/** As Hadoop 3.4.2 writes it: of 10.0.0.1:8020, of the nameservice lab, and one of YARN. */
const tokenFile =
  "SERUUwADAWGPyAAHDhUcIyoxOD9GTVRbYmlwd36FjJOaoaivtr3Ey9LZ4Ofu9fwDChEYHyYtNDtCSVBXXmVsc3qBiI+WnaSr" +
  "srnAx87V3OPq8fj/Bg0UGyIpMDc+RUxTWmFob3Z9hIuSmaCnrrW8w8rR2N/m7fT7AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyj" +
  "qrG4v8bN1Nvi6fD3/gUMExohKC82PURLUllgZ251fIOKkZifpq20u8LJ0Nfe5ezz+gEIDxYdJCsyOUBHTlVcY2pxCHBhc3N3" +
  "b3JkFUhERlNfREVMRUdBVElPTl9UT0tFTg0xMC4wLjAuMTo4MDIwAWIFb3RoZXICcHcVSERGU19ERUxFR0FUSU9OX1RPS0VO" +
  "C2hhLWhkZnM6bGFiAWMEeWFybgJwdxBZQVJOX0FNX1JNX1RPS0VOA2xhYgA=";
const byAddress =
  "j8gABw4VHCMqMTg_Rk1UW2JpcHd-hYyTmqGor7a9xMvS2eDn7vX8AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj" +
  "6vH4_wYNFBsiKTA3PkVMU1phaG92fYSLkpmgp661vMPK0djf5u30-wIJEBceJSwzOkFIT1ZdZGtyeYCHjpWco6qxuL_GzdTb" +
  "4unw9_4FDBMaISgvNj1ES1JZYGdudXyDipGYn6attLvCydDX3uXs8_oBCA8WHSQrMjlAR05VXGNqcQhwYXNzd29yZBVIREZT" +
  "X0RFTEVHQVRJT05fVE9LRU4NMTAuMC4wLjE6ODAyMA";
const byName = "BW90aGVyAnB3FUhERlNfREVMRUdBVElPTl9UT0tFTgtoYS1oZGZzOmxhYg";

test("who asks: a token of the environment, of a file of Hadoop's, or a name", () => {
  const path = join(directory, "tokens");
  writeFileSync(path, Buffer.from(tokenFile, "base64"));
  const env = { HADOOP_TOKEN_FILE_LOCATION: path, HADOOP_USER_NAME: "me" };
  assert.deepEqual(identityOf(env, "lab"), { user: null, token: byName });
  assert.deepEqual(identityOf(env, "10.0.0.1:8020"), { user: null, token: byAddress });
  assert.deepEqual(identityOf(env, "10.0.0.1:9870"), { user: null, token: byAddress });
  assert.deepEqual(identityOf({ ...env, HADOOP_TOKEN: " T\n" }, "lab"), { user: null, token: "T" });
  assert.deepEqual(identityOf({ HADOOP_USER_NAME: "me" }, "lab"), { user: "me", token: null });
  for (let cut = 0; cut < 120; cut += 7) {
    writeFileSync(path, Buffer.from(tokenFile, "base64").subarray(0, cut));
    assert.throws(() => identityOf(env, "lab"), { code: "TOKEN_INVALID" }, `${cut}`);
  }
  const nowhere = { HADOOP_TOKEN_FILE_LOCATION: "/nowhere/t" };
  assert.throws(() => identityOf(nowhere, "lab"), { code: "TOKEN_INVALID" });
});

test("what servers say is told by its name, and what passes is tried again", () => {
  const told = (exception: string, message: string): string =>
    JSON.stringify({ RemoteException: { exception, message } });
  const cases: [status: number, body: string, doing: "list" | "write", code: string, retryable: boolean][] = [
    [403, told("AccessControlException", "Permission denied: user=me"), "list", "INPUT_UNREADABLE", false],
    [403, told("AccessControlException", "Permission denied: user=me"), "write", "OUTPUT_UNWRITABLE", false],
    [403, told("SafeModeException", "Name node is in safe mode."), "write", "OUTPUT_UNWRITABLE", true],
    [403, told("StandbyException", "READ is not supported in state standby"), "list", "UNREACHABLE", true],
    [403, told("DSQuotaExceededException", "The DiskSpace quota is exceeded"), "write", "DISK_FULL", false],
    [
      403,
      told("IOException", "File /a could only be written to 0 of the 1 minReplication"),
      "write",
      "DISK_FULL",
      false,
    ],
    [403, told("InvalidToken", "token (x) is expired"), "list", "UNAUTHORIZED", false],
    [
      500,
      told("RemoteException", "org.apache.hadoop.ipc.RetriableException: wait"),
      "list",
      "INPUT_UNREADABLE",
      true,
    ],
    [400, told("InvalidPathException", "Invalid path name /a:b"), "write", "OUTPUT_UNWRITABLE", false],
    [401, "<html>Authentication required", "list", "UNAUTHORIZED", false],
    [503, "busy", "list", "UNREACHABLE", true],
    [404, "It looks like you are making an HTTP request to a Hadoop IPC port.", "list", "UNREACHABLE", false],
    [200, "<html>hello", "list", "UNREACHABLE", false],
    [200, '{"FileStatus":{"le', "list", "UNREACHABLE", true],
  ];
  for (const [status, body, doing, code, retryable] of cases) {
    const error = refusalError(refusalOf(status, body, undefined), {
      address: "hdfs://nn/a",
      doing,
      origin: "http://nn:9870",
      user: "me",
      hint: "Look at the port.",
    });
    assert.deepEqual([error.code, error.retryable], [code, retryable], body);
    assert.match(error.message, /hdfs:\/\/nn\/a/);
    assert.ok(error.hint);
  }
  assert.equal(refusalOf(503, "", "7").retryAfterMs, 7_000);
});

test("where a file lies may not be known to a server; any other refusal to say it is one", async (t) => {
  let refusal = { exception: "", message: "" };
  const server = createServer((_request, response) =>
    response.writeHead(400).end(JSON.stringify({ RemoteException: refusal })),
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const world = { clock: systemClock, random: () => 0.5 };
  const store = createStore("webhdfs", { env: {}, fetch: null, world });
  const address = `webhdfs://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
  const file = { address, bytes: 10, mtimeMs: 0, version: "1" };
  for (const [exception, message] of [
    ["IllegalArgumentException", "No enum constant of.Operation.GET_BLOCK_LOCATIONS"],
    ["UnsupportedOperationException", "GET_BLOCK_LOCATIONS is not supported"],
    ["IOException", "Invalid HTTP GET operation [GET_BLOCK_LOCATIONS]"],
  ] as const) {
    refusal = { exception, message };
    assert.deepEqual(await store.locate!(file), []);
  }
  for (const exception of ["IOException", "AccessControlException"]) {
    refusal = { exception, message: "no" };
    await assert.rejects(store.locate!(file), { code: "INPUT_UNREADABLE" });
  }
});
