import { connect } from "node:net";
import { isErrorCode } from "#src/base/errors.js";
import type { Random } from "#src/base/random.js";
import { anyBytes, jsonText, mutate, mutateBytes } from "./mutate.js";
import type { Exchange } from "./recorder.js";

/** What is sent, byte for byte, and what for. */
export interface Attack {
  readonly method: string;
  readonly target: string;
  readonly bytes: Buffer;
  /** It is answered at once; else it may be held open, or never be complete. */
  readonly isWhole: boolean;
}

export interface AttackWorld {
  /** Real requests, by route. */
  readonly captured: ReadonlyMap<string, readonly Exchange[]>;
  /** "POST /jobs/{job}/kill": all there are. */
  readonly routes: readonly string[];
  readonly tokens: readonly string[];
  readonly host: string;
  /** Values of fields and of parts of paths, by the name of the field. */
  readonly others: ReadonlyMap<string, readonly unknown[]>;
  /**
   * Takes out of a text what would speak for those who must not be disturbed; null: it must not be sent at
   * all.
   */
  disarm(method: string, text: string): string | null;
}

/** Fields of all bodies with the values they had. */
export function fieldsOf(exchanges: Iterable<Exchange>): Map<string, unknown[]> {
  const fields = new Map<string, unknown[]>();
  const note = (name: string, value: unknown): void => {
    const known = fields.get(name);
    if (known === undefined) fields.set(name, [value]);
    else if (known.length < 200) known.push(value);
  };
  const look = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, one] of Object.entries(value)) {
      if (!Array.isArray(value)) note(name, one);
      look(one);
    }
  };
  for (const { body } of exchanges) {
    try {
      look(JSON.parse(body.toString()));
    } catch {
      // A file.
    }
  }
  return fields;
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.below(values.length)]!;
}

/** One request of a real one changed, of a route of the document, or of nothing at all. */
export function makeAttack(random: Random, world: AttackWorld): Attack | null {
  const kind = random.below(20);
  if (kind === 0)
    return { method: "?", target: "?", bytes: anyBytes(random, random.below(3_000)), isWhole: false };
  const exchange = kind < 5 ? madeUp(random, world) : captured(random, world);
  const target = random.below(3) === 0 ? changeTarget(random, exchange.target) : exchange.target;
  const method =
    random.below(30) === 0
      ? pick(random, ["GET", "PUT", "POST", "HEAD", "DELETE", "PATCH"])
      : exchange.method;
  const body = random.below(12) === 0 ? exchange.body : changeBody(random, exchange.body, world);
  const head = world.disarm(
    method,
    `${target}\n${JSON.stringify(changeHeaders(random, exchange.headers, world))}`,
  );
  const text = world.disarm(method, body.toString("latin1"));
  if (head === null || text === null) return null;
  const [path = "", lines = "{}"] = head.split("\n");
  return framed(
    random,
    method,
    path,
    JSON.parse(lines) as Record<string, string>,
    Buffer.from(text, "latin1"),
  );
}

function captured(random: Random, { captured: all }: AttackWorld): Exchange {
  return pick(random, pick(random, [...all.values()]));
}

/** Of any route, with what other requests have said in its path. */
function madeUp(random: Random, world: AttackWorld): Exchange {
  const [method = "GET", path = "/"] = pick(random, world.routes).split(" ");
  const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const known = world.others.get(name);
    return encoded(known === undefined ? pick(random, ["0", "x", "map-00000"]) : pick(random, known));
  });
  const like = captured(random, world);
  return { ...like, method, target };
}

function changeTarget(random: Random, target: string): string {
  const [path = "", query] = target.split("?");
  const parts = path.split("/");
  if (random.below(2) === 0 || query === undefined) {
    const at = 1 + random.below(Math.max(1, parts.length - 1));
    const [changed] = Object.values(
      Object(mutate(random, [decoded(parts[at] ?? "")], { as: "json" })) as object,
    );
    parts[at] =
      random.below(4) === 0 ? "%zz" : encoded(typeof changed === "string" ? changed : jsonText(changed));
  }
  const fields = query === undefined ? {} : Object.fromEntries(new URLSearchParams(query));
  const changed =
    random.below(2) === 0 && query !== undefined ? mutate(random, fields, { as: "json" }) : fields;
  const pairs = Object.entries((changed ?? {}) as object).map(
    ([name, value]) => `${encoded(name)}=${encoded(value)}`,
  );
  return `${parts.join("/")}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`.slice(0, 12_000);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function encoded(value: unknown): string {
  const text = typeof value === "string" ? value : jsonText(value);
  return encodeURIComponent(Buffer.from(text).toString()).slice(0, 5_000);
}

function changeBody(random: Random, body: Buffer, { others }: AttackWorld): Buffer {
  if (random.below(8) === 0) return mutateBytes(random, body);
  try {
    return Buffer.from(jsonText(mutate(random, JSON.parse(body.toString()), { as: "json", others })));
  } catch {
    return mutateBytes(random, body);
  }
}

function changeHeaders(
  random: Random,
  headers: Exchange["headers"],
  { tokens, host }: AttackWorld,
): Record<string, string> {
  const { "content-length": _1, "transfer-encoding": _2, connection: _3, ...rest } = headers;
  const changed: Record<string, string> = { ...rest, host };
  const who = random.below(15);
  if (who === 0) delete changed["authorization"];
  else if (who === 1) changed["authorization"] = `Bearer ${pick(random, tokens)}`;
  if (random.below(6) === 0) {
    const name = pick(random, Object.keys(changed));
    const value = pick(random, [
      "",
      "0",
      "-1",
      "9007199254740993",
      "x".repeat(3_000),
      "text/plain",
      "gzip",
      "a0",
      "é",
    ]);
    changed[name] = value;
  }
  if (random.below(20) === 0)
    Object.assign(
      changed,
      pick(random, [{ range: "bytes=5-1" }, { "content-encoding": "gzip" }, { expect: "100-continue" }]),
    );
  return changed;
}

function framed(
  random: Random,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
): Attack {
  const wrong = body.length > 0 && random.below(15) === 0 ? random.below(4) : null;
  const length =
    wrong === 0 ? body.length + 1 + random.below(1_000) : wrong === 1 ? body.length - 1 : body.length;
  const framing =
    wrong === 2 ? "transfer-encoding: chunked" : `content-length: ${wrong === 3 ? "1e3" : length}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value.replaceAll(/[\r\n]/g, "")}`);
  const hasBody = body.length > 0 || method === "POST" || method === "PUT";
  const head = [`${method} ${target.replaceAll(/\s/g, "%20")} HTTP/1.1`, "connection: close", ...lines];
  const text = `${[...head, ...(hasBody ? [framing] : [])].join("\r\n")}\r\n\r\n`;
  const isHeld = /\/orders|\/task(?:\?|\n|$)|\/events|\/logs|expect:/i.test(`${target}\n${lines.join("\n")}`);
  return {
    method,
    target,
    bytes: Buffer.concat([Buffer.from(text, "latin1"), body]),
    isWhole: wrong === null && !isHeld,
  };
}

export interface Outcome {
  /** 0: it was cut, or did not come in time. */
  readonly status: number;
  readonly body: string;
  /** What must not be, if anything. */
  readonly problem: string | null;
}

const answerMsMax = 60_000;
const heldMs = 400;

/** Sends it over a connection of its own, and looks at what comes back. */
export function attack(port: number, { bytes, isWhole, method }: Attack): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    let isLate = false;
    const timer = setTimeout(
      () => {
        isLate = true;
        socket.destroy();
      },
      isWhole ? answerMsMax : heldMs,
    );
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      const late = isLate && isWhole ? "no answer came in time" : null;
      resolve(outcomeOf(Buffer.concat(chunks).toString("latin1"), method, late));
    });
    socket.write(bytes);
  });
}

function outcomeOf(raw: string, method: string, late: string | null): Outcome {
  // "100 Continue" is not yet an answer.
  const status = Number(/^(?:HTTP\/1\.1 100 .*\r\n\r\n)?HTTP\/1\.1 (\d{3})/.exec(raw)?.[1] ?? 0);
  const body = raw.slice(raw.indexOf("\r\n\r\n") + 4);
  const problem =
    late ??
    (status >= 500 ? `status ${status}` : status >= 400 && method !== "HEAD" ? formProblem(body) : null);
  return { status, body, problem };
}

/** Errors have one form, whatever went wrong. */
function formProblem(body: string): string | null {
  // A chunked body has the sizes of its chunks around it.
  const text = body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1);
  try {
    const { error } = JSON.parse(text) as {
      readonly error?: { readonly code?: unknown; readonly message?: unknown };
    };
    if (isErrorCode(error?.code) && typeof error?.message === "string") return null;
  } catch {
    // Said below.
  }
  return `an error in no form: ${body.slice(0, 200)}`;
}
