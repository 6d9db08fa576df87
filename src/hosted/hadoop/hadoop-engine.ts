import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.ts";
import { within } from "../../base/retry.ts";
import type { HostedRunOptions } from "../../engine/options.ts";
import { removeDirectory } from "../../storage/remove-directory.ts";
import { setStoreAccess } from "../../storage/stores.ts";
import { makeTempDirectory } from "../../storage/temp-directory.ts";
import { failureOfThrown } from "../../worker/failure.ts";
import { type AboutHadoop, FILES_CLASS, FileTool } from "../file-tool.ts";
import { filesHere } from "../files-here.ts";
import type { HostEnd, HostEngine, HostFiles, HostJob, HostListener, NoProgress } from "../host-engine.ts";
import { stageRemote } from "../remote-stage.ts";
import { failureMark } from "../reports.ts";
import { readTold, type ToldFailure } from "../told-failure.ts";
import { failureOfTold } from "./causes.ts";
import { attemptOfHadoop, ClientLog, taskOfHadoop } from "./client-log.ts";
import { checkConf, type Places, streamingWords } from "./command.ts";
import { checkFramework, checkVersion, findHadoop, findHostedJar, findStreamingJar } from "./find-hadoop.ts";
import { causeInHistory } from "./history.ts";
import { startClient } from "./job-client.ts";
import { below, checkFreeByHadoop, isRenamedByHadoop, RemoteFiles, removeOwned } from "./remote-output.ts";
import { unpackPart } from "./sequence-file.ts";

/** The engine that a run asks for; looks for nothing yet. */
export function hadoopEngine(options: HostedRunOptions): HostEngine {
  const { conf = {}, nodeBin = null, engineTemp = null, speculation = true, jar = true } = options;
  const own = { conf, nodeBin, engineTemp, speculation, usesJar: jar };
  return new HadoopEngine({ ...own, env: process.env, clock: systemClock });
}

export interface HadoopOptions {
  /** Properties of Hadoop's, as its -D. */
  readonly conf: Readonly<Record<string, string>>;
  /** As HostEngine. */
  readonly nodeBin: string | null;
  /** Directory for what jobs need and make, a URI; null: `.sheaf` in the user's home directory. */
  readonly engineTemp: string | null;
  readonly speculation: boolean;
  /** Tasks are given sheaf's jar; else they are told by lines, and what they make comes as sequence files. */
  readonly usesJar: boolean;
  /** What Hadoop's commands are started with, and found by. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** Properties that are looked at before a job is submitted. */
const ASKED = [
  "mapreduce.framework.name",
  "mapreduce.jobhistory.webapp.address",
  "yarn.resourcemanager.webapp.address",
] as const;

/** A client that is submitting its job gets so long for it when that is to end, and then for the end, ms. */
const SUBMIT_MS = 20_000;
const KILL_MS = 60_000;

/** What was found of Hadoop on this machine. */
interface Found {
  readonly hadoop: string;
  readonly streaming: string;
  readonly jar: string;
  readonly about: AboutHadoop;
  readonly tool: FileTool;
}

/** A job as it lies where Hadoop finds it. */
interface Staged {
  readonly places: Places;
  /** See RemotePlaces; "" in local mode. */
  readonly aside: string;
  readonly owned: readonly string[];
}

/** Hadoop Streaming, 3.x, on YARN or in its client's own JVM (mapreduce.framework.name=local). */
export class HadoopEngine implements HostEngine {
  readonly name = "hadoop";
  readonly inputForm: "record" | "lines";
  readonly nodeBin: string | null;
  readonly #options: HadoopOptions;
  #found: Found | null = null;

  constructor(options: HadoopOptions) {
    this.#options = options;
    this.nodeBin = options.nodeBin;
    this.inputForm = options.usesJar ? "record" : "lines";
  }

  get isLocal(): boolean {
    return (this.#here.about.conf["mapreduce.framework.name"] ?? "local") === "local";
  }

  get hadoopConf(): string | null {
    return this.#here.about.confDirectory;
  }

  get noProgress(): NoProgress | null {
    const { conf } = this.#options;
    const name = ["mapreduce.task.timeout", "mapred.task.timeout"].find((one) => Object.hasOwn(conf, one));
    const ms = Number(name === undefined ? 0 : conf[name]);
    // To Hadoop 0 is no limit.
    return Number.isSafeInteger(ms) && ms > 0 ? { ms, setting: `--conf ${name}=MS` } : null;
  }

  get #here(): Found {
    if (this.#found === null) throw new Error("check() was not called");
    return this.#found;
  }

  get #jar(): string | null {
    return this.#options.usesJar ? this.#here.jar : null;
  }

  /** Where jobs have what they need and make, on Hadoop's file systems. */
  get #base(): string {
    return this.#options.engineTemp ?? below(this.#here.about.home, ".sheaf");
  }

  async check(output: string | null, overwrite: boolean): Promise<void> {
    const { conf, env, engineTemp } = this.#options;
    checkConf(conf);
    const hadoop = findHadoop(env);
    const [streaming, jar] = [findStreamingJar(hadoop, env), findHostedJar()];
    const tool = new FileTool([hadoop, "jar", jar, FILES_CLASS, "-"], env, conf);
    try {
      const about = await tool.about(ASKED);
      this.#found = { hadoop, streaming, jar, about, tool };
      // Where no variable says so, what hdfs:///... means here is what it means to Hadoop.
      const { confDirectory } = about;
      if (confDirectory !== null && !env["HADOOP_CONF_DIR"] && !env["HADOOP_HOME"])
        setStoreAccess({ env: { ...env, HADOOP_CONF_DIR: confDirectory }, fetch: null });
      checkVersion(about.hadoop, hadoop);
      checkFramework(about, engineTemp);
      if (this.isLocal) await tool.close();
      else if (output !== null && isRenamedByHadoop(output)) await checkFreeByHadoop(tool, output, overwrite);
    } catch (error) {
      await tool.close();
      throw error;
    }
  }

  inputPlace(jobId: string): string | null {
    const { isSecure } = this.#here.about;
    const own = below(this.#base, jobId);
    // By WebHDFS, which knows no Kerberos here.
    return isSecure || !/^(?:hdfs|s?webhdfs):/.test(own) ? null : below(own, "inputs/");
  }

  async run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    const { tool } = this.#here;
    let staged: Staged | null = null;
    if (!this.#options.usesJar) listener.warn(withoutJar(this.isLocal));
    try {
      staged = await this.#stage(job);
      const end = await this.#submit(job, staged, listener, signal);
      if (end.kind === "done") return end;
      await this.#clean(staged, listener);
      return end;
    } catch (error) {
      if (staged !== null) await this.#clean(staged, listener).catch(() => undefined);
      await tool.close();
      if (signal.aborted) return { kind: "cancelled" };
      const failure = failureOfThrown(error, "load", "INTERNAL", "system");
      return { kind: "failed", task: null, attempt: 0, failure };
    }
  }

  async print(job: HostJob): Promise<readonly string[]> {
    const { places } = await this.#stage(job);
    await this.#here.tool.close();
    return this.#command(job, places);
  }

  #command(job: HostJob, places: Places): string[] {
    const { hadoop, streaming, about } = this.#here;
    const { conf, speculation } = this.#options;
    const options = { conf, speculation, hadoop: about.hadoop, localTasks: availableParallelism() };
    return [hadoop, "jar", streaming, ...streamingWords(job, places, options)];
  }

  async #stage(job: HostJob): Promise<Staged> {
    return this.isLocal ? await this.#stageHere(job) : await this.#stageThere(job);
  }

  async #stageHere({ home, splits, scratch }: HostJob): Promise<Staged> {
    const localTemp = await plainDirectory(scratch);
    const plain = join(localTemp, "splits");
    // Inputs are patterns to Hadoop, with commas between them.
    if (this.#jar === null) copyFileSync(splits, plain);
    const places: Places = {
      jar: this.#jar,
      splits: `file://${this.#jar === null ? plain : splits}`,
      output: `file://${join(scratch, "out")}`,
      home,
      archives: [],
      errors: null,
      localTemp,
    };
    return { places, aside: "", owned: [] };
  }

  async #stageThere(job: HostJob): Promise<Staged> {
    const { tool } = this.#here;
    const { own, aside, owned, splits, shared, archive } = await stageRemote(tool, this.#base, job);
    // It is the jar that writes there.
    const errors = this.#jar === null ? null : below(own, "errors");
    try {
      if (errors !== null) await tool.makeDirectory(errors);
    } catch (error) {
      for (const uri of owned) await tool.remove(uri).catch(() => undefined);
      throw error;
    }
    const output = below(aside, "out");
    const archives = [...shared, `${archive}#job`];
    const places: Places = { jar: this.#jar, splits, output, home: ".", archives, errors, localTemp: null };
    return { places, aside, owned };
  }

  async #submit(job: HostJob, staged: Staged, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    const { tool } = this.#here;
    const [command, ...words] = this.#command(job, staged.places);
    const { localTemp } = staged.places;
    const directory = join(localTemp ?? job.scratch, "current");
    mkdirSync(directory);
    const log = new ClientLog({
      progress: (phase, share) => listener.progress(phase, share),
      attemptFailed: (attempt, message) => void this.#retried(staged, attempt, message, listener),
      tracking: (url, id) => listener.tracking(id, url),
      waiting: (server) => listener.warn(`${server} of Hadoop does not answer; its client goes on trying`),
      log: (text) => listener.log(text),
    });
    signal.throwIfAborted();
    let heard: () => void = () => undefined;
    const line = (text: string): void => {
      log.line(text);
      if (log.jobId !== null) heard();
    };
    const client = startClient({ command: command!, words, directory, env: this.#clientEnv(), line });
    const submitted = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const kill = async (): Promise<void> => {
      if (!this.isLocal) {
        // Before it is submitted it cannot be ended, and the client alone must not be.
        await within(Promise.race([submitted, client.ended]), SUBMIT_MS);
        if (log.jobId !== null) {
          await tool.killJob(log.jobId).catch(() => undefined);
          await within(client.ended, KILL_MS);
        }
      }
      client.kill();
    };
    let killed: Promise<void> | null = null;
    const onAbort = (): void => void (killed ??= kill());
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const code = await client.ended;
    signal.removeEventListener("abort", onAbort);
    await killed;
    if (localTemp !== null) await removeDirectory(localTemp);
    log.finish();
    if (log.placed !== null) listener.placed(log.placed);
    if (code === 0) return { kind: "done", files: await this.#files(job, staged, listener) };
    if (signal.aborted) return { kind: "cancelled" };
    if (log.end?.kind === "failed" && log.end.state === "KILLED") {
      listener.warn(`Hadoop says of the end: ${log.end.reason}`);
      return { kind: "cancelled" };
    }
    return await this.#failed(log, staged);
  }

  #clientEnv(): Record<string, string | undefined> {
    // Its log is what tells how the job goes.
    return { ...this.#options.env, HADOOP_ROOT_LOGGER: "INFO,console", LC_ALL: "C.UTF-8" };
  }

  async #files(job: HostJob, staged: Staged, listener: HostListener): Promise<HostFiles> {
    if (this.#jar === null) return await this.#unpacked(job, staged, listener);
    if (this.isLocal) return filesHere(join(job.scratch, "out"), job.scratch);
    const committed = staged.places.output;
    const reports = join(job.scratch, "fetched");
    mkdirSync(reports);
    await this.#here.tool.get(below(committed, "reports"), join(reports, "reports"));
    const places = { committed, owned: staged.owned, aside: staged.aside, keepsTool: false };
    return new RemoteFiles(this.#here.tool, places, reports, (message) => listener.warn(message));
  }

  /** Sequence files, as files of this machine. */
  async #unpacked({ scratch }: HostJob, staged: Staged, listener: HostListener): Promise<HostFiles> {
    const { tool } = this.#here;
    const [packed, made] = [join(scratch, "out"), join(scratch, "made")];
    if (!this.isLocal) await tool.get(staged.places.output, packed);
    for (const name of ["files", "reports"]) mkdirSync(join(made, name), { recursive: true });
    for (const name of readdirSync(packed).filter((one) => one.startsWith("part-"))) {
      unpackPart(join(packed, name), made);
      rmSync(join(packed, name));
    }
    const files = filesHere(made, scratch);
    const remove = async (): Promise<void> => {
      await this.#clean(staged, listener);
      await files.remove();
    };
    return { ...files, remove };
  }

  async #retried(staged: Staged, attempt: string, message: string, listener: HostListener): Promise<void> {
    const told = await this.#toldOf(staged, attempt);
    const { failure } = told ?? { failure: failureOfTold({ text: message, more: null }, "task") };
    listener.attemptFailed({ task: taskOfHadoop(attempt), attempt: attemptOfHadoop(attempt), failure });
  }

  /** What an attempt has said of its failure itself; null: nothing. */
  async #toldOf({ places: { errors } }: Staged, attempt: string): Promise<ToldFailure | null> {
    if (errors === null) return null;
    try {
      return readTold(await this.#here.tool.readText(below(errors, attempt)));
    } catch {
      // It could not say anything.
      return null;
    }
  }

  async #failed(log: ClientLog, staged: Staged): Promise<HostEnd> {
    const { conf } = this.#here.about;
    const task = log.end?.kind === "failed" ? log.end.task : null;
    const asFailed = (told: ToldFailure, attempt: number): HostEnd => {
      return { kind: "failed", task: told.task ?? nameOf(task), attempt, failure: told.failure };
    };
    if (this.isLocal) {
      const told = firstTold(log.errors);
      if (told !== null) return asFailed(told, 1);
    }
    const last = this.isLocal ? null : await this.#lastTold(staged, task);
    if (last !== null) return asFailed(last.told, attemptOfHadoop(last.attempt));
    const texts = log.attempts.map(({ message }) => message);
    const address = conf["mapreduce.jobhistory.webapp.address"] ?? null;
    const isSubmitted = log.jobId !== null && !this.isLocal;
    const found =
      isSubmitted && address !== null
        ? await causeInHistory(address, log.jobId!, task, this.#options.clock)
        : null;
    // Where it was not left on HDFS, it may stand among what the container has written.
    const written = (found?.text ?? "").split("\n").filter((line) => line.startsWith(failureMark));
    const inLog = firstTold(written.map((line) => line.slice(failureMark.length)).reverse());
    const attempt = attemptOfHadoop(found?.attempt ?? null);
    if (inLog !== null) return asFailed(inLog, attempt);
    const reason = log.end?.kind === "failed" ? [log.end.reason] : [];
    // What the history says is of the attempt that has failed the job; the log is the last resort.
    const text = [...reason, ...texts, ...(found === null ? log.last : [found.text])].join("\n");
    const more = log.applicationId === null ? null : `yarn logs -applicationId ${log.applicationId}`;
    const name = nameOf(found?.task ?? task);
    const phase = name === null ? "load" : name.slice(0, name.indexOf("-"));
    return { kind: "failed", task: name, attempt, failure: failureOfTold({ text, more }, phase) };
  }

  /** The last that an attempt of the task that has failed the job has said; of any, if that is not known. */
  async #lastTold(
    staged: Staged,
    task: string | null,
  ): Promise<{ readonly attempt: string; readonly told: ToldFailure } | null> {
    const { errors } = staged.places;
    if (errors === null) return null;
    const names = await this.#here.tool.list(errors).catch(() => []);
    const prefix = task === null ? "attempt_" : `${task.replace("task_", "attempt_")}_`;
    const own = names.map(({ name }) => name).filter((name) => name.startsWith(prefix));
    own.sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length)) || (a < b ? -1 : 1));
    for (const attempt of own) {
      const told = await this.#toldOf(staged, attempt);
      if (told !== null) return { attempt, told };
    }
    return null;
  }

  async #clean({ owned }: Staged, listener: HostListener): Promise<void> {
    if (this.isLocal) return;
    await removeOwned(this.#here.tool, owned, (message) => listener.warn(message));
    await this.#here.tool.close();
  }
}

/** Hadoop's local mode does not find its own files again below a directory with a space in its name. */
async function plainDirectory(scratch: string): Promise<string> {
  const place = [scratch, tmpdir(), "/tmp"].find((one) => /^[\w./@+=,-]+$/.test(one));
  return await makeTempDirectory(place!);
}

function firstTold(lines: readonly string[]): ToldFailure | null {
  return lines.map(readTold).find((one) => one !== null) ?? null;
}

function withoutJar(isLocal: boolean): string {
  const what = "--no-jar: maps are not placed near their input, and results come to this machine first";
  return isLocal ? what : `${what}; why a task has failed is only known where its log can be read`;
}

function nameOf(task: string | null): string | null {
  return task === null ? null : taskOfHadoop(task);
}
