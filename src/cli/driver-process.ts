import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { startCoordinator } from "../rest/start-coordinator.ts";
import { makeTempDirectory } from "../runner/work-directory.ts";
import { packageVersion } from "./package-version.ts";
import type { World } from "./world.ts";
import { logSink, writeTo } from "./world.ts";

/** A coordinator for one run, in its process. */
export interface DriverProcess {
  readonly url: string;
  readonly clientTokenFile: string | undefined;
  /** Tells the workers that all is done, and ends. */
  end(): Promise<void>;
}

const heartbeatMs = 250;
/** A worker that is silent for so long has heard that it may go. */
const goneMs = 4 * heartbeatMs;
/** Workers that do not go by then are left to find out. */
const goodbyeMs = 5_000;

/**
 * Listens for `sheaf worker --driver`.
 * @throws SheafError USAGE when the port cannot be had
 */
export async function startDriver(
  given: { readonly port: number; readonly host: string | undefined; readonly insecure: boolean },
  world: World,
): Promise<DriverProcess> {
  // With its tokens: what a killed driver leaves is removed by the next run.
  const stateDirectory = await makeTempDirectory(tmpdir());
  const remove = (): void => rmSync(stateDirectory, { recursive: true, force: true });
  const offExit = world.onExit(remove);
  try {
    const { host, port, insecure } = given;
    const started = await startCoordinator({
      stateDirectory,
      port,
      insecure,
      version: packageVersion(),
      timings: { heartbeatMs },
      logTo: logSink(world.stderr),
      logLevel: "warn",
      ...(host === undefined ? {} : { host }),
    });
    for (const warning of started.warnings) await writeTo(world.stderr, `warning: ${warning}\n`);
    const token = started.agentTokenFile === null ? "" : ` --token-file ${started.agentTokenFile}`;
    await writeTo(world.stderr, `workers join with: sheaf worker --driver ${started.url}${token}\n`);
    const { service } = started;
    return {
      url: started.url,
      clientTokenFile: started.clientTokenFile ?? undefined,
      end: async () => {
        const workers = service.nodes().filter(({ state }) => state !== "lost");
        for (const { agent } of workers) service.drain(agent, true);
        const endMs = world.clock.nowMs() + goodbyeMs;
        const isHere = (): boolean =>
          service.nodes().some(({ state, silentMs }) => state !== "lost" && silentMs < goneMs);
        while (isHere() && world.clock.nowMs() < endMs) await new Promise((done) => setTimeout(done, 100));
        await started.stop();
        offExit();
        remove();
      },
    };
  } catch (error) {
    offExit();
    remove();
    throw error;
  }
}
