// The 21st of 20 equal days of a web server's log: an incremental run beside a full one.
//   node bench/incremental.mjs [--days 20] [--mb 25] [--rounds 3]
// Prints both wall times, their ratio, what was mapped, and the room that is taken; fails when an output
// differs.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    days: { type: "string", default: "20" },
    mb: { type: "string", default: "25" },
    rounds: { type: "string", default: "3" },
  },
});
const [days, megabytes, rounds] = [values.days, values.mb, values.rounds].map(Number);
const sheaf = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const job = fileURLToPath(new URL("./jobs/visits.ts", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sheaf-incremental-"));
const logs = join(root, "logs");
process.once("exit", () => rmSync(root, { recursive: true, force: true }));

/** Lines of one day, which depend on its number alone. */
function writeDay(day) {
  let state = day * 2654435761;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  const chunks = [];
  for (let bytes = 0; bytes < megabytes * 1e6;) {
    const lines = Array.from({ length: 2000 }, () => {
      const time = `${String(day).padStart(2, "0")}/Jan/2024:${String(random(24)).padStart(2, "0")}:00:00 +0000`;
      const status = [200, 200, 200, 304, 404, 500][random(6)];
      return `10.0.${random(256)}.${random(256)} - u${random(5000)} [${time}] "GET /page/${random(3000)}?q=${random(100)} HTTP/1.1" ${status} ${random(100000)} ${random(1e6) / 1e6}\n`;
    }).join("");
    chunks.push(lines);
    bytes += lines.length;
  }
  writeFileSync(join(logs, `day-${String(day).padStart(3, "0")}.log`), chunks.join(""));
}

function run(output, ...flags) {
  const began = performance.now();
  const args = [sheaf, "run", job, logs, "-o", output, "--json", ...flags];
  const env = { ...process.env, SHEAF_STATE: join(root, "state") };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    env,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(stderr);
  const elapsed = performance.now() - began;
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { elapsed, finished: events.findLast(({ kind }) => kind === "job-finished") };
}

const parts = (output) =>
  readdirSync(output)
    .filter((name) => name !== "_state")
    .map((name) => [name, readFileSync(join(output, name), "latin1")]);
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

mkdirSync(logs);
for (let day = 1; day <= days; day++) writeDay(day);
const [kept, out, full] = ["kept", "out", "full"].map((name) => join(root, name));
const first = run(kept, "--incremental");
writeDay(days + 1);
console.log(`first run of ${days} days, which keeps: ${seconds(first.elapsed)}`);
for (let round = 0; round < rounds; round++) {
  rmSync(out, { recursive: true, force: true });
  cpSync(kept, out, { recursive: true });
  const whole = run(full, "--overwrite");
  const next = run(out, "--incremental");
  if (JSON.stringify(parts(full)) !== JSON.stringify(parts(out))) throw new Error("the outputs differ");
  const { stats, incremental } = next.finished;
  console.log(
    `full ${seconds(whole.elapsed)} of ${mebibytes(whole.finished.stats.bytesIn)}; day ${days + 1} ` +
      `${seconds(next.elapsed)} (${((100 * next.elapsed) / whole.elapsed).toFixed(1)} %): ` +
      `${mebibytes(stats.bytesIn)} mapped, ${mebibytes(incremental.kept.bytes)} kept, ` +
      `state ${mebibytes(incremental.stateBytes)}; outputs equal`,
  );
}
