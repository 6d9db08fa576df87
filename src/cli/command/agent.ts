import { settings } from "../../base/limits.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes, given } from "../command.ts";
import { inCategory, secondsText, repeatedFlag, switchFlag, types, valueFlag } from "../flag.ts";
import { storesFlag } from "../own-stores.ts";
import { agentStateOf, serverFlags } from "../server.ts";

const { state, ...listenFlags } = serverFlags;

const joinFlags = inCategory("Execution", {
  join: valueFlag("--join URL", types.string, "The coordinator: http://host:7077"),
  name: valueFlag("--name NAME", types.string, "Name of the agent, unique in the cluster", {
    default: "this machine's name",
  }),
  slots: valueFlag("--slots N", types.integer(settings.slots), "Tasks run at a time", {
    default: "one less than there are cores, at least 1",
  }),
});

/** What agents and workers have in common. */
export const agentProcessFlags = inCategory("Execution", {
  port: valueFlag(
    "-p, --port PORT",
    types.integer(settings.port),
    "Port on which other agents fetch map outputs",
    { default: "0: any free one" },
  ),
  advertise: valueFlag("--advertise URL", types.string, "URL under which other agents reach it", {
    default: "the address it listens on",
  }),
  ...listenFlags,
  tokenFile: valueFlag(
    "--token-file FILE",
    types.path,
    "File with the token of agents, copied from the coordinator",
    { default: "$SHEAF_TOKEN_FILE, else agent.token of a coordinator on this machine" },
  ),
  insecure: switchFlag("--insecure", "Show no token: for a coordinator that was started with --insecure"),
  allowAddress: repeatedFlag(
    "--allow-address ADDRESS",
    types.string,
    "Jobs may read from this address of its own networks (10.1.2.3, 10.0.0.0/8); may be repeated",
    { details: "Else what --root lists is read from public addresses only, whatever names are resolved to." },
  ),
  stores: storesFlag,
  workerMemory: valueFlag(
    "--worker-memory SIZE",
    types.size(settings.workerMemoryBytes),
    "Memory each worker may have in all; one that takes more is ended",
    { default: "the job's memory and heap, and what a process needs" },
  ),
  grace: valueFlag("--grace TIME", types.duration, "After SIGTERM, how long to wait for what runs", {
    default: secondsText(settings.graceMs),
    details:
      "What is not finished by then is handed back and runs elsewhere. A second signal ends it at once.",
  }),
});

const { name, slots, join } = joinFlags;
export const nameFlag = name;

export const agentFlags = { join, name, slots, state, ...agentProcessFlags };

export const agentCommand: CliCommand<typeof agentFlags> = {
  name: "agent",
  summary: "Offer this machine's cores to a cluster",
  details: [
    "Joins a coordinator, runs tasks in worker processes, and keeps what maps have written until their job ends. It " +
      "dials out to the coordinator; other agents fetch map outputs from it.",
  ],
  arguments: [],
  flags: agentFlags,
  examples: [
    ["sheaf agent --join http://127.0.0.1:7077", "An agent beside its coordinator"],
    [
      "sheaf agent --join http://head:7077 --host 10.0.0.5 --token-file agent.token --root /mnt/shared",
      "On another machine",
    ],
  ],
  run,
};

async function run({ flags, world }: Invocation<typeof agentFlags>): Promise<ExitCode> {
  const [{ agentName }, { runAgent }] = await Promise.all([
    import("../../agent/agent-options.ts"),
    import("./agent/process.ts"),
  ]);
  const name = agentName(flags.name);
  const stateDirectory = agentStateOf(world, name, flags.state);
  await runAgent(
    flags,
    { join: flags.join, joinFlag: "--join", name, stateDirectory, ...given({ slots: flags.slots }) },
    world,
  );
  return exitCodes.ok;
}
