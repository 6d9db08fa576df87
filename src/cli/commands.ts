import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import type { CliCommand, CommandTable } from "./command.ts";

const loaders: Readonly<Record<string, () => Promise<CliCommand>>> = {
  run: async () => (await import("./command/run.ts")).runCommand,
  stream: async () => (await import("./command/stream.ts")).streamCommand,
  watch: async () => (await import("./command/watch.ts")).watchCommand,
  plan: async () => (await import("./command/plan.ts")).planCommand,
  mrjob: async () => (await import("./command/mrjob.ts")).mrjobCommand,
  submit: async () => (await import("./command/submit.ts")).submitCommand,
  resume: async () => (await import("./command/resume.ts")).resumeCommand,
  attach: async () => (await import("./command/attach.ts")).attachCommand,
  kill: async () => (await import("./command/kill.ts")).killCommand,
  delete: async () => (await import("./command/delete.ts")).deleteCommand,
  replay: async () => (await import("./command/replay.ts")).replayCommand,
  verify: async () => (await import("./command/verify.ts")).verifyCommand,
  show: async () => (await import("./command/show.ts")).showCommand,
  bad: async () => (await import("./command/bad.ts")).badCommand,
  jobs: async () => (await import("./command/jobs.ts")).jobsCommand,
  logs: async () => (await import("./command/logs.ts")).logsCommand,
  results: async () => (await import("./command/results.ts")).resultsCommand,
  schedule: async () => (await import("./command/schedule.ts")).scheduleCommand,
  nodes: async () => (await import("./command/nodes.ts")).nodesCommand,
  cluster: async () => (await import("./command/cluster.ts")).clusterCommand,
  slurm: async () => (await import("./command/slurm.ts")).slurmCommand,
  k8s: async () => (await import("./command/k8s.ts")).k8sCommand,
  inspect: async () => (await import("./command/inspect.ts")).inspectCommand,
  doctor: async () => (await import("./command/doctor.ts")).doctorCommand,
  project: async () => (await import("./command/project.ts")).projectCommand,
  init: async () => (await import("./command/init.ts")).initCommand,
  gen: async () => (await import("./command/gen.ts")).genCommand,
  coordinator: async () => (await import("./command/coordinator.ts")).coordinatorCommand,
  agent: async () => (await import("./command/agent.ts")).agentCommand,
  worker: async () => (await import("./command/worker.ts")).workerCommand,
  certs: async () => (await import("./command/certs.ts")).certsCommand,
  completion: async () => (await import("./command/completion.ts")).completionCommand,
  help: async () => (await import("./command/help.ts")).helpCommand,
  version: async () => (await import("./command/version.ts")).versionCommand,
};

export const commands: CommandTable = {
  names: Object.keys(loaders),
  find(name) {
    const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
    if (load !== undefined) return load();
    const near = suggest(name, Object.keys(loaders));
    throw new SheafError("USAGE", `there is no command "${name}"`, {
      hint: near === undefined ? "See sheaf help for the commands." : `Did you mean sheaf ${near}?`,
    });
  },
  all: () => Promise.all(Object.values(loaders).map((load) => load())),
};
