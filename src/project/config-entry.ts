import { fileURLToPath } from "node:url";
import workerThreads from "node:worker_threads";
import { SheafError } from "../base/errors.ts";
import { findOtherThanPlainData, isPlainObject, isPromise } from "../job/plain-data.ts";
import { failureOfThrown } from "../worker/failure.ts";
import type { ConfigAnswer, ConfigThreadData } from "./load-config.ts";

/* The thread's half of load-config.ts: imports the bundle of a sheaf.config.ts, and answers with its data. */

const { url, port } = workerThreads.workerData as ConfigThreadData;
/** What lies deeper is checked, and refused or sent, as it is. */
const depthMax = 20;
const answer = (told: ConfigAnswer): void => port.postMessage(told);

try {
  const loaded = (await import(url)) as { readonly default?: unknown };
  answer({ kind: "loaded", text: JSON.stringify(dataOf(loaded.default)) });
} catch (error) {
  answer({ kind: "failed", failure: failureOfThrown(error, "load", "CONFIG_LOAD") });
}

/** @throws SheafError CONFIG_LOAD naming what is no data */
function dataOf(exported: unknown): unknown {
  if (typeof exported === "function" || isPromise(exported)) {
    const what = typeof exported === "function" ? "a function" : "a promise";
    throw new SheafError("CONFIG_LOAD", `the default export is ${what}`, {
      hint: "Export the configuration itself: export default defineConfig({...}). await may stand in the file.",
    });
  }
  const data = asJson(exported, 0);
  const other = findOtherThanPlainData(data, "the default export");
  if (other === undefined) return data;
  throw new SheafError("CONFIG_LOAD", `no plain data at ${other}`, {
    hint: "A project file says texts, numbers, booleans, lists and objects only; code belongs into job files.",
  });
}

/** Left out: what is undefined. URLs and bigints are texts. */
function asJson(value: unknown, depth: number): unknown {
  if (value instanceof URL) return value.protocol === "file:" ? fileURLToPath(value) : value.href;
  if (typeof value === "bigint") return String(value);
  if (depth > depthMax) return value;
  if (Array.isArray(value)) return value.map((item) => asJson(item, depth + 1));
  if (!isPlainObject(value)) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.map(([name, field]) => [name, asJson(field, depth + 1)]));
}
