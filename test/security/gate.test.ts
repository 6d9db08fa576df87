import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { admit } from "#src/security/gate.js";
import type { Access, RequestFacts, Role } from "#src/security/gate.js";
import { signRequest } from "#src/security/signed-url.js";
import { digestToken, makeToken } from "#src/security/token.js";
import { facts, jobKeys, nowMs, openPolicy, policy, tokens } from "./gate-support.js";

/** "client", "shuffle a" ...: who was let in; or the status. */
function outcome(change: Partial<RequestFacts>, using = policy): string | number {
  const admission = admit(facts(change), using);
  if (!admission.allowed) {
    assert.ok(admission.message.length > 10 && admission.hint.length > 10);
    return admission.status;
  }
  const { caller } = admission;
  return caller.who === "shuffle" ? `shuffle ${caller.job}` : caller.who;
}

const bearer = (token: string): Partial<RequestFacts> => ({ authorization: [`Bearer ${token}`] });
const nobody: Partial<RequestFacts> = { authorization: [] };
const signed = (job: string, key = jobKeys[job]!, expiresMs = nowMs + 1): string =>
  signRequest(key, { method: "GET", path: `/shuffle/${job}`, job, expiresMs });

test("who gets in: every role of route against every credential", () => {
  const routes: Readonly<Record<string, Access | null>> = {
    anyone: { may: ["anyone"] },
    client: { may: ["client"] },
    agent: { may: ["agent"] },
    both: { may: ["client", "agent"] },
    shuffle: { may: ["shuffle"] },
    nobody: { may: [] },
    unknown: null,
  };
  const shuffle = { target: signed("a"), job: "a" };
  const callers: Readonly<Record<string, Partial<RequestFacts>>> = {
    "no token": nobody,
    "a client": bearer(tokens.client),
    "an agent": bearer(tokens.agent),
    "a job's key as token": bearer(jobKeys["a"]!),
    "another client's token": bearer(makeToken("client")),
    "a signed URL": { ...nobody, ...shuffle },
  };
  const table = Object.entries(callers).map(([who, caller]) => [
    who,
    ...Object.values(routes).map((access) => outcome({ ...caller, access })),
  ]);
  assert.deepEqual(table, [
    //                          anyone    client    agent    both      shuffle  nobody unknown
    ["no token", "anyone", 401, 401, 401, 401, 401, 401],
    ["a client", "client", "client", 403, "client", 403, 403, "client"],
    ["an agent", "agent", 403, "agent", "agent", 403, 403, "agent"],
    ["a job's key as token", "anyone", 401, 401, 401, 401, 401, 401],
    ["another client's token", "anyone", 401, 401, 401, 401, 401, 401],
    ["a signed URL", "anyone", 401, 401, 401, "shuffle a", 401, 401],
  ]);
});

test("an Authorization header is a token after Bearer, once, and nothing else", () => {
  const { client } = tokens;
  const cases: readonly (readonly [readonly string[], string | number])[] = [
    [[`Bearer ${client}`], "client"],
    [[`bearer ${client}`], "client"],
    [[client], 401],
    [[`Basic ${client}`], 401],
    [[`Bearer  ${client}`], 401],
    [[`Bearer ${client} `], 401],
    [[`Bearer ${client}, Bearer ${client}`], 401],
    [[`Bearer ${client}`, `Bearer ${client}`], 401],
    [[`Bearer ${client.slice(0, -1)}`], 401],
    [[`Bearer ${client}x`], 401],
    [[`Bearer ${"x".repeat(100_000)}`], 401],
    [["Bearer"], 401],
    [[""], 401],
    [["Bearer null"], 401],
    [["Bearer undefined"], 401],
  ];
  for (const [authorization, wanted] of cases) {
    assert.equal(outcome({ authorization }), wanted, authorization.join(" | ").slice(0, 80));
  }
});

test("without any token set nobody gets in, and while one replaces another both work", () => {
  assert.equal(outcome({}, { ...policy, tokens: [] }), 401);
  const next = makeToken("client");
  const rotating = {
    ...policy,
    tokens: [...policy.tokens, { role: "client", digest: digestToken(next) } as const],
  };
  assert.equal(outcome(bearer(next), rotating), "client");
  assert.equal(outcome({}, rotating), "client");
});

test("with --insecure whoever asks gets in, but for signed URLs, other sites and other names", () => {
  const open = (change: Partial<RequestFacts>): string | number =>
    outcome({ ...nobody, ...change }, openPolicy);
  assert.equal(open({}), "open");
  assert.equal(open({ access: { may: ["agent"] } }), "open");
  assert.equal(open({ access: null }), "open");
  assert.equal(open({ access: { may: [] } }), 403);
  assert.equal(open({ access: { may: ["shuffle"] } }), 401);
  assert.equal(open({ access: { may: ["shuffle"] }, target: signed("a"), job: "a" }), "shuffle a");
  assert.equal(open({ access: { may: ["shuffle"] }, target: signed("a", jobKeys["b"]), job: "a" }), 401);
  assert.equal(open({ host: ["evil.test"] }), 403);
  assert.equal(open({ method: "POST", origin: ["http://evil.test"] }), 403);
  assert.equal(open({ method: "POST", hasBody: true, contentType: ["text/plain"] }), 415);
});

test("the key of one job opens nothing of another", () => {
  const access: Access = { may: ["shuffle"] };
  const asked = (job: string, target: string): string | number => outcome({ ...nobody, access, job, target });
  assert.equal(asked("a", signed("a")), "shuffle a");
  assert.equal(asked("b", signed("b")), "shuffle b");
  assert.equal(asked("b", signed("a")), 401);
  // Signed for b, with the key of a.
  assert.equal(asked("b", signed("b", jobKeys["a"])), 401);
  assert.equal(asked("a", signed("a", jobKeys["a"], nowMs)), 401);
  assert.equal(asked("gone", signed("gone", makeToken("job"))), 401);
  for (const name of ["constructor", "__proto__", "toString"]) {
    assert.equal(asked(name, signed(name, "no key")), 401, name);
  }
  assert.equal(outcome({ ...nobody, access, target: signed("a"), job: null }), 401);
});

test("only names and addresses the server knows are answered to, in any of their forms", () => {
  const good = [
    "127.0.0.1",
    "127.0.0.1:7077",
    "localhost",
    "LOCALHOST:80",
    "localhost.",
    "[::1]:7077",
    "[0:0:0:0:0:0:0:1]",
  ];
  const bad = [
    "evil.test",
    "evil.test:7077",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "127.0.0.1@evil.test",
    "evil.test@127.0.0.1",
    "127.0.0.1 evil.test",
    "127.0.0.1,evil.test",
    "127.0.0.1/evil",
    "127.0.0.1:7077:80",
    "127.0.0.1:",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "0x7f000001",
    "[::ffff:127.0.0.1]",
    "[::1",
    "::1]",
    "localhost..",
    ".localhost",
    "",
    " ",
    "*",
    "%31%32%37.0.0.1",
    "127.0.0.1\u0000",
  ];
  for (const host of good) assert.equal(outcome({ host: [host] }), "client", host);
  for (const host of bad) assert.equal(outcome({ host: [host] }), 403, JSON.stringify(host));
  assert.equal(outcome({ host: [] }), 403);
  assert.equal(outcome({ host: ["127.0.0.1", "127.0.0.1"] }), 403);
  // Ahead of everything else, and for what anyone may ask, too.
  assert.equal(outcome({ host: ["evil.test"], ...nobody, access: { may: ["anyone"] } }), 403);
});

test("pages of other sites change nothing, with or without a token", () => {
  const page = { origin: ["http://127.0.0.1:7077"], fetchSite: ["same-origin"] };
  const other: readonly Partial<RequestFacts>[] = [
    { origin: ["http://evil.test"] },
    { origin: ["null"] },
    { origin: [""] },
    { origin: ["http://127.0.0.1:8080"] },
    { origin: ["http://127.0.0.1"] },
    { origin: ["http://localhost:7077"] },
    { origin: ["http://127.0.0.1:7077@evil.test"] },
    { origin: ["http://127.0.0.1:7077/"] },
    { origin: ["file://127.0.0.1:7077"] },
    { origin: ["http://127.0.0.1:7077", "http://evil.test"] },
    { fetchSite: ["cross-site"] },
    { fetchSite: ["same-site"] },
    { fetchSite: ["none"] },
    { ...page, fetchSite: ["cross-site"] },
    { ...page, origin: ["http://evil.test"] },
  ];
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "QUERY", "LOCK", "FOO"]) {
    assert.equal(outcome({ method }), "client");
    assert.equal(outcome({ method, ...page }), "client");
    for (const change of other) {
      assert.equal(outcome({ method, ...change }), 403, `${method} ${JSON.stringify(change)}`);
      assert.equal(outcome({ method, ...change, ...nobody, access: { may: ["anyone"] } }), 403);
    }
  }
  // Looking is refused by the browser: no answer carries a header that would allow it.
  for (const method of ["GET", "HEAD"]) {
    assert.equal(outcome({ method, origin: ["http://evil.test"], fetchSite: ["cross-site"] }), "client");
  }
});

test("bodies of forms are not taken", () => {
  const post = (type: string | null, body: Access["body"]): string | number =>
    outcome({
      method: "POST",
      hasBody: true,
      contentType: type === null ? [] : [type],
      access: { may: ["client"], ...(body !== undefined && { body }) },
    });
  const forms = [
    "text/plain",
    "TEXT/PLAIN; charset=utf-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    null,
  ];
  for (const type of forms) {
    assert.equal(post(type, undefined), 415, String(type));
    assert.equal(post(type, "binary"), 415, String(type));
  }
  assert.equal(post("application/json", undefined), "client");
  assert.equal(post("Application/JSON; charset=utf-8", "json"), "client");
  assert.equal(post("application/jsonx", undefined), 415);
  assert.equal(post("text/plain, application/json", undefined), 415);
  assert.equal(post("application/octet-stream", "json"), 415);
  assert.equal(post("application/octet-stream", "binary"), "client");
  assert.equal(
    outcome({ method: "POST", hasBody: true, contentType: ["application/json", "text/plain"] }),
    415,
  );
  assert.equal(outcome({ method: "POST" }), "client");
});

test("whatever a request says, it gets in only with a credential its route is for", () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom(tokens.client, tokens.agent, `Bearer ${tokens.agent}`, "localhost", "http://localhost"),
  );
  const texts = fc.array(text, { maxLength: 2 });
  const roles = fc.subarray<Role>(["anyone", "client", "agent", "shuffle"]);
  fc.assert(
    fc.property(
      fc.record({
        method: fc.constantFrom("GET", "POST", "DELETE", "FOO"),
        target: fc.oneof(text, fc.constant(signed("a")), fc.constant(`${signed("a")}0`)),
        host: fc.oneof(texts, fc.constant(["localhost"])),
        authorization: fc.oneof(texts, fc.constant([`Bearer ${tokens.client}`])),
        origin: texts,
        fetchSite: texts,
        contentType: texts,
        hasBody: fc.boolean(),
        access: fc.option(roles.map((may): Access => ({ may }))),
        job: fc.option(fc.oneof(fc.constantFrom("a", "b"), fc.string())),
      }),
      (random) => {
        const admission = admit(random, policy);
        if (!admission.allowed) return;
        const { caller } = admission;
        const [given] = random.authorization;
        assert.equal(random.host.length, 1);
        assert.match(random.host[0]!, /^localhost$/);
        if (caller.who === "client") assert.equal(given, `Bearer ${tokens.client}`);
        if (caller.who === "agent") assert.equal(given, `Bearer ${tokens.agent}`);
        if (caller.who === "shuffle") assert.ok(random.target === signed("a") && random.job === "a");
        if (caller.who === "anyone") assert.ok(random.access?.may.includes("anyone"));
        assert.notEqual(caller.who, "open");
        if (random.access !== null && !random.access.may.includes("anyone")) {
          assert.ok((random.access.may as readonly string[]).includes(caller.who));
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
