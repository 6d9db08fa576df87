import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { systemClock } from "#src/base/clock.js";
import type { Store, StoredFile } from "#src/storage/store.js";
import { createStore } from "#src/storage/stores/http.js";
import { netrcLogin } from "#src/storage/stores/netrc.js";
import { content } from "#src/testing/store-files.js";
import { directory } from "../format/support.ts";

/* What servers answer that are wrong, old or clever: the right bytes come of it, or an error. */

const bytes = content(600_000);
const etag = '"0123456789abcdef0123456789abcdef"';

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(t: TestContext, handle: Handle): Promise<string> {
  const server = createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.txt`;
}

function storeWith(env: Record<string, string> = {}): Store {
  return createStore("http", { env, fetch: null, world: { clock: systemClock, random: () => 0.9 } });
}

/** The range that is asked for, both included. */
function asked(request: IncomingMessage): [number, number] {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  return [Number(from), Math.min(Number(to), bytes.length - 1)];
}

function ranges(change: (headers: Record<string, string>, from: number) => void = () => undefined): Handle {
  return (request, response) => {
    const [from, to] = asked(request);
    const headers = {
      etag,
      "content-range": `bytes ${from}-${to}/${bytes.length}`,
      "content-length": String(to - from + 1),
    };
    change(headers, from);
    response.writeHead(206, headers).end(bytes.subarray(from, to + 1));
  };
}

async function read(store: Store, address: string): Promise<Buffer> {
  const file = (await store.stat(address)) as StoredFile;
  assert.ok(file.bytes !== null && file.version !== null, "it is read in ranges");
  const { bytes: size, version, mtimeMs } = file;
  const range = await store.open({
    address,
    name: address,
    bytes: size,
    version,
    mtimeMs,
    from: 0,
    to: size,
  });
  const target = Buffer.alloc(size);
  try {
    for (let at = 0; at < size; at += 100_000) await range.read(target.subarray(at, at + 100_000), at);
    return target;
  } finally {
    await range.close();
  }
}

async function copied(store: Store, address: string): Promise<Buffer> {
  const file = await store.stat(address);
  assert.deepEqual(
    { ...(file as StoredFile), mtimeMs: 0 },
    { address, bytes: null, mtimeMs: 0, version: null },
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of store.copy!(address, undefined)) pieces.push(piece);
  return Buffer.concat(pieces);
}

test("ranges of a strong ETag are read, each bound to it", async (t) => {
  const conditions = new Set<string>();
  const address = await serve(t, (request, response) => {
    conditions.add(`${request.headers["if-match"]} ${request.headers["if-range"]}`);
    assert.equal(request.headers["accept-encoding"], "identity");
    ranges()(request, response);
  });
  assert.ok((await read(storeWith(), address)).equals(bytes));
  assert.ok(conditions.has(`${etag} ${etag}`));
  assert.equal(((await storeWith().stat(address)) as StoredFile).exact, true);
});

const wrongRanges: Record<string, (headers: Record<string, string>, from: number) => void> = {
  "another range than was asked for": (headers, from) => {
    if (from > 0) headers["content-range"] = `bytes ${from + 1}-${from + 2}/${bytes.length}`;
  },
  "no word of which range it is": (headers, from) => {
    if (from > 0) delete headers["content-range"];
  },
  "a file of another size": (headers, from) => {
    if (from > 0) headers["content-range"] = headers["content-range"]!.replace(/\d+$/, "7");
  },
  "another version": (headers, from) => {
    if (from > 0) headers["etag"] = '"fedcba9876543210fedcba9876543210"';
  },
  "what it has compressed": (headers, from) => {
    if (from > 0) headers["content-encoding"] = "gzip";
  },
};

for (const [what, change] of Object.entries(wrongRanges)) {
  test(`a server that gives ${what} is not believed`, async (t) => {
    const address = await serve(t, ranges(change));
    await assert.rejects(read(storeWith(), address), (error: Error & { code?: string }) =>
      ["INPUT_UNREADABLE", "INPUT_CHANGED"].includes(String(error.code)),
    );
  });
}

test("a server that ignores ranges, or says nothing of versions, is read once from beginning to end", async (t) => {
  const whole = (headers: Record<string, string>): Handle => {
    return (_request, response) => void response.writeHead(200, headers).end(bytes);
  };
  const length = String(bytes.length);
  for (const headers of [{ "content-length": length, etag }, { etag: 'W/"weak"' }, {}]) {
    assert.ok((await copied(storeWith(), await serve(t, whole(headers)))).equals(bytes));
  }
  // Ranges, but of what?
  const changing = await serve(t, (request, response) => {
    if (request.headers.range === undefined) response.end(bytes);
    else ranges((headers) => delete headers["etag"])(request, response);
  });
  assert.ok((await copied(storeWith(), changing)).equals(bytes));
});

test("a body that is cut, or of which nobody says where it ends, is no shorter file", async (t) => {
  const cut = await serve(t, (_request, response) => {
    response.writeHead(200, { "content-length": String(bytes.length) });
    response.write(bytes.subarray(0, 1_000), () => response.socket!.destroySoon());
  });
  await assert.rejects(copied(storeWith(), cut));
  const chunked = await serve(t, (_request, response) => {
    response.writeHead(200, {});
    response.write(bytes.subarray(0, 1_000), () => response.socket!.destroySoon());
  });
  await assert.rejects(copied(storeWith(), chunked));
  const endless = await serve(t, (_request, response) => {
    response.removeHeader("transfer-encoding");
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { connection: "close" }).end(bytes);
  });
  await assert.rejects(copied(storeWith(), endless), {
    code: "INPUT_UNREADABLE",
    message: /where its answer ends/,
  });
});

test("times of last change name a version when they are settled, and not when they are of this second", async (t) => {
  const at = (ageMs: number): Handle => {
    return (request, response) => {
      const modified = new Date(1_700_000_000_000).toUTCString();
      ranges((headers) => {
        delete headers["etag"];
        headers["last-modified"] = modified;
        headers["date"] = new Date(1_700_000_000_000 + ageMs).toUTCString();
      })(request, response);
    };
  };
  const settled = await serve(t, at(5_000));
  assert.ok((await read(storeWith(), settled)).equals(bytes));
  assert.equal(((await storeWith().stat(settled)) as StoredFile).exact, undefined);
  const fresh = (await storeWith().stat(await serve(t, at(0)))) as StoredFile;
  assert.equal(fresh.bytes, null);
});

test("an empty file is one, however it is told", async (t) => {
  const answers: Handle[] = [
    (_request, response) => void response.writeHead(416, { "content-range": "bytes */0", etag }).end(),
    (_request, response) => void response.writeHead(200, { "content-length": "0", etag }).end(),
    (_request, response) => void response.writeHead(200, { "content-length": "0" }).end(),
  ];
  for (const answer of answers) {
    assert.equal(((await storeWith().stat(await serve(t, answer))) as StoredFile).bytes, 0);
  }
});

test("redirects are followed, logins go to their own host only, and loops end", async (t) => {
  const seen: (string | undefined)[] = [];
  const to = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    ranges()(request, response);
  });
  const other = to.replace("127.0.0.1", "localhost");
  const from = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(302, { location: other }).end();
  });
  const netrc = new URL("./netrc-of-tests", import.meta.url).pathname;
  assert.ok((await read(storeWith({ NETRC: netrc }), from)).equals(bytes));
  assert.equal(
    seen.some((one) => one !== undefined),
    false,
    "there is no such file",
  );
  const loop = await serve(
    t,
    (request, response) => void response.writeHead(301, { location: "/a.txt" }).end(),
  );
  await assert.rejects(Promise.resolve(storeWith().stat(loop)), { message: /from one address to another/ });
  const away = await serve(
    t,
    (_request, response) => void response.writeHead(301, { location: "file:///etc/x" }).end(),
  );
  await assert.rejects(Promise.resolve(storeWith().stat(away)), { message: /none of http or https/ });
});

test("a login goes to the address that was given, and to nothing that it leads to", async (t) => {
  const home = directory(t);
  writeFileSync(
    join(home, ".netrc"),
    "machine 127.0.0.1 login me password secret\ndefault login a password b\n",
  );
  const login = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  const there = new Set<string | undefined>();
  const to = await serve(t, (request, response) => {
    there.add(request.headers.authorization);
    ranges()(request, response);
  });
  for (const end of [to, to.replace("127.0.0.1", "localhost")]) {
    const here = new Set<string | undefined>();
    const from = await serve(t, (request, response) => {
      here.add(request.headers.authorization);
      if (request.url === "/a.txt") response.writeHead(302, { location: "/b.txt" }).end();
      else response.writeHead(302, { location: end }).end();
    });
    assert.ok((await read(storeWith({ HOME: home }), from)).equals(bytes));
    assert.deepEqual([...here], [login]);
  }
  assert.deepEqual([...there], [undefined]);
});

test("an answer that takes too long is gone on with, and one that comes once may take its time", async (t) => {
  const limits: AbortController[] = [];
  t.mock.method(AbortSignal, "timeout", () => {
    limits.push(new AbortController());
    return limits.at(-1)!.signal;
  });
  let asks = 0;
  const address = await serve(t, (request, response) => {
    const [from, to] = asked(request);
    if (to - from < 1_000 || ++asks > 1) return ranges()(request, response);
    response.writeHead(206, {
      etag,
      "content-range": `bytes ${from}-${to}/${bytes.length}`,
      "content-length": String(to - from + 1),
    });
    response.write(bytes.subarray(from, from + 1_000), () => limits.forEach((limit) => limit.abort()));
  });
  assert.ok((await read(storeWith(), address)).equals(bytes));
  assert.ok(asks > 1);
});

test("what a name announces as compressed may be sent so; nothing else", async (t) => {
  const zipped = gzipSync(bytes);
  const handle: Handle = (_request, response) =>
    void response.writeHead(200, { "content-encoding": "gzip", "content-length": zipped.length }).end(zipped);
  const address = await serve(t, handle);
  await assert.rejects(Promise.resolve(storeWith().stat(address)), { message: /Content-Encoding: gzip/ });
  const named = address.replace("a.txt", "a.txt.gz");
  assert.ok((await copied(storeWith(), named)).equals(zipped), "as it is, for the reader to unpack");
});

test("a login is found in .netrc as curl finds it", () => {
  const text = `# machine comment login no password no
    machine one.example login me password "a \\"b\\"" # rest
    macdef init
    machine two.example login no password no

    machine two.example
      login you
      password p#w
    default login anybody password guest`;
  assert.deepEqual(netrcLogin(text, "one.example"), { login: "me", password: 'a "b"' });
  assert.deepEqual(netrcLogin(text, "TWO.example"), { login: "you", password: "p#w" });
  assert.deepEqual(netrcLogin(text, "three.example"), { login: "anybody", password: "guest" });
  assert.equal(netrcLogin("machine a login b", "a"), null);
  assert.equal(netrcLogin("", "a"), null);
});
