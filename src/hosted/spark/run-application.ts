import { spawn } from "node:child_process";
import { describeThrown, SheafError } from "../../base/errors.ts";
import type { ApplicationSaid } from "./application-said.ts";

/** How long an application that is told to end may take; its JVM stops executors and removes files. */
const STOP_MS = 20_000;

export interface ApplicationStart {
  readonly submit: string;
  readonly words: readonly string[];
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Hears it; null: nobody does. */
  readonly said: ApplicationSaid | null;
  readonly signal: AbortSignal | null;
}

/**
 * Runs spark-submit until it ends. Its standard input stays open as long as this process lives, which is how
 * the driver sees that nobody waits for it any more.
 * @returns how it ended, for people: "ended with exit code 1"; null: with exit code 0
 * @throws SheafError PROGRAM_UNUSABLE when it cannot be started
 */
export function runApplication(start: ApplicationStart): Promise<string | null> {
  const { submit, words, directory, env, said, signal } = start;
  return new Promise((resolve, reject) => {
    const child = spawn(submit, words, { cwd: directory, env, stdio: ["pipe", "pipe", "pipe"] });
    let killing: NodeJS.Timeout | undefined;
    const stop = (): void => {
      child.kill("SIGTERM");
      killing ??= setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    };
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("utf8").on("data", (text: string) => said?.take("out", text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => said?.take("err", text));
    child.once("error", (cause) =>
      reject(
        new SheafError("PROGRAM_UNUSABLE", `${submit} cannot be started: ${describeThrown(cause)}`, {
          hint: "See that SPARK_HOME is a whole Spark, and that its programs are executable.",
          cause,
        }),
      ),
    );
    child.once("close", (code, ended) => {
      clearTimeout(killing);
      signal?.removeEventListener("abort", stop);
      said?.end();
      resolve(code === 0 ? null : code === null ? `was ended by ${ended}` : `ended with exit code ${code}`);
    });
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted === true) stop();
  });
}
