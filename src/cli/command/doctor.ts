import { existsSync, readFileSync } from "node:fs";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { clusterUrl, stateDirectoryOf } from "../connection.ts";
import { inCategory } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { textTable } from "../ui/text.ts";
import { writeJson, writeTo } from "../world.ts";
import type { Finding } from "./doctor/checks.ts";

export const doctorFlags = inCategory("Cluster", { ...connectFlags, json: jsonFlag });

export const doctorCommand: CliCommand<typeof doctorFlags> = {
  name: "doctor",
  summary: "Look at what this machine has, and say what is missing",
  details: [
    "Node, memory, cores, limits, directories and file systems; Slurm's commands where there are any. With --on also " +
      "what is meant there: --on hadoop and --on spark look for Java, the engine and the jars, --on URL asks a " +
      "coordinator for its version, agents and time. It ends with 1 when something fails.",
  ],
  arguments: [],
  flags: doctorFlags,
  examples: [
    ["sheaf doctor", "This machine"],
    ["sheaf doctor --on spark", "And what a job on Spark needs"],
    ["sheaf doctor --on http://head:7077 --json", "And a coordinator, for a program"],
  ],
  run,
};

async function run({ flags, world }: Invocation<typeof doctorFlags>): Promise<ExitCode> {
  const checks = await import("./doctor/checks.ts");
  const groups = checks.readGroupLimits();
  const limits = "/proc/self/limits";
  const { env } = world;
  const findings: Finding[] = [
    checks.checkNode(process.versions.node),
    checks.checkPlatform(),
    await checks.checkNatives(),
    checks.checkCores(groups),
    checks.checkMemory(groups),
    ...(existsSync(limits) ? checks.checkLimits(readFileSync(limits, "utf8")) : []),
    checks.temporaryDirectory(),
    checks.checkDirectory("state", stateDirectoryOf(world), "state"),
  ];
  const engines = await import("./doctor/engines.ts");
  findings.push(...(await engines.checkSlurm(env)));
  const on = flags.on ?? env["SHEAF_ON"];
  const url = clusterUrl(flags, world);
  if (on === "hadoop") findings.push(...(await engines.checkHadoop(env)));
  if (on === "spark") findings.push(...(await engines.checkSpark(env)));
  if (url !== undefined) {
    const { checkCoordinator } = await import("./doctor/coordinator.ts");
    findings.push(...(await checkCoordinator(flags, url, world)));
  }
  if (flags.json === true) await writeJson(world, { findings });
  else {
    const rows = findings.map(({ status, about, found }) => [status, about, found]);
    await writeTo(world.stdout, `${textTable(["STATUS", "WHAT", "FOUND"], rows).join("\n")}\n`);
    const todos = findings.flatMap(({ about, todo }) => (todo === null ? [] : [`${about}: ${todo}`]));
    if (todos.length > 0) await writeTo(world.stdout, `\n${todos.join("\n")}\n`);
  }
  return findings.some(({ status }) => status === "fail") ? exitCodes.failed : exitCodes.ok;
}
