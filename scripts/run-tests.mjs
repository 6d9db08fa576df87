// Runs the built test files given as arguments, two at a time, started in the order given (`node --test`
// would sort them by name). Their temporary files lie in memory where there is plenty of it, since jobs and
// coordinators sync all they write. Exits with 1 when a test fails.
import { chmodSync, mkdtempSync, rmdirSync, rmSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { resolve } from "node:path";
import { run } from "node:test";
import { spec, tap } from "node:test/reporters";

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
const results = run({ files, concurrency: 2 });
results.on("test:fail", () => {
  process.exitCode = 1;
});
results.compose(process.stdout.isTTY ? new spec() : tap).pipe(process.stdout);
