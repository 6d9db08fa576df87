import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";

/**
 * A wire that tests can cut: listens on a port of this machine and passes every connection on to another.
 * - "open": passes all.
 * - "dead": nothing passes and nothing is closed, as with a pulled cable; what was sent arrives later.
 * - "refuses": connections are reset, and new ones at once.
 */
export type WireState = "open" | "dead" | "refuses";

export class TcpProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #state: WireState = "open";
  #losing: string | null = null;
  #cuts = 0;
  #cutAfter = 0;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  /** `target` is asked at each connection; null resets it. */
  static async listen(target: () => number | null): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port to listen on");
    const proxy = new TcpProxy(server, `http://127.0.0.1:${address.port}`);
    server.on("connection", (socket) => proxy.#take(socket, target));
    return proxy;
  }

  get state(): WireState {
    return this.#state;
  }

  set(state: WireState): void {
    this.#state = state;
    if (state === "refuses") this.cut();
    for (const socket of this.#sockets) {
      if (state === "dead") socket.pause();
      else socket.resume();
    }
  }

  /** Resets what is connected now. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** The next answer to a request that contains this is lost: its connection ends with nothing said. */
  loseAnswerTo(text: string): void {
    this.#losing = text;
  }

  /** No such answer has come yet. */
  get isLosing(): boolean {
    return this.#losing !== null;
  }

  /** So many connections are reset when they have brought so many bytes. */
  cutNext(connections: number, afterBytes: number): void {
    this.#cuts = connections;
    this.#cutAfter = afterBytes;
  }

  /** How many of the cuts asked for have not been made. */
  get cutsLeft(): number {
    return this.#cuts;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }

  #take(near: Socket, target: () => number | null): void {
    const port = this.#state === "refuses" ? null : target();
    if (port === null) {
      near.on("error", () => undefined).resetAndDestroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.on("end", () => other.end());
      if (this.#state === "dead") socket.pause();
    }
    let isLost = false;
    near.on("data", (bytes) => {
      if (this.#losing !== null && bytes.includes(this.#losing)) {
        this.#losing = null;
        isLost = true;
      }
      far.write(bytes);
    });
    let passed = 0;
    far.on("data", (bytes) => {
      if (isLost) return near.resetAndDestroy();
      passed += bytes.length;
      if (this.#cuts === 0 || passed <= this.#cutAfter) return near.write(bytes);
      this.#cuts--;
      near.write(bytes.subarray(0, Math.max(0, bytes.length - (passed - this.#cutAfter))), () =>
        near.destroy(),
      );
      return far.destroy();
    });
  }
}
