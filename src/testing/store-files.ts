import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashText } from "../base/random.ts";
import { KiB, MiB } from "../base/size.ts";
import type { PutFile, Store } from "../storage/store.ts";

/** Bytes that say where they are, every four of them, and of which content. */
export function content(bytes: number, word = ""): Buffer {
  const numbers = new Uint32Array(Math.ceil(bytes / 4));
  const other = hashText(word);
  for (let i = 0; i < numbers.length; i++) numbers[i] = i ^ other;
  return Buffer.from(numbers.buffer, 0, bytes);
}

/** The `_SUCCESS` of a job that wrote these files. */
export function successFile(files: readonly string[]): string {
  const parts = files.map((file) => ({ file, collection: "", partition: 0, bytes: 0, records: 0 }));
  return JSON.stringify({ sheaf: 1, job: "earlier", code: null, counters: {}, badRecords: 0, parts });
}

export type SampleFiles = readonly (readonly [name: string, bytes: Buffer])[];

/** An output of a job: small files, an empty one, one of several requests. */
export const sampleFiles: SampleFiles = [
  ["part-00000.tsv", content(50 * KiB)],
  ["part-00001.tsv", Buffer.alloc(0)],
  ["byAge/part-00000.csv", content(6 * MiB, "age")],
  ["byAge/a b%+#/part-00000.csv", content(10)],
  [
    "_SUCCESS",
    Buffer.from(
      successFile([
        "part-00000.tsv",
        "part-00001.tsv",
        "byAge/part-00000.csv",
        "byAge/a b%+#/part-00000.csv",
      ]),
    ),
  ],
];

/** The same names, with few bytes. */
export const smallFiles: SampleFiles = sampleFiles.map(([name, bytes]) => [
  name,
  name === "_SUCCESS" ? bytes : bytes.subarray(0, 1_000),
]);

/** Puts all of them at once, every second one by its path. */
export function putAll(
  store: Store,
  address: string,
  job: string,
  files: SampleFiles,
  directory: string,
): Promise<PutFile[]> {
  const output = store.output!(address, job);
  return Promise.all(
    files.map(([name, bytes], i) => {
      if (i % 2 === 1) return output.put(bytes, name, undefined);
      const path = join(directory, `put-${job}-${i}`);
      writeFileSync(path, bytes);
      return output.put(path, name, undefined);
    }),
  );
}

/** The whole way of an output. */
export async function commitAll(
  store: Store,
  address: string,
  job: string,
  files: SampleFiles,
  directory: string,
  overwrite = false,
): Promise<void> {
  const output = store.output!(address, job);
  await output.check({ overwrite });
  const put = await putAll(store, address, job, files, directory);
  await output.commit(put, { overwrite });
}
