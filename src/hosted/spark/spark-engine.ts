import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../../base/errors.ts";
import { packageUrl } from "../../base/package-places.ts";
import type { HostedRunOptions } from "../../engine/options.ts";
import { failureOfThrown } from "../../worker/failure.ts";
import type { HostEnd, HostEngine, HostFiles, HostJob, HostListener } from "../host-engine.ts";
import { applicationFailure } from "./application-failure.ts";
import { ApplicationSaid } from "./application-said.ts";
import { runApplication } from "./run-application.ts";
import { sparkSettings, type SparkSettings } from "./spark-settings.ts";
import { type StagedJob, submitArguments } from "./submit-command.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What the engine is told of what a user says. */
type Options = Pick<HostedRunOptions, "master" | "deployMode" | "conf" | "nodeBin" | "engineTemp">;

export function sparkEngine(options: Options, env: Environment = process.env): HostEngine {
  return new SparkEngine(options, env);
}

/** Runs a job as an application of Spark, by spark-submit: SparkMain of sheaf's jar. */
class SparkEngine implements HostEngine {
  readonly name = "spark";
  readonly inputForm = "record";
  readonly nodeBin: string | null;
  readonly hadoopConf: string | null;
  readonly #options: Options;
  readonly #env: Environment;
  #settings: SparkSettings | undefined;

  constructor(options: Options, env: Environment) {
    this.#options = options;
    this.#env = env;
    this.nodeBin = options.nodeBin ?? null;
    this.hadoopConf = env["HADOOP_CONF_DIR"] ?? env["YARN_CONF_DIR"] ?? null;
  }

  get isLocal(): boolean {
    const { place } = this.#known;
    return place.kind === "local" || (place.kind === "standalone" && place.sharesFiles);
  }

  async check(): Promise<void> {
    this.#settings = sparkSettings(this.#options, this.#env);
    jar();
  }

  async run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    try {
      return await this.#run(job, listener, signal);
    } catch (error) {
      return { kind: "failed", task: null, failure: failureOfThrown(error, "spark", "INTERNAL", "system") };
    }
  }

  async print(job: HostJob): Promise<readonly string[]> {
    const words = submitArguments(this.#known, job, staged(job), { jar: jar(), hasClient: false });
    return [this.#known.install.submit, ...words];
  }

  async #run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    const settings = this.#known;
    const said = new ApplicationSaid(listener, job);
    const end = await runApplication({
      submit: settings.install.submit,
      words: submitArguments(settings, job, staged(job), { jar: jar(), hasClient: true }),
      directory: job.scratch,
      env: environment(settings, this.#env),
      said,
      signal,
    });
    if (said.failure === null && end === null && said.isDone) {
      return { kind: "done", files: localFiles(staged(job).output) };
    }
    if (signal.aborted) return { kind: "cancelled" };
    const how = end ?? "ended without saying that the job is done";
    return { kind: "failed", ...applicationFailure(said.failure, said.tail, how) };
  }

  get #known(): SparkSettings {
    this.#settings ??= sparkSettings(this.#options, this.#env);
    return this.#settings;
  }
}

/** With its tasks on this machine nothing has to be copied. */
function staged(job: HostJob): StagedJob {
  return {
    home: job.home,
    splits: `file://${job.splits}`,
    output: `file://${join(job.scratch, "output")}`,
    archives: [],
    failure: null,
  };
}

function localFiles(output: string): HostFiles {
  const directory = output.slice("file://".length);
  const none = (): never => {
    throw new SheafError("INTERNAL", "files of this machine are not the engine's to move");
  };
  return {
    reports: directory,
    local: directory,
    canPlace: () => false,
    place: none,
    fetch: none,
    remove: async () => undefined,
  };
}

/** A driver on this machine needs no address that others see, nor a host name that can be resolved. */
function environment({ place, install }: SparkSettings, env: Environment): Environment {
  return {
    ...(place.kind === "local" ? { SPARK_LOCAL_IP: "127.0.0.1" } : {}),
    ...env,
    ...(install.home === null ? {} : { SPARK_HOME: install.home }),
  };
}

/** @throws SheafError PROGRAM_UNUSABLE in a copy of sheaf that was built without Java */
function jar(): string {
  const path = fileURLToPath(new URL("dist/hosted/sheaf-hosted.jar", packageUrl));
  if (existsSync(path)) return path;
  throw new SheafError("PROGRAM_UNUSABLE", `${path} is not there: this sheaf was built without Java`, {
    hint: "Build it with javac (apt-get install openjdk-17-jdk-headless), or take the package from npm.",
  });
}
