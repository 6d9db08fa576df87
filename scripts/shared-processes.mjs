// Which test files run in one process: to start Node and to load the modules that most tests begin with takes
// longer than all that many of them do.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

/** A process has no more files than this: others are to have something to do, too. */
const filesMax = 6;

/** The others start servers and clusters, or measure what their process does. */
const folders = new Set(
  (
    "aggregate base client codec coordinator engine exchange format incremental job kernel plan " +
    "rest scheduler security shuffle task testing tidy worker"
  ).split(" "),
);

/** Changes the process for others, or looks at all of it; hooks of a file would be those of all files. */
const own = [
  /\bprocess\.(?:chdir|umask|on|once|exitCode|memoryUsage|resourceUsage|cpuUsage|execArgv|getActive\w+)\b/,
  /\bprocess\.env(?:\.\w+|\[[^\]]*\])\s*=[^=]|delete process\.env|assign\(process\.env/,
  /\bglobalThis\b|\bmock\b|\bgc\(|\/proc\/self\b|syncBuiltinESMExports|setFlagsFromString/,
  /^(?:before|after|beforeEach|afterEach)\(/m,
];
const imported = /^(?:import|export)\b[^"';]*"(\.[^"]+\.js)"/gm;

const known = new Map();

/** Whether this module of tests, or one of tests that it imports, needs a process of its own. */
function needsOwn(path, above = new Set()) {
  if (known.has(path)) return known.get(path);
  if (above.has(path)) return false;
  const text = readFileSync(path, "utf8");
  const below = new Set(above).add(path);
  const needs =
    own.some((one) => one.test(text)) ||
    [...text.matchAll(imported)].some(([, name]) => needsOwn(resolve(dirname(path), name), below));
  known.set(path, needs);
  return needs;
}

/**
 * Test files by process, in the order given; those of one folder that can share one do.
 * @param {readonly string[]} files built ones
 * @param {string} directory for the module that imports those of one process
 * @returns {{ readonly run: string, readonly files: readonly string[] }[]} `run` is what the process runs
 */
export function byProcess(files, directory) {
  const processes = [];
  const open = new Map();
  for (const file of files) {
    const folder = dirname(file);
    const last = open.get(folder);
    if (!folders.has(basename(folder)) || needsOwn(file)) processes.push({ run: file, files: [file] });
    else if (last !== undefined && last.files.length < filesMax) last.files.push(file);
    else {
      const started = { run: file, files: [file] };
      open.set(folder, started);
      processes.push(started);
    }
  }
  for (const [at, one] of processes.entries()) {
    if (one.files.length === 1) continue;
    one.run = join(directory, `${basename(dirname(one.files[0]))}-${at}.mjs`);
    mkdirSync(directory, { recursive: true });
    const lines = one.files.map((file) => `import ${JSON.stringify(relative(directory, file))};\n`);
    writeFileSync(one.run, lines.join(""));
  }
  return processes;
}
