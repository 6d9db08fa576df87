import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pino } from "pino";
import { SheafError } from "../base/errors.ts";
import { SharedDirectoryDriver } from "../driver/shared-directory-driver.ts";
import type { SharedDirectoryResult } from "../driver/shared-directory-driver.ts";
import { makeJobId } from "../engine/job-directory.ts";
import { taskRoutes } from "../rest/route/task-routes.ts";
import { startServer } from "../rest/server.ts";
import { hostList } from "../security/host-list.ts";
import { checkListen } from "../security/listen.ts";
import { safeLogStream } from "../security/log-line.ts";
import { ownNames } from "../security/own-names.ts";
import { ensureTokenFile } from "../security/token-file.ts";
import { digestToken } from "../security/token.ts";
import { checkOutput, createTempOutput, discardTempOutput } from "../storage/atomic-output.ts";
import { listInput } from "../storage/list-input.ts";
import { makeTempDirectory } from "../runner/work-directory.ts";
import { packageVersion } from "./package-version.ts";
import type { World } from "./world.ts";
import { logSink, writeTo } from "./world.ts";

export interface SharedDirectoryRun {
  /** The job's name: workers of other languages know what to do themselves. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly output: string | undefined;
  readonly overwrite: boolean;
  readonly intermediate: string;
  readonly mappers: number | undefined;
  readonly partitions: number;
  readonly attempts: number;
  readonly workerTimeoutMs: number;
  readonly port: number;
  readonly host: string | undefined;
  readonly insecure: boolean;
  readonly isQuiet: boolean;
  readonly signal: AbortSignal;
}

/** Drives one job whose workers are programs of any language (docs/protocol.md). */
export async function runSharedDirectory(
  run: SharedDirectoryRun,
  world: World,
): Promise<SharedDirectoryResult> {
  const { output, name, intermediate, overwrite } = run;
  if (output === undefined) {
    throw new SheafError("USAGE", "--intermediate without --output", { hint: "Give the directory: -o DIR." });
  }
  const files = (await listInput(run.inputs, { cwd: world.cwd })).map(({ path }) => path);
  const out = resolve(world.cwd, output);
  await checkOutput(out, { overwrite, keep: files });
  // What a killed driver leaves is removed by the next run.
  const secrets = await makeTempDirectory(tmpdir());
  const staging = await createTempOutput(out);
  const between = await makeTempDirectory(resolve(world.cwd, intermediate));
  try {
    const driver = new SharedDirectoryDriver({
      job: makeJobId(name, world.clock.wallMs(), Math.random),
      name,
      maps: spread(files, run.mappers ?? files.length),
      partitions: run.partitions,
      intermediate: between,
      staging,
      output: out,
      overwrite,
      attempts: run.attempts,
      leaseMs: run.workerTimeoutMs,
      clock: world.clock,
      tell: (line) => (run.isQuiet ? undefined : void writeTo(world.stderr, `${line}\n`)),
    });
    return await listen(driver, run, join(secrets, "agent.token"), world);
  } finally {
    await discardTempOutput(staging);
    for (const directory of [secrets, between]) rmSync(directory, { recursive: true, force: true });
  }
}

async function listen(
  driver: SharedDirectoryDriver,
  run: SharedDirectoryRun,
  tokenFile: string,
  world: World,
): Promise<SharedDirectoryResult> {
  const { insecure } = run;
  const token = ensureTokenFile(tokenFile, "agent");
  const { host, warnings } = checkListen({ host: run.host, hasToken: true, insecure, tls: false });
  const server = await startServer({
    routes: (app) => taskRoutes(app, driver),
    policy: {
      tokens: insecure ? [] : [{ role: "agent", digest: digestToken(token) }],
      open: insecure,
      hosts: hostList({ bound: host, own: ownNames() }),
      jobKey: () => null,
      clock: world.clock,
    },
    host,
    port: run.port,
    tls: null,
    version: packageVersion(),
    log: pino({ level: "warn", base: null }, safeLogStream(logSink(world.stderr))),
  });
  try {
    for (const warning of warnings) await writeTo(world.stderr, `warning: ${warning}\n`);
    const secret = insecure ? "" : `; their token is in ${tokenFile}`;
    await writeTo(world.stderr, `workers ask ${server.url} for tasks${secret}\n`);
    return await driver.run(run.signal);
  } finally {
    await server.close();
  }
}

/** The files in order, spread over so many tasks; no task without a file. */
function spread(files: readonly string[], tasks: number): string[][] {
  const count = Math.max(1, Math.min(tasks, files.length));
  return Array.from({ length: count }, (_, task) =>
    files.slice(Math.floor((task * files.length) / count), Math.floor(((task + 1) * files.length) / count)),
  );
}
