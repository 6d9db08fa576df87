import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TestContext } from "node:test";
import { batchScript } from "#src/cli/command/slurm/script.js";
import { type SlurmLab, fakeSlurm, slurmSkipped, startSlurm } from "../kit/slurm.js";
import { until } from "../kit/wait.js";
import { type SheafOptions, sheafHere, startSheaf, tempDir } from "./support.js";

const skip = slurmSkipped();
let started: SlurmLab | undefined;
after(() => started?.end());
const slurm = async (): Promise<SlurmLab> => (started ??= await startSlurm());

/** A directory with a job, its input, and commands that mean the real Slurm. */
function place(t: TestContext, more: SheafOptions["env"] = {}) {
  const root = tempDir(t);
  const scratch = join(root, "scratch");
  for (const name of ["in", "scratch"]) mkdirSync(join(root, name));
  for (const [index, text] of ["a b a\n", "b c\nä\n", ""].entries())
    writeFileSync(join(root, "in", `${index}.txt`), text);
  writeFileSync(
    join(root, "words.ts"),
    `import { count, job, text } from "sheaf";
     export default job({ input: text(), reduce: count(),
       map(line, emit) { for (const word of line.split(" ")) emit(word); } });`,
  );
  const env = { SHEAF_STATE: join(root, "state"), TMPDIR: scratch, ...more };
  const run = (args: readonly string[], own: SheafOptions["env"] = {}) =>
    sheafHere(args, { cwd: root, env: { ...env, ...own } });
  return { root, scratch, env, run };
}

/** What `sheaf slurm up` says to export. */
function exported(said: string): Record<string, string> {
  return Object.fromEntries(
    [...said.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]),
  );
}

/** Processes that have this in their command line. */
function processes(of: string): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "pid,args", "ww"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(of) && line.includes("main.js"));
}

test("up, a job that writes what it writes in one thread, status, and down", { skip }, async (t) => {
  const lab = await slurm();
  const { root, scratch, run } = place(t, lab.env);
  const up = await run([
    "slurm",
    "up",
    "--nodes",
    "2",
    "--slots",
    "1",
    "--",
    "--time=10",
    "--cpus-per-task=2",
  ]);
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, /^AGENT .*\nn1 +up [^\n]* 1 [^\n]*\nn2 +up [^\n]* 1 /);
  assert.match(up.stderr, /^job \d+: RUNNING\n[^]*sheaf run JOB INPUT\.\.\. -o DIR --shared\n$/m);
  const env = exported(up.stderr);
  assert.deepEqual(Object.keys(env), ["SHEAF_ON", "SHEAF_TOKEN_FILE"]);
  assert.equal(statSync(env["SHEAF_TOKEN_FILE"]!).mode & 0o777, 0o600);
  const more = ["--overwrite", "--mappers", "3", "--partitions", "2"];
  const there = await run(["run", "words.ts", "in", "-o", "there", "--shared", ...more], env);
  assert.equal(there.code, 0, there.stderr);
  await run(["run", "words.ts", "in", "-o", "here", "--inline", ...more]);
  for (const name of readdirSync(join(root, "here")).filter((one) => one.startsWith("part-")))
    assert.equal(
      readFileSync(join(root, "there", name), "utf8"),
      readFileSync(join(root, "here", name), "utf8"),
    );
  const noToken = await run(["nodes"], { ...env, SHEAF_TOKEN_FILE: undefined });
  assert.match(noToken.stderr, /UNAUTHORIZED/);
  const second = await run(["slurm", "up", "--nodes", "1"]);
  assert.match(second.stderr, /a cluster was started already, in job \d+ \[USAGE\]/);

  const status = await run(["slurm", "status", "--json"]);
  assert.equal(status.code, 0);
  const {
    job,
    slurm: told,
    pilot,
    nodes,
  } = JSON.parse(status.stdout) as {
    readonly job: string;
    readonly slurm: { readonly state: string; readonly timeLimit: string };
    readonly pilot: { readonly url: string; readonly joined: number };
    readonly nodes: readonly { readonly agent: string; readonly state: string }[];
  };
  assert.deepEqual(
    [told.state, told.timeLimit, pilot.url, pilot.joined],
    ["RUNNING", "00:10:00", env["SHEAF_ON"], 2],
  );
  assert.deepEqual(
    nodes.map(({ agent, state }) => [agent, state]),
    [
      ["n1", "up"],
      ["n2", "up"],
    ],
  );
  const down = await run(["slurm", "down"]);
  assert.equal(down.stderr, `the cluster of job ${job} has ended\n`);
  assert.match(lab.run("scontrol", ["-o", "show", "job", job]), /JobState=COMPLETED .* ExitCode=0:0 /);
  assert.deepEqual(processes(root), []);
  assert.deepEqual(readdirSync(scratch), []);
  assert.match((await run(["slurm", "status"])).stderr, /no cluster was started/);
  assert.match((await run(["slurm", "down"])).stderr, /no cluster was started/);
});

test(
  "inside of an allocation it starts by srun; scancel midway ends jobs and leaves nothing",
  { skip },
  async (t) => {
    const lab = await slurm();
    const { root, scratch, env, run } = place(t, lab.env);
    writeFileSync(
      join(root, "held.ts"),
      `import { count, job, text } from "sheaf";
     export default job({ input: text(), reduce: count(), async map(line, emit, ctx) {
       console.log("held"); await new Promise(() => undefined); } });`,
    );
    writeFileSync(join(root, "hold.sh"), "#!/bin/sh\nexec sleep 600\n");
    const outer = ["--parsable", "--nodes=2", "--cpus-per-task=2", "--mem-per-cpu=10", "--output=/dev/null"];
    const job = lab.run("sbatch", [...outer, join(root, "hold.sh")]).trim();
    await until(
      "the allocation",
      () => lab.run("squeue", ["-h", "-j", job, "-o", "%T"]).trim() === "RUNNING",
    );
    // As the batch script of that job would have them, with what excludes each other for a step.
    const inside = {
      SLURM_JOB_ID: job,
      SLURM_JOB_NUM_NODES: "2",
      SLURM_MEM_PER_CPU: "10",
      SLURM_MEM_PER_NODE: "9",
    };
    const passed = await run(["slurm", "up", "--", "--partition=x"], inside);
    assert.match(passed.stderr, /inside of an allocation nothing can be passed to sbatch \[USAGE\]/);
    const up = await run(["slurm", "up", "--tls", "--slots", "1", "--grace", "2s"], inside);
    assert.equal(up.code, 0, up.stderr);
    const client = exported(up.stderr);
    assert.match(client["SHEAF_ON"]!, /^https:/);
    assert.equal(Object.keys(client).length, 5);
    const running = startSheaf(["run", "held.ts", "in", "-o", "out", "--shared"], {
      cwd: root,
      env: { ...env, ...client },
      timeoutMs: 120_000,
    });
    await running.until("held");
    assert.ok(processes(root).length >= 3);
    lab.run("scancel", [job]);
    const ended = await running.done;
    assert.equal(ended.code, 3, ended.stderr);
    assert.match(ended.stderr, /the job was cancelled: its Slurm allocation ends; nothing was written/);
    await until("the end of the job", () => lab.run("squeue", ["-h", "-o", "%i"]).trim() === "");
    await until("the end of all processes", () => processes(root).length === 0);
    assert.deepEqual(readdirSync(scratch), []);
    assert.ok(!readdirSync(root).includes("out"));
    assert.match((await run(["slurm", "down"])).stderr, /has ended/);
  },
);

const showJob = (state: string, more = ""): string =>
  `echo "JobId=7 JobName=sheaf JobState=${state} ${more}"`;

test("what is wrong with the job is told, with what its log says last", async (t) => {
  const cases: readonly (readonly [
    name: string,
    programs: Record<string, string>,
    code: number,
    said: RegExp,
  ])[] = [
    ["no Slurm", {}, 1, /there is no scontrol|there is no sbatch on the PATH \[PROGRAM_UNUSABLE\]/],
    [
      "a partition that is not there",
      { sbatch: 'echo "sbatch: error: invalid partition specified: x" >&2; exit 1' },
      1,
      /sbatch: sbatch: error: invalid partition specified: x \[PROGRAM_FAILED\]/,
    ],
    [
      "a job that fails at once",
      {
        sbatch: 'for f; do :; done; echo "there is no Node" > "$(dirname "$f")/slurm-7.log"; echo 7',
        scontrol: showJob("FAILED", "ExitCode=127:0"),
        scancel: "exit 0",
      },
      1,
      /job 7 \(FAILED, exit code 127\) did not start \[UNREACHABLE\]\n {2}It said last:\n {4}there is no Node/,
    ],
    [
      "nodes that do not see the directory",
      { sbatch: "echo 7", scontrol: showJob("FAILED", "ExitCode=0:53"), scancel: "exit 0" },
      1,
      /FAILED, exit code 0:53\b[^]*There is no log at .*slurm-7\.log\. Nodes must see that directory.*--state DIR/,
    ],
  ];
  for (const [name, programs, code, said] of cases) {
    const { env, bin } = fakeSlurm(t, programs);
    // Without any other Slurm of this machine.
    const path = name === "no Slurm" ? bin : env.PATH;
    const { run } = place(t, { ...env, PATH: path });
    const up = await run(["slurm", "up", "--nodes", "2"]);
    assert.equal(up.code, code, `${name}: ${up.stderr}`);
    assert.match(up.stderr, said, name);
  }
});

test("a controller that answers late, or not, neither loses the job nor is taken for its end", async (t) => {
  // sbatch gives up, while the job was taken (snakemake#1789, nextflow#970): it is found by its comment.
  const { env, asked } = fakeSlurm(t, {
    sbatch: `for f; do :; done; sed -n 's/^#SBATCH --comment=//p' "$f" > "$0.mark"
      echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1`,
    squeue: `echo "3 other"; echo "7 $(cat "$(dirname "$0")/sbatch.mark")"`,
    // Then nobody answers for a while (nextflow#2696), at last the job waits, and is gone.
    scontrol: `if [ $n -le 2 ]; then echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1
      elif [ $n = 3 ]; then ${showJob("PENDING", "Reason=Resources ")}
      else echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; fi`,
    scancel: "exit 0",
  });
  const { run } = place(t, env);
  const up = await run(["slurm", "up", "--nodes", "2", "--", "--account", "me"]);
  assert.equal(up.code, 1);
  assert.match(
    up.stderr,
    /^job 7: Slurm does not answer \(slurm_load_jobs error: Unable to .*\); asking again\njob 7: PENDING \(Resources\)\njob 7: Slurm knows no such job any more\n/,
  );
  assert.match(asked("sbatch"), /^--parsable --account me \S+pilot\.sh\n$/);
  assert.match(asked("scancel"), /^7\n$/);
});

test("Ctrl-C ends a job that waits, and --detach leaves it", async (t) => {
  const { env, asked } = fakeSlurm(t, {
    sbatch: 'echo "7;far"',
    scontrol: showJob("PENDING", "Reason=Priority"),
    scancel: "exit 0",
  });
  const { root, run, env: all } = place(t, env);
  const waiting = startSheaf(["slurm", "up", "--nodes", "2"], { cwd: root, env: all });
  await waiting.until("PENDING (Priority)");
  waiting.child.kill("SIGINT");
  assert.equal((await waiting.done).code, 3);
  assert.equal(asked("scancel"), "--clusters=far 7\n");
  assert.match((await run(["slurm", "up", "--nodes", "2"])).stderr, /started already, in job 7/);
  assert.match(asked("scontrol"), /^--oneliner --clusters=far show job 7$/m);
  const other = ["slurm", "up", "--nodes", "2", "--state", "other", "--detach", "--json"];
  const detached = await run(other);
  assert.deepEqual(JSON.parse(detached.stdout), {
    job: "7",
    cluster: "far",
    log: join(root, "other/slurm-7.log"),
  });
});

test("--print shows a script that a shell reads, whatever the paths are; what would make another job is refused", async (t) => {
  const { root, run } = place(t, { SLURM_JOB_ID: undefined });
  const printed = await run([
    "slurm",
    "up",
    "--nodes",
    "3",
    "--root",
    "it's here",
    "--scratch",
    "$SLURM_TMPDIR/x",
    "--print",
  ]);
  assert.match(printed.stdout, /^#!\/bin\/sh\n/);
  assert.match(printed.stdout, /^#SBATCH --nodes=3$/m);
  assert.match(printed.stdout, /^#SBATCH --signal=B:TERM@120$/m);
  const exec = printed.stdout.split("\n").find((line) => line.startsWith("exec "))!;
  const { stdout } = spawnSync("sh", ["-c", exec.replace("exec", "printf '%s\\n'")], { encoding: "utf8" });
  const words = ["slurm", "pilot", "--state", join(root, "state/slurm"), "--nodes", "3"];
  words.push("--root", join(root, "it's here"), "--scratch", "$SLURM_TMPDIR/x");
  assert.deepEqual(stdout.trim().split("\n"), words);
  assert.ok(!readdirSync(root).includes("state"), "it was written");
  const options = { nodes: 1, graceMs: 1e9, mark: "m", pilot: ["slurm"] };
  const odd = batchScript({ ...options, directory: '/a b/100%j/"x"' });
  assert.match(odd, /^#SBATCH --output="\/a b\/100%%j\/\\"x\\"\/slurm-%j\.log"$/m);
  assert.match(odd, /B:TERM@65535$/m);
  assert.equal(spawnSync("sh", ["-n"], { input: odd }).status, 0);
  for (const word of ["--array=1-3", "-a1-3", "--wrap=x", "-W", "--nodes=2", "-N2"]) {
    const refused = await run(["slurm", "up", "--nodes", "1", "--", word]);
    assert.deepEqual([refused.code, /cannot be passed to sbatch here/.test(refused.stderr)], [2, true], word);
  }
  assert.match((await run(["slurm", "up"])).stderr, /--nodes is missing \[USAGE\]/);
  assert.match((await run(["slurm", "down", "--", "-x"])).stderr, /passes nothing to sbatch/);
  assert.match((await run(["slurm", "pilot"])).stderr, /for the inside of a Slurm allocation/);
});
