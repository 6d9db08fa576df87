import type { Socket } from "node:net";
import { createServer, connect } from "node:net";
import type { AddressInfo, Server } from "node:net";
import type { TestContext } from "node:test";

/**
 * What is done to one exchange: a request and its answer on a connection, which may carry several, one after
 * the other. Offsets count the bytes of the answer, its head included.
 */
export type Fault =
  | { readonly kind: "none" }
  /** Resets the connection when so many bytes are through. */
  | { readonly kind: "cut"; readonly after: number }
  /** Ends it there in an orderly way. */
  | { readonly kind: "end"; readonly after: number }
  /** Keeps it open, but lets nothing more through. */
  | { readonly kind: "hang"; readonly after: number }
  /** Flips a bit of one byte. */
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  /** Lets a byte through every so many ms. */
  | { readonly kind: "drip"; readonly everyMs: number }
  /** Lets the answer begin so much later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** Takes the request, and answers in the server's stead; then closes. */
  | { readonly kind: "answer"; readonly text: string }
  /** Takes the request and does nothing. */
  | { readonly kind: "swallow" };

export const noFault: Fault = { kind: "none" };

/** An HTTP answer for `{ kind: "answer" }`. */
export function httpAnswer(status: string, body: string, headers = ""): string {
  return `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
}

/** A TCP proxy in front of a server of this machine, which does to each exchange what its plan says. */
export class FaultProxy {
  /** Asked for each exchange, counted from 0 over all connections. */
  plan: (exchange: number) => Fault = () => noFault;
  /** Exchanges and connections so far. */
  exchanges = 0;
  connections = 0;
  /** Answer bytes let through so far. */
  bytes = 0;
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens on 127.0.0.1 until the test ends. `target`: URL of the server. */
  static async start(t: TestContext, target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    t.after(() => proxy.close());
    return proxy;
  }

  /** The server's URL with the proxy's address. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `${this.#target.protocol}//127.0.0.1:${port}`;
  }

  /** Does this to the next exchange, and to those after it what `then` says. */
  next(fault: Fault, then: Fault = noFault): void {
    const first = this.exchanges;
    this.plan = (exchange) => (exchange === first ? fault : then);
  }

  /** Resets all connections. */
  reset(): void {
    for (const socket of this.#sockets) cut(socket);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.reset();
    await closed;
  }

  #accept(client: Socket): void {
    this.connections++;
    const server = connect(Number(this.#target.port), this.#target.hostname.replace(/^\[(.*)\]$/, "$1"));
    new Connection(client, server, {
      begin: () => this.plan(this.exchanges++),
      passed: (bytes) => (this.bytes += bytes),
      later: (ms, work) => {
        const timer = setTimeout(() => {
          this.#timers.delete(timer);
          work();
        }, ms);
        this.#timers.add(timer);
      },
    });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => this.#sockets.delete(socket));
    }
  }
}

/**
 * Resets a connection. One that is being ended is closed instead: Node 20 leaks what it is told to reset,
 * and spins for ever when the process ends.
 */
function cut(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

interface ConnectionHooks {
  begin(): Fault;
  passed(bytes: number): void;
  later(ms: number, work: () => void): void;
}

class Connection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #hooks: ConnectionHooks;
  #fault: Fault = noFault;
  /** Bytes of this exchange's answer that came, and whether any did. */
  #came = 0;
  #answered = true;
  /** Nothing more goes through. */
  #dead = false;
  readonly #waiting: Buffer[] = [];
  #dripping = false;

  constructor(client: Socket, server: Socket, hooks: ConnectionHooks) {
    this.#client = client;
    this.#server = server;
    this.#hooks = hooks;
    client.on("data", (bytes: Buffer) => this.#fromClient(bytes));
    server.on("data", (bytes: Buffer) => this.#fromServer(bytes));
    client.on("close", () => server.destroy());
    server.on("close", () => {
      if (!this.#dead && this.#waiting.length === 0) client.end();
    });
    // Resets are what this is for.
    client.on("error", () => {});
    server.on("error", () => client.destroy());
  }

  #fromClient(bytes: Buffer): void {
    if (this.#answered) {
      this.#answered = false;
      this.#came = 0;
      this.#fault = this.#hooks.begin();
    }
    const fault = this.#fault;
    if (fault.kind === "swallow") return;
    if (fault.kind === "answer") {
      this.#dead = true;
      this.#client.end(fault.text);
    } else if (fault.kind === "cut" && fault.after === 0) cut(this.#client);
    else if (!this.#server.destroyed) this.#server.write(bytes);
  }

  #fromServer(bytes: Buffer): void {
    this.#answered = true;
    if (this.#dead) return;
    const fault = this.#fault;
    const before = this.#came;
    this.#came += bytes.length;
    switch (fault.kind) {
      case "cut":
      case "end":
      case "hang":
        if (this.#came <= fault.after && !(fault.kind !== "hang" && this.#came === fault.after))
          return this.#pass(bytes);
        this.#dead = true;
        return this.#stop(fault, bytes.subarray(0, fault.after - before));
      case "flip": {
        const damaged = Buffer.from(bytes);
        const at = fault.at - before;
        if (at >= 0 && at < damaged.length) damaged[at]! ^= 1 << fault.bit;
        return this.#pass(damaged);
      }
      case "drip":
        this.#waiting.push(bytes);
        if (!this.#dripping) this.#drip(fault.everyMs);
        return;
      case "delay":
        if (before > 0 && this.#waiting.length === 0) return this.#pass(bytes);
        this.#waiting.push(bytes);
        if (before === 0)
          this.#hooks.later(fault.ms, () => this.#waiting.splice(0).forEach((b) => this.#pass(b)));
        return;
      default:
        this.#pass(bytes);
    }
  }

  /** With the speed of the slower side. */
  #pass(bytes: Buffer): void {
    if (this.#client.destroyed) return;
    this.#hooks.passed(bytes.length);
    if (this.#client.write(bytes)) return;
    this.#server.pause();
    this.#client.once("drain", () => this.#server.resume());
  }

  #stop(fault: Fault, last: Buffer): void {
    this.#hooks.passed(last.length);
    if (fault.kind === "hang") this.#client.write(last);
    else if (fault.kind === "end") this.#client.end(last);
    // What was written before a reset may be lost with it: it goes when that is through.
    else this.#client.write(last, () => cut(this.#client));
    this.#server.destroy();
  }

  #drip(everyMs: number): void {
    this.#dripping = true;
    this.#hooks.later(everyMs, () => {
      const [first] = this.#waiting;
      this.#dripping = false;
      if (first === undefined || this.#client.destroyed) return;
      this.#pass(first.subarray(0, 1));
      if (first.length > 1) this.#waiting[0] = first.subarray(1);
      else this.#waiting.shift();
      this.#drip(everyMs);
    });
  }
}
