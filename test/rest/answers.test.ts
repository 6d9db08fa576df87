import assert from "node:assert/strict";
import { test } from "node:test";
import { streamMessages } from "#src/client/event-stream.js";
import { agentToken, jobId, serve } from "./support.js";

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

async function refusalOf(response: Response): Promise<Refusal> {
  return ((await response.json()) as { readonly error: Refusal }).error;
}

test("the document says what errors look like, which key a submission needs, what is binary, what is open", async (t) => {
  const { ask } = await serve(t, {});
  const document = (await (await ask("/openapi.json")).json()) as {
    readonly paths: Readonly<Record<string, object>>;
  };

  type Described = {
    readonly security?: readonly object[];
    readonly parameters?: readonly {
      readonly in: string;
      readonly name: string;
      readonly required?: boolean;
    }[];
    readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
    readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, object>> }>>;
  };
  const all = Object.entries(document.paths as Record<string, Record<string, Described>>);
  for (const [path, methods] of all) {
    for (const [method, { security, responses }] of Object.entries(methods)) {
      const name = `${method} ${path}`;
      assert.deepEqual(security, path === "/health" ? [] : undefined, name);
      for (const status of ["4XX", "5XX"]) {
        const { schema } = responses[status]!.content!["application/json"] as { readonly schema: object };
        assert.match(JSON.stringify(schema), /"code".*"message".*"hint"/, name);
      }
      assert.ok(
        Object.keys(responses).some((status) => status.startsWith("2")),
        name,
      );
    }
  }
  const of = (path: string, method: string): Described =>
    (document.paths as Record<string, Record<string, Described>>)[path]![method]!;
  const key = of("/jobs", "post").parameters!.find(({ name }) => name === "idempotency-key")!;
  assert.deepEqual([key.in, key.required], ["header", true]);
  for (const path of ["/blobs/{hash}", "/jobs/{job}/results/{attempt}/{name}"]) {
    const { requestBody, responses } = of(path, "put");
    assert.deepEqual(Object.keys(requestBody!.content), ["application/octet-stream"], path);
    assert.ok("204" in responses);
  }
  const file = of("/jobs/{job}/results/{kind}/{index}", "get").responses["200"]!;
  assert.deepEqual(Object.keys(file.content!), ["application/octet-stream"]);
});

test("routes that are not there answer in the form of every error", async (t) => {
  const { ask } = await serve(t, {});
  for (const [method, path] of [
    ["GET", "/nowhere?x=1"],
    ["PATCH", "/jobs"],
    ["POST", "/jobs/x/y/z"],
  ] as const) {
    const response = await ask(path, { method });
    assert.equal(response.status, 404);
    const error = await refusalOf(response);
    assert.equal(error.code, "NOT_FOUND");
    assert.equal(error.message, `there is no ${method} ${path.split("?")[0]!}`);
    assert.match(error.hint!, /openapi/);
  }
});

test("of a large body that is wrong it is said fast that it is", async (t) => {
  const { ask } = await serve(t, {});
  const parts = Array.from({ length: 20_000 }, () => ({}));
  const body = { kind: "committed", agent: "a1", incarnation: 1, parts };
  const response = await ask("/errands/commit-1", { method: "POST", token: agentToken, body });
  assert.equal(response.status, 400);
  assert.match((await refusalOf(response)).message, /body is not of the form it must have/);
});

test("an event that is larger than what is written ahead reaches a slow listener, and then the others", async (t) => {
  const large = JSON.stringify({ kind: "warning", message: "x".repeat(24 * 1024 * 1024) });
  let waited = 0;
  const { ask } = await serve(t, {
    listen: (_job, _after, listener, done) => {
      void (async () => {
        await new Promise(setImmediate);
        for (let number = 1; number <= 40; number++) {
          const taken = listener(number, number === 2 ? large : "{}");
          if (taken !== undefined) waited++;
          await taken;
        }
        done();
      })();
      return () => undefined;
    },
  });
  const response = await ask(`/jobs/${jobId}/events`);
  const numbers: number[] = [];
  for await (const { id, data } of streamMessages(response.body as unknown as AsyncIterable<Uint8Array>)) {
    numbers.push(Number(id));
    if (id === "2") assert.equal(data, large);
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  assert.ok(waited >= 1, "nobody waited until the large one was read");
});
