// How long a server is kept from everything else by bodies that are as large, as deep and of as many parts as
// somebody could make them, and by the largest that are meant: a server over a service that does nothing, in
// this process, which measures the longest turn of its event loop; a thread sends. Of several times the best:
// on a machine that does other things, too, a turn takes as long as those make it.
//   node bench/cluster/hostile-bodies.mjs [--megabytes 250] [--times 3]
import { request } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { pino } from "pino";
import { systemClock } from "../../modules/base/clock.js";
import { coordinatorRoutes } from "../../modules/rest/coordinator-routes.js";
import { startServer } from "../../modules/rest/server.js";
import { hostList } from "../../modules/security/host-list.js";
import { submission } from "./load-submission.mjs";

const MiB = 2 ** 20;

function send({ port, path, head, piece, tail, times }) {
  const headers = { "content-type": "application/json", "idempotency-key": "0123456789" };
  const sent = request({ port, host: "127.0.0.1", path, method: "POST", headers });
  let left = times;
  const pump = () => {
    while (left-- > 0) if (!sent.write(piece)) return sent.once("drain", pump);
    return sent.end(tail);
  };
  sent.on("response", (answer) => {
    parentPort.postMessage(answer.statusCode);
    answer.resume().on("end", () => process.exit());
  });
  sent.on("error", () => process.exit());
  sent.write(head);
  pump();
}

async function once(port, [, path, head, piece, tail, bytes]) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const unit = piece.repeat(Math.max(1, Math.floor(65_536 / Math.max(1, piece.length))));
  const times = Math.ceil(bytes / unit.length);
  let status = "cut";
  delay.enable();
  await new Promise((resolve, reject) => {
    const thread = new Worker(new URL(import.meta.url), {
      workerData: { port, path, head, piece: unit, tail, times },
    });
    thread.on("message", (answered) => (status = answered));
    thread.on("exit", resolve).on("error", reject);
  });
  delay.disable();
  return { status, ms: delay.max / 1e6 };
}

async function measure(port, times, one) {
  const all = [];
  for (let n = 0; n < times; n++) all.push(await once(port, one));
  const least = Math.min(...all.map(({ ms }) => ms)).toFixed(0);
  console.log(
    `${String(all[0].status).padStart(5)}  ${one[0].padEnd(44)} longest turn ${least.padStart(5)} ms`,
  );
}

async function main() {
  const { values } = parseArgs({
    options: { megabytes: { type: "string", default: "250" }, times: { type: "string", default: "3" } },
  });
  const service = new Proxy({}, { get: () => () => ({}) });
  const server = await startServer({
    routes: (app) => coordinatorRoutes(app, service),
    policy: {
      tokens: [],
      open: true,
      hosts: hostList({ bound: "127.0.0.1" }),
      jobKey: () => null,
      clock: systemClock,
    },
    host: "127.0.0.1",
    port: 0,
    tls: null,
    version: "0.0.0",
    log: pino({ level: "silent" }),
  });
  const huge = Number(values.megabytes) * MiB;
  const errand = "/errands/plan-1";
  const part =
    '{"file":"part-00000.jsonl","collection":"","partition":1,"bytes":100,"records":9,"crc32c":"00000000"},';
  const committed = '{"kind":"committed","agent":"a","incarnation":1,"parts":[';
  const [before, after] = JSON.stringify({ ...submission("0".repeat(64), 1), inputs: ["@"] }).split('"@"');
  const path = `"/data/${"x".repeat(90)}",`;
  const cases = [
    ["a warm server", "/nodes/a/admit", "", "", "{}", 0],
    ["[ over and over, to an errand", errand, "", "[", "", huge],
    ["[ over and over, to /jobs", "/jobs", "", "[", "", huge],
    ["[], over and over, to an errand", errand, "[", "[],", "1]", huge],
    ["[], as many as pass, to an errand", errand, "[", "[],", "1]", 960_000 * 3],
    ["{}, as many as pass, as parts of an errand", errand, committed, "{},", "{}]}", 960_000 * 3],
    ["[], as many as pass, to /jobs", "/jobs", "[", "[],", "1]", 105_000 * 3],
    ["0, as many as pass, to /jobs as inputs", "/jobs", `${before}`, "0,", `0${after}`, 210_000 * 2],
    ["one string as long as passes, to an errand", errand, '"', "\\u0041", '"', 31.8 * MiB],
    ["one number as long as passes, to /jobs", "/jobs", "", "1", "", 15.8 * MiB],
    [
      "meant: a commit of 200,000 parts",
      errand,
      committed,
      part,
      `${part.slice(0, -1)}]}`,
      200_000 * part.length,
    ],
    ["meant: a job of 99,000 inputs", "/jobs", before, path, `"x"${after}`, 99_000 * path.length],
  ];
  for (const one of cases) await measure(server.port, Number(values.times), one);
  await server.close();
}

if (isMainThread) await main();
else send(workerData);
