import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startCutProxy, startFaultProxy } from "#src/testing/fault-proxy.js";
import type { StoreSubject } from "#src/testing/store-bench.js";

/** One commit of the process, which is told of it in JSON. */
export interface DoomedCommit {
  readonly scheme: string;
  readonly env: Readonly<Record<string, string>>;
  readonly address: string;
  readonly job: string;
  readonly isSmall: boolean;
}

export interface Kill {
  /** Of the output directory, ending in "/"; each has its own. */
  readonly name: string;
  /** The request, from 1, or the byte of a server without HTTP, from which on nothing goes through. */
  readonly point: number;
  /** Commits `smallFiles` instead of `outputFiles`. */
  readonly isSmall: boolean;
}

/** What one commit goes through to the server. */
interface Wire {
  readonly port: number;
  readonly isCut: () => boolean;
  /** Resolves when it is cut, or when `end` is called. */
  readonly over: Promise<void>;
  end(): void;
  close(): Promise<void>;
}

/**
 * A process commits outputs, each through a wire of its own, and is killed when each of these was cut at its
 * point or has ended before that. To the server it is as if each had been killed at its point; to whoever
 * looks for the process, too. One process for all of them: to start it is most of what a kill costs.
 */
export async function killWriters(
  subject: Pick<StoreSubject, "scheme" | "port" | "http" | "env" | "address">,
  directory: string,
  kills: readonly Kill[],
): Promise<void> {
  const open = subject.http === false ? byteWire : requestWire;
  const wires = await Promise.all(kills.map(({ point }) => open(subject.port!, point)));
  const commits = kills.map(({ name, isSmall }, i): DoomedCommit => {
    const { port } = wires[i]!;
    const { scheme } = subject;
    const address = subject.address(name, port);
    return { scheme, env: subject.env?.(port) ?? {}, address, job: `job-killed-${i}`, isSmall };
  });
  const script = fileURLToPath(new URL("./commit-process.js", import.meta.url));
  const child = spawn(process.execPath, [script, directory, JSON.stringify(commits)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = once(child, "exit");
  const failed = new Promise<never>((_, reject) => {
    void gone.then(() => reject(new Error("the process that was to be killed has ended by itself")));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const wire = wires[Number.parseInt(line, 10)]!;
      if (line.endsWith(" done")) wire.end();
      else if (!wire.isCut()) reject(new Error(`a commit failed that nothing had cut: ${line}`));
    });
  });
  try {
    await Promise.race([Promise.all(wires.map(({ over }) => over)), failed]);
  } finally {
    // It is no failure any more that it ends.
    failed.catch(() => undefined);
    child.kill("SIGKILL");
    await gone;
    await Promise.all(wires.map((wire) => wire.close()));
  }
}

async function requestWire(target: number, point: number): Promise<Wire> {
  const proxy = await startFaultProxy(target);
  const { over, end } = ending();
  let isCut = false;
  proxy.decide(({ number }) => {
    if (number < point) return null;
    // Of the first it may be that it was carried out, and nobody heard of it.
    const afterBytes = !isCut && point % 2 === 0 ? 0 : -1;
    isCut = true;
    end();
    return { kind: "cut", afterBytes };
  });
  return { port: proxy.port, isCut: () => isCut, over, end, close: () => proxy.close() };
}

async function byteWire(target: number, point: number): Promise<Wire> {
  const proxy = await startCutProxy(target);
  const { over, end } = ending();
  let closed: Promise<void> | null = null;
  proxy.cutAfter(point, () => {
    closed = proxy.close();
    end();
  });
  return {
    port: proxy.port,
    isCut: () => closed !== null,
    over,
    end,
    close: () => closed ?? proxy.close(),
  };
}

function ending(): { over: Promise<void>; end: () => void } {
  let end!: () => void;
  const over = new Promise<void>((resolve) => (end = resolve));
  return { over, end };
}
