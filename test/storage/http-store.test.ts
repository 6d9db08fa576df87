import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createStore } from "#src/storage/stores/http.js";
import type { StoreSubject } from "#src/testing/store-bench.js";
import { conformance } from "./conformance.ts";
import { nginxMissing, startNginx } from "./nginx.ts";

async function nginx(): Promise<StoreSubject> {
  const server = await startNginx();
  const pathOf = (name: string): string => join(server.files, name);
  let writes = 0;
  return {
    scheme: "http",
    module: { createStore },
    port: server.port,
    env: () => ({ HOME: "/nonexistent" }),
    address: (name, port) => {
      const parts = name.split("/").map(encodeURIComponent);
      return new URL(`http://127.0.0.1:${port}/${parts.join("/")}`).href;
    },
    put: (name, content) => {
      mkdirSync(dirname(pathOf(name)), { recursive: true });
      // Its ETag is made of the second and the size: what is written anew must be another second's.
      writeFileSync(pathOf(name), content);
      utimesSync(pathOf(name), 1_700_000_000 + ++writes, 1_700_000_000 + writes);
      return Promise.resolve();
    },
    remove: (name) => Promise.resolve(rmSync(pathOf(name))),
    close: () => server.close(),
  };
}

conformance("http (nginx)", nginx, nginxMissing());
