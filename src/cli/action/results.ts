import { resolve } from "node:path";
import { formatSize } from "../../base/size.ts";
import type { ApiClient } from "../../client/api-client.ts";
import { resultsOf } from "../../client/cluster-run.ts";
import { findClusterJob } from "../../client/find-job.ts";
import { checkOutput } from "../../storage/atomic-output.ts";
import { withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { deliverResults, disposeDelivery, prepareFetch, wantsRecords } from "../deliver-results.ts";
import { exitCodeOf, exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { resultsFlags } from "../flags/results-flags.ts";
import { errorText } from "../report-error.ts";
import { stopOnSignal } from "../stop-on-signal.ts";
import { table } from "../ui/layout.ts";
import { formatCount, plural } from "../ui/numbers.ts";
import { makeReporter } from "../ui/reporter.ts";
import { styleFor } from "../ui/style.ts";
import { displayPath } from "../ui/summary.ts";
import type { World } from "../world.ts";
import { writeTo } from "../world.ts";

type Flags = Invocation<typeof resultsFlags>["flags"];

export async function run({ flags, positionals, world }: Invocation<typeof resultsFlags>): Promise<ExitCode> {
  return withCluster(flags, world, async (api) => {
    const { job } = await findClusterJob(api, positionals[0] ?? "@");
    const isWanted = flags.output !== undefined || flags.collect === true || (flags.print ?? 0) > 0;
    if (isWanted) return fetchResults(api, job, flags, world);
    return listResults(api, job, flags.json === true, world);
  });
}

async function listResults(api: ApiClient, job: string, json: boolean, world: World): Promise<ExitCode> {
  const { state, output, parts, collected } = await api.job(job);
  if (json) {
    await writeTo(world.stdout, `${JSON.stringify({ job, state, output, parts, collected })}\n`);
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
  const columns = [
    { title: "FILE" },
    { title: "RECORDS", align: "right" },
    { title: "SIZE", align: "right" },
    { title: "CRC-32C" },
  ] as const;
  await writeTo(world.stdout, `${table(columns, rows).join("\n")}\n`);
  const where = output ?? `kept by the coordinator; fetch them: sheaf results ${job} -o DIR`;
  await writeTo(world.stderr, `${where}\n`);
  return exitCodes.ok;
}

async function fetchResults(api: ApiClient, job: string, flags: Flags, world: World): Promise<ExitCode> {
  const style = styleFor(world.stderr, world.env, flags.color);
  const json = flags.json === true;
  const overwrite = flags.overwrite === true;
  const output = flags.output === undefined ? null : resolve(world.cwd, flags.output);
  if (output !== null) await checkOutput(output, { overwrite });
  const delivery = await prepareFetch(flags, output);
  const target = delivery.kind === "stdout" ? delivery.output : output;
  const reporter = makeReporter({ quiet: false, json, style }, world);
  const stop = stopOnSignal(reporter, world);
  try {
    const result = await resultsOf(api, job, {
      output: target === null ? null : { path: target, overwrite },
      collect: wantsRecords(delivery, flags.json),
      signal: stop.signal,
    });
    if (result.error !== null) {
      await writeTo(world.stderr, errorText(result.error, flags.debug === true, style));
      return exitCodeOf(result.error.code);
    }
    const { collections } = await api.job(job);
    await deliverResults(delivery, result, { collections, json, signal: stop.signal }, world);
    if (output !== null) {
      const bytes = formatSize(result.parts.reduce((sum, part) => sum + part.bytes, 0));
      const where = displayPath(output, world.cwd);
      if (json) await writeTo(world.stdout, `${JSON.stringify({ job, output, parts: result.parts })}\n`);
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
