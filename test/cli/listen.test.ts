import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, sheaf, startSheaf, tempDir } from "./support.js";
import type { RunningSheaf } from "./support.js";

const wordcount = join(packageRoot, "examples", "wordcount.ts");
const pythonWorker = join(packageRoot, "examples", "python", "wordcount.py");

/** Waits for the text and gives what stands around it on its line. */
async function said(run: RunningSheaf, pattern: RegExp, text: string): Promise<RegExpExecArray> {
  let stderr = "";
  run.child.stderr!.on("data", (chunk: string) => (stderr += chunk));
  await run.until(text);
  const match = pattern.exec(stderr);
  assert.ok(match !== null, stderr);
  return match;
}

test("a run that listens has its tasks done by workers that join it, and all of them end", async (t) => {
  const directory = tempDir(t);
  const input = join(directory, "in");
  mkdirSync(input);
  for (let i = 0; i < 4; i++) {
    writeFileSync(join(input, `${i}.txt`), `word${i} all all\n`.repeat(1_000));
  }
  const flags = ["--mappers", "4", "--partitions", "2", "--quiet"];
  const local = await sheaf(["run", wordcount, input, "-o", join(directory, "local"), ...flags]);
  assert.equal(local.code, 0, local.stderr);

  const driver = startSheaf([
    "run",
    wordcount,
    input,
    "-o",
    join(directory, "out"),
    "--listen",
    "0",
    ...flags,
  ]);
  const join_ = await said(driver, /--driver (\S+) --token-file (\S+)/, "--token-file");
  const workers = [1, 2].map(() =>
    sheaf(["worker", "--driver", join_[1]!, "--token-file", join_[2]!, "--log-level", "error"]),
  );
  const { code, stderr } = await driver.done;
  assert.equal(code, 0, stderr);
  for (const worker of await Promise.all(workers)) {
    assert.equal(worker.code, 0, worker.stderr);
    assert.match(worker.stdout, /all is done/);
  }
  const files = readdirSync(join(directory, "local")).sort();
  assert.deepEqual(readdirSync(join(directory, "out")).sort(), files);
  for (const file of files) {
    const [expected, got] = ["local", "out"].map((one) => readFileSync(join(directory, one, file), "utf8"));
    assert.equal(got, expected, file);
  }
});

test("workers in another language do a whole job over plain files", async (t) => {
  const directory = tempDir(t);
  for (let i = 0; i < 3; i++) writeFileSync(join(directory, `${i}.txt`), `a ${"bcd"[i]} a\n`);
  const between = join(directory, "between");
  const driver = startSheaf(
    [
      ..."run wordcount 0.txt 1.txt 2.txt -o out --mappers 2 --partitions 2 --listen 0 --intermediate".split(
        " ",
      ),
      between,
    ],
    { cwd: directory },
  );
  const told = await said(driver, /workers ask (\S+) for tasks; their token is in (\S+)/, "token is in");
  const args = [pythonWorker, "worker", "--driver", told[1]!, "--token-file", told[2]!];
  const env = { ...process.env, PYTHONPATH: join(packageRoot, "python") };
  const worker = spawn("python3", args, { stdio: "inherit", env });
  const ended = new Promise((resolve) => worker.once("close", resolve));
  const { code, stderr } = await driver.done;
  assert.equal(code, 0, stderr);
  assert.equal(await ended, 0);
  assert.match(stderr, /^plan +3 files, .* +2 map tasks, 2 reduce tasks\n/m);
  // How many records were read, such workers do not tell.
  assert.match(stderr, /^done .*s\n  wrote +4 records, 16 B in out \(2 files\)\n/m);
  const output = join(directory, "out");
  assert.deepEqual(readdirSync(output).sort(), ["_SUCCESS", "part-00000.tsv", "part-00001.tsv"]);
  const lines = ["part-00000.tsv", "part-00001.tsv"].flatMap((part) =>
    readFileSync(join(output, part), "utf8").split("\n").filter(Boolean),
  );
  assert.deepEqual(lines.sort(), ["a\t6", "b\t1", "c\t1", "d\t1"]);
  assert.deepEqual(readdirSync(between), [], "intermediate files are removed");
});

test("flags that make no sense together are refused by name", async () => {
  const cases = [
    [["--listen", "0", "--on", "http://127.0.0.1:1"], /--listen and --on exclude each other/],
    [["--intermediate", "/tmp/x"], /--intermediate without --listen/],
    [["--listen", "70000"], /--listen: "70000"/],
    [["--listen", "0", "--intermediate", "x"], /--intermediate without --output/],
    [["--listen", "0", "--intermediate", "x", "-o", "y", "--sample", "1%"], /--sample is not for workers in/],
    [["--listen", "0", "--intermediate", "x", "-o", "y", "--set", "a=1"], /--set is not for workers in/],
    [["--listen", "0", "--workers", "2"], /--workers is for runs on this machine, not on a cluster/],
    [["--worker-timeout", "5s"], /--worker-timeout without --intermediate/],
    [["--cores", "2"], /--cores needs a cluster/],
    [["--detach"], /--detach needs a cluster/],
  ] as const;
  for (const [flags, message] of cases) {
    const { code, stderr } = await sheaf(["run", wordcount, wordcount, ...flags]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
});

test("a run that listens and is killed leaves a directory with tokens, which the next run removes", async (t) => {
  const directory = tempDir(t);
  const temporary = join(directory, "tmp");
  mkdirSync(temporary);
  writeFileSync(join(directory, "in.txt"), "a\n");
  const args = [wordcount, join(directory, "in.txt"), "-o", join(directory, "out"), "--quiet"];
  const env = { TMPDIR: temporary };
  const driver = startSheaf(["run", ...args, "--listen", "0"], { env });
  const joining = await said(driver, /--driver (\S+) --token-file (\S+)/, "--token-file");
  assert.ok(joining[2]!.startsWith(temporary));
  driver.child.kill("SIGKILL");
  await driver.done;
  assert.equal(existsSync(joining[2]!), true);

  const next = startSheaf(["run", ...args, "--listen", "0"], { env });
  await said(next, /--driver (\S+) --token-file (\S+)/, "--token-file");
  assert.equal(existsSync(joining[2]!), false);
  next.child.kill("SIGINT");
  await next.done;
});
