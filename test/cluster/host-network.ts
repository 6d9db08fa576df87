import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Agent } from "undici";
import type { Dispatcher } from "undici";
import { ensureTokenFile, tokenFilesIn } from "#src/security/token-file.js";
import { ensurePrivateDirectory } from "#src/storage/private-directory.js";
import { eventually } from "./real-cluster.js";

/**
 * Hosts with addresses of their own on this machine: a network namespace each, and one more that routes
 * between them. What the router drops is gone without a word, as on a network that is broken: nothing is
 * reset, nobody is told. Nothing of it can be seen or reached from outside.
 */
export class HostNetwork {
  readonly #prefix: string;
  readonly #hosts: number;
  readonly #directory: string;
  readonly #relays: ChildProcess[] = [];
  readonly #dispatchers: Dispatcher[] = [];
  readonly #remove = (): void => this.#removeNamespaces();

  private constructor(hosts: number) {
    this.#prefix = `sheaf-${process.pid}-${randomBytes(3).toString("hex")}`;
    this.#hosts = hosts;
    this.#directory = mkdtempSync(join(tmpdir(), "sheaf-relay-"));
    process.once("exit", this.#remove);
  }

  /** @throws Error when the system does not allow it: see `whyNot` */
  static open(hosts: number): HostNetwork {
    const network = new HostNetwork(hosts);
    try {
      network.#build();
      return network;
    } catch (error) {
      network.#removeNamespaces();
      rmSync(network.#directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Why there can be no such network on this system; null when there can. Found out by making one. */
  static whyNot(): string | null {
    try {
      const network = HostNetwork.open(2);
      network.drop(0, 1);
      network.#removeNamespaces();
      rmSync(network.#directory, { recursive: true, force: true });
      return null;
    } catch (error) {
      return `no network namespaces here (needs root, CAP_NET_ADMIN and iproute2): ${(error as Error).message}`;
    }
  }

  address(host: number): string {
    return `10.77.${host}.2`;
  }

  /** What a command is to be preceded by to run on that host. */
  inside(host: number): readonly string[] {
    return ["ip", "netns", "exec", this.#name(host)];
  }

  /** From now on packets from one host to the other get lost; those of the other direction do not. */
  drop(from: number, to: number): void {
    const rule = ["from", this.address(from), "to", this.address(to), "blackhole"];
    ip("-n", this.#name("router"), "rule", "add", ...rule);
  }

  /** The host and all others do not hear from each other. */
  cutOff(host: number): void {
    ip("-n", this.#name("router"), "rule", "add", "from", this.address(host), "blackhole");
    ip("-n", this.#name("router"), "rule", "add", "to", this.address(host), "blackhole");
  }

  /** All packets arrive again. */
  heal(): void {
    const rules = ip("-n", this.#name("router"), "rule", "list").split("\n");
    for (const rule of rules.filter((one) => one.includes("blackhole")))
      ip("-n", this.#name("router"), "rule", "delete", "priority", rule.split(":")[0]!);
  }

  /** How this process, which is none of the hosts, asks a server on one of them. */
  async dispatcherTo(host: number, port: number): Promise<Dispatcher> {
    const socketPath = join(this.#directory, `${host}-${port}`);
    const [command, ...args] = this.inside(host);
    const entry = fileURLToPath(new URL("./relay.js", import.meta.url));
    const relay = [process.execPath, entry, socketPath, this.address(host), String(port)];
    this.#relays.push(spawn(command!, [...args, ...relay], { stdio: "ignore" }));
    await eventually(
      () => existsSync(socketPath),
      20_000,
      () => "the relay does not listen",
    );
    const dispatcher = new Agent({ connect: { socketPath } });
    this.#dispatchers.push(dispatcher);
    return dispatcher;
  }

  /** REQUIRES: what was started on the hosts has ended. */
  async close(): Promise<void> {
    await Promise.all(this.#dispatchers.map((one) => one.destroy()));
    await Promise.all(
      this.#relays.map((relay) => {
        if (relay.exitCode !== null || relay.signalCode !== null) return;
        relay.kill("SIGKILL");
        return new Promise((resolve) => relay.once("exit", resolve));
      }),
    );
    this.#removeNamespaces();
    rmSync(this.#directory, { recursive: true, force: true });
    process.off("exit", this.#remove);
  }

  #name(host: number | "router"): string {
    return `${this.#prefix}-${host}`;
  }

  #build(): void {
    const router = this.#name("router");
    ip("netns", "add", router);
    ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    for (let host = 0; host < this.#hosts; host++) {
      const [name, gateway] = [this.#name(host), `10.77.${host}.1`];
      ip("netns", "add", name);
      ip("-n", router, "link", "add", `to${host}`, "type", "veth", "peer", "name", "eth0", "netns", name);
      ip("-n", router, "address", "add", `${gateway}/24`, "dev", `to${host}`);
      ip("-n", router, "link", "set", `to${host}`, "up");
      ip("-n", name, "address", "add", `${this.address(host)}/24`, "dev", "eth0");
      ip("-n", name, "link", "set", "eth0", "up");
      ip("-n", name, "link", "set", "lo", "up");
      ip("-n", name, "route", "add", "default", "via", gateway);
    }
  }

  #removeNamespaces(): void {
    const hosts = Array.from({ length: this.#hosts }, (_, host) => host);
    for (const host of ["router" as const, ...hosts])
      spawnSync("ip", ["netns", "delete", this.#name(host)], { stdio: "ignore" });
  }
}

function ip(...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`ip cannot be run: ${error.message}`);
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr.trim()}`);
  return stdout;
}

/** Those of a coordinator, which does not make them by itself when it listens beyond loopback. */
export function makeTokens(state: string): void {
  ensurePrivateDirectory(state, "OUTPUT_UNWRITABLE");
  const files = tokenFilesIn(state);
  ensureTokenFile(files.client, "client");
  ensureTokenFile(files.agent, "agent");
}
