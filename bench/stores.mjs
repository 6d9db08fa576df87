import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { spawn } from "node:child_process";
import { once } from "node:events";
// Word count over a file of this machine, and over the same bytes in S3 and on a web server of this machine,
// in turn.
//   node bench/stores.mjs [--mb 256] [--rounds 3] [--workers N]
// Starts versitygw (SHEAF_VERSITYGW, else the one that the tests use) and nginx. Prints times, processor time
// and ratios; fails when the outputs differ.
import {
  chmodSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Data } from "./harness/data.mjs";
import { measure } from "./harness/measure.mjs";
import { difference, sortedLines } from "./harness/outputs.mjs";
import { example, sheaf } from "./harness/tools.mjs";

const { values } = parseArgs({
  options: {
    mb: { type: "string", default: "256" },
    rounds: { type: "string", default: "3" },
    workers: { type: "string", default: String(availableParallelism()) },
  },
});
const bytes = Number(values.mb) * 2 ** 20;
const cache = process.env.SHEAF_TEST_CACHE ?? join(homedir(), ".cache", "sheaf-test");
const binary = process.env.SHEAF_VERSITYGW ?? join(cache, "bin", "versitygw");
const root = mkdtempSync(join(tmpdir(), "sheaf-bench-s3-"));
const keys = { id: "bench", secret: "bench-secret" };

const data = new Data(join(tmpdir(), "sheaf-bench"), (line) => console.error(line));
const input = await data.generated("text", { bytes, seed: 1 });
const port = await freePort();
for (const name of ["data", "meta"]) mkdirSync(join(root, name));
const server = spawn(
  binary,
  ["--quiet", "--port", `127.0.0.1:${port}`, "posix", "--sidecar", join(root, "meta"), join(root, "data")],
  { env: { ROOT_ACCESS_KEY: keys.id, ROOT_SECRET_KEY: keys.secret }, stdio: "ignore" },
);
const web = join(root, "web");
for (const place of [root, web]) {
  mkdirSync(place, { recursive: true });
  // Its workers are another user's.
  chmodSync(place, 0o755);
}
symlinkSync(input, join(web, "text"));
const webPort = await freePort();
const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
writeFileSync(
  join(root, "nginx.conf"),
  `daemon off; worker_processes 1; pid ${root}/pid; error_log stderr crit; events { worker_connections 512; }
  http {
    access_log off; sendfile on; default_type application/octet-stream;
    ${places.map((place) => `${place}_temp_path ${root}/${place};`).join(" ")}
    server { listen 127.0.0.1:${webPort}; root ${web}; }
  }`,
);
const nginx = spawn("nginx", ["-c", join(root, "nginx.conf"), "-e", "stderr"], {
  stdio: ["ignore", "ignore", "inherit"],
});
process.once("exit", () => {
  server.kill();
  nginx.kill();
  rmSync(root, { recursive: true, force: true });
});
const endpoint = `http://127.0.0.1:${port}`;
const client = new S3Client({
  endpoint,
  region: "us-east-1",
  forcePathStyle: true,
  maxAttempts: 20,
  credentials: { accessKeyId: keys.id, secretAccessKey: keys.secret },
});
await client.send(new CreateBucketCommand({ Bucket: "bench" }));
await client.send(
  new PutObjectCommand({
    Bucket: "bench",
    Key: "text",
    Body: createReadStream(input),
    ContentLength: statSync(input).size,
  }),
);

const environment = {
  AWS_ACCESS_KEY_ID: keys.id,
  AWS_SECRET_ACCESS_KEY: keys.secret,
  AWS_REGION: "us-east-1",
  AWS_ENDPOINT_URL: endpoint,
};
const contenders = { local: input, s3: "s3://bench/text", http: `http://127.0.0.1:${webPort}/text` };
const times = { local: [], s3: [], http: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, from] of Object.entries(contenders)) {
    const out = join(root, `out-${name}`);
    rmSync(out, { recursive: true, force: true });
    const command = sheaf(example("wordcount.ts"), [from], out, { workers: Number(values.workers) });
    const { seconds, cpuSeconds } = await measure(command, { environment });
    times[name].push({ seconds, cpuSeconds });
    console.log(`${name.padEnd(5)} ${seconds.toFixed(2)} s, processors ${cpuSeconds.toFixed(2)} s`);
  }
}
const median = (name, of) =>
  times[name].map((one) => one[of]).toSorted((a, b) => a - b)[times[name].length >> 1];
for (const name of ["s3", "http"]) {
  const differs = difference(sortedLines(join(root, `out-${name}`)), sortedLines(join(root, "out-local")));
  if (differs !== null && differs !== undefined) throw new Error(`the outputs differ: ${differs}`);
  const rate = (of) => ((100 * median("local", of)) / median(name, of)).toFixed(0);
  console.log(
    `${name} at ${rate("seconds")} % of the local rate; by time of processors ${rate("cpuSeconds")} %`,
  );
}
process.exit(0);

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port: found } = listener.address();
  listener.close();
  await once(listener, "close");
  return found;
}
