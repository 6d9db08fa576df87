import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fetch } from "undici";
import type { Dispatcher } from "undici";
import { sheafBinary, sheafHere, startSheaf } from "../cli/support.js";
import type { RunningSheaf, SheafOptions, SheafResult } from "../cli/support.js";
import { pass, untilNextLook } from "../kit/wait.js";
import { descendantsOf, isRunning, processesWith } from "./processes.js";

export interface ClusterSettings {
  readonly agents: number;
  /** Of an agent. Default 1. */
  readonly slots?: (index: number) => number;
  /** Default 150 ms. */
  readonly heartbeatMs?: number;
  /** Default 1,500 ms. */
  readonly leaseMs?: number;
  /** More flags of the coordinator, of the agents. */
  readonly coordinatorFlags?: readonly string[];
  readonly agentFlags?: (index: number) => readonly string[];
  /** What a process of the cluster is started by: "coordinator", "client", "agent-0". Default: nothing. */
  readonly startedBy?: (name: string) => readonly string[];
  /** How this process reaches the coordinator, which is at that URL. Default: as any other server. */
  readonly dispatcher?: (url: string) => Promise<Dispatcher>;
  /** The state directory of the coordinator, before it starts. */
  readonly prepare?: (state: string) => void;
  /** URL an agent dials instead of the coordinator's own: a proxy's. */
  readonly joinUrl?: (index: number, coordinator: string) => string | Promise<string>;
}

interface Served {
  readonly child: ChildProcess;
  readonly ended: Promise<number | string | null>;
}

/** Coordinator and agents as processes of the binary that ships, on this machine, in one directory. */
export class RealCluster {
  readonly root: string;
  readonly state: string;
  readonly settings: Required<Pick<ClusterSettings, "slots" | "heartbeatMs" | "leaseMs">> & ClusterSettings;
  url = "";
  #port = 0;
  #coordinator: Served | null = null;
  #dispatcher: Dispatcher | undefined;
  readonly #agents = new Map<number, Served>();
  readonly #copies: Served[] = [];

  private constructor(root: string, settings: ClusterSettings) {
    this.root = root;
    this.state = join(root, "coordinator");
    this.settings = { slots: () => 1, heartbeatMs: 150, leaseMs: 1_500, ...settings };
  }

  /** Started, with all agents joined; ended, and found to have left nothing running, when the test ends. */
  static async start(t: TestContext | null, settings: ClusterSettings): Promise<RealCluster> {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-cluster-")));
    const cluster = new RealCluster(root, settings);
    t?.after(() => cluster.remove());
    settings.prepare?.(cluster.state);
    await cluster.startCoordinator();
    cluster.#dispatcher = await settings.dispatcher?.(cluster.url);
    await Promise.all(Array.from({ length: settings.agents }, (_, index) => cluster.startAgent(index)));
    return cluster;
  }

  get coordinatorPid(): number {
    return this.#coordinator!.child.pid!;
  }

  agentPid(index: number): number {
    return this.#agents.get(index)!.child.pid!;
  }

  /** null when it was not started, or has ended. */
  agentPidIf(index: number): number | null {
    const child = this.#agents.get(index)?.child;
    return child === undefined || child.exitCode !== null || child.signalCode !== null ? null : child.pid!;
  }

  agentState(index: number): string {
    return join(this.root, `agent-${index}`);
  }

  agentName(index: number): string {
    return `a${index}`;
  }

  /** Whether it was started and has not ended. */
  get coordinatorRuns(): boolean {
    const child = this.#coordinator?.child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Workers of the agent, and what they have started. */
  workersOf(index: number): number[] {
    const agent = this.#agents.get(index);
    return agent === undefined ? [] : descendantsOf(agent.child.pid!);
  }

  /** Starts the coordinator on the port it had before, if any; resolves when it listens. */
  async startCoordinator(): Promise<void> {
    const { heartbeatMs, leaseMs, coordinatorFlags = [] } = this.settings;
    const flags = ["--port", String(this.#port), "--state", this.state, "--heartbeat", `${heartbeatMs}ms`];
    const { served, line } = this.#serve("coordinator", [
      "coordinator",
      ...flags,
      "--lease",
      `${leaseMs}ms`,
      ...coordinatorFlags,
    ]);
    this.#coordinator = served;
    const said = await line(/listens on (\S+?);/);
    this.url = said[1]!;
    this.#port = Number(new URL(this.url).port);
  }

  /** Resolves when it has joined. */
  async startAgent(index: number): Promise<void> {
    const { slots, agentFlags, joinUrl } = this.settings;
    const join_ = joinUrl === undefined ? this.url : await joinUrl(index, this.url);
    const flags = ["--join", join_, "--name", this.agentName(index), "--slots", String(slots(index))];
    const own = ["--state", this.agentState(index), "--token-file", join(this.state, "agent.token")];
    const { served, line } = this.#serve(`agent-${index}`, [
      "agent",
      ...flags,
      ...own,
      ...(agentFlags?.(index) ?? []),
    ]);
    this.#agents.set(index, served);
    await line(/has joined/);
  }

  /**
   * An agent of the name and key of another one, as a copy of its machine would be, in a directory of its
   * own; `said` resolves when it has ended.
   */
  startCopy(index: number, joinUrl: string): { readonly end: () => void; readonly said: Promise<string> } {
    const number = this.#copies.length;
    const state = join(this.root, `copy-${number}`);
    mkdirSync(state, { mode: 0o700 });
    copyFileSync(join(this.agentState(index), "agent.json"), join(state, "agent.json"));
    const name = `copy-${number}-of-${index}`;
    const { served } = this.#serve(name, [
      "agent",
      "--join",
      joinUrl,
      "--name",
      this.agentName(index),
      "--slots",
      "1",
      "--state",
      state,
      "--token-file",
      join(this.state, "agent.token"),
    ]);
    this.#copies.push(served);
    return { end: () => void served.child.kill("SIGKILL"), said: served.ended.then(() => this.log(name)) };
  }

  /** As the system or an operator would: resolves when the process is gone. */
  async endCoordinator(signal: NodeJS.Signals): Promise<number | string | null> {
    this.#coordinator!.child.kill(signal);
    return this.#coordinator!.ended;
  }

  async endAgent(index: number, signal: NodeJS.Signals): Promise<number | string | null> {
    const agent = this.#agents.get(index)!;
    agent.child.kill(signal);
    return agent.ended;
  }

  async restartCoordinator(): Promise<void> {
    await this.endCoordinator("SIGKILL");
    await this.startCoordinator();
  }

  /** What a command needs to talk to this cluster. */
  #clientEnv(options: SheafOptions): Readonly<Record<string, string | undefined>> {
    return {
      SHEAF_ON: this.url,
      SHEAF_TOKEN_FILE: join(this.state, "client.token"),
      SHEAF_STATE: this.clientState,
      ...options.env,
    };
  }

  /** A command of the CLI that talks to this cluster, in a process of its own. */
  start(args: readonly string[], options: SheafOptions = {}): RunningSheaf {
    const startedBy = this.settings.startedBy?.("client").join(" ") ?? "";
    return startSheaf(args, {
      timeoutMs: 120_000,
      ...(startedBy === "" ? {} : { shell: `set -- ${startedBy} "$@"; ` }),
      ...options,
      env: this.#clientEnv(options),
    });
  }

  /** One to its end: in this process where nothing asks for one of its own. */
  run(args: readonly string[], options: SheafOptions = {}): Promise<SheafResult> {
    const { cwd, env: _, ...ofProcess } = options;
    if (this.settings.startedBy !== undefined || Object.keys(ofProcess).length > 0)
      return this.start(args, options).done;
    return sheafHere(args, { ...(cwd === undefined ? {} : { cwd }), env: this.#clientEnv(options) });
  }

  get clientState(): string {
    return join(this.root, "client");
  }

  /** A route of the coordinator, as a client. */
  async get<T>(path: string): Promise<T> {
    const { status, body } = await this.ask("client", "GET", path);
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
    return JSON.parse(body) as T;
  }

  /** What the coordinator answers whoever has that token; a body is sent as JSON. */
  async ask(
    role: "client" | "agent",
    method: string,
    path: string,
    json?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly body: string }> {
    const authorization = `Bearer ${readFileSync(join(this.state, `${role}.token`), "utf8").trim()}`;
    const body = json === undefined ? {} : { body: JSON.stringify(json) };
    const type = json === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization, ...type, ...headers },
      ...body,
      ...(this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher }),
    });
    return { status: response.status, body: await response.text() };
  }

  /** All that the processes have logged: what to look at when a test fails. */
  log(name: string): string {
    const path = join(this.root, `${name}.log`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Ends everything, checks that no process of it is left, and removes its directory. */
  async remove(): Promise<void> {
    try {
      await this.end();
    } finally {
      rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  /** Ends everything and checks that no process of it is left; its directory stays. */
  async end(): Promise<void> {
    const all = [this.#coordinator, ...this.#agents.values(), ...this.#copies].filter((one) => one !== null);
    const pids = all.flatMap(({ child }) => [child.pid!, ...descendantsOf(child.pid!)]);
    for (const { child } of all) {
      // One that was stopped hears nothing else.
      child.kill("SIGCONT");
      child.kill("SIGKILL");
    }
    await Promise.all(all.map(({ ended }) => ended));
    await eventually(
      () => pids.every((pid) => !isRunning(pid)),
      10_000,
      () => {
        const left = pids.filter(isRunning);
        for (const pid of left) process.kill(pid, "SIGKILL");
        return `processes are left behind: ${left.join(", ")}`;
      },
    );
    const named = processesWith(this.root);
    for (const pid of named) process.kill(pid, "SIGKILL");
    assert.deepEqual(named, [], "processes of the cluster are left behind");
  }

  #serve(
    name: string,
    args: readonly string[],
  ): { served: Served; line: (pattern: RegExp) => Promise<RegExpExecArray> } {
    mkdirSync(this.root, { recursive: true });
    const env: Record<string, string | undefined> = { ...process.env, SHEAF_STATE: join(this.root, "state") };
    delete env["NODE_TEST_CONTEXT"];
    delete env["NODE_OPTIONS"];
    const startedBy = this.settings.startedBy?.(name) ?? [];
    const [command = "", ...words] = [...startedBy, process.execPath, sheafBinary, ...args];
    const child = spawn(command, words, { env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    let look: (() => void) | null = null;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        appendFileSync(join(this.root, `${name}.log`), text);
        look?.();
      });
    }
    const ended = new Promise<number | string | null>((resolve) =>
      child.once("close", (code, signal) => resolve(signal ?? code)),
    );
    const line = (pattern: RegExp): Promise<RegExpExecArray> =>
      new Promise((resolve, reject) => {
        look = () => {
          const match = pattern.exec(said);
          if (match !== null) resolve(match);
        };
        look();
        void ended.then((end) => reject(new Error(`sheaf ${args[0]} ended (${end}): ${said}`)));
        const timer = setTimeout(() => reject(new Error(`sheaf ${args[0]} is not up: ${said}`)), 60_000);
        timer.unref();
      });
    return { served: { child, ended }, line };
  }
}

/** Looks until it is so; what a failure says is asked for only then. */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  withinMs: number,
  otherwise: () => string,
): Promise<void> {
  const startMs = performance.now();
  while (!(await isSo())) {
    const waitedMs = performance.now() - startMs;
    if (waitedMs > withinMs) throw new Error(otherwise());
    await pass(15 + untilNextLook(waitedMs));
  }
}
