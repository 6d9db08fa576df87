import { Worker } from "node:worker_threads";
import { builtUrl } from "../base/package-places.ts";
import { CHUNK_BYTES, contentDigests, digestOf } from "./content-digest.ts";
import { openRange, type PlannedFile } from "./read-range.ts";

/** Tags of the chunks of a stretch of a file, and of what of them lies before each cut. */
export interface TagRequest {
  readonly number: number;
  readonly path: string;
  /** A multiple of CHUNK_BYTES. */
  readonly from: number;
  readonly to: number;
  /** Ascending, in (from, to]. */
  readonly cuts: readonly number[];
}

export interface TagAnswer {
  readonly number: number;
  /** 16 bytes a chunk; null: it could not be read. */
  readonly tags: Uint8Array | null;
  readonly cuts: readonly Uint8Array[];
}

/** Bytes of a file that a thread takes at once. */
const STRETCH_BYTES = 16 * CHUNK_BYTES;

export interface DigestRequest {
  /** On this machine. */
  readonly file: PlannedFile;
  /** As contentDigests has them. */
  readonly ends: readonly number[];
}

/**
 * As contentDigests of many files, by threads that read and digest side by side.
 * @param threads at least 1; what they cannot do is done on this one
 */
export async function digestsByThreads(
  requests: readonly DigestRequest[],
  key: Buffer,
  threads: number,
): Promise<string[][]> {
  const stretches = requests.flatMap(({ file, ends }, index) => stretchesOf(file, ends, index));
  const answers = await askThreads(stretches, key, threads).catch(() => new Map<number, TagAnswer>());
  const found: string[][] = [];
  let at = 0;
  for (const [index, { file, ends }] of requests.entries()) {
    const own: (TagAnswer | undefined)[] = [];
    for (; stretches[at]?.index === index; at++) own.push(answers.get(at));
    found.push(digestsOf(own, ends) ?? (await contentDigests(file, ends, key)));
    // The threads look at bytes only.
    await (await openRange(file)).close();
  }
  return found;
}

function stretchesOf(
  { path }: PlannedFile,
  ends: readonly number[],
  index: number,
): (Omit<TagRequest, "number"> & { readonly index: number })[] {
  const last = ends.at(-1) ?? 0;
  return Array.from({ length: Math.ceil(last / STRETCH_BYTES) }, (_, i) => {
    const from = i * STRETCH_BYTES;
    const to = Math.min(last, from + STRETCH_BYTES);
    return { index, path, from, to, cuts: ends.filter((end) => end > from && end <= to && end < last) };
  });
}

/** null when some of it could not be read. */
function digestsOf(answers: readonly (TagAnswer | undefined)[], ends: readonly number[]): string[] | null {
  if (answers.some((one) => one === undefined || one.tags === null)) return null;
  const joined = Buffer.concat(answers.map((one) => one!.tags!));
  const tags = Array.from({ length: joined.length / 16 }, (_, i) => joined.subarray(i * 16, i * 16 + 16));
  const cuts = answers.flatMap((one) => one!.cuts.map((cut) => Buffer.from(cut)));
  return ends.map((end, i) => {
    const whole = Math.floor((end - 1) / CHUNK_BYTES);
    return digestOf(i < cuts.length ? [...tags.slice(0, whole), cuts[i]!] : tags, end);
  });
}

function askThreads(
  stretches: readonly Omit<TagRequest, "number">[],
  key: Buffer,
  threads: number,
): Promise<Map<number, TagAnswer>> {
  const answers = new Map<number, TagAnswer>();
  const workers: Worker[] = [];
  let next = 0;
  return new Promise<Map<number, TagAnswer>>((resolve, reject) => {
    const ask = (worker: Worker): void => {
      const number = next++;
      const stretch = stretches[number];
      if (stretch !== undefined) worker.postMessage({ ...stretch, number } satisfies TagRequest);
      else if (answers.size === stretches.length) resolve(answers);
    };
    for (let i = 0; i < Math.min(threads, stretches.length); i++) {
      const worker = new Worker(new URL("storage/digest-entry.js", builtUrl), {
        workerData: key,
        name: "sheaf-digest",
      });
      workers.push(worker);
      worker.on("message", (answer: TagAnswer) => {
        answers.set(answer.number, answer);
        ask(worker);
      });
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error("a thread has ended")));
      ask(worker);
    }
    if (stretches.length === 0) resolve(answers);
  }).finally(() => {
    for (const worker of workers) {
      worker
        .removeAllListeners("exit")
        .terminate()
        .catch(() => undefined);
    }
  });
}
