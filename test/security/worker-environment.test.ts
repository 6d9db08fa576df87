import assert from "node:assert/strict";
import { test } from "node:test";
import { makeToken } from "#src/security/token.js";
import { workerEnvironment } from "#src/security/worker-environment.js";
import { refuses } from "./support.js";

const secrets = {
  NODE_OPTIONS: "--inspect=0.0.0.0",
  NODE_EXTRA_CA_CERTS: "/x",
  NODE_AUTH_TOKEN: "x",
  SHEAF_TOKEN_FILE: "/x/client.token",
  SHEAF_STATE: "/x",
  SHEAF_ON: "http://localhost",
  LD_PRELOAD: "/tmp/x.so",
  LD_LIBRARY_PATH: "/tmp",
  DYLD_INSERT_LIBRARIES: "/tmp/x",
  BASH_ENV: "/tmp/x",
  AWS_ACCESS_KEY_ID: "x",
  AWS_SECRET_ACCESS_KEY: "x",
  AWS_SESSION_TOKEN: "x",
  GITHUB_TOKEN: makeToken("client"),
  DB_PASSWORD: "x",
  OPENAI_APIKEY: "x",
  SSH_AUTH_SOCK: "/x",
  MY_CREDENTIALS: "x",
  api_key: "x",
  Client_Secret: "x",
};

test("a worker gets what programs need to run and nothing else of the environment", () => {
  const needed = {
    PATH: "/bin",
    HOME: "/h",
    LANG: "C.UTF-8",
    LC_ALL: "C",
    LC_TIME: "de_DE",
    TZ: "UTC",
    TMPDIR: "/t",
  };
  const env = {
    ...needed,
    ...secrets,
    EDITOR: "vi",
    HTTP_PROXY: "http://me:pw@proxy",
    LCX: "1",
    GONE: undefined,
  };
  assert.deepEqual(workerEnvironment(env), needed);
  assert.deepEqual(workerEnvironment({}), {});
});

test("an operator may name more, one by one, but nothing that steers programs or is named like a secret", () => {
  const env = {
    PATH: "/bin",
    DATA_DIR: "/d",
    DATA_DIR2: "/e",
    GIT_AUTHOR_NAME: "me",
    MONKEY: "1",
    ...secrets,
  };
  assert.deepEqual(workerEnvironment(env, ["DATA_DIR", "GIT_AUTHOR_NAME", "MONKEY", "NOT_SET"]), {
    PATH: "/bin",
    DATA_DIR: "/d",
    GIT_AUTHOR_NAME: "me",
    MONKEY: "1",
  });
  for (const name of [...Object.keys(secrets), "node_options", "Ld_Preload"]) {
    refuses(() => workerEnvironment(env, [name]), "USAGE", new RegExp(`"${name}" cannot be passed on`));
  }
  for (const name of ["", "A=B", "DATA_*", "*", "A B", "1A", "A\n"])
    refuses(() => workerEnvironment(env, [name]), "USAGE", /no name of a variable/);
});
