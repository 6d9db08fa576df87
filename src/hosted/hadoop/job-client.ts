import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

type Env = Readonly<Record<string, string | undefined>>;

export interface ClientStart {
  /** The command and its words. */
  readonly command: string;
  readonly words: readonly string[];
  /** An empty directory: Hadoop's local mode makes links in the current one. */
  readonly directory: string;
  readonly env: Env;
  /** A line of its standard error, without its end. */
  line(text: string): void;
}

/**
 * A command of Hadoop's or Spark's that submits a job and waits for it. It has a process group of its own, so
 * that a Ctrl-C in the terminal does not end it before the job is.
 */
export interface RunningClient {
  /** Its exit code; null: a signal has ended it, or it could not be started. */
  readonly ended: Promise<number | null>;
  /** Ends it, and all that it has started. */
  kill(): void;
}

export function startClient({ command, words, directory, env, line }: ClientStart): RunningClient {
  const child = spawn(command, words, {
    cwd: directory,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  };
  // When this process ends meanwhile, tasks in the client's own JVM would go on.
  process.once("exit", kill);
  child.stdout.resume();
  createInterface({ input: child.stderr }).on("line", line);
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      line(`${command} cannot be started: ${error.message}`);
      resolve(null);
    });
    child.once("close", (code) => {
      process.off("exit", kill);
      resolve(code);
    });
  });
  return { ended, kill };
}
