import { join, resolve } from "node:path";
import { SheafError, describeThrown } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { shellWord } from "../../base/shell-word.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { stateDirectoryOf } from "../connection.ts";
import { inCategory, repeatedFlag, secondsText, switchFlag, types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { readFlags, storesFlag } from "../own-stores.ts";
import { rootOf } from "../server.ts";
import { textTable } from "../ui/text.ts";
import { type World, say, stopOnSignal, writeJson, writeTo } from "../world.ts";
import { exportsOf, nodesOf } from "./cluster.ts";
import { nodeLines } from "./nodes.ts";
import type { SlurmCommands } from "./slurm/commands.ts";
import type { PilotRecord, SlurmFiles, Submitted } from "./slurm/files.ts";
import type { SlurmUp } from "./slurm/up.ts";

export const slurmFlags = inCategory("Cluster", {
  nodes: valueFlag(
    "--nodes N",
    types.integer({ min: 1, max: 10_000 }),
    "up: nodes to ask for; an agent each",
    {
      default: "inside of an allocation all it has",
    },
  ),
  slots: valueFlag("--slots N", types.integer(settings.slots), "Tasks each agent runs at a time", {
    default: "one less than the processors that the job has of the node, at least 1",
  }),
  roots: repeatedFlag("--root DIR", types.path, "Jobs may read and write files below DIR; may be repeated", {
    default: "the current directory",
    details:
      "On a file system that all nodes have. An address is as https://data.example.org/logs/ or s3://bucket/logs/.",
  }),
  network: valueFlag(
    "--network NAME",
    types.string,
    'Network of the nodes that all of it uses, such as "ib0"',
    {
      default: "the one at which Slurm itself reaches the nodes",
    },
  ),
  port: valueFlag("-p, --port PORT", types.integer(settings.port), "Port of the coordinator", {
    default: "0: any free one",
  }),
  scratch: valueFlag(
    "--scratch DIR",
    types.string,
    "Directory on each node's own disk for what is between tasks",
    {
      default: "$TMPDIR of the node, else /tmp",
      details:
        "It may begin with a variable of the node: '$SLURM_TMPDIR'. What is there goes with the agent.",
    },
  ),
  tls: switchFlag("--tls", "up: TLS between all of them, with certificates made for it"),
  allowAddress: repeatedFlag(
    "--allow-address ADDRESS",
    types.string,
    "up: agents may read from this address of their own networks; may be repeated",
    { details: "As sheaf agent has it; for --root http://..." },
  ),
  stores: storesFlag,
  state: valueFlag(
    "--state DIR",
    types.path,
    "Directory that this machine and all nodes have: tokens, logs",
    {
      default: "slurm in $SHEAF_STATE, else in ~/.local/state/sheaf",
    },
  ),
  grace: valueFlag(
    "--grace TIME",
    types.duration,
    "up: how long agents may finish what runs, before the end",
    {
      default: secondsText(settings.graceMs),
    },
  ),
  print: switchFlag("--print", "up: show the batch script, and submit nothing"),
  detach: switchFlag("--detach", "up: do not wait until the job has started"),
  force: switchFlag("--force", "down: end the job at once"),
  join: valueFlag("--join URL", types.string, "agent: the coordinator; the pilot says so"),
  json: jsonFlag,
});

export const slurmCommand: CliCommand<typeof slurmFlags> = {
  name: "slurm",
  summary: "Start, look at and stop a cluster inside of a Slurm allocation",
  details: [
    "up submits a batch job of N nodes, in which a coordinator and an agent on each node run until the time is up or " +
      "sheaf slurm down; it waits until they are there, and says how to run jobs on them. What stands behind -- goes " +
      "to sbatch: partition, account, time, processors, memory. Inside of an allocation (salloc, a batch script) it " +
      "starts them there, by srun.",
    "status shows the job and its agents. down lets agents finish what runs, then ends the job. Results that only the " +
      "coordinator has go with it: give jobs an output (-o DIR --shared).",
    "pilot and agent are what the batch script and its srun run.",
  ],
  arguments: [
    {
      name: "ACTION",
      doc: "up, down, status; pilot or agent inside of the job",
      required: true,
      choices: ["up", "down", "status", "pilot", "agent"],
    },
  ],
  passes: "SBATCH-FLAG",
  flags: slurmFlags,
  examples: [
    [
      "sheaf slurm up --nodes 4 --root /project/logs -- --partition=batch --time=2:00:00 --cpus-per-task=16",
      "Four agents of 15 slots for two hours",
    ],
    ["sheaf slurm up --nodes 4 --print > pilot.sh", "The script, to be changed and submitted by hand"],
    ["sheaf slurm down", "End it"],
  ],
  run,
};

type Given = Invocation<typeof slurmFlags>;

async function run({ flags, positionals, passed, world }: Given): Promise<ExitCode> {
  const [action] = positionals;
  if (passed.length > 0 && action !== "up") {
    throw new SheafError("USAGE", `sheaf slurm ${action} passes nothing to sbatch`, {
      hint: "Leave out what stands behind --.",
    });
  }
  const [{ SlurmCommands }, { SlurmFiles }] = await Promise.all([
    import("./slurm/commands.ts"),
    import("./slurm/files.ts"),
  ]);
  const state =
    flags.state === undefined ? join(stateDirectoryOf(world), "slurm") : resolve(world.cwd, flags.state);
  const files = new SlurmFiles(state);
  const slurm = new SlurmCommands(world.env);
  const roots = flags.roots.map((root) => rootOf(root, world.cwd));
  switch (action) {
    case "up":
      return up(flags, passed, { files, slurm, world });
    case "down":
      return down(flags, { files, slurm, world });
    case "status":
      return status(flags, { files, slurm, world });
    case "pilot":
      return pilot(flags, files, roots, world);
    default: {
      const { runNode } = await import("./slurm/node.ts");
      const { join: joined, network, slots, allowAddress, stores, scratch } = flags;
      const graceMs = flags.grace ?? settings.graceMs.default;
      const tls = flags.tls === true;
      await runNode(
        { files, join: joined, network, slots, roots, allowAddress, stores, scratch, tls, graceMs },
        world,
      );
      return exitCodes.ok;
    }
  }
}

async function pilot(
  flags: Given["flags"],
  files: SlurmFiles,
  roots: readonly string[],
  world: World,
): Promise<ExitCode> {
  const { runPilot } = await import("./slurm/pilot.ts");
  files.prepare();
  await runPilot(
    {
      files,
      nodes: flags.nodes,
      network: flags.network,
      port: flags.port ?? 0,
      roots,
      scratch: flags.scratch,
      tls: flags.tls === true,
      graceMs: flags.grace ?? settings.graceMs.default,
      agentFlags: [
        ...(flags.slots === undefined ? [] : ["--slots", String(flags.slots)]),
        ...readFlags(flags, world.cwd),
      ],
    },
    world,
  );
  return exitCodes.ok;
}

interface Place {
  readonly files: SlurmFiles;
  readonly slurm: SlurmCommands;
  readonly world: World;
}

async function up(flags: Given["flags"], passed: readonly string[], place: Place): Promise<ExitCode> {
  const { files, slurm, world } = place;
  const json = flags.json === true;
  const { scriptOf, startInside, submitPilot, waitForPilot } = await import("./slurm/up.ts");
  const allocation = world.env["SLURM_JOB_ID"] || null;
  const nodes =
    flags.nodes ?? (allocation === null ? undefined : Number(world.env["SLURM_JOB_NUM_NODES"] ?? 1));
  if (nodes === undefined) {
    throw new SheafError("USAGE", "--nodes is missing", {
      hint: "Say how many nodes to ask for: --nodes 4.",
    });
  }
  const wanted: SlurmUp = {
    files,
    slurm,
    nodes,
    graceMs: flags.grace ?? settings.graceMs.default,
    pilot: pilotArguments(flags, files, nodes, world),
    passed,
    nowMs: () => world.clock.nowMs(),
    say: (text) => (json ? undefined : say(world.stderr, `${text}\n`)),
    env: world.env,
  };
  if (flags.print === true) {
    await writeTo(world.stdout, scriptOf(wanted));
    return exitCodes.ok;
  }
  await refuseSecond(place);
  const { submitted, ended } =
    allocation === null
      ? { submitted: await submitPilot(wanted), ended: () => null }
      : startInside(wanted, allocation);
  const { job } = submitted;
  if (flags.detach === true) {
    if (json) await writeJson(world, { job, cluster: submitted.cluster, log: files.log(job) });
    else await writeTo(world.stderr, `job ${job} is submitted; sheaf slurm status says when it is up\n`);
    return exitCodes.ok;
  }
  const farewell = `ending job ${job}`;
  const stop = stopOnSignal({ say: wanted.say, end: () => undefined }, world, farewell);
  try {
    const record = await waitForPilot(wanted, submitted, ended, stop.signal);
    return await tell(record, submitted, flags, place);
  } catch (error) {
    const { endNow } = await import("./slurm/end.ts");
    await endNow(slurm, submitted).catch((second: unknown) => wanted.say(describeThrown(second)));
    throw error;
  } finally {
    stop.release();
  }
}

/** The same flags for the pilot, paths absolute. */
function pilotArguments(flags: Given["flags"], files: SlurmFiles, nodes: number, world: World): string[] {
  const value = (name: string, given: string | number | undefined): string[] =>
    given === undefined ? [] : [name, String(given)];
  const roots = flags.roots.length > 0 ? flags.roots.map((root) => rootOf(root, world.cwd)) : [world.cwd];
  return [
    "slurm",
    "pilot",
    ...value("--state", files.directory),
    ...value("--nodes", nodes),
    ...roots.flatMap((root) => ["--root", root]),
    ...value("--slots", flags.slots),
    ...value("--network", flags.network),
    ...value("--port", flags.port),
    ...value("--scratch", flags.scratch),
    ...value("--grace", flags.grace === undefined ? undefined : `${flags.grace}ms`),
    ...readFlags(flags, world.cwd),
    ...(flags.tls === true ? ["--tls"] : []),
  ];
}

/** @throws SheafError USAGE when the directory's pilot still runs or waits */
async function refuseSecond({ files, slurm }: Place): Promise<void> {
  const before = files.known();
  const { isKnownToSlurm } = await import("./slurm/end.ts");
  if (before === null || (await isKnownToSlurm(slurm, before)) === false) return;
  throw new SheafError("USAGE", `a cluster was started already, in job ${before.job}`, {
    hint: "See sheaf slurm status; end it with sheaf slurm down. Another one beside it needs its own --state DIR.",
  });
}

async function tell(
  record: PilotRecord,
  submitted: Submitted,
  flags: Given["flags"],
  { files, world }: Place,
): Promise<ExitCode> {
  const { url, tls = null, joined, nodes } = record;
  const heard = await nodesOf(
    { url, ...(tls === null ? {} : { tls }) },
    files.tokens.client,
    world.clock.wallMs(),
  );
  if (flags.json === true) {
    const { job, cluster } = submitted;
    await writeJson(world, {
      job,
      cluster,
      url,
      tokenFile: files.tokens.client,
      tls,
      nodes,
      joined,
      ...heard,
    });
    return exitCodes.ok;
  }
  if ("nodes" in heard) await writeTo(world.stdout, `${nodeLines(heard.nodes).join("\n")}\n`);
  if (joined < nodes) {
    await writeTo(world.stderr, `\n${joined} of ${nodes} agents have joined; see ${files.log(record.job)}\n`);
  }
  const token = `export SHEAF_TOKEN_FILE=${shellWord(files.tokens.client)}\n`;
  await writeTo(
    world.stderr,
    `\nthe cluster is up until the job's time is; use it with\n\nexport SHEAF_ON=${url}\n${token}` +
      `${tls === null ? "" : exportsOf(tls)}sheaf run JOB INPUT... -o DIR --shared\n`,
  );
  if ("error" in heard) await writeTo(world.stderr, `\n${unreachable(record, heard.error)}\n`);
  return exitCodes.ok;
}

/** What to do where this machine does not reach the nodes. */
function unreachable({ url, job, node }: PilotRecord, why: string): string {
  const { host, hostname, port, protocol } = new URL(url);
  return [
    `this machine does not reach it (${why}). Either run sheaf inside of the allocation:`,
    "",
    `srun --jobid=${job} --overlap --nodes=1 --ntasks=1 --pty bash`,
    "",
    "or, where ssh gets to the node, by a tunnel, with another URL:",
    "",
    `ssh -N -L ${port}:${host} ${node} &`,
    `export SHEAF_ON=${protocol}//127.0.0.1:${port}`,
    "",
    `Neither needs the name of the node to be known here: ${hostname} is an address of it.`,
  ].join("\n");
}

async function down(flags: Given["flags"], { files, slurm, world }: Place): Promise<ExitCode> {
  const { endPilot } = await import("./slurm/end.ts");
  const job = files.known()?.job ?? null;
  const ended = await endPilot({
    files,
    slurm,
    force: flags.force === true,
    nowMs: () => world.clock.nowMs(),
  });
  if (flags.json === true) await writeJson(world, { job, ended });
  else {
    const text =
      job === null ? `no cluster was started in ${files.directory}` : `the cluster of job ${job} has ended`;
    await writeTo(world.stderr, `${text}\n`);
  }
  return exitCodes.ok;
}

async function status(flags: Given["flags"], { files, slurm, world }: Place): Promise<ExitCode> {
  const submitted = files.known();
  if (submitted === null) {
    if (flags.json === true) await writeJson(world, { job: null });
    else {
      const hint = "start one: sheaf slurm up --nodes N";
      await writeTo(world.stderr, `no cluster was started in ${files.directory}; ${hint}\n`);
    }
    return exitCodes.failed;
  }
  const { tellOf } = await import("./slurm/up.ts");
  const look = await slurm.look(submitted);
  const record = look.kind === "ended" ? null : files.pilot(submitted);
  const heard = record === null ? null : await nodesOf(record, files.tokens.client, world.clock.wallMs());
  const isWell = look.kind === "there" && record !== null && record.joined >= record.nodes;
  const { job, cluster } = submitted;
  const log = files.log(job);
  if (flags.json === true) {
    await writeJson(world, { job, cluster, slurm: look, pilot: record, log, ...heard });
    return isWell ? exitCodes.ok : exitCodes.failed;
  }
  const of = look.kind === "there" ? look : { runTime: null, timeLimit: null, nodes: null };
  const columns = ["JOB", "STATE", ">RUN TIME", ">LIMIT", "NODES", "LOG"];
  const row = [job, tellOf(look), of.runTime ?? "-", of.timeLimit ?? "-", of.nodes ?? "-", log];
  await writeTo(world.stdout, `${textTable(columns, [row]).join("\n")}\n`);
  if (record !== null) {
    const { url, joined, nodes } = record;
    await writeTo(world.stdout, `\n${url}: ${joined} of ${nodes} agents are up\n`);
  }
  if (heard !== null && "nodes" in heard)
    await writeTo(world.stdout, `${nodeLines(heard.nodes).join("\n")}\n`);
  else if (heard !== null && record !== null) {
    await writeTo(world.stderr, `\n${unreachable(record, heard.error)}\n`);
  }
  return isWell ? exitCodes.ok : exitCodes.failed;
}
