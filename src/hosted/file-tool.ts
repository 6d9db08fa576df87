import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { ErrorCode } from "../base/errors.ts";
import { SheafError } from "../base/errors.ts";
import { causeOf, toldLines } from "./hadoop/causes.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** What the tool runs of sheaf's jar, with the argument "-". */
export const FILES_CLASS = "dev.sheaf.hosted.Files";

/** Standard error that is kept, characters. */
const KEPT_CHARS = 16_000;

/** Fields that an answer has besides: see java/src/dev/sheaf/hosted/Files.java. */
type Answer = Readonly<Record<string, unknown>>;

export interface AboutHadoop {
  /** Versions, as "3.4.2" and "17.0.15". */
  readonly hadoop: string;
  readonly java: string;
  readonly user: string;
  /** Kerberos. */
  readonly isSecure: boolean;
  /** The user's home directory on the default file system, and that file system, as URIs. */
  readonly home: string;
  readonly files: string;
  /** Directory of this machine with core-site.xml; null: there is none. */
  readonly confDirectory: string | null;
  /** What was asked for; null: not set. */
  readonly conf: Readonly<Record<string, string | null>>;
}

export type StoredEntry = { readonly kind: "file" | "directory"; readonly bytes: number };

/** An answer that was no. `error` is the name of the Java class. */
export class FileToolError extends SheafError {
  readonly error: string;

  constructor(command: string, error: string, message: string) {
    const cause = causeOf(`${error}: ${message}`);
    super(CODES[error] ?? cause?.code ?? "OUTPUT_UNWRITABLE", `hadoop, ${command}: ${message}`, {
      hint: cause?.hint ?? "Try the same with `hadoop fs`.",
    });
    this.error = error;
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  FileNotFoundException: "NOT_FOUND",
  FileAlreadyExistsException: "OUTPUT_EXISTS",
  AccessControlException: "OUTPUT_UNWRITABLE",
};

interface Waiting {
  readonly command: string;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/**
 * Hadoop's own client, in one JVM that lives as long as it is needed and carries out one command after the
 * other. A Ctrl-C in the terminal does not reach it.
 */
export class FileTool {
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  #stderr = "";
  #over: SheafError | null = null;
  readonly #ended: Promise<void>;

  /**
   * @param command what runs a class of the jar's, with its words: those of `Files` follow
   * @param conf properties, set before anything else is done
   */
  constructor(command: readonly [string, ...string[]], env: Env, conf: Readonly<Record<string, string>>) {
    const [program, ...words] = command;
    this.#child = spawn(program, words, {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      env: {
        ...env,
        HADOOP_ROOT_LOGGER: "WARN,console",
        HADOOP_CLIENT_OPTS: `-Xmx256m ${env["HADOOP_CLIENT_OPTS"] ?? ""}`.trim(),
        LC_ALL: "C.UTF-8",
      },
    });
    this.#child.stdin!.on("error", () => undefined);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_CHARS);
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#heard(line));
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#fail(`${program} cannot be started: ${error.message}`);
        resolve();
      });
      this.#child.once("close", (code, signal) => {
        this.#fail(`${program} has ended with ${signal ?? `exit code ${code}`}`);
        resolve();
      });
    });
    this.#hold(false);
    for (const [name, value] of Object.entries(conf)) this.#ask("set", name, value).catch(() => undefined);
  }

  /** Its JVM has ended, and carries out nothing any more. */
  get isOver(): boolean {
    return this.#over !== null;
  }

  async about(names: readonly string[]): Promise<AboutHadoop> {
    return (await this.#ask("about", ...names)) as unknown as AboutHadoop;
  }

  /** null: nothing is there. @throws FileToolError, as all of these; SheafError when Hadoop does not run */
  async stat(uri: string): Promise<StoredEntry | null> {
    const { kind, bytes } = await this.#ask("stat", uri);
    return kind === null ? null : { kind: kind as StoredEntry["kind"], bytes: Number(bytes) };
  }

  /** With what is above it. */
  async makeDirectory(uri: string): Promise<void> {
    await this.#ask("mkdir", uri);
  }

  /** Whole or not at all; there must be no such file. */
  async put(local: string, uri: string): Promise<void> {
    await this.#ask("put", local, uri);
  }

  /** A file, or a directory with all below it. */
  async get(uri: string, local: string): Promise<void> {
    await this.#ask("get", uri, local);
  }

  async readText(uri: string): Promise<string> {
    return String((await this.#ask("read", uri))["text"]);
  }

  /** Nothing must be at `to`, whose parent must be there. */
  async rename(from: string, to: string): Promise<void> {
    await this.#ask("rename", from, to);
  }

  /** With all below it; nothing there is fine. */
  async remove(uri: string): Promise<void> {
    await this.#ask("delete", uri);
  }

  async list(uri: string): Promise<readonly (StoredEntry & { readonly name: string })[]> {
    return (await this.#ask("list", uri))["entries"] as (StoredEntry & { name: string })[];
  }

  /** Ends a job, whoever waits for it. */
  async killJob(id: string): Promise<void> {
    await this.#ask("kill", id);
  }

  /** How many nodes can run tasks; in local mode 1. */
  async nodes(): Promise<number> {
    return Number((await this.#ask("nodes"))["nodes"]);
  }

  /** Resolves when its JVM is gone. */
  async close(): Promise<void> {
    this.#hold(true);
    this.#child.stdin!.end();
    await this.#ended;
  }

  #ask(...words: string[]): Promise<Answer> {
    if (this.#over !== null) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      this.#hold(true);
      this.#waiting.push({ command: words.join(" "), resolve, reject });
      this.#child.stdin!.write(`${words.map(encodeURIComponent).join("\t")}\n`);
    });
  }

  /** While nothing is asked, it does not keep this process from ending, with which it ends. */
  #hold(isHeld: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const one of [this.#child, stdin, stdout, stderr] as ({ ref(): void; unref(): void } | null)[]) {
      if (isHeld) one?.ref();
      else one?.unref();
    }
  }

  #heard(line: string): void {
    // Scripts of distributions print notes there.
    if (!line.startsWith('{"ok":')) return;
    const answer = JSON.parse(line) as Answer;
    const asked = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#hold(false);
    if (answer["ok"] === true) asked?.resolve(answer);
    else asked?.reject(new FileToolError(asked.command, String(answer["error"]), String(answer["message"])));
  }

  #fail(what: string): void {
    const cause = causeOf(this.#stderr);
    const lines = toldLines(this.#stderr).slice(-3);
    this.#over ??= new SheafError(cause?.code ?? "UNREACHABLE", [what, lines.join("; ")].join(": "), {
      hint: /JAVA_HOME/.test(this.#stderr)
        ? "Set JAVA_HOME to the directory of a Java installation."
        : (cause?.hint ?? "See that `hadoop version` and `hadoop fs -ls /` work here."),
    });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#over);
  }
}
