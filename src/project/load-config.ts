import { pathToFileURL } from "node:url";
import { MessageChannel, Worker as Thread, receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { SheafError, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { builtUrl } from "../base/package-places.ts";
import { formatFailure, mapFailure } from "../engine/error-report.ts";
import { bundleForRun } from "../engine/job-bundle.ts";
import { openState } from "../engine/job-directory.ts";
import { RunFailure } from "../engine/run-result.ts";
import type { TaskFailure } from "../task/task-spec.ts";

/** What config-entry.ts is started with. */
export interface ConfigThreadData {
  readonly url: string;
  /** A port that only the entry knows. */
  readonly port: MessagePort;
}

/** Thread to parent, once. `text`: JSON. */
export type ConfigAnswer =
  | { readonly kind: "loaded"; readonly text: string }
  | { readonly kind: "failed"; readonly failure: TaskFailure };

export interface LoadConfigOptions {
  /** Where bundles are kept; null: nowhere. */
  readonly stateDirectory: string | null;
  /** What the file printed, and warnings: lines for people. */
  readonly tell: (text: string) => void;
  /** Default limits.configLoadMs. */
  readonly loadMs?: number;
}

/**
 * The default export of a configuration file as plain data that nothing has checked yet. The file is user
 * code: it is bundled as a job file is and runs in a thread of its own, within limits of time and memory.
 * @throws SheafError CONFIG_LOAD with the place in the file
 */
export async function loadConfig(path: string, options: LoadConfigOptions): Promise<unknown> {
  const { tell, loadMs = limits.configLoadMs } = options;
  const state = openState(options.stateDirectory, (message) => tell(`warning: ${message}`));
  const { bundle, dispose } = await bundleForRun(path, state, []).catch((error: unknown) => {
    throw notBundled(path, error);
  });
  try {
    for (const warning of bundle.warnings) tell(`warning: ${warning}`);
    const answer = await ask(path, pathToFileURL(bundle.path).href, loadMs, tell);
    if (answer.kind === "failed") throw await failed(path, answer.failure, bundle.path);
    if (answer.text.length <= limits.configCharsMax) return JSON.parse(answer.text) as unknown;
    throw new SheafError("CONFIG_LOAD", `${path}: its data is ${answer.text.length} characters of JSON`, {
      hint: `At most ${limits.configCharsMax} are taken. Keep data in files, and name them.`,
    });
  } finally {
    await dispose();
  }
}

const printedCharsMax = 64 * 1024;
const heapMiB = 512;

async function ask(
  path: string,
  url: string,
  loadMs: number,
  tell: (text: string) => void,
): Promise<ConfigAnswer> {
  const { port1: port, port2 } = new MessageChannel();
  const data: ConfigThreadData = { url, port: port2 };
  const thread = new Thread(new URL("project/config-entry.js", builtUrl), {
    workerData: data,
    transferList: [port2],
    name: "sheaf-config",
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heapMiB },
  });
  let printed = "";
  for (const stream of [thread.stdout, thread.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      if (printed.length < printedCharsMax) printed += text;
    });
  }
  const why = { isLate: false, thrown: null as unknown };
  const timer = setTimeout(() => {
    why.isLate = true;
    thread.terminate().catch(() => undefined);
  }, loadMs);
  thread.on("error", (error) => (why.thrown = error));
  const answered = new Promise<unknown>((resolve) => port.once("message", resolve));
  const ended = new Promise<number>((resolve) => thread.once("exit", resolve));
  try {
    const first = await Promise.race([answered, ended.then((code) => ({ code }))]);
    const told = isExit(first) ? receiveMessageOnPort(port)?.message : first;
    if (told !== undefined) return told as ConfigAnswer;
    throw noAnswer(path, { ...why, code: (first as { code: number }).code, loadMs });
  } finally {
    clearTimeout(timer);
    port.close();
    await thread.terminate();
    if (printed !== "") tell(printed.replace(/\n$/, ""));
  }
}

function isExit(told: unknown): told is { readonly code: number } {
  return typeof told === "object" && told !== null && "code" in told && !("kind" in told);
}

/** What Node answers for an `await` at the top that nothing can end. */
const unsettledExitCode = 13;

function noAnswer(
  path: string,
  end: { readonly isLate: boolean; readonly thrown: unknown; readonly code: number; readonly loadMs: number },
): SheafError {
  const { isLate, thrown, code, loadMs } = end;
  if (isLate) {
    return new SheafError("CONFIG_LOAD", `${path} was not loaded within ${loadMs / 1000} s`, {
      hint: "Look for an endless loop, or an await that takes long: the file is loaded by every command.",
    });
  }
  if (code === unsettledExitCode) {
    return new SheafError("CONFIG_LOAD", `${path} waits for a promise that never settles`, {
      hint: "Look at each await at the top of the file.",
    });
  }
  if (thrown !== null) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    return new SheafError("CONFIG_LOAD", `${path}: ${text}`, {
      hint: `It threw where nobody could catch it, or took more than ${heapMiB} MiB of memory.`,
      cause: thrown,
    });
  }
  return new SheafError("CONFIG_LOAD", `${path} ended its thread (process.exit, code ${code})`, {
    hint: "A project file must not exit; throw an error instead.",
  });
}

/** The report says the place in the file, as of a job file that throws. */
async function failed(path: string, failure: TaskFailure, bundle: string): Promise<SheafError> {
  const mapped = await mapFailure(failure, bundle);
  const told = { ...failure, message: `${path}: ${failure.message}` };
  return new RunFailure(failure.code, told.message, {
    ...(failure.hint === null ? {} : { hint: failure.hint }),
    failed: { task: "", attempt: 0, failure, capsule: null },
    report: formatFailure(told, { task: "", attempt: 0, mapped, replay: null }),
  });
}

function notBundled(path: string, error: unknown): unknown {
  if (!isSheafError(error) || error.code !== "JOB_LOAD") return error;
  const hint = error.message.includes("no default export")
    ? 'End the file with: export default defineConfig({ jobs: { counts: "./counts.ts" } });'
    : (error.hint ?? "").replace("the job file", "the file");
  return new SheafError("CONFIG_LOAD", error.message, { hint, details: error.details, cause: error });
}
