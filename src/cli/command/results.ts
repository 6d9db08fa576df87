import { formatSize } from "../../base/size.ts";
import type { ApiClient } from "../../client/api-client.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodeOf, exitCodes } from "../command.ts";
import { withCluster } from "../connection.ts";
import { deliverResults, disposeDelivery, prepareFetch } from "../deliver.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { errorText } from "../ui/summary.ts";
import { displayPath, formatCount, plural, textTable } from "../ui/text.ts";
import { type World, stopOnSignal, writeJson, writeTo } from "../world.ts";
import { fetchFlags } from "./run/flags.ts";

export const resultsFlags = { ...fetchFlags, ...connectFlags, json: jsonFlag };

export const resultsCommand: CliCommand<typeof resultsFlags> = {
  name: "results",
  summary: "List, fetch or print the results of a job on a cluster",
  details: [
    "Alone it lists the result files. With -o DIR they are fetched, checked and written, whole or not at all, as " +
      "sheaf run would have written them. With --print N or --collect the results are printed, one a line: key, tab, " +
      "value; this needs a job that was submitted without -o.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job; default @, the latest", required: false, complete: "handle" }],
  flags: resultsFlags,
  examples: [
    ["sheaf results @ -o out", "Fetch those of the latest job"],
    ["sheaf results @?wordcount --print 10", "Look at the first ten"],
  ],
  run,
};

type Flags = Invocation<typeof resultsFlags>["flags"];

async function run({ flags, positionals, world }: Invocation<typeof resultsFlags>): Promise<ExitCode> {
  return withCluster(flags, world, async (api) => {
    const { findClusterJob } = await import("../../client/find-job.ts");
    const { job } = await findClusterJob(api, positionals[0] ?? "@");
    const isWanted = flags.output !== undefined || flags.collect === true || (flags.print ?? 0) > 0;
    if (isWanted) return fetchResults(api, job, flags, world);
    return listResults(api, job, flags.json === true, world);
  });
}

async function listResults(api: ApiClient, job: string, json: boolean, world: World): Promise<ExitCode> {
  const { state, output, parts, collected } = await api.job(job);
  if (json) {
    await writeJson(world, { job, state, output, parts, collected });
    return exitCodes.ok;
  }
  if (parts.length === 0 && collected.length === 0) {
    await writeTo(world.stderr, `${job} has no results: it is ${state}\n`);
    return exitCodes.ok;
  }
  const rows = (parts.length === 0 ? collected : parts).map((part) => [
    part.file,
    formatCount(part.records),
    formatSize(part.bytes),
    part.crc32c,
  ]);
  const columns = ["FILE", ">RECORDS", ">SIZE", "CRC-32C"];
  await writeTo(world.stdout, `${textTable(columns, rows).join("\n")}\n`);
  const where = output ?? `kept by the coordinator; fetch them: sheaf results ${job} -o DIR`;
  await writeTo(world.stderr, `${where}\n`);
  return exitCodes.ok;
}

async function fetchResults(api: ApiClient, job: string, flags: Flags, world: World): Promise<ExitCode> {
  const style = styleFor(world.stderr, world.env, flags.color);
  const json = flags.json === true;
  const { delivery, output, wishes } = await prepareFetch(flags, world.cwd);
  const reporter = makeReporter({ quiet: false, json, style }, world);
  const stop = stopOnSignal(reporter, world);
  try {
    const { resultsOf } = await import("../../client/cluster-run.ts");
    const result = await resultsOf(api, job, { ...wishes, signal: stop.signal });
    if (result.error !== null) {
      await writeTo(world.stderr, errorText(result.error, flags.debug === true, style));
      return exitCodeOf(result.error.code);
    }
    const { collections } = await api.job(job);
    await deliverResults(delivery, result, { collections, json, signal: stop.signal }, world);
    if (output !== null) {
      const bytes = formatSize(result.parts.reduce((sum, part) => sum + part.bytes, 0));
      const where = displayPath(output, world.cwd);
      if (json) await writeJson(world, { job, output, parts: result.parts });
      else await writeTo(world.stderr, `${plural(result.parts.length, "file")}, ${bytes} in ${where}\n`);
    }
    await result.dispose();
    return exitCodes.ok;
  } finally {
    await disposeDelivery(delivery);
    stop.release();
    reporter.end();
  }
}
