import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { isSheafError } from "#src/base/errors.js";
import { listStored } from "#src/storage/list-stored.js";
import type { Store } from "#src/storage/store.js";
import { createStore } from "#src/storage/stores/s3.js";
import { readAll, statOf } from "#src/testing/store-bench.js";

/*
 * What no server over a file system can hold: keys that are no paths, and pages of three. The server here
 * lists as S3 does, with keys in URL encoding, and checks nothing.
 */

/** What a server does otherwise than S3. */
interface Quirks {
  /** As listings and answers have it. Default: "e" in quotes. */
  readonly etag?: string;
  readonly listedEtag?: string;
  /** How many keys a page has. Default 3. */
  readonly page?: number;
  /** The same page comes again and again. */
  readonly isStuck?: boolean;
  /** Bodies are decompressed on the way, as Cloudflare R2 does it for who says nothing: rclone#6533. */
  readonly decodes?: boolean;
  /** Of every object. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly heard?: (headers: IncomingHttpHeaders) => void;
}

function serverOf(keys: Readonly<Record<string, string>>, quirks: Quirks): Server {
  const { etag = '"e"' } = quirks;
  const sorted = Object.keys(keys).toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return createServer((request, response) => {
    const url = new URL(request.url!, "http://x");
    quirks.heard?.(request.headers);
    // Not of the URL, which makes "a/../b" one name.
    const key = decodeURIComponent(request.url!.replace(/\?.*$/, "").split("/").slice(2).join("/"));
    if (!url.searchParams.has("list-type")) {
      const body = keys[key];
      if (body === undefined || key.startsWith("_sheaf")) {
        response.writeHead(404, { "content-type": "application/xml" });
        response.end(request.method === "HEAD" ? "" : "<Error><Code>NoSuchKey</Code></Error>");
        return;
      }
      if (quirks.decodes === true && request.method !== "HEAD") {
        response.writeHead(200, { etag, "content-encoding": "gzip", "transfer-encoding": "chunked" });
        response.end(`${body} and more`);
        return;
      }
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      const bytes = Buffer.from(body);
      const sent = range === null ? bytes : bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      const told = range === null ? {} : { "content-range": `bytes ${range[1]}-${range[2]}/${bytes.length}` };
      response.writeHead(range === null ? 200 : 206, {
        etag,
        "content-length": sent.length,
        ...told,
        ...quirks.metadata,
      });
      response.end(request.method === "HEAD" ? "" : sent);
      return;
    }
    response.writeHead(200, { "content-type": "application/xml" });
    response.end(page(sorted, url.searchParams, keys, quirks));
  });
}

function page(
  sorted: readonly string[],
  query: URLSearchParams,
  keys: Readonly<Record<string, string>>,
  { page: size = 3, isStuck = false, etag = '"e"', listedEtag = etag }: Quirks,
): string {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter");
  const from = isStuck ? "" : (query.get("continuation-token") ?? "");
  assert.equal(query.get("encoding-type"), "url");
  const items: { key: string; directory: boolean }[] = [];
  for (const key of sorted) {
    if (!key.startsWith(prefix)) continue;
    const cut = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
    const item = cut < 0 ? { key, directory: false } : { key: key.slice(0, cut + 1), directory: true };
    if (items.at(-1)?.key !== item.key) items.push(item);
  }
  const start = from === "" ? 0 : items.findIndex(({ key }) => `after ${key}+&` === from) + 1;
  const some = items.slice(start, start + size);
  const more = start + size < items.length;
  const encode = (text: string): string => encodeURIComponent(text).replaceAll("%20", "+");
  const contents = some.map(({ key, directory }) =>
    directory
      ? `<CommonPrefixes><Prefix>${encode(key)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${encode(key)}</Key><Size>${Buffer.byteLength(keys[key]!)}</Size><ETag>${listedEtag.replaceAll('"', "&quot;")}</ETag></Contents>`,
  );
  const token = more
    ? `<NextContinuationToken>after ${escape(some.at(-1)!.key)}+&amp;</NextContinuationToken>`
    : "";
  return `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${more}</IsTruncated>${token}${contents.join("")}</ListBucketResult>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("\u0001", "");
}

async function storeOver(
  t: TestContext,
  keys: Readonly<Record<string, string>>,
  quirks: Quirks = {},
  more: Readonly<Record<string, string>> = {},
): Promise<Store> {
  const server = serverOf(keys, quirks).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const env = {
    AWS_ACCESS_KEY_ID: "k",
    AWS_SECRET_ACCESS_KEY: "s",
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...more,
  };
  return createStore("s3", { env, fetch: null, world: { clock: systemClock, random: () => 0.5 } });
}

async function read(store: Store, address: string, bytes: number): Promise<string> {
  const file = { address, name: address, bytes, mtimeMs: 0, version: '"e"', from: 0, to: bytes };
  const range = await store.open(file);
  const target = Buffer.alloc(bytes);
  await range.read(target, 0);
  await range.close();
  return target.toString();
}

/** What they hold is what they are called. */
const keys = [
  "d/a b+c",
  "d/100%",
  "d/%41",
  "d/%2B",
  "d/ü😀\uffee",
  "d/ both ends ",
  "d//two",
  "d//",
  "d/./dot",
  "d/../up",
  "d/x?y#z&=",
  'd/"quoted"<&>',
  "d/a",
  "d/a/",
  "d/a/b",
  "d/a/b/",
  "d/line\nbreak",
  "d/\u0001control",
  "d/cr\r",
  "d",
];

test("keys of all kinds, over many pages, are listed and read as they are", async (t) => {
  const content = Object.fromEntries(keys.map((key) => [key, key.endsWith("/") ? "" : key]));
  const store = await storeOver(t, { ...content, "d/": "", "dd/x": "other", "d-e": "other" });
  const all = keys.filter((key) => key.startsWith("d/") && !key.endsWith("/"));
  // "." and ".." are hidden names, as all that begin so.
  const wanted = all.filter((key) => !key.startsWith("d/."));
  const found = await listStored(store, "s3://bucket/d/", undefined);
  const addresses = found.map(({ file }) => file.address);
  assert.deepEqual(addresses.toSorted(), wanted.map((key) => `s3://bucket/${key}`).toSorted());
  for (const key of [...all, "d"]) {
    assert.equal(await read(store, `s3://bucket/${key}`, Buffer.byteLength(key)), key);
  }
  const directories: string[] = [];
  const files: string[] = [];
  for await (const { name, kind } of store.entries!("s3://bucket/d/", undefined))
    (kind === "file" ? files : directories).push(name);
  assert.deepEqual(directories.toSorted(), ["", ".", "..", "a"]);
  assert.equal(files.length, wanted.filter((key) => !key.slice(2).includes("/")).length);
  // An object of the name goes before a directory of it.
  assert.equal(typeof (await store.stat("s3://bucket/d")), "object");
  assert.equal(await store.stat("s3://bucket/d/"), "directory");
  assert.equal(await store.stat("s3://bucket/d/nothing"), null);
  assert.equal(await store.stat("s3://bucket/"), "directory");
});

test("marks of directories are no files; one that holds something is refused", async (t) => {
  const store = await storeOver(t, {
    "e/": "",
    "e/f/": "",
    "e/g_$folder$": "",
    "e/x": "1",
    "h/": "text",
    "h/y": "1",
  });
  const found = await listStored(store, "s3://bucket/e", undefined);
  assert.deepEqual(
    found.map(({ file }) => file.address),
    ["s3://bucket/e/x"],
  );
  await assert.rejects(listStored(store, "s3://bucket/h", undefined), (error: unknown) => {
    assert.ok(isSheafError(error));
    assert.equal(error.code, "INPUT_UNREADABLE");
    assert.match(error.message, /s3:\/\/bucket\/h\/ ends in "\/" and has 4 bytes/);
    return true;
  });
});

test("an empty object of the name of a directory is no file instead of it (ARROW-10942)", async (t) => {
  const store = await storeOver(t, { e: "", "e/x": "1", f: "text", "f/y": "1", g: "" });
  const found = async (address: string): Promise<string[]> =>
    (await listStored(store, address, undefined)).map(({ file }) => file.address);
  assert.deepEqual(await found("s3://bucket/e"), ["s3://bucket/e/x"]);
  assert.deepEqual(await found("s3://bucket/f"), ["s3://bucket/f"]);
  assert.deepEqual(await found("s3://bucket/g"), ["s3://bucket/g"]);
});

test("what a client has encrypted before it was put is refused", async (t) => {
  for (const name of ["x-amz-key", "x-amz-key-v2", "x-amz-3"]) {
    const store = await storeOver(t, { k: "sealed" }, { metadata: { [`x-amz-meta-${name}`]: "AbCd==" } });
    await assert.rejects(readAll(store, await statOf(store, "s3://bucket/k")), {
      code: "INPUT_UNREADABLE",
      message: /s3:\/\/bucket\/k was encrypted by who has put it there/,
    });
  }
});

test("a pattern takes a file and a directory of one name, each once", async (t) => {
  const store = await storeOver(t, { "logs/2024": "file", "logs/2024/x": "x", "logs/2025/y": "y" });
  const wanted = ["2024", "2024/x", "2025/y"];
  for (const pattern of ["logs/*", "logs/2*", "{logs,none}/202?", "logs/20[0-9]*"]) {
    const found = await listStored(store, `s3://bucket/${pattern}`, undefined);
    assert.deepEqual(found.map(({ place }) => place.replace(/^logs\//, "")).toSorted(), wanted, pattern);
    assert.deepEqual(
      found.map(({ file }) => file.address).toSorted(),
      wanted.map((key) => `s3://bucket/logs/${key}`),
    );
  }
});

test("s3a and s3n are other names of s3; an address names a bucket", async (t) => {
  const store = await storeOver(t, { k: "1" });
  assert.equal(store.canonical!("s3a://bucket/a b/c"), "s3://bucket/a b/c");
  assert.equal(store.canonical!("S3N://bucket"), "s3://bucket/");
  const [{ file } = assert.fail()] = await listStored(store, "s3a://bucket/k", undefined);
  assert.equal(file.address, "s3://bucket/k");
  await assert.rejects(store.stat("s3:///k"), { code: "USAGE" });
});

test("12,345 keys are listed, each once, in pages that cut directories", async (t) => {
  const names = Array.from({ length: 12_345 }, (_, i) => `many/${i % 7}/${i}`);
  const store = await storeOver(t, Object.fromEntries(names.map((name) => [name, "x"])), { page: 1_000 });
  const found = await listStored(store, "s3://bucket/many", undefined);
  assert.deepEqual(
    found.map(({ file }) => file.address.slice("s3://bucket/".length)).toSorted(),
    names.toSorted(),
  );
  const matched = await listStored(store, "s3://bucket/many/[0-2]/*7", undefined);
  const wanted = names.filter((name) => /^many\/[0-2]\/\d*7$/.test(name));
  assert.deepEqual(matched.map(({ file }) => file.address.slice(12)).toSorted(), wanted.toSorted());
});

test("a listing that does not move on is refused, and not listed for ever", async (t) => {
  const store = await storeOver(t, { "d/1": "", "d/2": "", "d/3": "", "d/4": "" }, { isStuck: true });
  await assert.rejects(listStored(store, "s3://bucket/d/", undefined), {
    code: "INPUT_UNREADABLE",
    message: /lists a part of .* and not how to go on/,
  });
});

test("ETags without quotes are as good as others, and weak ones name no version", async (t) => {
  for (const quirks of [{ etag: "e" }, { listedEtag: "e" }, { etag: "e", listedEtag: '"e"' }]) {
    const store = await storeOver(t, { k: "content" }, quirks);
    const [{ file } = assert.fail()] = await listStored(store, "s3://bucket/*", undefined);
    const looked = await statOf(store, "s3://bucket/k");
    assert.equal(file.version, looked.version);
    for (const one of [file, looked]) assert.equal((await readAll(store, one)).toString(), "content");
  }
  const weak = await storeOver(t, { k: "content" }, { etag: 'W/"e"' });
  for (const asked of ["s3://bucket/*", "s3://bucket/k"])
    await assert.rejects(listStored(weak, asked, undefined), {
      code: "INPUT_UNREADABLE",
      message: /weak ETag of s3:\/\/bucket\/k/,
    });
});

test("an object that the server decompresses on the way is refused, with why", async (t) => {
  const store = await storeOver(t, { k: "stored" }, { decodes: true });
  const file = await statOf(store, "s3://bucket/k");
  await assert.rejects(readAll(store, file), {
    code: "INPUT_UNREADABLE",
    hint: /Content-Encoding: gzip/,
  });
});

test("who asks pays, where that is said: of every request", async (t) => {
  const paid: unknown[] = [];
  const heard = (headers: IncomingHttpHeaders): void => void paid.push(headers["x-amz-request-payer"]);
  const keys = { "d/1": "one", "d/2": "two" };
  const store = await storeOver(t, keys, { heard }, { AWS_REQUEST_PAYER: "requester" });
  const found = await listStored(store, "s3://bucket/d/*", undefined);
  for (const { file } of found) assert.equal((await readAll(store, file)).length, 3);
  assert.ok(paid.length > 4);
  assert.deepEqual([...new Set(paid)], ["requester"]);
});
