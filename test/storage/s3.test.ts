import { PutBucketPolicyCommand } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isSheafError, type SheafError } from "#src/base/errors.js";
import { listStored } from "#src/storage/list-stored.js";
import type { Store, StoredFile } from "#src/storage/store.js";
import type { Fault } from "#src/testing/fault-proxy.js";
import { content } from "#src/testing/store-files.js";
import { conformance } from "./conformance.ts";
import { asRead, BUCKET, hastyClock, openS3Lab, s3Missing, s3Subject, storeWith } from "./s3-server.ts";

const skip = s3Missing() ?? false;
const lab = skip === false ? await openS3Lab() : null;

if (lab !== null) conformance("S3", () => Promise.resolve(s3Subject(lab.server)));

describe("S3", { skip }, () => {
  const { server, proxy, store, through, directory } = lab!;

  test("a bucket for all is read without credentials", async () => {
    const policy = {
      Statement: [
        {
          Effect: "Allow",
          Principal: "*",
          Action: "s3:GetObject",
          Resource: `arn:aws:s3:::${BUCKET}/public/*`,
        },
      ],
    };
    await server.client.send(new PutBucketPolicyCommand({ Bucket: BUCKET, Policy: JSON.stringify(policy) }));
    await server.put("public/a.txt", Buffer.from("for all\n"));
    const { AWS_ENDPOINT_URL } = server.env();
    const nobody = storeWith({ AWS_ENDPOINT_URL: AWS_ENDPOINT_URL!, AWS_NO_SIGN_REQUEST: "YES" });
    const [{ file } = assert.fail()] = await listStored(nobody, `s3://${BUCKET}/public/a.txt`, undefined);
    const range = await nobody.open({ ...asRead(file), from: 0, to: 8 });
    const target = Buffer.alloc(8);
    await range.read(target, 0);
    assert.equal(target.toString(), "for all\n");
    await assert.rejects(listStored(nobody, `s3://${BUCKET}/`, undefined), (error: unknown) => {
      assert.ok(isSheafError(error));
      assert.equal(error.code, "FORBIDDEN");
      assert.match(error.message, /no credentials were found/);
      return true;
    });
  });

  test("a profile gives the server, the region and the credentials", async () => {
    const { AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = server.env();
    const [config, credentials] = [join(directory, "config"), join(directory, "credentials")];
    writeFileSync(
      config,
      `[profile mine]\nregion = eu-west-9\nservices = own\n[services own]\ns3 =\n  endpoint_url = ${AWS_ENDPOINT_URL}\n`,
    );
    writeFileSync(
      credentials,
      `[mine]\naws_access_key_id = ${AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${AWS_SECRET_ACCESS_KEY}\n`,
    );
    await server.put("profile/a.txt", Buffer.from("a"));
    const env = { AWS_PROFILE: "mine", AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: credentials };
    Object.assign(process.env, env);
    try {
      const mine = storeWith(env);
      // versitygw is of us-east-1, and checks that the signature is.
      await assert.rejects(mine.stat(`s3://${BUCKET}/profile/a.txt`), /eu-west-9|region/i);
      const there = storeWith({ ...env, AWS_REGION: "us-east-1" });
      assert.equal(((await there.stat(`s3://${BUCKET}/profile/a.txt`)) as StoredFile).bytes, 1);
    } finally {
      for (const name of Object.keys(env)) delete process.env[name];
    }
  });

  const answers: readonly (readonly [
    string,
    number,
    string,
    Record<string, string>,
    string,
    RegExp,
    RegExp,
  ])[] = [
    [
      "NoSuchBucket",
      404,
      "no such",
      {},
      "INPUT_MISSING",
      /there is no bucket sheaf-test at http/,
      /AWS_ENDPOINT_URL/,
    ],
    ["AccessDenied", 403, "Access Denied", {}, "FORBIDDEN", /403 AccessDenied/, /s3:GetObject/],
    ["ExpiredToken", 400, "expired", {}, "UNAUTHORIZED", /credentials have expired/, /aws sso login/],
    [
      "InvalidAccessKeyId",
      403,
      "no records",
      {},
      "UNAUTHORIZED",
      /does not know these credentials/,
      /AWS_PROFILE/,
    ],
    [
      "SignatureDoesNotMatch",
      403,
      "no match",
      {},
      "UNAUTHORIZED",
      /secret key is wrong/,
      /AWS_SECRET_ACCESS_KEY/,
    ],
    ["RequestTimeTooSkewed", 403, "skewed", {}, "UNAUTHORIZED", /clock of this machine/, /NTP/],
    [
      "PermanentRedirect",
      301,
      "go",
      { "x-amz-bucket-region": "eu-west-1" },
      "INPUT_UNREADABLE",
      /region eu-west-1, and us-east-1 was asked/,
      /AWS_REGION=eu-west-1/,
    ],
    [
      "TemporaryRedirect",
      307,
      "go",
      { "x-amz-bucket-region": "ap-south-1" },
      "INPUT_UNREADABLE",
      /region ap-south-1/,
      /AWS_REGION=ap-south-1/,
    ],
    [
      "AuthorizationHeaderMalformed",
      400,
      "the region 'us-east-1' is wrong",
      {},
      "INPUT_UNREADABLE",
      /region eu-north-1/,
      /AWS_REGION=eu-north-1/,
    ],
    ["InvalidObjectState", 403, "archived", {}, "INPUT_UNREADABLE", /archived/, /restore/],
    ["SlowDown", 503, "reduce", {}, "UNREACHABLE", /503 (SlowDown|Service)/, /later/],
    ["InternalError", 500, "sorry", {}, "UNREACHABLE", /500 Internal/, /later/],
    ["NotImplemented", 501, "no", {}, "INPUT_UNREADABLE", /501 Not ?Impl/, /lacks/],
  ];
  for (const [code, status, message, headers, wanted, says, hint] of answers) {
    test(`${status} ${code} is told with its cause and what to do, without secrets`, async () => {
      const region = code === "AuthorizationHeaderMalformed" ? "<Region>eu-north-1</Region>" : "";
      const body = `<Error><Code>${code}</Code><Message>${message}</Message>${region}</Error>`;
      proxy.decide(() => ({
        kind: "answer",
        status,
        headers: { "content-type": "application/xml", ...headers },
        body,
      }));
      const hasty = storeWith(
        { ...server.env(proxy.port), AWS_SESSION_TOKEN: "token-of-session" },
        hastyClock(),
      );
      const errors = [
        await failure(listStored(hasty, `s3://${BUCKET}/some/*`, undefined)),
        await failure(readFirst(hasty, "some/file")),
      ];
      proxy.decide(null);
      for (const error of errors) {
        assert.equal(error.code, wanted, error.message);
        assert.match(error.message, says);
        assert.match(error.message, /s3:\/\/sheaf-test\/some\//);
        assert.match(error.hint ?? "", hint);
        const all = JSON.stringify([error.message, error.hint, error.stack, error.details, error.cause]);
        assert.doesNotMatch(all, /test-secret|token-of-session|Signature=/);
      }
    });
  }

  test("a server that is not there, or no S3 server, is named", async () => {
    const hasty = storeWith({ ...server.env(1) }, hastyClock());
    const refused = await failure(hasty.stat(`s3://${BUCKET}/a`));
    assert.equal(refused.code, "UNREACHABLE");
    assert.match(refused.message, /http:\/\/127\.0\.0\.1:1 does not answer \(ECONNREFUSED\)/);
    proxy.decide((): Fault => ({ kind: "answer", status: 200, body: "<html><body>Welcome!</body></html>" }));
    const other = storeWith(server.env(proxy.port), hastyClock());
    const page = await failure(listStored(other, `s3://${BUCKET}/x*`, undefined));
    proxy.decide(null);
    assert.match(page.message, /s3:\/\/sheaf-test\//);
  });

  test("bytes that change on the way are not taken for those of the object", async () => {
    const bytes = content(3_000);
    await server.put("damaged", bytes);
    let damaged = 0;
    proxy.decide(({ method }) =>
      method === "GET" && damaged++ < 2 ? { kind: "damage", atByte: 1_234 } : null,
    );
    const file = (await store.stat(`s3://${BUCKET}/damaged`)) as StoredFile;
    const range = await through.open({ ...asRead(file), from: 0, to: bytes.length });
    const target = Buffer.alloc(bytes.length);
    await range.read(target, 0);
    proxy.decide(null);
    assert.ok(target.equals(bytes));
    assert.equal(damaged, 3);
  });
});

async function readFirst(store: Store, key: string): Promise<void> {
  const address = `s3://${BUCKET}/${key}`;
  const file = { address, name: address, bytes: 10, mtimeMs: 0, version: '"x"', from: 0, to: 10 };
  await (await store.open(file)).read(Buffer.alloc(10), 0);
}

async function failure(promise: Promise<unknown>): Promise<SheafError> {
  const error = await promise.then(
    () => assert.fail("it succeeds"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isSheafError(error), String(error));
  return error;
}
