import assert from "node:assert/strict";
import type { CoordinatorProcess } from "./coordinator-process.js";

export const jobId = "20260101-101010123-words-abcd";
export const hash = "0".repeat(64);

/** What the path parameters of routes stand for. */
const parameters: Readonly<Record<string, string>> = {
  job: jobId,
  schedule: "nightly",
  agent: "node1",
  hash,
  errand: "errand-1",
  task: "map-00000",
  attempt: "map-00000.1",
  name: "part-00000.tsv",
  kind: "output",
  index: "0",
  type: "mapper",
  id: "0",
  file: "capsule",
};

/** What agents may ask for; everything else is for clients alone. */
export const forAgents = [
  "POST /agents",
  "POST /agents/{agent}/heartbeat",
  "POST /agents/{agent}/orders",
  "POST /agents/{agent}/leave",
  "POST /errands/{errand}",
  "POST /errands/{errand}/splits",
  "PUT /task",
  "POST /task/{type}/{id}/status",
  "POST /jobs/{job}/task/{type}/{id}/status",
  "GET /jobs/{job}/preparation",
  "GET /jobs/{job}/outputs",
  "POST /jobs/{job}/logs",
  "POST /jobs/{job}/stray",
  "PUT /jobs/{job}/results/{attempt}/{name}",
];
export const forBoth = [
  "GET /blobs/{hash}",
  "GET /task/{type}/{id}/status",
  "GET /jobs/{job}/task/{type}/{id}/status",
];

/** "POST /jobs/{job}/kill" of every route the coordinator has, as its own document says. */
export async function routesOf(coordinator: CoordinatorProcess): Promise<readonly string[]> {
  const answer = await coordinator.ask({ target: "/openapi.json", token: coordinator.client });
  const { paths } = JSON.parse(answer.body) as { readonly paths: Readonly<Record<string, object>> };
  const routes = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.ok(routes.length > 30, `only ${routes.length} routes`);
  return routes;
}

export const fill = (path: string, change: Readonly<Record<string, string>> = {}): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => change[name] ?? parameters[name] ?? assert.fail(name));
