import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Clock, systemClock } from "#src/base/clock.js";
import type { FileToRead, Store, StoredFile } from "#src/storage/store.js";
import { createStore } from "#src/storage/stores/s3.js";
import { type FaultProxy, startFaultProxy } from "#src/testing/fault-proxy.js";
import type { StoreSubject } from "#src/testing/store-bench.js";
import { answers, freePort } from "../kit/ports.ts";
import { until } from "../kit/wait.ts";

const binary = join(
  process.env["SHEAF_TEST_CACHE"] ?? join(homedir(), ".cache", "sheaf-test"),
  "bin",
  "versitygw",
);

/**
 * versitygw, an S3 server that checks signatures and conditions. Why it cannot be had; null: it can. Where
 * all tests have to run it is no reason to leave some out.
 */
export function s3Missing(): string | null {
  if (existsSync(binary)) return null;
  const how = `GOBIN=${join(binary, "..")} go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`;
  if (process.env["CI"] !== undefined) throw new Error(`there is no versitygw: ${how}`);
  return `no versitygw: ${how}`;
}

export interface S3Server {
  readonly port: number;
  readonly client: S3Client;
  /** What a store needs to reach it through a port of this machine. */
  env(port?: number): Readonly<Record<string, string>>;
  put(key: string, content: Uint8Array): Promise<void>;
  get(key: string): Promise<Buffer>;
  remove(key: string): Promise<void>;
  /** All keys that begin so. */
  keys(prefix: string): Promise<string[]>;
  /** Keys of uploads that were begun and neither completed nor aborted. */
  uploads(prefix?: string): Promise<string[]>;
  close(): Promise<void>;
}

export const BUCKET = "sheaf-test";
const keys = { AWS_ACCESS_KEY_ID: "test-key", AWS_SECRET_ACCESS_KEY: "test-secret" };

export async function startS3(): Promise<S3Server> {
  const root = mkdtempSync(join(tmpdir(), "sheaf-s3-"));
  for (const name of ["data", "meta"]) mkdirSync(join(root, name));
  const port = await freePort();
  const child = spawn(
    binary,
    ["--quiet", "--port", `127.0.0.1:${port}`, "posix", "--sidecar", join(root, "meta"), join(root, "data")],
    {
      env: {
        PATH: process.env["PATH"],
        ROOT_ACCESS_KEY: keys.AWS_ACCESS_KEY_ID,
        ROOT_SECRET_KEY: keys.AWS_SECRET_ACCESS_KEY,
      },
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  await until("versitygw listens", () => answers(port));
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: keys.AWS_ACCESS_KEY_ID, secretAccessKey: keys.AWS_SECRET_ACCESS_KEY },
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  return {
    port,
    client,
    env: (at = port) => ({ ...keys, AWS_REGION: "us-east-1", AWS_ENDPOINT_URL: `http://127.0.0.1:${at}` }),
    put: async (key, content) => {
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: content }));
    },
    get: async (key) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
      return Buffer.from(await Body!.transformToByteArray());
    },
    remove: async (key) => {
      await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: key }));
    },
    keys: async (prefix) => {
      const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }));
      return (Contents ?? []).map(({ Key }) => Key!);
    },
    uploads: async (prefix = "") => {
      const { Uploads } = await client.send(
        new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: prefix }),
      );
      return (Uploads ?? []).map(({ Key }) => Key!);
    },
    close: async () => {
      client.destroy();
      const gone = once(child, "exit");
      child.kill();
      await gone;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** What the tests of a file share. */
export interface S3Lab {
  readonly server: S3Server;
  readonly proxy: FaultProxy;
  /** Straight to the server, and through the proxy. */
  readonly store: Store;
  readonly through: Store;
  readonly directory: string;
}

/** Started now; closed when all tests of the file are over. */
export async function openS3Lab(): Promise<S3Lab> {
  const server = await startS3();
  const proxy = await startFaultProxy(server.port);
  const directory = mkdtempSync(join(tmpdir(), "sheaf-s3-test-"));
  after(async () => {
    await proxy.close();
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const through = storeWith(server.env(proxy.port));
  return { server, proxy, store: storeWith(server.env()), through, directory };
}

/** The server as the kits for all storages see it. */
export function s3Subject(server: S3Server): StoreSubject {
  return {
    scheme: "s3",
    module: { createStore },
    port: server.port,
    env: (port) => server.env(port ?? server.port),
    address: (name) => `s3://${BUCKET}/${name}`,
    put: (name, bytes) => server.put(name, bytes),
    remove: (name) => server.remove(name),
    hidden: async () => [
      ...(await server.uploads()),
      ...(await server.keys("")).filter((key) => key.includes("_sheaf-")),
    ],
    // By whoever has started it.
    close: () => Promise.resolve(),
  };
}

export function storeWith(env: Readonly<Record<string, string>>, clock: Clock = systemClock): Store {
  return createStore("s3", { env, fetch: null, world: { clock, random: () => 0.5 } });
}

/** Every look at it is 20 s later, so that little is tried again. */
export function hastyClock(): Clock {
  let at = 0;
  return { nowMs: () => (at += 20_000), wallMs: () => at };
}

type Planned = Omit<FileToRead, "from" | "to">;

export function asRead({ address, bytes, mtimeMs, version }: StoredFile): Planned {
  return { address, name: address, bytes: bytes!, mtimeMs, version: version! };
}
