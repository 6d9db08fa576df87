// Runs the built test files given as arguments, three processes at a time, started in the order given (`node
// --test` would sort them by name); those that need no process of their own share one with others of their
// folder. Their temporary files lie in memory where there is plenty of it, since jobs and coordinators sync
// all they write. Exits with 1 when a test fails.
import { TraceMap, originalPositionFor } from "@jridgewell/trace-mapping";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { basename, dirname, relative, resolve } from "node:path";
import { run } from "node:test";
import { spec, tap } from "node:test/reporters";
import { inspect } from "node:util";
import { byProcess } from "./shared-processes.mjs";

const memory = "/dev/shm";
const bytesMin = 4 * 2 ** 30;

/** A directory in memory, or null: somebody has said where temporary files go, or there is no room. */
function scratchInMemory() {
  if (process.env["TMPDIR"] !== undefined || freemem() < bytesMin) return null;
  try {
    const { bavail, bsize } = statfsSync(memory);
    if (bavail * bsize < bytesMin) return null;
    const directory = mkdtempSync(`${memory}/sheaf-tests-`);
    // Some tests run commands as somebody else.
    chmodSync(directory, 0o711);
    return directory;
  } catch {
    return null;
  }
}

const scratch = scratchInMemory();
if (scratch !== null) {
  process.env["TMPDIR"] = scratch;
  process.on("exit", () => {
    try {
      rmdirSync(scratch);
    } catch {
      console.error(`kept, for a look at what failed: ${scratch}`);
    }
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.once(signal, () => {
      rmSync(scratch, { recursive: true, force: true });
      process.exit(1);
    });
}

const files = process.argv.slice(2).map((file) => resolve(file));
const together = resolve(`build/together/${process.pid}`);
const processes = byProcess(files, together);
process.on("exit", () => rmSync(together, { recursive: true, force: true }));
/** What a process runs, as people know it. */
const shownNames = new Map(processes.map((one) => [one.run, shownName(one)]));

function shownName({ run, files }) {
  const [first] = files;
  if (files.length === 1) return relative("", run);
  return `${relative("", dirname(first))}: ${files.map((file) => basename(file, ".test.js")).join(" ")}`;
}

/** Processor seconds of processes this one has waited for, and of theirs; null where /proc does not say. */
function childrenSeconds() {
  try {
    const stat = readFileSync("/proc/self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // cutime and cstime, in ticks of a hundredth of a second.
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return null;
  }
}

const maps = new Map();

function mapOf(file) {
  if (!maps.has(file))
    maps.set(file, existsSync(`${file}.map`) ? new TraceMap(readFileSync(`${file}.map`, "utf8")) : null);
  return maps.get(file);
}

/**
 * Places of compiled files become those of their sources. It is done here, for tests that fail: Node would
 * read the maps of all modules of all tests, and of all their workers, before it runs them.
 */
function withSources(text) {
  return text.replace(/(?:file:\/\/)?(\/[^\s():]+\.js):(\d+):(\d+)/g, (place, file, line, column) => {
    const map = mapOf(file);
    const found = map && originalPositionFor(map, { line: Number(line), column: Number(column) - 1 });
    if (!found?.source) return place;
    return `${resolve(dirname(file), map.sourceRoot ?? "", found.source)}:${found.line}:${found.column + 1}`;
  });
}

function mapStacks(error) {
  for (let at = error; at instanceof Error; at = at.cause)
    if (typeof at.stack === "string") at.stack = withSources(at.stack);
}

/** Of whatever was thrown, objects without a prototype too. */
function asText(thrown) {
  if (thrown === undefined || thrown === null) return "no error was reported";
  return typeof thrown === "object" ? inspect(thrown) : String(thrown);
}

/** The first lines of what went wrong: enough to know which assertion it was, or what ended the process. */
function firstLines(error, stderr) {
  const cause = error?.cause ?? error;
  const ended = error?.exitCode === undefined ? "" : `exit code ${error.exitCode}, signal ${error.signal}\n`;
  const text = ended + (stderr ?? cause?.stack ?? asText(cause));
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(0, 12);
}

/**
 * What the log's tail must say even when the log is cut: which tests failed and why, and where the time went.
 * A suite that only fails because of a test in it is not named beside it.
 */
class Summary {
  #started = performance.now();
  #failures = [];
  #path = [];
  #began = new Map();
  #spent = new Map();
  /** Processor seconds by file: what was added when its process ended. */
  #busy = new Map();
  #busySum = childrenSeconds();
  #stderr = new Map();

  watch(events) {
    events.on("test:dequeue", (data) => this.#dequeued(data));
    events.on("test:complete", (data) => this.#completed(data));
    events.on("test:start", ({ nesting, name }) => {
      this.#path.length = nesting;
      this.#path[nesting] = name;
    });
    events.on("test:stderr", ({ file, message }) =>
      this.#stderr.set(file, `${this.#stderr.get(file) ?? ""}${message}`.slice(0, 4096)),
    );
    events.on("test:fail", (data) => this.#failed(data));
  }

  #dequeued({ name, file }) {
    if (file !== undefined && resolve(name) === file) this.#began.set(file, performance.now());
  }

  #completed({ name, file }) {
    if (file === undefined || resolve(name) !== file || !this.#began.has(file)) return;
    this.#spent.set(file, performance.now() - this.#began.get(file));
    const sum = childrenSeconds();
    if (sum === null) return;
    this.#busy.set(file, sum - this.#busySum);
    this.#busySum = sum;
  }

  #failed({ nesting, name, file, details }) {
    process.exitCode = 1;
    if (details.error?.failureType === "subtestsFailed") return;
    mapStacks(details.error);
    const whole = file === undefined || resolve(name) === file;
    const where = file ?? name;
    this.#failures.push({
      path: [
        shownNames.get(where) ?? relative("", where),
        ...(whole ? [] : [...this.#path.slice(0, nesting), name]),
      ],
      lines: firstLines(details.error, whole ? this.#stderr.get(file) : undefined),
    });
  }

  *lines() {
    const dear = ([file, ms]) => Math.max(ms / 1000, this.#busy.get(file) ?? 0);
    const slowest = [...this.#spent].sort((a, b) => dear(b) - dear(a)).slice(0, 40);
    const seconds = (ms) => `${(ms / 1000).toFixed(1).padStart(7)} s`;
    const cpu = (s) => (s == null ? "" : `, processors ${s.toFixed(1).padStart(6)} s`);
    const whole = seconds(performance.now() - this.#started) + cpu(childrenSeconds());
    yield `${whole}  for ${files.length} files, of which the dearest are:`;
    for (const [file, ms] of slowest)
      yield `${seconds(ms)}${cpu(this.#busy.get(file))}  ${shownNames.get(file)}`;
    if (this.#failures.length > 0) yield `failed (${this.#failures.length}):`;
    for (const { path, lines } of this.#failures)
      yield* [`  ${path.join(" > ")}`, ...lines.map((line) => `      ${line}`)];
  }
}

// Three: many tests wait for what nobody can hasten, leases and time limits.
const results = run({ files: processes.map((one) => one.run), concurrency: 3 });
const summary = new Summary();
summary.watch(results);
const shown = results.compose(process.stdout.isTTY ? new spec() : tap);
shown.pipe(process.stdout);
shown.on("end", () => {
  process.stdout.write(
    ["", ...summary.lines(), ""]
      .map((line) => (process.stdout.isTTY ? line : `# ${line}`.trimEnd()))
      .join("\n") + "\n",
  );
});
