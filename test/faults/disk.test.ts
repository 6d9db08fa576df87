import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { sheafBinary } from "../cli/support.ts";
import { wordCount } from "../runner/support.ts";
import { writeOutput } from "../storage/support.ts";
import { assertDone, assertFailed, Place } from "./support.ts";

/** Words that do not repeat: what is read comes out again, and in between. */
const manyWords = Array.from({ length: 60_000 }, (_, i) => `word${(i * 7919) % 60_013}x${i}`);
const many = `${Array.from({ length: 6_000 }, (_, i) => manyWords.slice(i * 10, i * 10 + 10).join(" ")).join("\n")}\n`;

describe("S9: a full disk", () => {
  test("S9: where the output goes: the spill fails, and the disk is as empty as before", async (t) => {
    const place = new Place(t);
    if (!place.mount("small", "size=512k")) return;
    place.file("job.ts", wordCount());
    place.file("in.txt", many);
    const args = ["run", "job.ts", "in.txt", "-o", "small/out", "--attempts", "1"];
    const result = await place.sheaf(args);
    await assertFailed(place, result, "DISK_FULL", /failed in spill.*no space left on the device/);
    assert.deepEqual(readdirSync(place.path("small")), []);
  });

  test("S9: where intermediate files go: the output is not begun", async (t) => {
    const place = new Place(t);
    if (!place.mount("small", "size=512k")) return;
    place.file("job.ts", wordCount());
    place.file("in.txt", many);
    const args = ["run", "job.ts", "in.txt", "-o", "out", "--temp", "small", "--attempts", "1"];
    await assertFailed(place, await place.sheaf(args), "DISK_FULL", /no space left on the device/);
    assert.deepEqual(readdirSync(place.path("small")), []);
  });

  test("S9: found out only when the output is put in place: what was there stays", async (t) => {
    const place = new Place(t);
    if (!place.mount("small", "size=512k")) return;
    place.file("job.ts", wordCount());
    place.file("in.txt", many);
    writeOutput(place.path("small/out"), { precious: "x" });
    const args = ["run", "job.ts", "in.txt", "-o", "small/out", "--overwrite", "--temp", "."];
    const result = await place.sheaf(args);
    await assertFailed(place, result, "DISK_FULL", /no space left on the device/);
    assert.deepEqual(readdirSync(place.path("small")), ["out"]);
    assert.deepEqual(readdirSync(place.path("small/out")).sort(), ["_SUCCESS", "precious"]);
  });

  test("S9: where standard input is kept", async (t) => {
    const place = new Place(t);
    if (!place.mount("small", "size=512k")) return;
    place.file("job.ts", wordCount());
    const options = { stdin: many, env: { TMPDIR: place.path("small") } };
    await assertFailed(place, await place.sheaf(["run", "job.ts", "-", "-q"], options), "DISK_FULL", /stdin/);
    assert.deepEqual(readdirSync(place.path("small")), []);
  });

  test("S9: where the history goes: the job goes on without it, and says so", async (t) => {
    const place = new Place(t);
    if (!place.mount("small", "size=64k")) return;
    place.file("job.ts", wordCount());
    place.file("in.txt", "a b\n");
    assert.throws(() => writeFileSync(place.path("small/fill"), Buffer.alloc(128 * 1024)), {
      code: "ENOSPC",
    });
    const env = { SHEAF_STATE: place.path("small/state") };
    const result = await place.sheaf(["run", "job.ts", "in.txt", "-o", "out"], { env });
    await assertDone(place, result);
    assert.match(result.stderr, /the job goes on without it.*ENOSPC/);
    assert.deepEqual(place.lines(), ["a\t1", "b\t1"]);
  });

  for (const [args, code] of [
    [["run", "job.ts", "in.txt", "-q"], 1],
    [["run", "job.ts", "in.txt", "-q", "--json"], 1],
    [["run", "job.ts", "in.txt", "-q", "--print", "1"], 1],
    [["gen", "text", "--size", "1MiB"], 1],
  ] as const) {
    test(`S9: behind standard output: sheaf ${args.join(" ")}`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount());
      place.file("in.txt", "a b\n");
      const result = await place.sheaf(args, { shell: "exec >/dev/full; " });
      assert.equal(result.code, code);
      await assertFailed(place, result, "DISK_FULL", /standard output.*no space left/);
    });
  }

  test("S9: behind standard error: the job is done all the same", async (t) => {
    const place = new Place(t);
    place.file("job.ts", wordCount({ map: 'console.log("chatter");' }));
    place.file("in.txt", "a b\n");
    await assertDone(
      place,
      await place.sheaf(["run", "job.ts", "in.txt", "-o", "out"], { shell: "exec 2>/dev/full; " }),
    );
    assert.deepEqual(place.lines(), ["a\t1", "b\t1"]);
  });

  /** Ninety maps of some 12 KB each: more runs than one pass merges. */
  const manyMaps = `
    import { generate, job } from "sheaf";
    export default job({
      input: generate({ tasks: 90, *records() { for (let i = 0; i < 300; i++) yield i; } }),
      map(n: number, emit, ctx) { emit([n, ctx.index], crypto.getRandomValues(new Uint8Array(40))); },
      reduce(key: unknown, values: Iterable<Uint8Array>) { return [...values].length; },
      partitions: 1,
    });
  `;
  const manyOut = wordCount({ reduce: 'return "long".repeat(1000);' });
  const manyBad = wordCount({ map: 'throw new Error("x".repeat(500));' });

  const some = many.slice(0, many.indexOf("\n", many.length / 10) + 1);

  for (const [what, text, blocks, phase] of [
    ["a merge pass", manyMaps, 200, /merge-0-0\.run/],
    ["an output file", manyOut, 400, /out-0-0-0\.tsv/],
    ["the file of bad records", manyBad, 200, /bad\.jsonl/],
  ] as const) {
    test(`S9: no room for ${what} is named, and nothing is left`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", text);
      place.file("in.txt", some);
      const inputs = text === manyMaps ? [] : ["in.txt"];
      const args = ["run", "job.ts", ...inputs, "-o", "out", "--attempts", "1", "--max-bad", "100%"];
      const result = await place.sheaf(args, { shell: `ulimit -f ${blocks}; ` });
      await assertFailed(place, result, "DISK_FULL", /the file would grow beyond the size limit/);
      assert.match(result.stderr, phase);
    });
  }
});

/** Makes one call of node:fs fail as a broken device does, in all threads. */
const broken = `
  import fs from "node:fs";
  import promises from "node:fs/promises";
  import { syncBuiltinESMExports } from "node:module";
  const call = process.env.TEST_BROKEN;
  const error = () => Object.assign(new Error(call + " broke"), { errno: -5, code: "EIO", syscall: call });
  const { fsync, open, read, readSync, writeSync, closeSync, openSync } = { ...fs, open: promises.open };
  const runs = new Set();
  const watchRuns = () => {
    fs.openSync = (...a) => {
      const fd = openSync(...a);
      if (String(a[0]).endsWith("map.run") && a[1] === "wx") runs.add(fd);
      return fd;
    };
  };
  const breaks = {
    fsync: () => { fs.fsync = (fd, done) => process.nextTick(done, error()); },
    sync: () => {
      // The commit opens what it syncs this way; writers sync what they have open.
      const opened = new Set();
      promises.open = async (...a) => {
        const handle = await open(...a);
        opened.add(handle.fd);
        return handle;
      };
      fs.fsync = (fd, done) => (opened.has(fd) ? process.nextTick(done, error()) : fsync(fd, done));
    },
    read: () => {
      // Planning looks at the first 512 bytes; this is about the maps.
      fs.read = (...a) => (a[3] > 512 ? process.nextTick(a[5], error()) : read(...a));
    },
    readSync: () => {
      fs.readSync = (...a) => { if (typeof a[4] === "number") throw error(); return readSync(...a); };
    },
    writeSync: () => {
      watchRuns();
      fs.writeSync = (...a) => { if (runs.has(a[0])) throw error(); return writeSync(...a); };
    },
    rename: () => { promises.rename = () => Promise.reject(error()); },
    closeSync: () => {
      watchRuns();
      fs.closeSync = (fd) => { closeSync(fd); if (runs.delete(fd)) throw error(); };
    },
  };
  breaks[call]();
  syncBuiltinESMExports();
`;

describe("S10: a device that fails, too many files, no permission", () => {
  for (const [call, code, says] of [
    ["fsync", "OUTPUT_UNWRITABLE", /reduce-00000.*cannot sync.*out-0-0-0\.tsv/],
    ["sync", "OUTPUT_UNWRITABLE", /cannot sync/],
    ["rename", "OUTPUT_UNWRITABLE", /cannot write/],
    ["writeSync", "OUTPUT_UNWRITABLE", /map-00000.*cannot write.*map\.run/],
    ["closeSync", "OUTPUT_UNWRITABLE", /map-00000.*cannot write.*map\.run/],
    ["read", "INPUT_UNREADABLE", /map-00000.*cannot read in\.txt at byte 0/],
    ["readSync", "BLOCK_CORRUPT", /map-00000 could not be fetched.*cannot read.*map\.run/],
  ] as const) {
    test(`S10: an error of the device in ${call} fails the job, and is told`, async (t) => {
      const place = new Place(t);
      place.file("job.ts", wordCount());
      place.file("in.txt", "a b\n".repeat(500));
      const node = ["--import", pathToFileURL(place.file("broken.mjs", broken)).href];
      const args = ["run", "job.ts", "in.txt", "-o", "out", "--attempts", "2"];
      const result = await place.sheaf(args, { node, env: { TEST_BROKEN: call } });
      await assertFailed(place, result, code, /the device reported an error/);
      assert.match(result.stderr, says);
    });
  }

  const manyRuns = `
    import { generate, job } from "sheaf";
    export default job({
      input: generate({ tasks: 300, *records({ index }) { yield index; } }),
      map(n: number, emit) { emit("all", n); },
      reduce(key: string, values: Iterable<number>) {
        let sum = 0;
        for (const value of values) sum += value;
        return sum;
      },
      partitions: 2,
    });
  `;

  test("S10: however many maps there are, a reduce opens a bounded number of their files", async (t) => {
    const place = new Place(t);
    place.file("job.ts", manyRuns);
    const result = await place.sheaf(["run", "job.ts", "-o", "out", "-w", "2"], { shell: "ulimit -n 256; " });
    await assertDone(place, result);
    assert.deepEqual(place.lines(), [`all\t${(299 * 300) / 2}`]);
  });

  test("S10: too many open files are named with the limit to raise, and no map is blamed", async (t) => {
    const place = new Place(t);
    place.file("job.ts", manyRuns);
    const args = ["run", "job.ts", "-o", "out", "-w", "1"];
    const result = await place.sheaf(args, { shell: "ulimit -n 85; " });
    await assertFailed(place, result, "INPUT_UNREADABLE", /reduce-0000.*too many open files in this process/);
    assert.match(result.stderr, /ulimit -n/);
  });

  /** As somebody who may not do everything. */
  function asNobody(t: TestContext, place: Place): string | null {
    chmodSync(place.root, 0o755);
    if (process.getuid?.() !== 0) return "";
    const shell = 'set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; ';
    for (const directory of ["state", "tmp"]) {
      mkdirSync(place.path(directory), { recursive: true });
      chmodSync(place.path(directory), 0o777);
    }
    try {
      // Where only root may look, nobody else finds the program.
      execFileSync("bash", ["-c", `${shell}exec "$@"`, "bash", process.execPath, sheafBinary, "--version"], {
        stdio: "ignore",
      });
      return shell;
    } catch {
      t.skip("root cannot become anybody else here, or they may not read the package");
      return null;
    }
  }

  test("S10: an input that may not be read, an output that may not be made", async (t) => {
    const place = new Place(t);
    const shell = asNobody(t, place);
    if (shell === null) return;
    place.file("job.ts", wordCount());
    chmodSync(place.file("secret.txt", "a b\n"), 0o000);
    place.file("in.txt", "a b\n");
    mkdirSync(place.path("locked"), 0o555);
    place.own("locked");
    const env = { HOME: place.root };
    const read = await place.sheaf(["run", "job.ts", "secret.txt", "-q"], { shell, env });
    await assertFailed(place, read, "INPUT_UNREADABLE", /secret\.txt: permission denied/);
    for (const output of ["locked/out", "locked/a/b"]) {
      const write = await place.sheaf(["run", "job.ts", "in.txt", "-o", output], { shell, env });
      await assertFailed(place, write, "OUTPUT_UNWRITABLE", /locked.*permission denied/);
    }
    const temp = await place.sheaf(["run", "job.ts", "in.txt", "-q", "--temp", "locked"], { shell, env });
    await assertFailed(place, temp, "OUTPUT_UNWRITABLE", /locked.*permission denied/);
    const state = { ...env, SHEAF_STATE: place.path("locked/state") };
    const unkept = await place.sheaf(["run", "job.ts", "in.txt"], { shell, env: state });
    assert.equal(unkept.code, 0, unkept.stderr);
    assert.equal(unkept.stdout, "a\t1\nb\t1\n");
    assert.match(unkept.stderr, /the job goes on without it/);
  });

  test("S10: a file system that can only be read", async (t) => {
    const place = new Place(t);
    if (!place.mount("fixed", "ro,size=64k")) return;
    place.file("job.ts", wordCount());
    place.file("in.txt", "a b\n");
    for (const args of [
      ["-o", "fixed/out"],
      ["-o", "out", "--temp", "fixed"],
      ["--temp", "fixed"],
    ]) {
      const result = await place.sheaf(["run", "job.ts", "in.txt", "-q", ...args]);
      await assertFailed(place, result, "OUTPUT_UNWRITABLE", /read-only/);
    }
  });

  test("S10: a file size limit hit by the history costs the history only", async (t) => {
    const place = new Place(t);
    place.file("job.ts", wordCount({ map: 'console.log("chatter".repeat(3000));' }));
    place.file("in.txt", "a b\n".repeat(4));
    const result = await place.sheaf(["run", "job.ts", "in.txt", "-o", "out", "-q"], {
      shell: "ulimit -f 24; ",
    });
    await assertDone(place, result);
    assert.deepEqual(place.lines(), ["a\t4", "b\t4"]);
  });
});
