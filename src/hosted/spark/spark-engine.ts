import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describeThrown, SheafError } from "../../base/errors.ts";
import { pauseOrAbort } from "../../base/retry.ts";
import type { HostedRunOptions } from "../../engine/options.ts";
import { removeDirectory } from "../../storage/remove-directory.ts";
import { HadoopConf } from "../../storage/stores/hadoop-conf.ts";
import { failureOfThrown } from "../../worker/failure.ts";
import { FileTool, type AboutHadoop } from "../file-tool.ts";
import { filesHere } from "../files-here.ts";
import { findHostedJar } from "../hadoop/find-hadoop.ts";
import {
  below,
  checkFreeByHadoop,
  isRenamedByHadoop,
  RemoteFiles,
  removeOwned,
} from "../hadoop/remote-output.ts";
import type {
  HostEnd,
  HostEngine,
  HostFiles,
  HostJob,
  HostListener,
  HostSession,
  Together,
} from "../host-engine.ts";
import { stageRemote } from "../remote-stage.ts";
import { applicationFailure } from "./application-failure.ts";
import { ApplicationSaid } from "./application-said.ts";
import { SparkApplications } from "./applications.ts";
import { type ApplicationStart, runApplication, SparkApplication } from "./run-application.ts";
import { hasDriverElsewhere, sharedFiles, sparkSettings, type SparkSettings } from "./spark-settings.ts";
import { MAIN_CLASS, type OnlyJob, submitArguments } from "./submit-command.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What the engine is told of what a user says. */
type Options = Pick<HostedRunOptions, "master" | "deployMode" | "conf" | "nodeBin" | "engineTemp">;

/** The engine that a run asks for; looks for nothing yet. */
export function sparkEngine(options: Options, env: Environment = process.env): HostEngine {
  return new SparkEngine(options, env);
}

/** What was found. */
interface Found {
  readonly settings: SparkSettings;
  readonly jar: string;
  /** Where tasks run on other machines: the file system that they share. */
  readonly remote: { readonly tool: FileTool; readonly about: AboutHadoop } | null;
}

/** A job as Spark finds it, and what is to be removed of it. */
interface Staged extends Omit<OnlyJob, "jobId" | "mapTasks" | "reduces"> {
  readonly shared: readonly string[];
  /** Address of the archive with the job's own; null: it lies in `home`. */
  readonly archive: string | null;
  /**
   * Directory that is removed when the job is over, in which a driver that nobody hears says how far it is,
   * and what went wrong; null: nothing of the job is on other machines.
   */
  readonly own: string | null;
  readonly aside: string;
  readonly owned: readonly string[];
}

/** What is there for jobs that belong together. */
interface Kept {
  readonly together: Together;
  readonly applications: SparkApplications;
}

/**
 * Runs jobs in applications of Spark, by spark-submit: SparkMain of sheaf's jar. Each has one of its own, but
 * for those that belong together: they have one after the other, as long as all ask the same of it.
 */
class SparkEngine implements HostEngine {
  readonly name = "spark";
  readonly inputForm = "record";
  readonly nodeBin: string | null;
  readonly #options: Options;
  readonly #env: Environment;
  readonly #kept: Kept | null;
  #finding: Promise<Found> | undefined;
  #found: Found | undefined;

  constructor(options: Options, env: Environment, together: Together | null = null) {
    this.#options = options;
    this.#env = env;
    this.nodeBin = options.nodeBin ?? null;
    this.#kept = together === null ? null : { together, applications: this.#applications(together.scratch) };
  }

  get isLocal(): boolean {
    return this.#here.remote === null;
  }

  get hadoopConf(): string | null {
    const named = new HadoopConf(this.#env).directory ?? this.#env["YARN_CONF_DIR"];
    return named ?? this.#here.remote?.about.confDirectory ?? null;
  }

  async check(output: string | null, overwrite: boolean): Promise<void> {
    const { remote } = (this.#found = await this.#find());
    if (remote === null || output === null || !isRenamedByHadoop(output)) return;
    try {
      await checkFreeByHadoop(remote.tool, output, overwrite);
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  open(together: Together): HostSession {
    const engine = new SparkEngine(this.#options, this.#env, together);
    const { applications } = engine.#kept!;
    return { engine, keep: (work) => applications.keep(work), close: () => engine.#close() };
  }

  inputPlace(jobId: string): string | null {
    const { remote } = this.#here;
    // By WebHDFS, which knows no Kerberos here.
    if (remote === null || remote.about.isSecure) return null;
    const own = below(this.#base(remote.about), jobId);
    return /^(?:hdfs|s?webhdfs):/.test(own) ? below(own, "inputs/") : null;
  }

  async run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    let staged: Staged | null = null;
    let end: HostEnd;
    try {
      staged = await this.#stage(job);
      const isElsewhere = hasDriverElsewhere(this.#here.settings);
      end = await (isElsewhere
        ? this.#runElsewhere(job, staged, listener, signal)
        : this.#runHere(job, staged, listener, signal));
    } catch (error) {
      const failure = failureOfThrown(error, "spark", "INTERNAL", "system");
      end = signal.aborted ? { kind: "cancelled" } : { kind: "failed", task: null, attempt: 0, failure };
    }
    if (end.kind !== "done") await this.#clean(staged, listener);
    return end;
  }

  async print(job: HostJob): Promise<readonly string[]> {
    const { settings } = this.#here;
    const words = this.#onlyWords(job, await this.#stage(job));
    await this.#release();
    return [settings.install.submit, ...words];
  }

  get #here(): Found {
    if (this.#found === undefined) throw new Error("check() was not called");
    return this.#found;
  }

  #base(about: AboutHadoop): string {
    return this.#options.engineTemp ?? below(about.home, ".sheaf");
  }

  /** What is there, found once for jobs that belong together, also where several begin at one time. */
  async #find(): Promise<Found> {
    const before = this.#finding;
    const known = await before?.catch(() => null);
    if (known !== null && known !== undefined && known.remote?.tool.isOver !== true) return known;
    if (this.#finding === before) this.#finding = this.#look();
    return this.#finding!;
  }

  async #look(): Promise<Found> {
    const settings = sparkSettings(this.#options, this.#env);
    const jar = findHostedJar();
    return { settings, jar, remote: isHere(settings) ? null : await this.#reach(settings, jar) };
  }

  /** Hadoop's client, as Spark has it. @throws SheafError USAGE when the machines share no file system */
  async #reach(settings: SparkSettings, jar: string): Promise<NonNullable<Found["remote"]>> {
    const main = ["--class", "dev.sheaf.hosted.Files", jar, "-"];
    const tool = new FileTool(
      [settings.install.submit, ...alone, ...main],
      environment(settings, this.#env),
      hadoopSettings(settings),
    );
    try {
      const about = await tool.about([]);
      if (this.#base(about).startsWith("file:")) throw noSharedFiles(settings);
      return { tool, about };
    } catch (error) {
      await tool.close();
      throw error;
    }
  }

  async #stage(job: HostJob): Promise<Staged> {
    const { remote } = this.#here;
    if (remote === null) {
      const output = `file://${join(job.scratch, "output")}`;
      const place = { home: job.home, splits: `file://${job.splits}`, output };
      return { ...place, shared: [], archive: null, own: null, aside: "", owned: [] };
    }
    const there = await stageRemote(remote.tool, this.#base(remote.about), job);
    return { ...there, home: ".", output: below(there.aside, "out") };
  }

  /** By an application whose driver is a child of this process. */
  async #runHere(
    job: HostJob,
    staged: Staged,
    listener: HostListener,
    signal: AbortSignal,
  ): Promise<HostEnd> {
    const { settings, jar, remote } = this.#here;
    const { together, applications } = this.#kept ?? {
      together: { id: job.jobId, name: job.name, scratch: job.scratch },
      applications: this.#applications(job.scratch),
    };
    const { attempts, heapBytes, memoryBytes } = job;
    const { name, scratch } = together;
    const own = remote === null ? null : below(this.#base(remote.about), together.id);
    const needs = { name, scratch, attempts, heapBytes, memoryBytes, own, archives: staged.shared };
    const words = submitArguments(settings, needs, jar, null);
    const order = { ...staged, archive: staged.archive ?? "" };
    try {
      const end = await applications.run(words, job, order, listener, signal);
      if (end.kind !== "done") return end;
    } finally {
      if (this.#kept === null) await applications.close();
    }
    return { kind: "done", files: await this.#files(job, staged, listener) };
  }

  #applications(scratch: string): SparkApplications {
    return new SparkApplications((words) => new SparkApplication(this.#start(words, scratch)));
  }

  #start(words: readonly string[], scratch: string): Omit<ApplicationStart, "said"> {
    const { settings } = this.#here;
    const directory = join(scratch, "current");
    mkdirSync(directory, { recursive: true });
    return { submit: settings.install.submit, words, directory, env: environment(settings, this.#env) };
  }

  /** By an application of its own, whose driver runs on another machine: it hears nothing of this one. */
  async #runElsewhere(
    job: HostJob,
    staged: Staged,
    listener: HostListener,
    signal: AbortSignal,
  ): Promise<HostEnd> {
    const said = new ApplicationSaid();
    said.begin(job, listener);
    const start = { ...this.#start(this.#onlyWords(job, staged), job.scratch), said };
    signal.throwIfAborted();
    const over = new AbortController();
    const heard = this.#hear(staged, said, over.signal);
    const how = await runApplication(start, signal).finally(() => over.abort());
    await heard;
    if (how === null && said.failure === null) {
      return { kind: "done", files: await this.#files(job, staged, listener) };
    }
    if (signal.aborted) {
      await this.#kill(said.applicationId, start.directory, listener);
      return { kind: "cancelled" };
    }
    const told = said.failure ?? (await this.#told(staged, "failure"));
    return { kind: "failed", ...applicationFailure(told, said.tail, how ?? "ended before the job was done") };
  }

  /** For an application that runs this job alone, and is told of it by its settings. */
  #onlyWords(job: HostJob, staged: Staged): string[] {
    const { settings, jar } = this.#here;
    const { archive, own, shared } = staged;
    const archives = archive === null ? [] : [...shared, `${archive}#job`];
    return submitArguments(settings, { ...job, archives, own }, jar, { ...job, ...staged });
  }

  async #files(job: HostJob, { output, owned, aside }: Staged, listener: HostListener): Promise<HostFiles> {
    const { remote } = this.#here;
    if (remote === null) return filesHere(join(job.scratch, "output"), job.scratch);
    const reports = join(job.scratch, "fetched");
    mkdirSync(reports);
    await remote.tool.get(below(output, "reports"), join(reports, "reports"));
    const places = { committed: output, owned, aside, keepsTool: this.#kept !== null };
    return new RemoteFiles(remote.tool, places, reports, (message) => listener.warn(message));
  }

  /** Takes what a driver on another machine says of its progress, one look after the other, until the end. */
  async #hear(staged: Staged, said: ApplicationSaid, end: AbortSignal): Promise<void> {
    for (;;) {
      await pauseOrAbort(lookMs, end);
      if (end.aborted) return;
      const lines = await this.#told(staged, "progress");
      // The last line may be written just now.
      if (lines !== null) said.take("out", lines.slice(0, lines.lastIndexOf("\n") + 1));
    }
  }

  /** What a driver on another machine has left in a file; null: nothing. */
  async #told({ own }: Staged, name: "failure" | "progress"): Promise<string | null> {
    const { remote, settings } = this.#here;
    if (remote === null || own === null || !hasDriverElsewhere(settings)) return null;
    return await remote.tool.readText(below(own, name)).catch(() => null);
  }

  /** A driver on YARN does not end with spark-submit. */
  async #kill(application: string | null, directory: string, listener: HostListener): Promise<void> {
    if (application === null) return;
    const { settings, jar } = this.#here;
    const words = [...alone, "--class", MAIN_CLASS, jar, "kill", application];
    const env = environment(settings, this.#env);
    const how = await runApplication(
      { submit: settings.install.submit, words, directory, env, said: null },
      null,
    );
    if (how !== null)
      listener.warn(`${application} could not be ended: yarn application -kill ${application}`);
  }

  async #clean(staged: Staged | null, listener: HostListener): Promise<void> {
    const { remote } = this.#here;
    if (remote === null) return;
    if (staged !== null) await removeOwned(remote.tool, staged.owned, (message) => listener.warn(message));
    await this.#release();
  }

  /** A job is over: what others go on with stays. */
  async #release(): Promise<void> {
    if (this.#kept === null) await this.#here.remote?.tool.close();
  }

  /** Jobs that belong together are over. */
  async #close(): Promise<void> {
    const { together, applications } = this.#kept!;
    await applications.close();
    const remote = this.#found?.remote ?? null;
    if (remote !== null) {
      const own = below(this.#base(remote.about), together.id);
      await removeOwned(remote.tool, [own], (message) => together.warn(message));
      await remote.tool.close();
    }
    await removeDirectory(together.scratch).catch((error: unknown) => together.warn(describeThrown(error)));
  }
}

/** Between two looks at what a driver on another machine says. */
const lookMs = 3_000;

/** For a class of sheaf's that is no application. */
const alone = ["--master", "local[1]", "--deploy-mode", "client"];

function isHere({ place }: SparkSettings): boolean {
  return place.kind === "local" || (place.kind === "standalone" && place.sharesFiles);
}

/** Settings of Hadoop among those of Spark. */
function hadoopSettings({ conf, defaults }: SparkSettings): Record<string, string> {
  const prefix = "spark.hadoop.";
  const own = Object.entries({ ...defaults, ...conf }).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

function noSharedFiles({ master }: SparkSettings): SheafError {
  return new SheafError(
    "USAGE",
    `--master ${master}: the file system of Hadoop (fs.defaultFS) is that of this machine`,
    {
      hint:
        "Set HADOOP_CONF_DIR to the cluster's, or give --engine-temp a directory that all machines see, as " +
        `hdfs://HOST/tmp/sheaf. Where they see this one's files: --conf ${sharedFiles}=true.`,
    },
  );
}

function environment({ place, install }: SparkSettings, env: Environment): Environment {
  return {
    // A driver on this machine needs no address that others see, nor a host name that can be resolved.
    ...(place.kind === "local" ? { SPARK_LOCAL_IP: "127.0.0.1" } : {}),
    ...env,
    // In others a JVM cannot open files whose names are not ASCII.
    LC_ALL: "C.UTF-8",
    ...(install.home === null ? {} : { SPARK_HOME: install.home }),
  };
}
