import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "#src/base/random.js";
import type {
  HostEnd,
  HostEngine,
  HostFailure,
  HostFiles,
  HostJob,
  HostListener,
} from "#src/hosted/host-engine.js";
import type { TaskFailure } from "#src/task/task-spec.js";

/*
 * What Hadoop Streaming and Spark do with a job's task program, by their own rules and without their code: a
 * frame is read as PipeMapRed reads one, keys go to partitions as BinaryPartitioner sends them, come sorted
 * by bytes (Hadoop) or in no order at all (Spark), and what a reduce without input writes is dropped.
 */

export interface Frame {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface FakeOptions {
  /** Hadoop sorts, and of equal keys the last comes first. Spark: as it comes, shuffled by this seed. */
  readonly order?: "sorted" | { readonly seed: string };
  readonly inputForm?: "record" | "lines";
  readonly isLocal?: boolean;
  /** Changes what a reduce is given. */
  readonly tamper?: (frames: Frame[], partition: number) => Frame[];
  /** Changes what a map has written, as bytes: engines take what is cut for the end. */
  readonly cut?: (output: Buffer, map: number) => Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  /** Done in place of running the job, which is cancelled then. */
  readonly instead?: (job: HostJob) => Promise<void>;
}

/** As PipeMapRed does: the end may be inside a length, and a negative length is one, too. */
export function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const keyLength = bytes.readInt32BE(at);
    if (keyLength < 0) break;
    const valueAt = at + 8 + keyLength;
    assert.ok(valueAt <= bytes.length, "EOFException inside a key");
    const valueLength = bytes.readInt32BE(valueAt - 4);
    assert.ok(valueLength >= 0 && valueAt + valueLength <= bytes.length, "EOFException inside a value");
    frames.push({
      key: bytes.subarray(at + 4, at + 4 + keyLength),
      value: bytes.subarray(valueAt, valueAt + valueLength),
    });
    at = valueAt + valueLength;
  }
  return frames;
}

export function bytesOf(frames: readonly Frame[]): Buffer {
  const int = (value: number): Buffer => {
    const four = Buffer.alloc(4);
    four.writeInt32BE(value);
    return four;
  };
  return Buffer.concat(frames.flatMap(({ key, value }) => [int(key.length), key, int(value.length), value]));
}

/** WritableComparator.hashBytes in whole numbers of any size, cut to an int at the end. */
export function javaPartition(key: Buffer, partitions: number): number {
  let hash = 1n;
  for (const byte of key.subarray(0, 4)) hash = 31n * hash + BigInt(byte > 127 ? byte - 256 : byte);
  return Number((BigInt.asIntN(32, hash) & 0x7fffffffn) % BigInt(partitions));
}

/** A Hadoop Text as rawbytes give it: the number of its bytes as a VInt, then these. */
export function hadoopText(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const digits: number[] = [];
  for (let left = bytes.length; left > 0; left = Math.floor(left / 256)) digits.unshift(left % 256);
  return Buffer.concat([Buffer.from([256 - 112 - digits.length, ...digits]), bytes]);
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export class FakeEngine implements HostEngine {
  readonly name = "hadoop";
  readonly isLocal: boolean;
  readonly nodeBin = null;
  readonly inputForm: "record" | "lines";
  readonly hadoopConf = null;
  readonly #options: FakeOptions;
  readonly tasks: Ended[] = [];
  #failed: HostFailure | null = null;
  #signal!: AbortSignal;

  constructor(options: FakeOptions = {}) {
    this.#options = options;
    this.isLocal = options.isLocal ?? true;
    this.inputForm = options.inputForm ?? "record";
  }

  async check(): Promise<void> {}

  async run(job: HostJob, listener: HostListener, signal: AbortSignal): Promise<HostEnd> {
    this.#signal = signal;
    useDist(job.home);
    if (this.#options.instead !== undefined) {
      await this.#options.instead(job);
      return { kind: "cancelled" };
    }
    const output = join(job.scratch, "committed");
    const maps = await this.#maps(job, listener);
    const outputs = job.reduces === 0 ? maps : await this.#reduces(job, maps, listener);
    if (signal.aborted) return { kind: "cancelled" };
    if (outputs === null || maps === null) return { kind: "failed", ...this.#failed! };
    for (const bytes of outputs) this.#commit(framesOf(bytes), output);
    return { kind: "done", files: filesOf(output) };
  }

  async print(job: HostJob): Promise<string[]> {
    return ["sh", join(job.home, "sheaf/run.sh")];
  }

  async #maps(job: HostJob, listener: HostListener): Promise<Buffer[] | null> {
    const lines = readFileSync(job.splits, "utf8").split("\n").slice(0, -1);
    assert.equal(lines.length, job.mapTasks);
    const outputs: Buffer[] = [];
    for (const [index, line] of lines.entries()) {
      const key = Buffer.alloc(this.inputForm === "record" ? 4 : 8);
      key.writeInt32BE(index, key.length - 4);
      const value = this.inputForm === "record" ? Buffer.from(line.split("\t")[1]!) : hadoopText(line);
      const done = await this.#task(job, "map", bytesOf([{ key, value }]), listener);
      if (done === null) return null;
      outputs.push(this.#options.cut?.(done, index) ?? done);
      listener.progress("map", (index + 1) / lines.length);
    }
    return outputs;
  }

  async #reduces(job: HostJob, maps: Buffer[] | null, listener: HostListener): Promise<Buffer[] | null> {
    if (maps === null) return null;
    const partitions = Array.from({ length: job.reduces }, (): Frame[] => []);
    for (const bytes of maps)
      for (const frame of framesOf(bytes))
        partitions[job.reduces === 1 ? 0 : javaPartition(frame.key, job.reduces)]!.push(frame);
    const outputs: Buffer[] = [];
    for (const [partition, frames] of partitions.entries()) {
      const ordered = this.#ordered(frames);
      const given = this.#options.tamper?.(ordered, partition) ?? ordered;
      const done = await this.#task(job, "reduce", bytesOf(given), listener);
      if (done === null) return null;
      outputs.push(given.length === 0 ? Buffer.alloc(0) : done);
      listener.progress("reduce", (partition + 1) / partitions.length);
    }
    return outputs;
  }

  #ordered(frames: readonly Frame[]): Frame[] {
    const { order = "sorted" } = this.#options;
    if (order === "sorted") return [...frames].reverse().sort((a, b) => Buffer.compare(a.key, b.key));
    const random = seededRandom(order.seed);
    const shuffled = [...frames];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = random.below(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
    }
    return shuffled;
  }

  async #task(job: HostJob, phase: string, input: Buffer, listener: HostListener): Promise<Buffer | null> {
    for (let attempt = 1; ; attempt++) {
      const ended = await runTask(job.home, phase, input, job.scratch, this.#options.environment);
      this.tasks.push(ended);
      if (ended.code === 0) return ended.stdout;
      const { task, failure } = failureIn(ended);
      if (attempt >= job.attempts) {
        this.#failed = { task, attempt, failure };
        return null;
      }
      listener.attemptFailed({ task, attempt, failure });
      if (this.#signal.aborted) return null;
    }
  }

  #commit(frames: readonly Frame[], output: string): void {
    const task = join(output, "_temporary");
    for (const { key, value } of frames) {
      const path = join(task, key.toString());
      mkdirSync(dirname(path), { recursive: true });
      appendFileSync(path, value);
    }
    for (const { key } of frames) {
      const to = join(output, key.toString());
      mkdirSync(dirname(to), { recursive: true });
      if (readable(join(task, key.toString()))) renameSync(join(task, key.toString()), to);
    }
    rmSync(task, { recursive: true, force: true });
  }
}

/** Tasks run what users have: few modules, which load sooner. */
function useDist(home: string): void {
  const dist = join(home, "sheaf", "dist");
  if (!existsSync(dist)) return;
  rmSync(dist);
  symlinkSync(fileURLToPath(new URL("../../../dist", import.meta.url)), dist);
}

function readable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The failure that a task has told on its last lines. */
export function failureIn({ stderr, code }: Ended): { task: string | null; failure: TaskFailure } {
  const line = stderr.split("\n").find((one) => one.startsWith("sheaf-error: "));
  assert.ok(line !== undefined, `exit ${code} without a word of why:\n${stderr}`);
  const { task, ...failure } = JSON.parse(line.slice("sheaf-error: ".length)) as TaskFailure & {
    task: string;
  };
  return { task: task === "" ? null : task, failure };
}

/** One task, as engines start it. */
export async function runTask(
  home: string,
  phase: string,
  input: Buffer,
  cwd: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const env = { PATH: process.env["PATH"]!, ...environment };
  const child = spawn("/bin/sh", [`${home}/sheaf/run.sh`, phase], { cwd, env, stdio: "pipe" });
  const out: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stdout: Buffer.concat(out), stderr };
}

function filesOf(output: string): HostFiles {
  return {
    reports: output,
    local: output,
    canPlace: () => false,
    place: () => Promise.reject(new Error("not here")),
    fetch: () => Promise.reject(new Error("not here")),
    remove: async () => rmSync(output, { recursive: true, force: true }),
  };
}
