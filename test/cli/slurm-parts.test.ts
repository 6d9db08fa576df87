import assert from "node:assert/strict";
import { test } from "node:test";
import { SlurmCommands, readJob } from "#src/cli/command/slurm/commands.js";
import { slotsOfNode } from "#src/cli/command/slurm/node.js";
import { stepEnvironment } from "#src/cli/command/slurm/pilot.js";
import { type Networks, nodeAddress, scratchOf } from "#src/cli/command/slurm/place.js";
import { fakeSlurm } from "../kit/slurm.js";

test("what scontrol says of a job is read, and silence says nothing", () => {
  const there = { kind: "there", reason: null, runTime: null, timeLimit: null, nodes: null } as const;
  const cases: readonly (readonly [stdout: string, stderr: string, is: object])[] = [
    [
      "JobId=1 JobState=RUNNING Reason=None NodeList=n[1-2]\n",
      "",
      { ...there, state: "RUNNING", nodes: "n[1-2]" },
    ],
    [
      "JobState=PENDING Reason=QOSMaxJobs NodeList=(null)",
      "",
      { ...there, state: "PENDING", reason: "QOSMaxJobs" },
    ],
    ["JobState=CANCELLED ExitCode=0:15", "", { kind: "ended", state: "CANCELLED", exitCode: "0:15" }],
    ["JobState=COMPLETING ExitCode=0:0", "", { ...there, state: "COMPLETING" }],
    ["JobState=CANCELLED,COMPLETING", "", { ...there, state: "CANCELLED,COMPLETING" }],
    ["JobState=NODE_FAIL ExitCode=1:0", "", { kind: "ended", state: "NODE_FAIL", exitCode: "1:0" }],
    ["", "slurm_load_jobs error: Invalid job id specified\n", { kind: "ended", state: null, exitCode: null }],
    // ood_core#149: exit code 0, and nothing but the name of a cluster.
    [
      "CLUSTER: amarel\n",
      "slurm_load_jobs error: Socket timed out\n",
      { kind: "unknown", why: "slurm_load_jobs error: Socket timed out" },
    ],
    ["", "", { kind: "unknown", why: "scontrol ended with 0 and said nothing" }],
  ];
  for (const [stdout, stderr, is] of cases) assert.deepEqual(readJob(0, stdout, stderr), is, stdout + stderr);
});

test("steps are those of this job, and none when Slurm does not answer", async (t) => {
  const of = async (text: string) => {
    const { env } = fakeSlurm(t, { squeue: text });
    const steps = await new SlurmCommands(env).steps({ job: "7", cluster: null });
    return steps === null ? null : Object.fromEntries(steps);
  };
  assert.deepEqual(await of('printf "7.0 sheaf\\n7.batch batch\\n71.0 x\\n"'), {
    "7.0": "sheaf",
    "7.batch": "batch",
  });
  assert.equal(await of('echo "squeue: error: timed out" >&2'), null);
  assert.deepEqual(await of('echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'), {});
});

test("a node is reached at the address of the network that was asked for, else where Slurm reaches it", async () => {
  const of = (family: "IPv4" | "IPv6", address: string) =>
    ({ family, address, internal: false, ...(family === "IPv6" && { scopeid: 0 }) }) as never;
  const networks: Networks = {
    lo: [of("IPv4", "127.0.0.1")],
    eth0: [of("IPv4", "10.0.0.5")],
    ib0: [of("IPv6", "fd00::5"), of("IPv4", "10.1.0.5")],
    ib1: [of("IPv6", "fd00::6")],
    none: [],
  };
  const names: Record<string, string[]> = { n5: ["127.0.1.1"], "n5-ib": ["10.9.9.9", "10.1.0.5"] };
  const resolve = (name: string) => Promise.resolve(names[name] ?? [name]);
  const ask = (network: string | undefined, slurmAddress: string | null) =>
    nodeAddress({ network, slurmAddress }, networks, resolve);
  assert.equal(await ask("ib0", "10.0.0.5"), "10.1.0.5");
  assert.equal(await ask("ib1", null), "fd00::6");
  assert.equal(await ask(undefined, "n5-ib"), "10.1.0.5");
  assert.equal(await ask(undefined, "10.0.0.5"), "10.0.0.5");
  assert.equal(await ask(undefined, "127.0.0.1"), "127.0.0.1");
  // The own name leads to loopback, which others do not reach: an address of this machine, whichever.
  const own = await ask(undefined, null);
  for (const told of ["n5", "elsewhere"]) assert.equal(await ask(undefined, told), own);
  // dask-jobqueue#207, #382: networks of login nodes and of compute nodes have other names.
  await assert.rejects(ask("none", null), /--network none: this node has no address on such a network/);
  await assert.rejects(ask("eth9", null), (error: { hint?: string }) =>
    /eth0 \(10\.0\.0\.5\)/.test(error.hint!),
  );
});

test("slots, scratch and the environment of a step follow from what Slurm sets", () => {
  const slots = (cpus: string | undefined, processors: number) =>
    slotsOfNode({ SLURM_CPUS_ON_NODE: cpus }, processors);
  assert.deepEqual(
    [slots("16", 64), slots("64", 1), slots(undefined, 8), slots("1", 8), slots("x", 4), slots("0", 4)],
    [15, 1, 7, 1, 3, 3],
  );
  const env = { TMPDIR: "/t", SLURM_TMPDIR: "/job/7", EMPTY: "" };
  assert.deepEqual(
    [undefined, "/big", "$SLURM_TMPDIR", "$SLURM_TMPDIR/x", "${TMPDIR}/y", "/a$TMPDIR"].map((one) =>
      scratchOf(one, env),
    ),
    ["/t", "/big", "/job/7", "/job/7/x", "/t/y", "/a$TMPDIR"],
  );
  assert.throws(() => scratchOf("$EMPTY/x", env), /\$EMPTY is not set on/);
  const step = stepEnvironment({
    PATH: "/bin",
    SLURM_JOB_ID: "7",
    SLURM_CONF: "/c",
    SLURM_TMPDIR: "/job/7",
    SLURM_CPU_BIND: "quiet,mask_cpu:0x1",
    SLURM_CPUS_PER_TASK: "2",
    SLURM_TRES_PER_TASK: "cpu:2",
    SRUN_CPUS_PER_TASK: "2",
    SLURM_JOB_NODELIST: "n1",
    SLURM_EXPORT_ENV: "NONE",
    PMI_RANK: "1",
    SHEAF_ON: "http://old",
    SHEAF_TOKEN_FILE: "/old",
    SHEAF_STATE: "/s",
  });
  const kept = ["PATH", "SLURM_JOB_ID", "SLURM_CONF", "SLURM_TMPDIR", "SHEAF_STATE"];
  assert.deepEqual(Object.keys(step), kept);
});
