import { after, before, suite, test } from "node:test";
import type { RunOptions } from "#src/engine/options.js";
import { setStoreAccess } from "#src/storage/stores.js";
import { RealCluster } from "../cluster/real-cluster.ts";
import { hostedJar, javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { cases } from "./cases.ts";
import { localHadoop, smallContainers, yarnHadoop } from "./hadoop-lab.ts";
import { sameAsInline } from "./same.ts";
import { small, sparkEnv, sparkMissing, type SparkVersion } from "./spark-lab.ts";

/** A place where jobs run, started. */
interface OpenPlace {
  readonly options: RunOptions;
  /** Of this process while jobs run there. */
  readonly env?: Readonly<Record<string, string>>;
  close?(): Promise<void>;
}

interface Place {
  readonly name: string;
  /** Jobs at a time. Default 1. */
  readonly concurrency?: number;
  /** Why it cannot be had here; null: it can. */
  missing(): string | null;
  open(): Promise<OpenPlace>;
}

const spark = (version: SparkVersion): Place => ({
  name: `Spark ${version}`,
  missing: () => sparkMissing(version),
  open: async () => ({
    options: { on: "spark", master: "local[2]", conf: small },
    env: sparkEnv(version),
  }),
});

const hadoopHere = (name: string, more: { readonly jar?: false }): Place => ({
  name,
  missing: () => javaMissing("HADOOP", "local", "hosted"),
  async open() {
    const lab = localHadoop();
    const conf = { "mapreduce.framework.name": "local" };
    return { options: { on: "hadoop", conf, ...more }, env: lab.env, close: () => lab.close() };
  },
});

const places: readonly Place[] = [
  {
    name: "workers of this machine",
    missing: () => null,
    open: async () => ({ options: { on: "local", workers: 2 } }),
  },
  {
    name: "cluster",
    missing: () => null,
    async open() {
      const cluster = await RealCluster.start(null, { agents: 2, heartbeatMs: 500, leaseMs: 30_000 });
      const options = { on: cluster.url, tokenFile: `${cluster.state}/client.token` };
      return { options, close: () => cluster.remove() };
    },
  },
  hadoopHere("Hadoop local", {}),
  hadoopHere("Hadoop local without a jar", { jar: false }),
  {
    name: "YARN",
    // Most of the time a job waits for containers.
    concurrency: 3,
    missing: () => onlyWithEngines("YARN") ?? javaMissing("YARN", "cluster", "streaming", "hosted"),
    async open() {
      const lab = await yarnHadoop();
      const options = { on: "hadoop", conf: smallContainers, speculation: false } as const;
      return { options, env: lab.env, close: () => lab.close() };
    },
  },
  spark("3.5.8"),
  spark("4.3.0"),
];

const wanted = process.env["SHEAF_TEST_ON"]?.toLowerCase().split(",");

for (const place of places) {
  const { name, concurrency = 1 } = place;
  if (wanted !== undefined && !wanted.some((part) => name.toLowerCase().includes(part))) continue;
  const skip = place.missing() ?? false;
  if (skip !== false) console.error(skip);
  suite(`${name}: as on one thread, byte for byte and counter for counter`, { skip, concurrency }, () => {
    const former = { ...process.env };
    let opened: OpenPlace;
    before(async () => {
      hostedJar();
      opened = await place.open();
      Object.assign(process.env, opened.env);
      setStoreAccess({ env: process.env, fetch: null });
    });
    after(async () => {
      for (const variable of Object.keys(opened?.env ?? {})) delete process.env[variable];
      Object.assign(process.env, former);
      setStoreAccess({ env: process.env, fetch: null });
      await opened?.close?.();
    });
    for (const one of cases) test(one.name, () => sameAsInline(one, opened.options));
  });
}
